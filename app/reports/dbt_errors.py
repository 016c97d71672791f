"""Splits dbt's output into its errors, and classifies each one."""

from __future__ import annotations

import re

from app.reports.dbt_error_catalogue import CLASSES, UNKNOWN
from app.reports.error_class import ErrorClass

MAX_CLASSIFIED_CHARACTERS = 20_000
"""Of one error: its wording is at the beginning, the rest is code and lists."""
MAX_ERRORS = 50

_NAMES = re.compile(r"^(\w+ Error(?: in \w+)?)[^\n]*|\((?=[^()\n/]{0,300}/)[^()\n]{0,600}+\)", re.MULTILINE)
"""Names that people chose: a model may be named like an error."""
_HEADING = re.compile(r"^(?:Compilation|Parsing|Runtime|Validation|Dependency|Internal|Database) Error\b", re.MULTILINE)


def classify(error: str) -> ErrorClass:
    """The class of one error; `UNKNOWN` when its wording is not in the catalogue."""
    head = _NAMES.sub(r"\1", error[:MAX_CLASSIFIED_CHARACTERS])
    return next((known for known in CLASSES if known.pattern.search(head)), UNKNOWN)


def split_errors(output: str) -> list[str]:
    r"""The errors of an output, at most `MAX_ERRORS`. dbt starts each one with its kind, at the beginning of a line.

    >>> split_errors("Compilation Error in model a\n  x\nParsing Error\n  y")
    ['Compilation Error in model a\n  x', 'Parsing Error\n  y']
    """
    starts = [found.start() for found in _HEADING.finditer(output)][:MAX_ERRORS]
    if len(starts) < 2:  # noqa: PLR2004 - nothing to split
        return [output.strip()]
    ends = [*starts[1:], len(output)]
    return [output[0 if start == starts[0] else start : end].strip() for start, end in zip(starts, ends, strict=True)]
