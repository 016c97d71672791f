"""Small projects in DuckDB: which models can be made, which columns and rows they have."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import duckdb

from tests.accuracy.world import SCHEMA, TABLES, Data, data

KINDS = {"int": "integer", "text": "varchar"}
MAX_ROWS = 400
SOON_S = 0.5
SEED = 5
NUMBERED = re.compile(r"_\d+$")


class Ran(NamedTuple):
    """What DuckDB made of a project: the types of the columns by model and name, the rows, and why a model could not be made.

    A model that could not be made keeps its columns and rows from before, as in a warehouse.
    """

    columns: Mapping[str, Mapping[str, str]]
    rows: Mapping[str, Sequence[tuple[Any, ...]]]
    refused: Mapping[str, str]
    doubled: frozenset[str] = frozenset()
    """Models with two columns of one name: most warehouses refuse them, DuckDB gives one another name."""

    def values(self, model: str, names: Sequence[str]) -> Counter[tuple[Any, ...]]:
        """The rows of a model, cut to these columns, in no order."""
        places = {name: place for place, name in enumerate(self.columns[model])}
        return Counter(tuple(row[places[name]] for name in names) for row in self.rows[model])


class Database:
    """A database with the tables that models read; `clear` it for another project."""

    def __init__(self, rows: Data) -> None:
        self._database = duckdb.connect()
        self._database.execute("set threads = 1")
        self._database.execute(f"create schema {SCHEMA}")
        self._ends_at = float("inf")
        self._names = set[str]()
        for name, content in rows.items():
            columns = ", ".join(f"{column} {KINDS[kind]}" for column, kind in TABLES[name].items())
            values = ", ".join(f"({', '.join(map(_literal, row))})" for row in content)
            self._database.execute(f"create table {SCHEMA}.{name} ({columns}); insert into {SCHEMA}.{name} values {values}")
        threading.Thread(target=self._watch, daemon=True).start()

    def clear(self) -> None:
        """Drop all models."""
        self._names.clear()
        self._database.execute("drop schema if exists mart cascade; create schema mart")

    def accepts(self, name: str, sql: str) -> bool:
        """Make a model; whether that worked, soon, and with some rows but not too many."""
        refused = self.make(name, sql)
        if refused is None and 0 < len(self.rows(name)) <= MAX_ROWS and not self.has_doubles(name, sql):
            return True
        self._database.execute(f"drop table if exists mart.{name}")
        return False

    def make(self, name: str, sql: str) -> str | None:
        """Make a model, or make it again; why that is not possible."""
        self._ends_at = time.monotonic() + SOON_S
        try:
            self._database.execute(f"create or replace table mart.{name} as {sql}")
        except duckdb.Error as error:
            return str(error).partition("\n")[0]
        finally:
            self._ends_at = float("inf")
        self._names.add(name)
        return None

    def _watch(self) -> None:
        while True:
            time.sleep(SOON_S / 4)
            if time.monotonic() > self._ends_at:
                self._database.interrupt()

    def columns(self, name: str) -> dict[str, str]:
        """The types of the columns by name."""
        return self._read(name)[0]

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """All rows."""
        return self._read(name)[1]

    def run(self, models: Sequence[tuple[str, str]]) -> Ran:
        """Make all models in order."""
        columns, rows, refused, doubled = dict[str, Any](), dict[str, Any](), dict[str, str](), set[str]()
        for name, sql in models:
            reason = self.make(name, sql)
            if reason is not None:
                refused[name] = reason
            if reason is None or name in self._names:
                columns[name], rows[name] = self._read(name)
                doubled |= {name} if reason is None and self.has_doubles(name, sql) else set()
        return Ran(columns, rows, refused, frozenset(doubled))

    def has_doubles(self, name: str, sql: str) -> bool:
        """Whether a query has two columns of one name."""
        if not any(NUMBERED.search(column) for column in self.columns(name)):
            return False
        names = [column[0].lower() for column in self._database.execute(f"describe {sql}").fetchall()]
        return len({*names}) < len(names)

    def _read(self, name: str) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
        found = self._database.execute(f"select * from mart.{name}")
        return {column[0]: str(column[1]) for column in found.description or []}, [tuple(map(_plain, row)) for row in found.fetchall()]


@cache
def database(*, turned: bool = False) -> Database:
    """The database of this process; `turned`: the same rows in another order."""
    return Database({name: [*reversed(rows)] if turned else rows for name, rows in data(SEED).items()})


def both(base: Sequence[tuple[str, str]], head: Sequence[tuple[str, str]]) -> tuple[Ran, Ran, frozenset[str]]:
    """Run both sides, one after the other as a warehouse would; and the models whose rows depend on the order of the tables' rows."""
    ran = []
    for turned in (False, True):
        place = database(turned=turned)
        place.clear()
        ran.append((place.run(base), place.run(head)))
    (before, after), _ = ran
    return before, after, frozenset(name for one, other in zip(*ran, strict=True) for name in one.columns if not _same(one, other, name))


def _same(one: Ran, other: Ran, name: str) -> bool:
    return name in other.columns and one.values(name, [*one.columns[name]]) == other.values(name, [*one.columns[name]])


def _literal(value: Any) -> str:
    return "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def _plain(value: Any) -> Any:
    """Comparable, and the same for sums in another order."""
    if isinstance(value, list | dict):
        return repr(value)
    return round(value, 9) if isinstance(value, float) else value
