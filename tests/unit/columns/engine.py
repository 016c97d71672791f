"""The engine, which is part of the program in the runner image, and a small project for it to read."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).parents[3] / "app" / "runner" / "program" / "freshet_columns"


def load() -> ModuleType:
    """Import the package `freshet_columns`, which is not part of the package `app`."""
    if "freshet_columns" not in sys.modules:
        spec = importlib.util.spec_from_file_location("freshet_columns", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)])
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["freshet_columns"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["freshet_columns"]


engine = load()


def table(name: str, columns: str = "", **flags: bool) -> Any:
    return engine.Table(name, tuple(engine.Column(column) for column in columns.split()), **flags)


class Tables:
    """A catalog that finds tables by the last part of their names."""

    def __init__(self, *tables: Any) -> None:
        self.tables = {known.unique_id: known for known in tables}

    def table(self, parts: tuple[tuple[str, bool], ...]) -> Any:
        return self.tables.get(parts[-1][0].lower())

    def ephemeral(self, cte_name: str) -> Any:
        return self.tables.get(cte_name)


TABLES = Tables(
    table("t", "id a b c d s"),
    table("u", "id x y z"),
    table("raw", open=True, ordered=False),
    table("half", "k", open=True, ordered=False),
    table("wide", "id items payload"),
    table("__dbt__cte__tmp", "id v"),
)


def analyse(sql: str, dialect: str = "duckdb", tables: Tables = TABLES) -> Any:
    return engine.analyse(sql, dialect, tables)


def edges(analysis: Any) -> set[str]:
    """Edges as texts: `t.a > out IDENTITY`, with `*` for all rows and `?` for an uncertain one."""
    return {
        f"{edge.upstream}.{edge.upstream_column} > {edge.column or '*'} {edge.subtype}{'' if edge.certain else '?'}"
        for edge in analysis.edges
    }


def stated(text: str) -> set[str]:
    """The edges that a case states: `t.a > out IDENTITY; t.b > * JOIN`, empty for none."""
    return {part.strip() for part in text.split(";") if part.strip()}


def names(analysis: Any) -> list[str]:
    return [column.name for column in analysis.columns]
