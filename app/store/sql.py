"""The SQL statements of `queries/NOUN.sql`, by name.

A statement starts with a line `-- name: NAME`. The comments after it belong to the statement.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources


@cache
def statements(noun: str) -> dict[str, str]:
    """Return the statements in `queries/NOUN.sql` by name."""
    text = resources.files("app.store").joinpath(f"queries/{noun}.sql").read_text()
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
