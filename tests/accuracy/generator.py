"""Queries with known edges, composed at random: the same seed and dialect give the same query.

The text is written in DuckDB's dialect; sqlglot translates it. What a dialect does not have is not asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlglot
from sqlglot.errors import SqlglotError, UnsupportedError

from tests.accuracy.building import Choices, Made, Rel
from tests.accuracy.operators import ALL
from tests.accuracy.truth import Edge

DIALECTS = ("duckdb", "snowflake", "bigquery", "postgres", "tsql", "databricks")
STEPS = (1, 1, 2, 2, 3, 3, 4, 5)
TRIES = 40
FINAL_ONLY = ("order only", "from first")
"""Operators that make no subquery in every dialect."""


class Generated(NamedTuple):
    """A query and all that is known of it; `duckdb` is its text before the translation."""

    number: int
    dialect: str
    sql: str
    duckdb: str
    columns: tuple[str, ...]
    edges: frozenset[Edge]
    operators: tuple[str, ...]


def queries(count: int, seed: int = 1) -> Iterator[Generated]:
    """So many queries, the dialects in turn."""
    for number in range(count):
        yield query(seed * 1_000_000 + number, DIALECTS[number % len(DIALECTS)])


def query(number: int, dialect: str) -> Generated:
    """The query of a number."""
    for attempt in range(TRIES):
        choices = Choices(number * TRIES + attempt, dialect)
        text, made, names = composed(choices, choices.table(), choices.r.choice(STEPS))
        sql = translated(text, dialect)
        if sql is not None:
            return Generated(number, dialect, sql, text, tuple(col.name for col in made.cols), frozenset(made.edges()), names)
    raise RuntimeError(f"no query for number {number} in {dialect}")


def translated(text: str, dialect: str) -> str | None:
    """The text in another dialect; None where sqlglot says that it has no such thing."""
    if dialect == "duckdb":
        return text
    try:
        return sqlglot.transpile(text, read="duckdb", write=dialect, unsupported_level=sqlglot.ErrorLevel.RAISE)[0]
    except (UnsupportedError, SqlglotError):
        return None


def composed(c: Choices, first: Rel, steps: int) -> tuple[str, Made, tuple[str, ...]]:
    """A chain of that many operators, each over what is there already: `first` to begin with."""
    known, ctes, names = [first], list[str](), list[str]()
    recursive = False
    made: Made | None = None
    for step in range(steps):
        name, made = _step(c, known, last=step == steps - 1)
        names.append(name)
        if step < steps - 1:
            rel, inline = _wrapped(c, made, ctes)
            recursive = recursive or (made.recursive is not None and not inline)
            known.append(rel)
    assert made is not None
    return _assembled(ctes, made.sql, recursive=recursive), made, tuple(names)


def _assembled(ctes: list[str], sql: str, *, recursive: bool) -> str:
    if not ctes:
        return sql
    word = "with recursive" if recursive else "with"
    if sql.startswith("with recursive "):
        return f"with recursive {', '.join(ctes)}, {sql.removeprefix('with recursive ')}"
    if sql.startswith("with "):
        return f"{word} {', '.join(ctes)}, {sql.removeprefix('with ')}"
    return f"{word} {', '.join(ctes)} {sql}"


def _step(c: Choices, known: list[Rel], *, last: bool) -> tuple[str, Made]:
    while True:
        name = c.r.choice(list(ALL))
        operator = ALL[name]
        if c.dialect not in operator.dialects or (name in FINAL_ONLY and not last):
            continue
        sources = [known[-1], *(c.r.choice([c.table(), c.r.choice(known)]) for _ in range(operator.inputs - 1))]
        if operator.inputs > 1 and c.chance(0.3):
            c.r.shuffle(sources)
        made = operator.make(c, *sources)
        if made is not None and any(col.kind == "int" for col in made.cols):
            return name, made


def _wrapped(c: Choices, made: Made, ctes: list[str]) -> tuple[Rel, bool]:
    """A CTE or a subquery, and whether it is the latter."""
    nests = made.sql.startswith("with ")
    if c.chance(0.35) and not (nests and c.dialect == "tsql"):
        return Rel(f"({made.sql})", made.cols, made.rows), True
    c.count += 1
    name = f"step_{c.count}"
    if nests and (c.dialect == "tsql" or made.recursive):
        return _hoisted(made, name, ctes), False
    ctes.append(f"{name} as ({made.sql})")
    return Rel(name, made.cols, made.rows), False


def _hoisted(made: Made, name: str, ctes: list[str]) -> Rel:
    """A recursive CTE beside the others, because not every dialect nests WITH clauses."""
    head = f"with recursive {made.recursive} as ("
    depth, end = 1, len(head)
    while depth:
        depth += {"(": 1, ")": -1}.get(made.sql[end], 0)
        end += 1
    ctes.append(f"{made.recursive} as ({made.sql[len(head) : end]}")
    ctes.append(f"{name} as ({made.sql[end:].strip()})")
    return Rel(name, made.cols, made.rows)
