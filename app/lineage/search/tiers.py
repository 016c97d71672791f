"""How well a node matches: by its exact name, the beginning of its name, or words of fields that count less and less.

A tier is searched by one of its terms, which gives candidates, and by a tsquery that each candidate is checked with: it leaves out what
better tiers have. https://www.postgresql.org/docs/current/datatype-textsearch.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.lineage.search import entries
from app.lineage.search.queries import SearchQuery, SearchTerm

AFTER_ALL, AFTER_IT = "\U0010ffff", "\x01"
"""Behind a word: the first text after all words that begin with it, and after it alone."""
EXACT, BEGINNING, IN_NAME, IN_COLUMNS, IN_PLACES, IN_DESCRIPTION = range(6)
FIELDS = {
    IN_NAME: entries.NAME,
    IN_COLUMNS: entries.NAME + entries.COLUMN,
    IN_PLACES: entries.NAME + entries.COLUMN + entries.TAG + entries.OWNER + entries.PATH,
    IN_DESCRIPTION: entries.NAME + entries.COLUMN + entries.TAG + entries.OWNER + entries.PATH + entries.DESCRIPTION,
}
"""The fields that the words may be in."""
Range = tuple[str, str]
"""The words from one, up to but without the other, in the order of code points."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The nodes of one tier. Each one is among those of each of `choices` (ranges of words, of one term), and matches `condition`."""

    number: int
    choices: tuple[tuple[Range, ...], ...]
    condition: str
    reached: str
    """The same with the nodes of all better tiers."""


def tiers_of(query: SearchQuery) -> list[Tier]:
    """The tiers, the best first. Filters alone are one tier."""
    if not query.words:
        every = _all(query.filters)
        return [Tier(IN_NAME, tuple(map(ranges_of, query.filters)), every, every)] if query.filters else []
    filters = [ranges_of(one) for one in query.filters]
    key = SearchTerm(entries.KEY, query.key)
    exact = SearchTerm(entries.KEY, query.key, whole=True)
    found = [
        Tier(EXACT, (ranges_of(exact), *filters), _with(query, _one(exact)), _with(query, _one(exact))),
        Tier(BEGINNING, (ranges_of(key), *filters), _with(query, f"{_one(key)} & !{_one(exact)}"), _with(query, _one(key))),
    ]
    better = _one(key)
    for number, fields in FIELDS.items():
        terms = [SearchTerm(fields, word) for word in dict.fromkeys(query.words)]
        choices = (*map(ranges_of, terms), *filters)
        found.append(Tier(number, choices, _with(query, f"{_all(terms)} & !{better}"), _with(query, _all(terms))))
        better = _all(terms)  # each tier has the fields of the one before, and more
    return found


def ranges_of(term: SearchTerm) -> tuple[Range, ...]:
    """The ranges of words of a term, one a field."""
    end = AFTER_IT if term.whole else AFTER_ALL
    return tuple((field + term.word, field + term.word + end) for field in term.fields)


def _with(query: SearchQuery, condition: str) -> str:
    return f"({condition}) & {_all(query.filters)}" if query.filters else condition


def _all(terms: Sequence[SearchTerm]) -> str:
    return f"({' & '.join(map(_one, terms))})"


def _one(term: SearchTerm) -> str:
    # Words are letters, digits and underscores, so nothing in them has a meaning in a tsquery.
    words = (f"'{field}{term.word}'{'' if term.whole else ':*'}" for field in term.fields)
    return f"({' | '.join(words)})"
