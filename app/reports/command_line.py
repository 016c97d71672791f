"""The same texts where nobody pushes and no check run exists: on the command line, whose reader is the operator."""

from __future__ import annotations

PHRASES = (
    ("If the project has moved, push again or re-run this check.", "Check `--project-dir`."),
    (", or remove this repository from the App's installation", ""),
    ("Install the App on the repositories of such projects.", "Name such a project instead."),
    ("The operator of this Freshet can build one with", "Build one with"),
    ("the operator of this Freshet can build an image with", "build an image with"),
    ("ask the operator to build a runner image that contains it", "build a runner image that contains it"),
    (": see dbt's log.", "."),
    ("ask the operator to look at Freshet's log", "look at the log above"),
    ("The operator can rebuild it with `make image`. Then push again.", "Rebuild it with `make image`."),
    ("The operator can rebuild the image with", "Rebuild the image with"),
    ("Then re-run this check.", "Then run this command again."),
    ("Re-run this check.", "Run this command again."),
    ("Run the extraction again.", "Run this command again."),
    ("Re-run the check.", "Run this command again."),
)
"""What check runs say, and what the command line says instead."""


def for_command_line(text: str) -> str:
    """A text of a check run, as the command line says it."""
    for said, instead in PHRASES:
        text = text.replace(said, instead)
    return text
