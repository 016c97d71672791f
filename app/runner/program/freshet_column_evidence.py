"""What the nodes of a project show about open tables, for nodes in which several tables may have a column. Independent of dbt.

An unambiguous reference shows that a table has a column. Where a warehouse accepts an unqualified reference over several tables, only one
of them has the column. So it is that of the table for which another node shows it. Only first looks count, which know nothing of other
nodes: the order of nodes does not matter, and what was decided in this way decides nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freshet_columns import Analysis, Star


class Evidence:
    """The columns that the nodes of a project show."""

    def __init__(self, found: dict) -> None:
        """`found`: the analyses of nodes by unique_id, parents first."""
        self._shown = {}  # type: dict[str, set[str]]
        for one in found.values():
            for unique_id, keys in one.shown.items():
                self._shown.setdefault(unique_id, set()).update(keys)
        stars = [(unique_id, _stars(one)) for unique_id, one in found.items()]
        self._carry_up(stars)
        self._carry_down(stars)

    def proof(self, found: Analysis) -> list:
        """The pairs `[unique_id, column key]` that decide a node's doubts, sorted. What the node itself shows comes before that."""
        own = {key for keys in found.shown.values() for key in keys}
        doubts = [[unique_id, key] for unique_id, keys in found.doubts.items() for key in keys if key not in own]
        return sorted([unique_id, key] for unique_id, key in doubts if key in self._shown.get(unique_id, ()))

    def _carry_up(self, stars: list) -> None:
        """What a node has by its only star, the table behind the star has."""
        for unique_id, found in reversed(stars):
            if len(found) == 1 and unique_id in self._shown:
                self._add(found[0].unique_id, self._shown[unique_id], found[0])

    def _carry_down(self, stars: list) -> None:
        for unique_id, found in stars:
            for star in found:
                self._add(unique_id, self._shown.get(star.unique_id, set()), star)

    def _add(self, unique_id: str, keys: Iterable[str], star: Star) -> None:
        more = set(keys).difference(star.excluded)
        if more:
            self._shown.setdefault(unique_id, set()).update(more)


def is_same_table(one: Analysis, other: Analysis) -> bool:
    """Whether nodes that read the one would read the other as well."""
    return (_names(one), one.open, one.ordered, one.rest) == (_names(other), other.open, other.ordered, other.rest)


def _names(found: Analysis) -> list:
    """The columns as their readers see them: not what they are made of."""
    return [(column.name, column.type) for column in found.columns]


def _stars(found: Analysis) -> tuple:
    """The stars by which a node certainly has columns; none of a set operation. The status does not matter: evidence changes it."""
    is_certain = len(found.rest) == 1 and all(star.certain for star in found.rest[0])
    return found.rest[0] if is_certain else ()
