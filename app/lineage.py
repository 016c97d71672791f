"""The lineage: nodes and edges of one dbt project at one commit, and the difference of two of them.

A node is keyed by the hash of its content, edges into it included, so a lineage is a set of hashes: an unchanged node costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.manifest import Manifest, Resource

RESOURCE_TYPES = (
    "model",
    "seed",
    "snapshot",
    "analysis",
    "test",
    "unit_test",
    "source",
    "exposure",
    "metric",
    "semantic_model",
    "saved_query",
    "operation",
)
"""What can stand in the graph, in the order in which people read counts."""


Fingerprints = Mapping[str, tuple[bytes, frozenset[str]]]
"""A lineage as far as it takes to compare it: unique_id → hash and upstream."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node as it is stored: `content` is the node's JSON object of the API, `upstream` the unique_ids that it depends on."""

    unique_id: str
    resource_type: str
    name: str
    package_name: str
    content: bytes
    upstream: tuple[str, ...]
    fingerprint: bytes
    """Of what dbt compiles (SQL, configuration), which is not in `content`."""

    @property
    def hash(self) -> bytes:
        """16 bytes that stand for all of the node."""
        digest = hashlib.blake2b(self.content, digest_size=16)
        digest.update(b"\0" + "\0".join(self.upstream).encode() + b"\0" + self.fingerprint)
        return digest.digest()


@dataclass(frozen=True, slots=True)
class Lineage:
    """The graph of one commit."""

    project_name: str | None
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    nodes: tuple[Node, ...]

    @property
    def edge_count(self) -> int:
        """Number of edges."""
        return sum(len(node.upstream) for node in self.nodes)

    def fingerprints(self) -> dict[str, tuple[bytes, frozenset[str]]]:
        """Return what it takes to compare it with another one."""
        return {node.unique_id: (node.hash, frozenset(node.upstream)) for node in self.nodes}

    def counts(self) -> dict[str, int]:
        """Return the number of nodes by resource type, in the order of `RESOURCE_TYPES`, without zeros."""
        found = Counter(node.resource_type for node in self.nodes)
        return {kind: found[kind] for kind in RESOURCE_TYPES if found[kind]}


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one lineage to another: unique_ids, and edges as (upstream, downstream)."""

    nodes_added: tuple[str, ...] = ()
    nodes_removed: tuple[str, ...] = ()
    nodes_changed: tuple[str, ...] = ()
    edges_added: tuple[tuple[str, str], ...] = ()
    edges_removed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """True when anything changed."""
        return bool(self.nodes_added or self.nodes_removed or self.nodes_changed or self.edges_added or self.edges_removed)


def build(manifest: Manifest) -> Lineage:
    """Turn a manifest into nodes and edges: every resource but macros, and exactly the pairs of dbt's own `parent_map` between them."""
    resources = {key: resource for key, resource in manifest.resources.items() if resource.resource_type in RESOURCE_TYPES}
    nodes = []
    for unique_id, resource in sorted(resources.items()):
        upstream = sorted({parent for parent in manifest.parent_map.get(unique_id, ()) if parent in resources})
        nodes.append(_node(unique_id, resource, tuple(upstream)))
    metadata = manifest.metadata
    return Lineage(metadata.project_name, metadata.dbt_version, metadata.adapter_type, metadata.schema, tuple(nodes))


def difference(before: Fingerprints, after: Fingerprints) -> Difference:
    """Compare two lineages."""
    old_edges, new_edges = (
        {(upstream, key) for key, (_, parents) in fingerprints.items() for upstream in parents} for fingerprints in (before, after)
    )
    return Difference(
        nodes_added=tuple(sorted(after.keys() - before.keys())),
        nodes_removed=tuple(sorted(before.keys() - after.keys())),
        nodes_changed=tuple(sorted(key for key in after.keys() & before.keys() if after[key][0] != before[key][0])),
        edges_added=tuple(sorted(new_edges - old_edges)),
        edges_removed=tuple(sorted(old_edges - new_edges)),
    )


def _node(unique_id: str, resource: Resource, upstream: tuple[str, ...]) -> Node:
    content = {
        "unique_id": unique_id,
        "resource_type": resource.resource_type,
        "name": resource.name,
        "package_name": resource.package_name,
        "original_file_path": resource.original_file_path,
        "relation_name": resource.relation_name,
        "materialized": resource.materialized,
        "description": resource.description or "",
        "tags": [resource.tags] if isinstance(resource.tags, str) else resource.tags,
        "columns": [_column(column.name, column.data_type, column.description) for column in resource.columns.values()],
    }
    return Node(
        unique_id=storable(unique_id),
        resource_type=resource.resource_type,
        name=storable(resource.name),
        package_name=storable(resource.package_name),
        content=_storable_json(content),
        upstream=tuple(storable(parent) for parent in upstream),
        fingerprint=_fingerprint(resource),
    )


def _column(name: str, data_type: str | None, description: str) -> dict[str, str | None]:
    return {"name": name, "data_type": data_type, "description": description}


def _fingerprint(resource: Resource) -> bytes:
    digest = hashlib.blake2b((resource.raw_code or "").encode(), digest_size=16)
    digest.update(json.dumps([resource.config, resource.checksum], sort_keys=True).encode())
    return digest.digest()


def storable(value: Any) -> Any:
    """Return JSON's values without the one character that PostgreSQL cannot hold."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [storable(item) for item in value]
    return {key: storable(item) for key, item in value.items()} if isinstance(value, dict) else value


def _storable_json(content: Any) -> bytes:
    encoded = orjson.dumps(content)
    return orjson.dumps(storable(content)) if b"\\u0000" in encoded else encoded
