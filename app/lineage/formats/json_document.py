"""The JSON document of the API.

`node` makes a node's fields, once, before they are stored; the fields above the nodes are `heading.Heading`. Stored nodes pass undecoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from app.core.models.warehouse import WarehouseNames
from app.lineage import column_tests, relations
from app.lineage.column_tests import ColumnTest
from app.lineage.formats.chunks import separated
from app.lineage.formats.heading import AnyHeading
from app.lineage.graph import Selection
from app.lineage.manifest import Resource
from app.lineage.owners import Owners
from app.lineage.relations import readable
from app.lineage.resource_types import RELATIONS

EXTERNAL = "external_node"
"""The last key of an external node, which other nodes do not have."""
_EXTERNAL_END = f',"{EXTERNAL}":true}}'
MAX_META_BYTES = 16 << 10
"""Of `meta` as JSON: a project may inherit the same one in every node."""


def render(heading: AnyHeading, selection: Selection) -> Iterator[bytes]:
    """The document."""
    above = orjson.dumps(heading, option=orjson.OPT_UTC_Z)
    yield above[:-1] + b',"nodes":['
    yield from separated(selection.nodes())
    yield b'],"edges":['
    yield from separated(selection.edges())
    yield b"]}"


def node(
    unique_id: str, resource: Resource, names: WarehouseNames, owners: Owners, materialized: str | None, tests: Sequence[ColumnTest]
) -> dict[str, Any]:
    """The JSON object of a node, without its edges."""
    relation_name, source = relations.relation_name(resource, names)
    meta = relations.known(resource.meta_data())
    return {
        "unique_id": unique_id,
        "resource_type": resource.resource_type,
        "name": resource.name,
        "package_name": resource.package_name,
        "original_file_path": resource.original_file_path,
        "relation_name": relation_name,
        "relation_name_source": source,
        "materialized": materialized,
        "description": readable(resource.description or ""),
        "tags": [readable(tag) for tag in ([resource.tags] if isinstance(resource.tags, str) else resource.tags)],
        "version": resource.version,
        "access": resource.access,
        "group": resource.group,
        "owner": owners.of(resource, meta),
        "meta": meta if len(resource.meta) <= MAX_META_BYTES else None,
        "type": relations.known(resource.type),
        "url": relations.known(resource.url),
        "label": relations.known(resource.label),
        "columns": _columns(resource, tests),
    }


def external(node: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of an external node."""
    return {**node, EXTERNAL: True}


def is_external(content: bytes | str) -> bool:
    """Whether the stored object of a node is of an external one. It is asked of every node, so the object is not decoded."""
    return content.endswith(_EXTERNAL_END) if isinstance(content, str) else content.endswith(_EXTERNAL_END.encode())


def _columns(resource: Resource, tests: Sequence[ColumnTest]) -> list[dict[str, Any]]:
    if resource.resource_type not in RELATIONS:
        tests = ()
    return [
        {
            "name": column.name,
            "data_type": column.data_type,
            "description": readable(column.description),
            "tests": [{"unique_id": test.unique_id, "name": test.name} for test in tests_of_column],
        }
        for column, tests_of_column in column_tests.by_column(resource.columns, tests)
    ]
