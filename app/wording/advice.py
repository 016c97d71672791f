"""What dbt says when it stops, taken apart: its errors one by one, and the class that each belongs to."""

from __future__ import annotations

import re

from app.wording.classes import CLASSES, UNKNOWN, Advice

MAX_LOOKED_AT = 20_000
"""Characters of one message that are looked at: what it is stands at its beginning, the rest is code and lists."""
MAX_PARTS = 50


def advise(message: str) -> Advice:
    """Return the class that one message of dbt's belongs to; `UNKNOWN` when its wording is none that we know."""
    head = _NAMES.sub(r"\1", message[:MAX_LOOKED_AT])
    return next((advice for advice in CLASSES if advice.pattern.search(head)), UNKNOWN)


def parts(output: str) -> list[str]:
    r"""Return the errors of an output one by one: dbt begins each with its kind, at the beginning of a line.

    >>> parts("Compilation Error in model a\n  x\nParsing Error\n  y")
    ['Compilation Error in model a\n  x', 'Parsing Error\n  y']
    """
    starts = [found.start() for found in _HEADING.finditer(output)][:MAX_PARTS]
    if len(starts) < 2:  # noqa: PLR2004 - nothing to divide
        return [output.strip()]
    ends = [*starts[1:], len(output)]
    return [output[0 if start == starts[0] else start : end].strip() for start, end in zip(starts, ends, strict=True)]


_NAMES = re.compile(r"^(\w+ Error(?: in \w+)?)[^\n]*|\([^()\n]{0,300}/[^()\n]{0,300}\)", re.MULTILINE)
"""What people named: a model may be called as an error is."""
_HEADING = re.compile(r"^(?:Compilation|Parsing|Runtime|Validation|Dependency|Internal|Database) Error\b", re.MULTILINE)
