"""A class of dbt's errors."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """`code` is stable, `title` plain text (GitHub renders no Markdown there), `next_step` one or two sentences."""

    code: str
    pattern: re.Pattern[str]
    title: str
    next_step: str


def row(code: str, pattern: str, title: str, next_step: str) -> ErrorClass:
    """One row of the catalogue; `pattern` recognizes dbt's wording."""
    return ErrorClass(code, re.compile(pattern), title, next_step)
