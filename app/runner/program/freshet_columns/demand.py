"""The reverse pass: columns that models ask of open tables are carried through stars, up to the sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from freshet_columns import digests
from freshet_columns.dialects import DIALECTS, facts
from freshet_columns.model import Analysis, Column, Edge, Star, Table


class Carried(NamedTuple):
    """Analyses and tables with the columns that were asked of them."""

    analyses: dict[str, Analysis]
    tables: dict[str, Table]


def carry_demand(analyses: Mapping[str, Analysis], tables: Mapping[str, Table], dialect: str) -> Carried:
    """Carry demands upwards; `analyses` are in the order of the DAG, parents first, `tables` are sources and seeds."""
    fold = facts(DIALECTS.get(dialect, dialect)).folding.key
    asked: dict[str, dict[str, str]] = {}
    for analysis in analyses.values():
        for unique_id, names in analysis.demands.items():
            asked.setdefault(unique_id, {}).update({fold(name, False): name for name in names})  # noqa: FBT003
    done = dict(analyses)
    for unique_id in reversed(list(analyses)):
        if asked.get(unique_id):
            known = {fold(column.name, False) for column in done[unique_id].columns}  # noqa: FBT003
            missing = {key: name for key, name in asked[unique_id].items() if key not in known}
            done[unique_id] = _extended(done[unique_id], missing, asked)
    return Carried(done, {unique_id: _grown(table, asked.get(unique_id, {}), fold) for unique_id, table in tables.items()})


def _extended(analysis: Analysis, missing: dict[str, str], asked: dict[str, dict[str, str]]) -> Analysis:
    columns: list[Column] = []
    edges: list[Edge] = []
    for key, name in missing.items():
        found = [edge for group in analysis.rest for edge in _group(group, key, name, asked)]
        edges += found
        if found:
            columns.append(Column(name, value=_value(analysis, key)))
    return analysis._replace(columns=analysis.columns + tuple(columns), edges=analysis.edges + tuple(edges))


def _value(analysis: Analysis, key: str) -> str:
    """The digest of a column that comes through stars."""
    branches = [[star for star in group if key not in star.excluded] for group in analysis.rest]
    return digests.shown(digests.united([_of_branch(stars, key) for stars in branches if stars]))


def _of_branch(stars: list[Star], key: str) -> str:
    found = digests.either([digests.marked(digests.leaf(star.unique_id, key), star.mark) for star in stars])
    return found if all(star.certain for star in stars) else digests.doubtful(found)


def _group(group: tuple[Star, ...], key: str, name: str, asked: dict[str, dict[str, str]]) -> list[Edge]:
    stars = [star for star in group if key not in star.excluded]
    for star in stars:
        asked.setdefault(star.unique_id, {}).setdefault(key, name)
    return [Edge(star.unique_id, name, name, "IDENTITY", star.certain and len(stars) == 1) for star in stars]


def _grown(table: Table, asked: dict[str, str], fold: object) -> Table:
    known = {fold(column.name, False) for column in table.columns}  # type: ignore[operator] # noqa: FBT003
    return table._replace(columns=table.columns + tuple(Column(name) for key, name in asked.items() if key not in known))
