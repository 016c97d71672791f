"""Part (b): claims about queries, compared with what DuckDB shows when cells change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb

from tests.accuracy.engine import claims
from tests.accuracy.oracle import Oracle, Seen
from tests.accuracy.truth import Edge, Leaf
from tests.accuracy.twin import twin
from tests.accuracy.world import SCHEMA, TABLES, data

KINDS = {"int": "integer", "text": "varchar"}


class Asked(NamedTuple):
    """A query to watch; `truth`: the edges that a person or the construction knows, where there are any."""

    name: str
    sql: str
    truth: frozenset[Edge]


@dataclass
class Watch:
    """Observed dependences and how many of them the edges cover.

    `rows`: the set of rows changed. `values`: a column changed, with the conditions out of the way. `any`: all that was seen.
    `confirmed` of `claimed`: edges of which something was seen. `faults`: what no edge covers.
    """

    queries: int = 0
    left_out: int = 0
    rows: int = 0
    rows_covered: int = 0
    values: int = 0
    values_covered: int = 0
    values_by_rows: int = 0
    any: int = 0
    any_covered: int = 0
    claimed: int = 0
    confirmed: int = 0
    faults: list[str] = field(default_factory=list)


class Index(NamedTuple):
    """Edges for look-ups: by column (in lower case), and of the rows."""

    columns: dict[str, set[Leaf]]
    rows: set[Leaf]


def index(edges: Iterable[Edge]) -> Index:
    """Sort edges by what depends."""
    found = Index({}, set())
    for edge in edges:
        target = found.rows if edge.column is None else found.columns.setdefault(edge.column, set())
        target.add((edge.upstream, edge.upstream_column))
    return found


def oracles(count: int) -> list[Oracle]:
    """Databases with the tables of the world and different rows."""
    kinds = {table: {name: KINDS[kind] for name, kind in columns.items()} for table, columns in TABLES.items()}
    return [Oracle(kinds, dict(data(seed).items()), SCHEMA) for seed in range(1, count + 1)]


def watch(queries: Iterable[Asked], databases: Sequence[Oracle], tries: int, *, of_truth: bool = False) -> Watch:
    """Watch all queries; `of_truth` judges the edges that are known of them, not those of the engine."""
    result = Watch()
    for asked in queries:
        result.queries += 1
        edges = asked.truth if of_truth else claims(asked.sql, "duckdb").edges
        names, seen = observe(asked.sql, databases, tries)
        if not names:
            result.left_out += 1
            continue
        judge(result, asked, names, seen, index(edges))
        other = twin(asked.sql)
        if other is not None and other != asked.sql:
            judge_twin(result, asked, observe(other, databases, tries), index(edges), index(claims(other, "duckdb").edges))
    return result


def observe(sql: str, databases: Sequence[Oracle], tries: int) -> tuple[list[str], Seen]:
    """Everything seen in all databases, and the names of the columns; nothing where the query does not run, or makes too many rows."""
    tables = [table for table in TABLES if f"{SCHEMA}.{table}" in sql]
    if not all(database.fits(sql) for database in databases):
        return [], Seen(frozenset(), frozenset())
    try:
        found = [database.seen(sql, tables, tries=tries, seed=number) for number, database in enumerate(databases)]
        names = [name.lower() for name in databases[0].names(sql)]
    except duckdb.Error:
        return [], Seen(frozenset(), frozenset())
    return names, Seen(frozenset().union(*(one.values for one in found)), frozenset().union(*(one.rows for one in found)))


def judge(result: Watch, asked: Asked, names: list[str], seen: Seen, known: Index) -> None:
    """Each dependence that was seen has to be one of the column or one of the rows."""
    for leaf in seen.rows:
        covered = leaf in known.rows
        result.rows += 1
        result.rows_covered += covered
        _note(result, covered, f"{asked.name}: rows on {leaf}")
    for leaf, position in seen.values:
        covered = leaf in known.columns.get(names[position], ()) or leaf in known.rows
        result.any_covered += covered
        _note(result, covered, f"{asked.name}: {names[position]} on {leaf}")
    result.any += len(seen.values)
    moving = {leaf for leaf, _ in seen.values} | seen.rows
    shown = {(leaf, names[position]) for leaf, position in seen.values}
    claimed = [(leaf, column) for column, leaves in known.columns.items() for leaf in leaves]
    result.claimed += len(claimed) + len(known.rows)
    result.confirmed += sum(pair in shown or pair[0] in seen.rows for pair in claimed) + len(known.rows & moving)


def judge_twin(result: Watch, asked: Asked, twin_seen: tuple[list[str], Seen], known: Index, of_twin: Index) -> None:
    """Without conditions, a column that changed has to be made of the other, or to be grouped or matched by it."""
    names, seen = twin_seen
    for leaf, position in seen.values:
        by_value = leaf in known.columns.get(names[position], ())
        covered = by_value or leaf in of_twin.rows
        result.values += 1
        result.values_covered += covered
        result.values_by_rows += covered and not by_value
        _note(result, covered, f"{asked.name}, without conditions: {names[position]} on {leaf}")


def _note(result: Watch, covered: bool, text: str) -> None:  # noqa: FBT001
    if not covered:
        result.faults.append(text)
