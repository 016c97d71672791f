"""What the project says of one node beyond the lineage: everything in dbt's manifest that a person would ask for.

https://schemas.getdbt.com/dbt/manifest/v12.json. The result is stored beside the node and shown by `…/nodes/{unique_id}` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from app.core.models.warehouse import TOKEN
from app.lineage.relations import known

COMMON = (
    *("fqn", "database", "schema", "alias", "meta", "config", "group", "access", "version", "latest_version", "contract"),
    *("constraints", "raw_code", "language", "patch_path"),
)
"""In this order, for every node; null where dbt has nothing."""
OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "model": ("deprecation_date", "primary_key", "time_spine"),
    "seed": ("checksum",),
    "source": ("source_name", "source_description", "identifier", "loader", "loaded_at_field", "loaded_at_query", "freshness", "external"),
    "exposure": ("type", "url", "label", "maturity"),
    "metric": ("label", "type", "type_params", "filter", "time_granularity"),
    "semantic_model": ("label", "model", "node_relation", "primary_entity", "defaults", "entities", "measures", "dimensions"),
    "saved_query": ("label", "query_params", "exports"),
    "unit_test": ("model", "given", "expect", "overrides"),
    "function": ("arguments", "returns"),
}
"""dbt's fields of one resource type."""
OF_COLUMN = ("meta", "tags", "constraints", "quote", "granularity")

_TOKEN = TOKEN.encode()
_object = msgspec.json.Decoder(dict[str, Any]).decode


def definition(resource_type: str, resource: msgspec.Raw) -> bytes:
    """The definition of a node as a JSON object with sorted keys, from its object in the manifest.

    Raises one of `manifest.DECODE_ERRORS`.
    """
    found = _object(resource)
    fields = {name: found.get(name) for name in (*COMMON, *OF_TYPE.get(resource_type, ()))}
    fields["docs_blocks"] = found.get("doc_blocks") or []
    if resource_type == "test":
        fields |= _test(found)
    if resource_type == "exposure":
        fields["contact"] = found.get("owner")
    fields["columns"] = {name: _column(column) for name, column in (found.get("columns") or {}).items() if isinstance(column, dict)}
    if _TOKEN in bytes(resource).lower():
        fields = known(fields)
    try:
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Integers of more than 64 bits.
        return json.dumps(fields, sort_keys=True).encode()


def _test(found: Mapping[str, Any]) -> dict[str, Any]:
    """Of a generic test: what it tests, and how. Of a singular one: its severity."""
    metadata = found.get("test_metadata") or {}
    arguments = metadata.get("kwargs") or {}
    return {
        "test_name": metadata.get("name"),
        "test_namespace": metadata.get("namespace"),
        "attached_node": found.get("attached_node"),
        "column": found.get("column_name"),
        "arguments": {name: value for name, value in arguments.items() if name not in {"model", "column_name"}},
        "severity": (found.get("config") or {}).get("severity"),
    }


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: column.get(name) for name in OF_COLUMN}, "docs_blocks": column.get("doc_blocks") or []}
