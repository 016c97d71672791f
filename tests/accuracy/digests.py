"""Part (d): digests are the same where only the text is another, and never where DuckDB shows another result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb

from tests.accuracy.changes import changes
from tests.accuracy.engine import KNOWN, Catalog, load
from tests.accuracy.generator import Generated
from tests.accuracy.metamorphic import MUTATIONS, mutations
from tests.accuracy.observed import KINDS
from tests.accuracy.oracle import Oracle
from tests.accuracy.world import SCHEMA, TABLES, data

ORDERED = "columns in another order"
"""The one mutation that changes the digest of the whole: old columns have other positions."""


class Digests(NamedTuple):
    """The digests of a query. `columns`: name in lower case, type and value; names that are there twice only once."""

    sql: str | None
    rows: str | None
    columns: tuple[tuple[str, str | None, str | None], ...]

    def parts(self, *, in_order: bool) -> Any:
        """What has to be equal if the queries mean the same."""
        return self if in_order else (self.rows, sorted(self.columns, key=repr))


def digests(sql: str, dialect: str, tables: Catalog = KNOWN) -> Digests:
    """Ask the engine."""
    found = load().analyse(sql, "sqlserver" if dialect == "tsql" else dialect, tables)
    return Digests(found.sql, found.rows, tuple((column.name.lower(), column.type, column.value) for column in found.columns))


def rewritten(made: Iterable[Generated]) -> dict[str, tuple[int, int]]:
    """How many queries each change of the text was made to, and how many have other digests then."""
    counts = dict.fromkeys(MUTATIONS, (0, 0))
    for one in made:
        known = digests(one.sql, one.dialect)
        for name, text in mutations(one.sql, one.dialect).items():
            in_order = name != ORDERED
            differs = digests(text, one.dialect).parts(in_order=in_order) != known.parts(in_order=in_order)
            counts[name] = (counts[name][0] + 1, counts[name][1] + differs)
    return counts


@dataclass
class Judged:
    """Changes of the meaning. `silent`: no digest changed, so that DuckDB must show the same; `wrong`: where it does not, with the texts.

    `partly`: changes after which some digests are the same: of the rows, and of columns. What they say was compared too.
    """

    changed: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    partly: int = 0
    confirmed: int = 0
    wrong: list[tuple[str, str, str]] = field(default_factory=list)


def judged(made: Iterable[Generated], databases: list[tuple[Oracle, Oracle]]) -> Judged:
    """Change queries, and let DuckDB judge what the digests say is equal. Only those of its own dialect are run."""
    found = Judged()
    for one in made:
        known = digests(one.sql, one.dialect)
        stable = [pair for pair in databases if one.dialect == "duckdb" and _is_stable(one.sql, pair)]
        for name, text in changes(one.sql, one.dialect, one.number).items():
            other = digests(text, one.dialect)
            found.changed[name] += 1
            found.silent[name] += other[1:] == known[1:]
            if other.rows == known.rows and stable:
                _judge(found, name, (one.sql, known), (text, other), stable)
    return found


def _judge(found: Judged, name: str, one: tuple[str, Digests], other: tuple[str, Digests], databases: list[tuple[Oracle, Oracle]]) -> None:
    places = [
        (place, number)
        for place, column in enumerate(one[1].columns)
        for number, changed in enumerate(other[1].columns)
        if column == changed and column[2] is not None
    ]
    found.partly += 1
    for pair in databases:
        before, after = _result(pair[0], one[0]), _result(pair[0], other[0])
        if before is None or after is None or not _is_stable(other[0], pair):
            return
        if before and after and (len(before[0]), len(after[0])) != (len(one[1].columns), len(other[1].columns)):
            return  # names that are there twice
        if _projected(before, [place for place, _ in places]) != _projected(after, [place for _, place in places]):
            found.wrong.append((name, one[0], other[0]))
            return
    found.confirmed += 1


def _projected(rows: list[Any], places: list[int]) -> list[str]:
    return sorted(repr([row[place] for place in places]) for row in rows)


def _result(database: Oracle, sql: str) -> list[Any] | None:
    try:
        return database.run(sql)
    except duckdb.Error:
        return None


def _is_stable(sql: str, pair: tuple[Oracle, Oracle]) -> bool:
    """Whether the result does not depend on the order in which rows were stored."""
    one, other = (_result(database, sql) for database in pair)
    return one is not None and other is not None and sorted(map(repr, one)) == sorted(map(repr, other))


def databases(count: int) -> list[tuple[Oracle, Oracle]]:
    """Databases in pairs with the same rows, which are stored in opposite orders."""
    columns = {table: {name: KINDS[kind] for name, kind in kinds.items()} for table, kinds in TABLES.items()}
    made = []
    for seed in range(1, count + 1):
        rows: dict[str, Any] = dict(data(seed))
        turned: dict[str, Any] = {table: content[::-1] for table, content in rows.items()}
        made.append((Oracle(columns, rows, SCHEMA), Oracle(columns, turned, SCHEMA)))
    return made
