"""What somebody typed: words, each of which a node must have, and filters such as `type:model`. Everything else is text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.lineage.search import entries
from app.lineage.search.words import key_of, words_of

MAX_QUERY = 200
"""Characters."""
MAX_TERMS = 16
FILTERS: Mapping[str, str] = {
    "type": entries.TYPE,
    "tag": entries.TAG,
    "owner": entries.OWNER,
    "path": entries.PATH,
    "package": entries.PACKAGE,
    "column": entries.COLUMN,
}
"""The field of each filter."""
_FILTER = re.compile(r"([A-Za-z_]{1,40}):(.*)", re.DOTALL)


class QueryError(Exception):
    """The query cannot be searched for; the text continues "`q`: …"."""


@dataclass(frozen=True, slots=True)
class SearchTerm:
    """A word that a node must have in one of these fields, or (`whole` false) one that begins so."""

    fields: str
    word: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """The words in their order, and the filters."""

    words: tuple[str, ...] = ()
    filters: tuple[SearchTerm, ...] = ()

    def __bool__(self) -> bool:
        """False: there is nothing to search for."""
        return bool(self.words or self.filters)

    @property
    def key(self) -> str:
        """See `words.key_of`."""
        return key_of(" ".join(self.words))


def parse(text: str) -> SearchQuery:
    """Raises QueryError.

    >>> parse("ord cust type:model")
    SearchQuery(words=('ord', 'cust'), filters=(SearchTerm(fields='y', word='model', whole=True),))
    """
    words: list[str] = []
    filters: list[SearchTerm] = []
    for part in text.split():
        found = _FILTER.fullmatch(part)
        if found is None:
            words += words_of(part)
        else:
            filters += _filter(found[1].lower(), found[2])
    if len(words) + len(filters) > MAX_TERMS:
        message = f"must have at most {MAX_TERMS} words"
        raise QueryError(message)
    return SearchQuery(tuple(words), tuple(filters))


def _filter(name: str, value: str) -> list[SearchTerm]:
    field = FILTERS.get(name)
    if field is None:
        message = f"unknown filter `{name}:`; known are {', '.join(f'`{one}:`' for one in FILTERS)}"
        raise QueryError(message)
    if not words_of(value):
        message = f"`{name}:` needs a value, as in `type:model`"
        raise QueryError(message)
    if field in (entries.TYPE, entries.PACKAGE):
        return [SearchTerm(field, key_of(value), whole=True)]
    # What is a word of the name is not one of the path again.
    fields = f"{entries.PATH}{entries.NAME}" if field == entries.PATH else field
    return [SearchTerm(fields, word) for word in words_of(value)]
