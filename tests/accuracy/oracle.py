"""What a query really depends on: DuckDB runs it, one cell of one table is changed at a time, and the results are compared.

No parser is asked. A change of a cell that changes the number of rows is a dependence of
the rows; one that leaves the rows alone and changes another column of a row is a dependence of that column. The twin of a query
(see `twin`) has no conditions: what is seen there is about values.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb

from tests.accuracy.truth import Leaf

Row = tuple[Any, ...]
MAX_ROWS = 400
SOON_S = 0.05


class Seen(NamedTuple):
    """Dependences observed: of columns (by position), and of the set of rows."""

    values: frozenset[tuple[Leaf, int]]
    rows: frozenset[Leaf]


class Oracle:
    """A database with some tables, whose cells it changes. `columns`: the kind of each column, by table as the SQL names it."""

    def __init__(self, columns: dict[str, dict[str, str]], rows: dict[str, Sequence[Sequence[Any]]], schema: str | None = None) -> None:
        self.columns = columns
        self.rows = rows
        self.schema = schema
        self.database = duckdb.connect()
        self.database.execute("set threads = 1")
        if schema is not None:
            self.database.execute(f'create schema if not exists "{schema}"')
        for table, kinds in columns.items():
            listed = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
            self.database.execute(f"create table {self._name(table)} ({listed})")
            self._fill(table, rows[table])

    def _name(self, table: str) -> str:
        return f'"{self.schema}"."{table}"' if self.schema else f'"{table}"'

    def _fill(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(self.columns[table]))
        if rows:
            self.database.executemany(f"insert into {self._name(table)} values ({marks})", [*rows])

    def fits(self, sql: str) -> bool:
        """Tell whether a query ends soon and has few enough rows to be compared hundreds of times."""
        alarm = threading.Timer(SOON_S, self.database.interrupt)
        alarm.start()
        try:
            return len(self.database.execute(sql).fetchmany(MAX_ROWS + 1)) <= MAX_ROWS
        except duckdb.Error:
            return False
        finally:
            alarm.cancel()
            alarm.join()

    def run(self, sql: str) -> list[Row]:
        """The rows of a query."""
        return [tuple(map(_plain, row)) for row in self.database.execute(sql).fetchall()]

    def names(self, sql: str) -> list[str]:
        """The names of a query's columns."""
        return [column[0] for column in self.database.execute(sql).description or []]

    def seen(self, sql: str, tables: Sequence[str], *, tries: int, seed: int = 1) -> Seen:
        """Watch a query while cells of these tables change; `tries` changes of each column."""
        before = self.run(sql)
        values, rows = set[tuple[Leaf, int]](), set[Leaf]()
        for leaf, number, value in self._changes(tables, tries, random.Random(seed)):
            after = self._changed(sql, leaf, number, value)
            if after != before:
                changed, moved = compared(before, after)
                values |= {(leaf, position) for position in changed}
                rows |= {leaf} if moved else set()
        return Seen(frozenset(values), frozenset(rows))

    def _changes(self, tables: Sequence[str], tries: int, r: random.Random) -> Iterator[tuple[Leaf, int, Any]]:
        """Cells and new values: another row's value, NULL, a new value; a value equal to others as often as not."""
        for table in tables:
            content = self.rows[table]
            for position, name in enumerate(self.columns[table]):
                known = [row[position] for row in content if row[position] is not None]
                for number in [r.randrange(len(content)) for _ in range(tries)] if content else []:
                    old = content[number][position]
                    others = [value for value in (*known, None, _new(known, r)) if value != old]
                    if others:
                        yield (table, name), number, r.choice(others)

    def _changed(self, sql: str, leaf: Leaf, number: int, value: Any) -> list[Row]:
        """The query's rows with one cell changed; rows keep their places."""
        table, name = leaf
        self.database.execute("begin")
        try:
            self.database.execute(f'update {self._name(table)} set "{name}" = ? where rowid = ?', [value, number])
            return self.run(sql)
        except duckdb.Error:
            return []
        finally:
            self.database.execute("rollback")


def _plain(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return repr(value)
    return round(value, 9) if isinstance(value, float) else value


def _new(known: Sequence[Any], r: random.Random) -> Any:
    """A value of the same type that may be new."""
    example = known[0] if known else None
    if isinstance(example, bool):
        return not example
    if isinstance(example, int):
        return r.randrange(12)
    return f"{example}-{r.randrange(9)}" if isinstance(example, str) else None


def compared(before: list[Row], after: list[Row]) -> tuple[set[int], bool]:
    """The positions of columns whose values changed in rows that stayed, and whether rows came, went or took other places.

    Rows are told apart by a column that has a value of its own in each of them, before and after; without one, by their places or by
    likeness, whichever explains more.
    """
    if len(before) != len(after):
        return set(), True
    key = _key(before, after)
    if key is not None:
        new = {row[key]: row for row in after}
        return set().union(*(_differing(row, new[row[key]]) for row in before)), False
    gone, come = [*(Counter(before) - Counter(after)).elements()], [*(Counter(after) - Counter(before)).elements()]
    pairings = (_alike(gone, come), [_differing(one, other) for one, other in zip(before, after, strict=True)])
    return set().union(*min(pairings, key=lambda pairing: sum(map(len, pairing)))), False


def _key(before: list[Row], after: list[Row]) -> int | None:
    for position in range(len(before[0]) if before else 0):
        values = {row[position] for row in before}
        if len(values) == len(before) > 1 and None not in values and values == {row[position] for row in after}:
            return position
    return None


def _alike(gone: list[Row], come: list[Row]) -> list[set[int]]:
    left = [*come]
    differences = list[set[int]]()
    for row in gone:
        other = min(left, key=lambda candidate: len(_differing(row, candidate)))
        left.remove(other)
        differences.append(_differing(row, other))
    return differences


def _differing(one: Row, other: Row) -> set[int]:
    return {position for position, (a, b) in enumerate(zip(one, other, strict=True)) if a != b}
