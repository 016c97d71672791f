"""The rows of sources and seeds: a seed's file, cut; made up from the names of the columns where there is none."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from tests.accuracy.project_reading import BASES, ProjectNode, ReadProject

WORDS = ("ab", "cd", "ef")
DATES = ("2024-03-02", "2024-04-20", "2025-05-08")
NULLS = 0.06
READ_CSV = "select * from read_csv(?, header = true, delim = ',', quote = '\"', sample_size = -1, null_padding = true)"
UNITS = frozenset({"second", "minute", "hour", "day", "week", "month", "quarter", "year"})
KINDS = {
    "timestamp": re.compile(r"_at$|_ts$|timestamp|_time$"),
    "date": re.compile(r"_on$|date|^day$|_day$"),
    "boolean": re.compile(r"^(is|has|was)_"),
    "integer": re.compile(
        r"^id$|_id$|_line$|cents|amount|total|subtotal|tax|price|cost|count|number|quantity|revenue|docks|minutes|seconds|^n_"
    ),
}
"""The kind of a column that is known by its name only; other columns are text."""


class Content(NamedTuple):
    """The type of each column by name, and rows."""

    kinds: dict[str, str]
    rows: list[tuple[Any, ...]]


def contents(project: ReadProject, rows: int, seed: int = 1) -> dict[str, Content]:
    """The content of every source and seed: `rows` rows of its file (also of one that dbt does not load), or that number made up."""
    r = random.Random(seed)
    csv = {Path(path).stem: text for path, text in project.files.items() if path.endswith(".csv") and text and "dbt_packages" not in path}
    bases = [node for node in project.nodes.values() if node.kind in BASES]
    found = {node.unique_id: _read(csv[node.relation[2]], rows, r) for node in bases if node.relation[2] in csv}
    made = [node for node in bases if node.unique_id not in found]
    ids = {node.unique_id: Content({"id": "integer"}, [(number + 1,) for number in range(rows)]) for node in made if "id" in node.columns}
    maker = _Maker(project, {**found, **ids}, r)
    return found | {node.unique_id: maker.content(node, rows) for node in made}


def _read(text: str, rows: int, r: random.Random) -> Content:
    """DuckDB guesses types as dbt does: numbers, dates, times, booleans, otherwise text."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file, duckdb.connect() as database:
        file.write(text)
        file.flush()
        read = database.execute(READ_CSV, [file.name])
        kinds = {column[0].lower(): str(column[1]) for column in read.description or []}
        every = read.fetchall()
    chosen = sorted(r.sample(range(len(every)), min(rows, len(every))))
    return Content(kinds, [every[number] for number in chosen])


class _Maker:
    """Makes rows up. Values repeat, and meet those of other tables and of the SQL, so that joins match and conditions differ."""

    def __init__(self, project: ReadProject, known: Mapping[str, Content], r: random.Random) -> None:
        self._known, self._r = known, r
        self._relations = {node.unique_id: node.relation[2].lower() for node in project.nodes.values()}
        literals = [text for node in project.models for text in re.findall(r"'([^'\n]*)'", node.sql or "")]
        self._words = [*sorted({text for text in literals if re.fullmatch(r"[a-z][a-z_]{2,20}", text) and text not in UNITS}), *WORDS]
        days = {text for text in literals if re.fullmatch(r"\d{4}-\d\d-\d\d", text)} | {*DATES}
        self._days = sorted({date.fromisoformat(text) for text in days} | {*self._values("DATE")})

    def content(self, node: ProjectNode, rows: int) -> Content:
        kinds = {name: self._kind(name) for name in node.columns}
        columns = [[self._cell(name, kinds[name], number) for number in range(rows)] for name in node.columns]
        return Content(kinds, [*zip(*columns, strict=True)])

    def _kind(self, name: str) -> str:
        referred = self._referred(name)
        if referred is not None:
            return referred[0]
        return next((kind for kind, pattern in KINDS.items() if pattern.search(name)), "varchar")

    def _cell(self, name: str, kind: str, number: int) -> Any:
        if name == "id":
            return number + 1
        if self._r.random() < NULLS:
            return None
        referred = self._referred(name)
        return self._r.choice(referred[1]) if referred is not None else self._invented(kind)

    def _invented(self, kind: str) -> Any:
        day = self._r.choice(self._days)
        if kind == "date":
            return day
        if kind == "timestamp":
            return datetime.combine(day, time()) + timedelta(seconds=self._r.randrange(3 * 86_400))
        if kind == "boolean":
            return self._r.random() < 0.5
        return self._r.choice(self._words) if kind == "varchar" else self._r.randrange(1, 9)

    def _referred(self, name: str) -> tuple[str, Sequence[Any]] | None:
        """The type and values of the column that one of this name points to: `sku` by its own name, `customer_id` by the table's."""
        for table, column, position in self._columns() if name != "id" else ():
            content = self._known[table]
            by_table = column == "id" and _singular(name) in self._relations[table]
            by_name = column not in ("id", "name") and (column == name or column.endswith(f"_{name}"))
            values = [row[position] for row in content.rows if row[position] is not None]
            if (by_table or by_name) and values:
                return content.kinds[column], values
        return None

    def _columns(self) -> Iterator[tuple[str, str, int]]:
        for table, content in self._known.items():
            for position, column in enumerate(content.kinds):
                yield table, column, position

    def _values(self, kind: str) -> Iterator[Any]:
        for table, column, position in self._columns():
            if self._known[table].kinds[column] == kind:
                yield from (row[position] for row in self._known[table].rows if row[position] is not None)


def _singular(name: str) -> str:
    """What a key names: `from_station_id` a station."""
    return name.removesuffix("_id").rpartition("_")[2] if name.endswith("_id") else name
