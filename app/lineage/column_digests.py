"""What digests of SQL (`FoundColumn.value`, `ColumnContent.sql` and `rows`) of two commits say about each other.

A digest is a text such as `18f0c5d1b2a3e4f60`: a letter or digit for the rules by which it was made, then a hash. Behind `~` it is
imprecise: part of what it was made of is not understood, or depends on an answer of the warehouse, so it may differ where nothing has
changed. Equal digests mean the same, imprecise ones too.
"""

from __future__ import annotations

from typing import Literal

IMPRECISE = "~"

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


def _rules(digest: str) -> str:
    return digest.removeprefix(IMPRECISE)[:1]
