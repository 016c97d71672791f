"""The engine under test, which is part of the program in the runner image, and the tables that it is told of."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from tests.accuracy.truth import Edge
from tests.accuracy.world import TABLES

PACKAGE = Path(__file__).parents[2] / "app" / "runner" / "program" / "freshet_columns"


def load() -> ModuleType:
    """Import the package `freshet_columns`, which is not part of the package `app`."""
    if "freshet_columns" not in sys.modules:
        spec = importlib.util.spec_from_file_location("freshet_columns", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)])
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["freshet_columns"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["freshet_columns"]


class Claims(NamedTuple):
    """What a reader of SQL says of a query: its columns, its edges, and which of them it is sure of."""

    status: str
    reason: str | None
    columns: tuple[str, ...]
    edges: frozenset[Edge]
    certain: frozenset[Edge]


class Tables:
    """A catalog that finds tables by the last part of their names; `open` ones tell their first column only."""

    def __init__(self, tables: Mapping[str, Iterable[str]], *, is_open: bool = False) -> None:
        package = load()
        self.tables = {
            name: package.Table(
                name, tuple(package.Column(column) for column in list(columns)[: 1 if is_open else None]), is_open, not is_open
            )
            for name, columns in tables.items()
        }

    def table(self, parts: tuple[tuple[str, bool], ...]) -> Any:
        """Look up a table; one that is not in the schema is no table of ours."""
        return self.tables.get(parts[-1][0].lower()) if len(parts) > 1 else None

    def ephemeral(self, cte_name: str) -> Any:
        """None: these queries have no ephemeral models."""


class Catalog(Protocol):
    """What the engine asks about tables."""

    def table(self, parts: tuple[tuple[str, bool], ...]) -> Any:
        """The table with a name, given as parts and whether each is quoted; None for an unknown one."""

    def ephemeral(self, cte_name: str) -> Any:
        """The ephemeral model behind a CTE, or None."""


KNOWN, OPEN = Tables(TABLES), Tables(TABLES, is_open=True)


def claims(sql: str, dialect: str, tables: Catalog = KNOWN) -> Claims:
    """Ask the engine; names in lower case, since dialects fold them."""
    package = load()
    found = package.analyse(sql, "sqlserver" if dialect == "tsql" else dialect, tables)
    all_edges = [(_edge(edge), edge.certain) for edge in found.edges]
    sure = frozenset(edge for edge, certain in all_edges if certain and found.status == "exact")
    return Claims(
        found.status, found.reason, tuple(column.name.lower() for column in found.columns), frozenset(edge for edge, _ in all_edges), sure
    )


def _edge(edge: Any) -> Edge:
    return Edge(edge.upstream, edge.upstream_column.lower(), None if edge.column is None else edge.column.lower(), edge.subtype)
