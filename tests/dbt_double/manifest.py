"""A manifest in dbt's shape, of a project in miniature: https://schemas.getdbt.com/dbt/manifest/v12.json."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from app.lineage.resource_types import BY_NAME
from tests.dbt_double.project import DATABASE, Project, Resource

METADATA = {
    "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
    "dbt_version": "1.11.16",
    "adapter_type": "duckdb",
}


def manifest(project: Project) -> bytes:
    """The manifest."""
    sections: dict[str, dict[str, Any]] = {row.section: {} for row in BY_NAME.values()}
    for unique_id, resource in sorted(project.resources.items()):
        sections[BY_NAME[resource.kind].section][unique_id] = _node(project, resource)
    parents = {unique_id: sorted(set(resource.upstream)) for unique_id, resource in project.resources.items()}
    groups = {f"group.{project.name}.{group['name']}": {"resource_type": "group", **group} for group in project.groups}
    return orjson.dumps({"metadata": {**METADATA, "project_name": project.name}, **sections, "groups": groups, "parent_map": parents})


def _node(project: Project, resource: Resource) -> dict[str, Any]:
    fields = {key: value for key, value in resource.fields.items() if key != "header"}
    config = fields.get("config") or {}
    common = {
        "unique_id": resource.unique_id,
        "resource_type": resource.kind,
        "name": resource.name,
        "package_name": project.name,
        "path": resource.path.partition("/")[2],
        "original_file_path": resource.path,
        "fqn": [project.name, *resource.path.removesuffix(".sql").split("/")[1:]],
        "depends_on": {"macros": [], "nodes": sorted(set(resource.upstream))},
        "tags": config.get("tags", []),
        "meta": {},
        "columns": {},
        "description": "",
    }
    if BY_NAME[resource.kind].is_relation:
        common |= {"database": DATABASE, "schema": "analytics", "alias": resource.name, "relation_name": resource.relation_name}
    if resource.code is not None:
        common |= {"raw_code": resource.code, "language": "sql", "checksum": _checksum(resource.code)}
    if "header" in resource.fields:
        common |= {"checksum": _checksum(",".join(resource.fields["header"])), "raw_code": ""}
    return {**common, **fields}


def _checksum(text: str) -> dict[str, str]:
    return {"name": "sha256", "checksum": hashlib.sha256(text.encode()).hexdigest()}
