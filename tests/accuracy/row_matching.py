"""Which columns changed between two results of a query: rows have to be told apart for that, and many have no key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

Row = tuple[Any, ...]
Pairing = list[set[int]]
"""For each row the positions that differ between it and its counterpart."""
MAX_PAIRS = 4_000
"""Of rows that are compared for likeness."""


def compared(before: list[Row], after: list[Row]) -> tuple[set[int], bool]:
    """The positions of columns whose values changed in rows that stayed, and whether rows came or went.

    Rows are told apart by one or two columns that identify them before and after; one row may have another key after. Where rows had a
    key that says no more, nothing is said. Rows that never had one are explained by the fewest columns, or matched by their places or
    by likeness. Of several matches, the one with the fewest differences counts.
    """
    if len(before) != len(after):
        return set(), True
    same = [*_keyed(before, after, 1, same=True)] or [*_keyed(before, after, 2, same=True)]
    if same:
        return _least(same), False
    own = {place for place in range(len(before[0])) if not _same(before, after, [place])}
    if _same_without(before, after, own):
        return own, False
    partly = [*_keyed(before, after, 1, same=False)] or [*_keyed(before, after, 2, same=False)]
    if partly or _has_key(before):
        return _least(partly), False
    more = [place for place in range(len(before[0])) if place not in own and _same_without(before, after, own | {place})]
    return own | {*more} if len(more) == 1 else _least(_unkeyed(before, after)), False


def _least(pairings: Iterable[Pairing]) -> set[int]:
    """All positions of the pairing with the fewest differences; none without a pairing."""
    return set[int]().union(*min(pairings, key=lambda pairing: sum(map(len, pairing)), default=()))


def _keyed(before: list[Row], after: list[Row], size: int, *, same: bool) -> Iterator[Pairing]:
    """One pairing for each key of `size` columns, with the `same` values before and after, or with others in one row."""
    for places in combinations(range(len(before[0]) if before else 0), size):
        old = _by_key(before, places)
        new = _by_key(after, places) if old and (not same or _same(before, after, places)) else {}
        if old and new:
            gone, come = [row for key, row in old.items() if key not in new], [row for key, row in new.items() if key not in old]
            if len(gone) <= 1:
                yield [_differing(row, new[key]) for key, row in old.items() if key in new] + [*map(_differing, gone, come)]


def _by_key(rows: list[Row], places: Sequence[int]) -> dict[Row, Row]:
    """The rows by the values of some columns; nothing where these are NULL or do not identify them."""
    found = {tuple(row[place] for place in places): row for row in rows}
    return found if len(found) == len(rows) > 1 and not any(None in key for key in found) else {}


def _has_key(rows: list[Row]) -> bool:
    return any(_by_key(rows, places) for size in (1, 2) for places in combinations(range(len(rows[0])), size))


def _same_without(before: list[Row], after: list[Row], places: set[int]) -> bool:
    return _same(before, after, [place for place in range(len(before[0])) if place not in places])


def _same(before: list[Row], after: list[Row], places: Sequence[int]) -> bool:
    """Whether both have the same rows of these columns, as often."""
    old, new = (Counter(tuple(row[place] for place in places) for row in rows) for rows in (before, after))
    return old == new


def _unkeyed(before: list[Row], after: list[Row]) -> Iterator[Pairing]:
    yield [_differing(one, other) for one, other in zip(before, after, strict=True)]
    gone, come = [*(Counter(before) - Counter(after)).elements()], [*(Counter(after) - Counter(before)).elements()]
    if len(gone) ** 2 <= MAX_PAIRS:
        yield _alike(gone, come)


def _alike(gone: list[Row], come: list[Row]) -> Pairing:
    """The most similar rows first."""
    found: dict[int, set[int]] = {}
    taken = set[int]()
    pairs = ((_differing(gone[old], come[new]), old, new) for old, new in product(range(len(gone)), repeat=2))
    for differences, old, new in sorted(pairs, key=lambda pair: len(pair[0])):
        if old not in found and new not in taken:
            found[old] = differences
            taken.add(new)
    return [*found.values()]


def _differing(one: Row, other: Row) -> set[int]:
    return {position for position, (a, b) in enumerate(zip(one, other, strict=True)) if a != b}
