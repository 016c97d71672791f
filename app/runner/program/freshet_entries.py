"""Finds which entries of a value are read: `['key']`, `.key`, `.get('key')`, `[0]`, `| first`. Independent of dbt."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_DEPTH = 6
QUOTED = r"""(?P<{quote}>\\?["']|'')(?P<{name}>[^'"\\{{}}\[\]]{{1,100}})(?P={quote})"""
ENTRY = re.compile(
    r"\s*(?:\[\s*(?:"
    + QUOTED.format(quote="q", name="key")
    + r"|(?P<index>-?\d{1,4})|(?P<any>[A-Za-z_(][^\[\]{}%:]{0,100}))\s*\]"
    + r"|\.\s*get\s*\(\s*"
    + QUOTED.format(quote="r", name="got")
    + r"\s*(?P<more>[,)])"
    + r"|\.\s*(?P<attribute>[A-Za-z_]\w{0,99})\b(?!\s*\()"
    + r"|\|\s*(?P<end>first|last)\b(?:\s*\(\s*\))?)"
)
DYNAMIC = None
"""Stands for a key that is computed."""


class EntryRead(NamedTuple):
    """An entry that is read."""

    keys: tuple
    """From the outside in."""
    wants: str | None
    """The type of its use, as in `freshet_scan.Use`."""
    tested: bool
    """Whether it is only used as a condition."""


def keys_at(text: str, at: int) -> tuple[tuple, int]:
    """Return the keys with which the value that ends at `at` is read, and where they end. A slice is no entry: texts have slices too."""
    keys = []  # type: list[object]
    while len(keys) < MAX_DEPTH:
        found = ENTRY.match(text, at)
        if found is None or found["more"] == ",":
            break
        at = found.end()
        if found["index"] or found["end"]:
            keys.append(0)
        else:
            keys.append(found["key"] or found["got"] or found["attribute"] or DYNAMIC)
    return tuple(keys), at
