"""A small project as a runner container would read it: its manifest and its columns document, without dbt and without a container."""

from __future__ import annotations

import importlib
import json
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from app.lineage import manifest, nodes
from app.lineage.column_document import FORMAT, nodes_of
from app.pipeline.decoding.document_redaction import DocumentRedaction
from tests.accuracy.engine import PACKAGE, load
from tests.accuracy.impact.sides import Side
from tests.accuracy.impact.small_projects import MART, Model, SmallProject
from tests.accuracy.world import SCHEMA, TABLES

PROJECT, DATABASE = "small", "memory"
ADAPTER = "duckdb"
READ = re.compile(rf"\b({SCHEMA}|{MART})\.(\w+)")


def side(project: SmallProject) -> Side:
    """The lineage and the columns of a project."""
    lineage = nodes.build(manifest.decode(json.dumps(_manifest(project)).encode()))
    known = lineage.unique_ids()
    return Side(lineage, tuple(nodes_of(_document(project), known, DocumentRedaction(frozenset()))))


def unique_id(name: str) -> str:
    """Of a model."""
    return f"model.{PROJECT}.{name}"


def _table_id(name: str, project: SmallProject) -> str:
    return f"source.{PROJECT}.{SCHEMA}.{name}" if project.open_tables else f"seed.{PROJECT}.{name}"


def _manifest(project: SmallProject) -> dict[str, Any]:
    models = [
        _resource(unique_id(one.name), "model", one.name, MART, raw_code=_raw(one), is_table=one.name != project.ephemeral)
        for one in project.models
    ]
    kind = "source" if project.open_tables else "seed"
    tables = [_resource(_table_id(name, project), kind, name, SCHEMA, identifier=name) for name in TABLES]
    parents = {unique_id(one.name): _parents(one, project) for one in project.models}
    return {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "dbt_version": "1.11.0",
            "project_name": PROJECT,
            "adapter_type": ADAPTER,
        },
        "nodes": {one["unique_id"]: one for one in (*models, *(tables if not project.open_tables else []))},
        "sources": {one["unique_id"]: one for one in (tables if project.open_tables else [])},
        "parent_map": {**{one["unique_id"]: [] for one in tables}, **parents},
    }


def _resource(name_id: str, kind: str, name: str, schema: str, *, is_table: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "unique_id": name_id,
        "resource_type": kind,
        "name": name,
        "package_name": PROJECT,
        "original_file_path": f"{kind}s/{name}",
        "database": DATABASE,
        "schema": schema,
        "alias": name,
        "relation_name": f'"{DATABASE}"."{schema}"."{name}"' if is_table else None,
        "config": {"materialized": "ephemeral" if not is_table else "table" if kind == "model" else kind},
        "columns": {},
        "language": "sql",
        **more,
    }


def _raw(model: Model) -> str:
    return model.sql.replace(f"{MART}.", "ref.")


def _parents(model: Model, project: SmallProject) -> list[str]:
    read = set(READ.findall(model.sql))
    return sorted(unique_id(name) if schema == MART else _table_id(name, project) for schema, name in read)


def _document(project: SmallProject) -> bytes:
    """As `freshet_column_child` makes it, with the program's own modules."""
    engine, catalogs, records = _program()
    known = _manifest(project)
    described = [_node(one) for section in ("nodes", "sources") for one in known[section].values()]
    for node in described:
        node.depends_on.nodes = known["parent_map"][node.unique_id]
    catalog = catalogs.Catalog(described, DATABASE, "main")
    tables = {node.unique_id: _table(node, catalogs, engine) for node in described if node.resource_type != "model"}
    for table in tables.values():
        catalog.add(table)
    by_id, found = {node.unique_id: node for node in described}, {}
    for model in project.models:
        node = by_id[unique_id(model.name)]
        catalog.begin(node)
        found[node.unique_id] = engine.analyse(project.compiled(model), ADAPTER, catalog)
        catalog.add(catalogs.model_table(node, found[node.unique_id]))
    carried = engine.carry_demand(found, tables, ADAPTER)
    code = {unique_id(one.name): {"compiled_code": project.compiled(one), "rendered": "full"} for one in project.models}
    lines = [records.line(name, one, code[name], {}) for name, one in carried.analyses.items()]
    lines += [records.line(name, _of_table(one, engine), {}, {}) for name, one in carried.tables.items()]
    head = records.encoded({"version": FORMAT, "dialect": ADAPTER, "engine": "sqlglot"})
    return b"\n".join([head, *lines]) + b"\n"


def _node(described: dict[str, Any]) -> SimpleNamespace:
    config = SimpleNamespace(materialized=described["config"]["materialized"], contract=SimpleNamespace(enforced=False))
    return SimpleNamespace(**{**described, "config": config, "depends_on": SimpleNamespace(nodes=[])})


def _table(node: SimpleNamespace, catalogs: ModuleType, engine: ModuleType) -> Any:
    """A source says nothing of its columns; a seed has those of its header."""
    if node.resource_type == "source":
        return catalogs.source_table(node)
    return engine.Table(node.unique_id, tuple(map(engine.Column, TABLES[node.name])))


def _of_table(table: Any, engine: ModuleType) -> Any:
    return engine.Analysis("exact", None, table.columns, open=table.open, ordered=table.ordered)


def _program() -> tuple[ModuleType, ModuleType, ModuleType]:
    """The engine and the modules around it, which are part of the program in the image."""
    engine = load()
    if str(PACKAGE.parent) not in sys.path:
        sys.path.append(str(PACKAGE.parent))
    return engine, importlib.import_module("freshet_column_catalog"), importlib.import_module("freshet_column_records")
