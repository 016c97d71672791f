"""What of a found node matched, for readers: the field, the column, and the part of the description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from app.lineage.search import entries, tiers
from app.lineage.search.entries import MAX_NAMES, SearchedNode
from app.lineage.search.queries import SearchQuery
from app.lineage.search.words import MAX_TEXT, found_by, key_of

MatchedField = Literal["name", "column", "tag", "owner", "path", "description"]
MAX_SNIPPET, BEFORE = 200, 60
"""Characters of a part of a description, and of those before its first word that was searched for."""
_BY_TIER: dict[int, MatchedField] = {
    **dict.fromkeys((tiers.EXACT, tiers.BEGINNING, tiers.IN_NAME), "name"),
    tiers.IN_COLUMNS: "column",
    tiers.IN_DESCRIPTION: "description",
}
_FILTERED: dict[str, MatchedField] = {entries.COLUMN: "column", entries.TAG: "tag", entries.OWNER: "owner"}


@dataclass(frozen=True, slots=True)
class Match:
    """Of the words that were searched for, the field that counts least."""

    field: MatchedField
    column: str | None
    """The name of the column that fits best; None: no column matched."""
    snippet: str


def match(query: SearchQuery, tier: int, node: SearchedNode, traced: Iterable[str] = ()) -> Match:
    """`traced`: columns that the SQL has."""
    field = _field(query, tier, node)
    wanted = [term.word for term in query.filters if term.fields == entries.COLUMN]
    if field == "column":
        wanted += query.words
    column = _column(wanted, chain((column.name for column in node.columns), traced)) if wanted else None
    return Match(field, column, _snippet(node.description, query.words if field == "description" else ()))


def _field(query: SearchQuery, tier: int, node: SearchedNode) -> MatchedField:
    if not query.words:
        fields = {term.fields[0] for term in query.filters}
        return next((name for letter, name in (*_FILTERED.items(), (entries.PATH, "path")) if letter in fields), "name")
    if tier in _BY_TIER:
        return _BY_TIER[tier]
    better = [node.name, node.label or "", *(column.name for column in node.columns[:MAX_NAMES])]
    left = _missing(query.words, better)
    for name, texts in (("tag", node.tags), ("owner", (node.owner or "",))):
        if len(_missing(left, texts)) < len(left):
            return "tag" if name == "tag" else "owner"
    return "path"


def _missing(words: Sequence[str], texts: Iterable[str]) -> list[str]:
    """The words that no word of the texts begins with."""
    found = {word for text in texts for word in found_by(text)}
    return [word for word in words if not any(one.startswith(word) for one in found)]


def _column(wanted: Sequence[str], names: Iterable[str]) -> str | None:
    """The column with most of the words; of these the one with that name, and of these the shortest."""
    key = "_".join(wanted)
    best: tuple[int, bool, int] | None = None
    chosen = None
    for name in dict.fromkeys(names):
        found = len(wanted) - len(_missing(wanted, [name]))
        rank = found, key_of(name) == key, -len(name)
        if found and (best is None or rank > best):
            best, chosen = rank, name
    return chosen


def _snippet(text: str, words: Sequence[str]) -> str:
    """The beginning of a text, or the part around the first of the words."""
    text = " ".join(text[:MAX_TEXT].split())
    lower = text.lower()
    first = min((place for word in words if (place := lower.find(word)) >= 0), default=0)
    start = 0 if first < MAX_SNIPPET - BEFORE else text.rfind(" ", 0, first - BEFORE) + 1
    part = text[start : start + MAX_SNIPPET]
    return f"{'…' if start else ''}{part}{'…' if start + MAX_SNIPPET < len(text) else ''}"
