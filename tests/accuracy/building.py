"""What operators build upon: relations with known dependences, and the choices that a generator makes at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from tests.accuracy.truth import DIRECT, NOTHING, Edge, Value, both, edges
from tests.accuracy.world import SCHEMA, TABLES

NAMES = ("a", "b", "c", "d", "x", "y", "z", "k", "m", "n", "g", "h", "p", "q", "w", "total", "amount", "code", "label", "score")
"""Names of new columns: many are names of columns of tables too."""
MAX_COLUMNS = 9


class Col(NamedTuple):
    """A column of a relation; `sql` is its name as SQL has to write it."""

    name: str
    kind: str
    value: Value
    quoted: bool = False

    @property
    def sql(self) -> str:
        """The name as a reference."""
        return f'"{self.name}"' if self.quoted else self.name


class Rel(NamedTuple):
    """An item of a FROM clause, without an alias: a table, a CTE or a subquery in parentheses."""

    sql: str
    cols: tuple[Col, ...]
    rows: Value = NOTHING

    def ints(self) -> list[Col]:
        """The columns with numbers."""
        return [col for col in self.cols if col.kind == "int"]


class Made(NamedTuple):
    """A whole query and what is known of it. `recursive`: it needs WITH RECURSIVE around its CTE `name`."""

    sql: str
    cols: tuple[Col, ...]
    rows: Value
    recursive: str | None = None

    def edges(self) -> set[Edge]:
        """All of its edges."""
        return {edge for col in self.cols for edge in edges(col.value, col.name)} | set(edges(self.rows, None))


class Draft:
    """The SELECT list of a query in the making."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.items: list[str] = []
        self.cols: list[Col] = []

    def taken(self) -> set[str]:
        """The names in use."""
        return {col.name.lower() for col in self.cols}

    def add(self, sql: str, kind: str, value: Value, name: str | None = None) -> str:
        """Add an expression under a new name; return the name."""
        name = name or self.choices.name(self.taken())
        self.items.append(f"{sql} as {name}")
        self.cols.append(Col(name, kind, value))
        return name

    def keep(self, alias: str, cols: Sequence[Col], *, rename: bool = True) -> None:
        """Take columns as they are, some under other names."""
        for col in cols:
            if col.name.lower() in self.taken() or (rename and self.choices.chance(0.2)):
                self.add(f"{alias}.{col.sql}", col.kind, col.value)
            else:
                self.items.append(f"{alias}.{col.sql}")
                self.cols.append(col)

    def list(self) -> str:
        """The text of the SELECT list."""
        return ", ".join(self.items)


class Choices:
    """Choices at random, the same for the same seed, and names that are free."""

    def __init__(self, seed: int, dialect: str) -> None:
        self.r = random.Random(seed)
        self.dialect = dialect
        self.count = 0

    def chance(self, share: float) -> bool:
        """Say yes with this probability."""
        return self.r.random() < share

    def alias(self) -> str:
        """A new name of a relation."""
        self.count += 1
        return f"r{self.count}"

    def name(self, taken: set[str]) -> str:
        """A column's name that is not taken."""
        return self.r.choice([name for name in NAMES if name not in taken] or [f"c{len(taken)}"])

    def some(self, cols: Sequence[Col], least: int = 1, most: int = MAX_COLUMNS) -> list[Col]:
        """Some of the columns, in their order."""
        count = min(len(cols), self.r.randint(least, max(least, min(most, len(cols)))))
        picked = set(self.r.sample(range(len(cols)), count))
        return [col for number, col in enumerate(cols) if number in picked]

    def int_of(self, rel: Rel) -> Col:
        """One column with numbers."""
        return self.r.choice(rel.ints())

    def two_of(self, rel: Rel) -> tuple[Col, Col]:
        """Two columns with numbers, perhaps the same one."""
        return self.int_of(rel), self.int_of(rel)

    def others(self, rel: Rel, *cols: Col) -> list[Col]:
        """Some columns besides these."""
        rest = [col for col in rel.cols if col not in cols]
        return self.some(rest, 1, 4) if rest else []

    def table(self, name: str | None = None) -> Rel:
        """A base table."""
        name = name or self.r.choice(list(TABLES))
        cols = (Col(column, kind, frozenset({((name, column), DIRECT[0])})) for column, kind in TABLES[name].items())
        return Rel(f"{SCHEMA}.{name}", tuple(cols))

    def number(self) -> int:
        """A number that about half of the values are below."""
        return self.r.randint(2, 5)

    def condition(self, alias: str, rel: Rel) -> tuple[str, Value]:
        """A predicate over one relation, and the values that it looks at."""
        one, other = self.two_of(rel)
        left, right = f"{alias}.{one.sql}", f"{alias}.{other.sql}"
        form = self.r.randrange(6)
        if form == 0:
            return f"{left} > {right}", both(one.value, other.value)
        if form == 1:
            return f"({left} + {right}) > {self.number() + 2}", both(one.value, other.value)
        if form == 2:
            return f"{left} between 1 and {self.number() + 1}", one.value
        if form == 3:
            return f"{left} is not null and {right} < {self.number() + 2}", both(one.value, other.value)
        if form == 4:
            return f"({left} in (1, 2, 3) or {right} = {self.number()})", both(one.value, other.value)
        return f"{left} > {self.number()}", one.value


class Operator:
    """Something that makes a query over relations. Its class name, in words, is what reports call it."""

    dialects: frozenset[str] = frozenset({"duckdb", "snowflake", "bigquery", "postgres", "tsql", "databricks"})
    inputs = 1

    def make(self, c: Choices, *sources: Rel) -> Made | None:
        """Make a query; None where the sources do not lend themselves."""
        raise NotImplementedError
