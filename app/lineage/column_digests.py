"""What digests of SQL (`FoundColumn.value`, `ColumnContent.sql` and `rows`) of two commits say about each other.

A digest is a text such as `18f0c5d1b2a3e4f60`: a letter or digit for the rules by which it was made, then a hash. Behind `~` it is
imprecise: part of what it was made of is not understood, or depends on an answer of the warehouse, so it may differ where nothing has
changed. Equal digests mean the same, imprecise ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

IMPRECISE = "~"
SHORT = 160
"""Characters of a part that is not hashed by itself."""

Comparison = Literal["same", "different", "perhaps", "unknown"]


def compare(base: str | None, head: str | None) -> Comparison:
    """Compare the digests of two commits.

    `perhaps`: there may be a difference. `unknown`: at least one is missing, or they were made by different rules.

    >>> compare("18f0c5d1", "18f0c5d1"), compare("18f0c5d1", "~1b2a3e4f"), compare("18f0c5d1", "2b2a3e4f")
    ('same', 'perhaps', 'unknown')
    """
    if base is None or head is None or _rules(base) != _rules(head):
        return "unknown"
    if base == head:
        return "same"
    return "perhaps" if IMPRECISE in (base[:1], head[:1]) else "different"


def hands_on(digest: str, table: str, names: Sequence[str] | None) -> bool:
    """Whether the digest of a query's SQL is that of one which selects all of a table (a unique_id) and nothing else.

    `names`: the columns of the table in order; None: not all are known, and only a star has them all. Digests of rules that are not
    those below are never the ones of such a query.
    """
    lists = [f"'{table}"]
    for fold in (str.lower, str.upper, str) if names is not None else ():
        keys = [fold(name) for name in names or ()]
        lists.append(_short(_made("select", "'", *(part for key in keys for part in (f"'{key}", f".{table}\1{key}")))))
    return digest[1:] in {_hash(_made("sql", f"'{table}", columns)) for columns in lists}


def _made(what: str, *parts: str) -> str:
    """As `freshet_columns.digests.made` writes it."""
    return "\0".join((f"!{what}{len(parts)}", *parts))


def _short(text: str) -> str:
    return text if len(text) <= SHORT else "=" + _hash(text)


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _rules(digest: str) -> str:
    return digest.removeprefix(IMPRECISE)[:1]
