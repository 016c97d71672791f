"""What a query really depends on: DuckDB runs it, one cell of one table is changed at a time, and the results are compared.

No parser is asked. A change of a cell that changes the number of rows is a dependence of
the rows; one that leaves the rows alone and changes another column of a row is a dependence of that column. The twin of a query
(see `twin`) has no conditions: what is seen there is about values.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb

from tests.accuracy.row_matching import Row, compared
from tests.accuracy.truth import Leaf

MAX_ROWS = 400
SOON_S = 0.05


class Seen(NamedTuple):
    """Dependences observed: of columns (by position), and of the set of rows."""

    values: frozenset[tuple[Leaf, int]]
    rows: frozenset[Leaf]


class Oracle:
    """A database with some tables, whose cells it changes. `columns`: the kind of each column, by table as the SQL names it."""

    max_rows, soon_s = MAX_ROWS, SOON_S

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
        alarm = threading.Timer(self.soon_s, self.database.interrupt)
        alarm.start()
        try:
            return len(self.database.execute(sql).fetchmany(self.max_rows + 1)) <= self.max_rows
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
            if after is not None and after != before:
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
                    others = [value for value in (*known, None, different(known, r)) if value != old]
                    if others:
                        yield (table, name), number, r.choice(others)

    def _changed(self, sql: str, leaf: Leaf, number: int, value: Any) -> list[Row] | None:
        """The query's rows with one cell changed; rows keep their places. None: the query fails then."""
        table, name = leaf
        self.database.execute("begin")
        try:
            self.database.execute(f'update {self._name(table)} set "{name}" = ? where rowid = ?', [value, number])
            return self.run(sql)
        except duckdb.Error:
            return None
        finally:
            self.database.execute("rollback")


def _plain(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return repr(value)
    return round(value, 9) if isinstance(value, float) else value


def different(known: Sequence[Any], r: random.Random) -> Any:
    """A value of the same type that may be new."""
    example = known[0] if known else None
    if isinstance(example, bool):
        return not example
    if isinstance(example, int):
        return r.randrange(12)
    if isinstance(example, date):
        return example + timedelta(days=r.randrange(1, 400))
    if isinstance(example, float | Decimal):
        return type(example)(r.randrange(12))
    return f"{example}-{r.randrange(9)}" if isinstance(example, str) else None
