"""Small dbt projects, made at random: a model X over tables with rows, and models that read it in all ways that we could think of.

SQL is DuckDB's; tables are `raw.NAME`, models `mart.NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.accuracy import generator
from tests.accuracy.building import Choices, Col, Rel
from tests.accuracy.impact.readers import READERS
from tests.accuracy.impact.running import Database, database

X = "x"
MART = "mart"
READING, TRIES = 7, 24
"""Models that read X, and how often to try to make one that DuckDB can run."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model; `made_by`: how its SQL came about, for reports."""

    name: str
    sql: str
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class SmallProject:
    """Models in the order of the graph. `open_tables`: the tables are sources that say nothing of their columns, not seeds."""

    number: int
    models: tuple[Model, ...]
    open_tables: bool = False
    ephemeral: str = ""
    """The name of the model that is no table, but a CTE of its readers."""

    def with_x(self, sql: str) -> SmallProject:
        """The project with other SQL of X."""
        return replace(self, models=tuple(replace(one, sql=sql) if one.name == X else one for one in self.models))

    def compiled(self, model: Model) -> str:
        """The SQL of a model as dbt compiles it."""
        name, cte = f"{MART}.{self.ephemeral}", f"__dbt__cte__{self.ephemeral}"
        if not self.ephemeral or name not in model.sql:
            return model.sql
        inlined = next(one.sql for one in self.models if one.name == self.ephemeral)
        return f"with {cte} as (\n{inlined}\n) {model.sql.replace(name, cte)}"

    @property
    def x(self) -> str:
        """The SQL of X."""
        return next(one.sql for one in self.models if one.name == X)


def small_project(number: int) -> SmallProject:
    """The project of a number: the same one on every machine."""
    attempt = 0
    while True:
        c = Choices(number * 1000 + attempt, "duckdb")
        place = database()
        place.clear()
        first = _first_models(c, place)
        if first is not None:
            models, rel = first
            return SmallProject(number, (*models, *_readers(c, place, rel)), open_tables=c.chance(0.25))
        attempt += 1


def _first_models(c: Choices, place: Database) -> tuple[list[Model], Rel] | None:
    """X, perhaps over another model; None if DuckDB does not run it."""
    models, first = list[Model](), c.table()
    if c.chance(0.4):
        models.append(Model("staged", f"select * from {first.sql}", "star"))
        first = Rel(f"{MART}.staged", first.cols)
    text, made, names = generator.composed(c, first, c.r.choice((1, 1, 2, 2, 3)))
    models.append(Model(X, text, ", ".join(names)))
    if not all(place.accepts(one.name, one.sql) for one in models):
        return None
    return models, Rel(f"{MART}.{X}", _columns(place, X, made.cols))


def _columns(place: Database, name: str, known: tuple[Col, ...]) -> tuple[Col, ...]:
    """The columns of a model as DuckDB has them, with what the construction knows of their kind."""
    kinds = {col.name.lower(): col for col in known}
    return tuple(kinds[column.lower()] for column in place.columns(name))


def _readers(c: Choices, place: Database, x: Rel) -> Iterator[Model]:
    """Models that read X, or another one of them."""
    known = [x]
    for number in range(READING):
        for _ in range(TRIES):
            source = x if c.chance(0.65) else c.r.choice(known)
            made_by, text, cols = _reader(c, source)
            name = f"reader_{number}"
            if text is not None and place.accepts(name, text):
                yield Model(name, text, made_by)
                names = {column.lower() for column in place.columns(name)}
                if cols and names == {col.name.lower() for col in cols} and any(col.kind == "int" for col in cols):
                    known.append(Rel(f"{MART}.{name}", _columns(place, name, cols)))
                break


def _reader(c: Choices, source: Rel) -> tuple[str, str | None, tuple[Col, ...]]:
    """How it is made, its SQL, and its columns if they are known. None: the choices do not lend themselves."""
    if not source.ints():
        return "", None, ()
    if c.chance(0.5):
        name = c.r.choice([*READERS])
        return name, READERS[name](c, source), ()
    text, made, names = generator.composed(c, source, c.r.choice((1, 1, 1, 2)))
    return ", ".join(names), text, made.cols
