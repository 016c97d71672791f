"""Part (b), whole projects: DuckDB runs the models over some rows, one cell is changed at a time, and every column is watched.

Model by model: a cell of a table that the model reads is changed, and the model's own edges have to cover what is seen. From the seeds: a
cell of a seed or source is changed, all models run again, and the edges joined back to that seed have to cover it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.accuracy import project_reading
from tests.accuracy.engine import claims, load
from tests.accuracy.observed import Asked, Index, Watch, index, judge, judge_twin
from tests.accuracy.oracle import Seen
from tests.accuracy.project_files import PUBLIC, SAMPLE_PROJECT, UnavailableProjectError, Whole, unavailable_runner
from tests.accuracy.project_reading import ProjectNode, ReadProject
from tests.accuracy.project_rows import contents
from tests.accuracy.twin import twin
from tests.accuracy.warehouse import Warehouse, still

TRIES, SIZES = 9, (80, 16)
"""Changes of each column; rows of each source and seed, of one database each."""
TWIN_ROWS = (10, 6, 4, 3)
"""Rows of each table under a query without conditions, which multiplies them: the largest number that is feasible is taken."""
TWIN_RESULT = 220
NOTHING_SEEN = Seen(frozenset(), frozenset())


@dataclass
class WatchedProject:
    """What was seen. `left_out`: models that were not watched, each with the reason. `missing`: why the project could not be read."""

    name: str
    models: int = 0
    direct: Watch = field(default_factory=Watch)
    whole: Watch = field(default_factory=Watch)
    left_out: list[str] = field(default_factory=list)
    missing: str = ""

    @property
    def parts(self) -> dict[str, Watch]:
        """Both ways of watching; none where the project is missing."""
        return {} if self.missing else {"model by model": self.direct, "from the seeds": self.whole}


class Relations:
    """A catalog for the engine: the relations of a project by their last name, with columns as DuckDB has them."""

    def __init__(self, columns: dict[str, dict[str, str]], project: ReadProject) -> None:
        package = load()
        self._tables = {
            project.nodes[name].relation[2].lower(): package.Table(name, tuple(map(package.Column, listed)))
            for name, listed in columns.items()
        }

    def table(self, parts: tuple[tuple[str, bool], ...]) -> Any:
        """Look up a table."""
        return self._tables.get(parts[-1][0].lower()) if len(parts) > 1 else None

    def ephemeral(self, cte_name: str) -> Any:
        """None: an ephemeral model is an ordinary CTE here."""


def measure(projects: Iterable[Whole] = (SAMPLE_PROJECT, *PUBLIC)) -> list[WatchedProject]:
    """Watch projects; one that cannot be read stays, with the reason."""
    reason = unavailable_runner()
    return [WatchedProject(one.name, missing=reason) if reason else asyncio.run(watch_project(one)) for one in projects]


async def watch_project(project: Whole, tries: int = TRIES, sizes: Sequence[int] = SIZES) -> WatchedProject:
    """Watch one project with different rows."""
    try:
        return Watcher(project.name, await project_reading.read(project), tries, sizes).watch()
    except UnavailableProjectError as error:
        return WatchedProject(project.name, missing=str(error))


class Watcher:
    """Watches a project. `tries`: changes of each column. `sizes`: rows of each source and seed, of one database each."""

    def __init__(self, name: str, project: ReadProject, tries: int, sizes: Sequence[int]) -> None:
        self._project, self._tries = project, tries
        rows = [contents(project, size, seed) for seed, size in enumerate(sizes)]
        self._tables = [Warehouse(project, one) for one in rows]
        self._views = [Warehouse(project, one, views=True) for one in rows]
        self._result = WatchedProject(name, len(project.models))

    def watch(self) -> WatchedProject:
        """Watch every model."""
        for node in self._project.models:
            reason = "" if node.is_ephemeral else self._obstacle(node)
            if reason:
                self._result.left_out.append(f"{node.name}: {reason}")
            elif not node.is_ephemeral:
                self._direct(node)
                self._whole(node)
        return self._result

    def _obstacle(self, node: ProjectNode) -> str:
        """Why a model cannot be watched."""
        for database in self._tables:
            if node.unique_id in database.refused:
                return f"DuckDB does not run it ({database.refused[node.unique_id]})"
            if not database.fits(_content(database, node)):
                return "it has too many rows to be run hundreds of times"
            if database.run(still(node.sql or "")) != database.run(still(node.sql or "")):
                return "it says something else each time"
        return ""

    def _direct(self, node: ProjectNode) -> None:
        sql, read, names = still(node.sql or ""), self._project.tables_of(node), self._names(node)
        known = _of(self._project.direct(node), names)
        asked = Asked(node.name, sql, frozenset())
        self._result.direct.queries += 1
        judge(self._result.direct, asked, names, self._seen(self._tables, sql, read), known)
        other = twin(sql)
        if other is not None and read:
            claimed = index(claims(other, "duckdb", Relations(self._tables[0].columns, self._project)).edges)
            found = self._seen_in_twin(other, read)
            self._result.direct.left_out += found is None
            judge_twin(self._result.direct, asked, (names, found or NOTHING_SEEN), known, claimed)

    def _whole(self, node: ProjectNode) -> None:
        names, bases = self._names(node), self._project.ancestors(node)
        seen = _together(database.seen(_content(database, node), bases, tries=self._tries) for database in self._views)
        self._result.whole.queries += 1
        judge(self._result.whole, Asked(f"{node.name} from the seeds", "", frozenset()), names, seen, _of(self._project.whole(node), names))
        self._result.whole.values, self._result.whole.values_covered = self._result.whole.any, self._result.whole.any_covered

    def _names(self, node: ProjectNode) -> list[str]:
        return [*self._tables[0].columns[node.unique_id]]

    def _seen(self, databases: Iterable[Warehouse], sql: str, read: Sequence[str]) -> Seen:
        return _together(database.seen(sql, read, tries=self._tries) for database in databases)

    def _seen_in_twin(self, sql: str, read: Sequence[str]) -> Seen | None:
        """What is seen over as many rows as are feasible; None where none are."""
        for rows in TWIN_ROWS:
            small = self._small[rows]
            if all(database.fits(sql) for database in small):
                return self._seen(small, sql, read)
        return None

    @cached_property
    def _small(self) -> dict[int, list[Warehouse]]:
        """The relations as they are, cut to a few rows."""
        cut = {rows: [{name: database.content(name, rows) for name in database.rows} for database in self._tables] for rows in TWIN_ROWS}
        return {rows: [Warehouse(self._project, one, max_rows=TWIN_RESULT) for one in every] for rows, every in cut.items()}


def _content(database: Warehouse, node: ProjectNode) -> str:
    return f"select * from {database.quoted(node.unique_id)}"


def _of(known: Index, names: Sequence[str]) -> Index:
    """Without columns that a query does not give, such as those that dbt adds to a snapshot."""
    return Index({column: leaves for column, leaves in known.columns.items() if column in names}, known.rows)


def _together(every: Iterable[Seen]) -> Seen:
    seen = [*every]
    return Seen(frozenset().union(*(one.values for one in seen)), frozenset().union(*(one.rows for one in seen)))
