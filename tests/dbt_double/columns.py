"""A columns document of a project in miniature: the engine of the runner image reads the rendered SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tests.dbt_double.project import Project, Resource
from tests.unit.columns.engine import engine

HEAD = {"version": 1, "dialect": "duckdb", "engine": "sqlglot 30.30.0", "dbt_version": "1.11.16", "rules": engine.VERSION, "cache": {}}
TABLES = ("model", "seed", "snapshot", "source")


class _Catalog:
    """The tables of the project, by the last part of their names; those that are not analysed yet are analysed at once."""

    def __init__(self, project: Project) -> None:
        self._by_name = {resource.name.lower(): resource for resource in project.resources.values() if resource.kind in TABLES}
        self._tables: dict[str, Any] = {}
        self.analyses: dict[str, Any] = {}

    def table(self, parts: tuple[tuple[str, bool], ...]) -> Any:
        resource = self._by_name.get(parts[-1][0].lower())
        return None if resource is None else self.of(resource)

    def ephemeral(self, cte_name: str) -> None:
        """There are none."""

    def of(self, resource: Resource) -> Any:
        if resource.unique_id not in self._tables:
            if resource.compiled is None:
                names = [*resource.fields.get("header", resource.fields.get("columns", ()))]
                columns, is_open = tuple(engine.Column(name) for name in names), resource.kind == "source"
            else:
                found = self.analyses[resource.unique_id] = engine.analyse(resource.compiled, "duckdb", self)
                columns, is_open = tuple(found.columns), found.open
            self._tables[resource.unique_id] = engine.Table(resource.unique_id, columns, open=is_open, ordered=not is_open)
        return self._tables[resource.unique_id]


def document(project: Project) -> bytes:
    """The document."""
    catalog = _Catalog(project)
    lines: list[Mapping[str, Any]] = [HEAD]
    for unique_id, resource in sorted(project.resources.items()):
        if resource.kind in TABLES:
            lines.append({"unique_id": unique_id, **_line(catalog, resource)})
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def _line(catalog: _Catalog, resource: Resource) -> dict[str, Any]:
    table = catalog.of(resource)
    found = catalog.analyses.get(resource.unique_id)
    if found is None:
        return {"status": "exact", "columns": [[*column] for column in table.columns], "open": table.open}
    names = ("status", "reason", "open", "sql", "rows")
    lists = {"columns": [[*one] for one in found.columns], "edges": [[*one] for one in found.edges], "missing": [*found.missing]}
    code = {"compiled_code": resource.compiled, "rendered": "full", "hard_coded": [*found.hard_coded]}
    return {**{name: getattr(found, name) for name in names}, **lists, **code}
