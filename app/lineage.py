"""The lineage: nodes and edges of one dbt project at one commit, and the difference of two of them.

A node is keyed by the hash of its content, edges into it included, so a lineage is a set of hashes: an unchanged node costs nothing.
What is big (SQL, configuration) is kept as a hash of its own, which tells that it changed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, Literal, NamedTuple, Protocol, get_args

import orjson

from app import column_tests, copy_format, manifest
from app.column_tests import ColumnTest
from app.manifest import Manifest, Resource

_sorted_json = json.JSONEncoder(sort_keys=True).encode
ResourceType = Literal[
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
]
RESOURCE_TYPES: tuple[ResourceType, ...] = get_args(ResourceType)
"""What can stand in the graph, in the order in which people read counts."""


NODE_COLUMNS = ("hash", "unique_id", "resource_type", "name", "package_name", "upstream", "content", "sql_hash", "config_hash")
"""What `Node.row` holds."""
HASH_BYTES = 16
VERSION = "2"
"""Of what is stored of a node: with another one, every node is written anew."""
HASH_IN_ROW = slice(4, 4 + HASH_BYTES)
"""Where `Node.row` has it, after its length."""
CONFIGS_KNOWN = 1000
LISTED = 50
"""Changes of one kind that are named one by one; the rest is counted."""


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
    """Of what is neither in `content` nor in the hashes below."""
    sql_hash: bytes | None = None
    """Of the SQL (or Python) as it is written; None: not known."""
    config_hash: bytes | None = None
    """Of the configuration, whatever the order of its keys; None: not known."""

    @property
    def hash(self) -> bytes:
        """`HASH_BYTES` bytes that stand for all of the node."""
        digest = hashlib.blake2b(self.content, digest_size=HASH_BYTES)
        digest.update(b"\0" + "\0".join(self.upstream).encode() + b"\0" + self.fingerprint)
        digest.update(VERSION.encode() + (self.sql_hash or b"") + (self.config_hash or b""))
        return digest.digest()

    def row(self) -> bytes:
        """Return the node as `NODE_COLUMNS` in PostgreSQL's binary COPY format."""
        names = (text.encode() for text in (self.unique_id, self.resource_type, self.name, self.package_name))
        return copy_format.fields(self.hash, *names, copy_format.texts(self.upstream), self.content, self.sql_hash, self.config_hash)


class StorableLineage(Protocol):
    """A lineage to be stored, wherever its nodes are: in memory (`Lineage`) or in a file (`decoding.SpooledLineage`)."""

    @property
    def project_name(self) -> str | None:
        """As dbt_project.yml names it."""

    @property
    def dbt_version(self) -> str:
        """Of the dbt that made the manifest."""

    @property
    def adapter_type(self) -> str | None:
        """What dbt parsed for."""

    @property
    def manifest_schema(self) -> str:
        """Such as `v12`."""

    @property
    def node_count(self) -> int:
        """Number of nodes."""

    @property
    def edge_count(self) -> int:
        """Number of edges."""

    @property
    def hashes(self) -> bytes:
        """`HASH_BYTES` for each node, in the order of the unique_ids."""

    def counts(self) -> Mapping[str, int]:
        """Return the number of nodes by resource type, in the order of `RESOURCE_TYPES`, without zeros."""

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """Give the rows (`Node.row`) at these places, each with `before` before it, in pieces. To be iterated in a thread."""

    def close(self) -> None:
        """Give back what it takes besides memory."""


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

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @property
    def hashes(self) -> bytes:
        """`HASH_BYTES` for each node."""
        return b"".join(node.hash for node in self.nodes)

    def counts(self) -> dict[str, int]:
        """Return the number of nodes by resource type, in the order of `RESOURCE_TYPES`, without zeros."""
        return in_order(Counter(node.resource_type for node in self.nodes))

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """Give the rows at these places, each with `before` before it, in pieces."""
        return copy_format.chunks((self.nodes[place].row() for place in places), before)

    def close(self) -> None:
        """Do nothing: it is in memory."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one lineage to another, in order: unique_ids, and edges as (upstream, downstream); `LISTED` of each suffice."""

    nodes_added: tuple[str, ...] = ()
    nodes_removed: tuple[str, ...] = ()
    nodes_changed: tuple[str, ...] = ()
    edges_added: tuple[tuple[str, str], ...] = ()
    edges_removed: tuple[tuple[str, str], ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)
    """How many there are besides those that are named, by the name of the field."""

    def __bool__(self) -> bool:
        """True when anything changed."""
        return bool(self.nodes_added or self.nodes_removed or self.nodes_changed or self.edges_added or self.edges_removed)


def read(content: bytes | mmap, label: str, image: str) -> Lineage:
    """Return the lineage of a manifest. Raises ManifestError that says where it is wrong; `label` and `image` are for people."""
    try:
        return build(manifest.decode(content))
    except manifest.WRONG as error:
        raise manifest.refusal(error, len(content), label, image) from error


def build(of: Manifest) -> Lineage:
    """Turn a manifest into nodes and edges. Raises one of `manifest.WRONG`."""
    return Lineage(of.metadata.project_name, of.metadata.dbt_version, of.metadata.adapter_type, of.metadata.schema, tuple(nodes(of)))


def nodes(of: Manifest) -> Iterator[Node]:
    """Give the nodes by unique_id: every resource but macros, and exactly the pairs of dbt's own `parent_map` between them."""
    resources = {key: resource for key, resource in of.resources.items() if resource.resource_type in RESOURCE_TYPES}
    configs, tests = _Configs(), column_tests.at_columns(of)
    for unique_id in sorted(resources):
        upstream = sorted({parent for parent in of.parent_map.get(unique_id, ()) if parent in resources})
        resource = resources[unique_id]
        columns = _columns(resource, tests.get(unique_id, ()))
        yield _node(unique_id, resource, tuple(upstream), configs.of(resource), columns)


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Return numbers by resource type in the order of `RESOURCE_TYPES`, without zeros."""
    return {kind: counts[kind] for kind in RESOURCE_TYPES if counts.get(kind)}


def _node(unique_id: str, resource: Resource, upstream: tuple[str, ...], config: _Config, columns: list[dict[str, Any]]) -> Node:
    content = {
        "unique_id": unique_id,
        "resource_type": resource.resource_type,
        "name": resource.name,
        "package_name": resource.package_name,
        "original_file_path": resource.original_file_path,
        "relation_name": resource.relation_name,
        "materialized": config.materialized,
        "description": resource.description or "",
        "tags": [resource.tags] if isinstance(resource.tags, str) else resource.tags,
        "columns": columns,
    }
    return Node(
        unique_id=storable(unique_id),
        resource_type=resource.resource_type,
        name=storable(resource.name),
        package_name=storable(resource.package_name),
        content=_storable_json(content),
        upstream=tuple(storable(parent) for parent in upstream),
        fingerprint=_digest(_sorted_json(resource.checksum).encode()),
        sql_hash=_digest(resource.sql().encode()),
        config_hash=config.hash,
    )


def _columns(resource: Resource, tests: Sequence[ColumnTest]) -> list[dict[str, Any]]:
    if resource.resource_type not in column_tests.COLUMNED:
        tests = ()
    return [
        {
            "name": column.name,
            "data_type": column.data_type,
            "description": column.description,
            "tests": [{"unique_id": test.unique_id, "name": test.name} for test in its],
        }
        for column, its in column_tests.by_column(resource.columns, tests)
    ]


class _Config(NamedTuple):
    materialized: str | None
    hash: bytes
    """The same for two orders of the same keys."""


class _Configs:
    """Configurations that were read: most tests of a project have the same one, byte by byte."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Config] = {}

    def of(self, resource: Resource) -> _Config:
        raw = bytes(resource.config)
        if raw not in self._known:
            if len(self._known) >= CONFIGS_KNOWN:
                self._known.clear()
            value = resource.configuration()
            materialized = value.get("materialized")
            text = _sorted_json(value).encode()
            self._known[raw] = _Config(materialized if isinstance(materialized, str) else None, _digest(text))
        return self._known[raw]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()


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
