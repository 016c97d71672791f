"""Keeps answers of tools short, whatever a project consists of: a page holds what fits, and says what it leaves out. Pure.

Agents that are cut off do not notice and answer wrongly, and tokens cost. An answer is a heading and items in order of importance; a page
begins at an item and ends before the first one that does not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import orjson

MAX_TOKENS = 20_000
"""Of an answer, counted by `tokens`."""
PAGE, HEADING, ITEM = 17_000, 6_000, 4_000
"""Tokens of a page, of its heading, and of one item. The rest is for what says what is left out."""
CHEAP = b"aeioutnsrlhdcmy "
SHORTENED = "shortened"
"""What texts and lists are counted as that were cut in an item."""
MOST_KINDS = 50


class Limits(NamedTuple):
    """Of one value: characters of a text, members of a list or an object, and depth."""

    text: int
    members: int
    depth: int


SIZES = (Limits(1000, 50, 8), Limits(300, 20, 6), Limits(100, 8, 4), Limits(30, 3, 2))
"""Tried one after the other until an item is short enough."""


class Item(NamedTuple):
    """Something that belongs into a list of the answer. `kind`: what it is counted as where it is left out."""

    list: str
    kind: str
    make: Callable[[], Any]
    """Called only for items that a page may hold."""


@dataclass(slots=True)
class CutPage:
    """A part of an answer."""

    lists: dict[str, list[Any]] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    """What follows, by kind, and what was shortened."""
    next: int | None = None
    """The number of the item at which the next page begins; None: there are no more."""


def tokens(text: bytes) -> int:
    """An upper estimate of what models count for UTF-8: a token for two common letters or spaces, and for any other byte.

    Three tokenizers (o200k, cl100k, Claude's) count 0.35 to 0.6 times as much for SQL, JSON, names and English, and at most 1.08 times as
    much for random letters, which is the worst.
    """
    return (len(text) + len(text.translate(None, CHEAP)) + 1) // 2


def encoded(value: Any) -> bytes:
    """Compact JSON."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def cost(value: Any) -> int:
    """Tokens of a value as JSON, with the comma after it."""
    return tokens(encoded(value)) + 1


def shortened(value: Any, most: int) -> tuple[Any, int, int]:
    """A value within a number of tokens, that number, and how many texts and lists in it had to be cut. Its own keys always stay."""
    for limits in SIZES:
        cuts = Counter[str]()
        found = {name: _cut(one, limits, cuts) for name, one in value.items()} if isinstance(value, dict) else _cut(value, limits, cuts)
        used = cost(found)
        if used <= most:
            break
    return found, used, cuts.total()


def cut(
    items: Iterable[Item], total: Mapping[str, int], *, begin: int = 0, most: Mapping[str, int] | None = None, used: int = 0
) -> CutPage:
    """The page that begins at an item.

    `total` counts all items by kind, `most` limits how many of a list come, and `used` are the tokens of the heading. A list that has no
    limit ends with the page.
    """
    page, left, cuts = CutPage(), Counter(total), 0
    iterator = iter(items)
    left.subtract(one.kind for one in islice(iterator, begin))
    for number, (name, kind, make) in enumerate(iterator, begin):
        value, tokens_of_it, shorter = shortened(make(), ITEM)
        used += tokens_of_it
        place = page.lists.setdefault(name, [])
        if used > PAGE or len(place) >= (most or {}).get(name, len(place) + 1):
            page.next = number
            break
        place.append(value)
        left[kind] -= 1
        cuts += shorter
    page.left = {kind: number for kind, number in left.most_common(MOST_KINDS) if number > 0} | ({SHORTENED: cuts} if cuts else {})
    return page


def _cut(value: Any, limits: Limits, cuts: Counter[str]) -> Any:
    if isinstance(value, str):
        if len(value) <= limits.text:
            return value
        cuts["text"] += 1
        return value[: limits.text - 1] + "…"
    if not isinstance(value, list | tuple | dict):
        return value
    fewer = limits._replace(depth=limits.depth - 1)
    most = limits.members if limits.depth > 0 else 0
    if len(value) > most:
        cuts["members"] += 1
    if isinstance(value, dict):
        return {_cut(name, fewer, cuts): _cut(one, fewer, cuts) for name, one in islice(value.items(), most)}
    return [_cut(one, fewer, cuts) for one in islice(value, most)]
