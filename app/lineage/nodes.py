"""The lineage of one dbt project at one commit: its nodes, and the edges into each of them.

A node is keyed by the hash of its content and edges, so a lineage is a set of hashes, and unchanged nodes are stored once. SQL and
configurations have hashes of their own, which show what changed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, NamedTuple, Protocol

import msgspec
import orjson

from app.core.models.quality import USUAL, QualitySettings
from app.core.models.warehouse import UNKNOWN, WarehouseNames
from app.lineage import column_tests, copy_format, manifest
from app.lineage.definitions import definition
from app.lineage.formats import json_document
from app.lineage.manifest import Manifest, Resource
from app.lineage.owners import CodeOwners, Owners
from app.lineage.quality.counts import QualityReader
from app.lineage.quality.tallies import QualityTally, tally
from app.lineage.resource_types import in_order

_sorted_json = json.JSONEncoder(sort_keys=True).encode
NODE_COLUMNS = (
    *("hash", "unique_id", "resource_type", "name", "package_name", "upstream", "content"),
    *("sql_hash", "config_hash", "definition"),
)
"""The columns of `Node.row`."""
HASH_BYTES = 16
VERSION = "4"
"""Of the stored form of a node. Changing it stores every node again."""
HASH_IN_ROW = slice(4, 4 + HASH_BYTES)
"""The hash within `Node.row`, after its length."""
MAX_CACHED_CONFIGS = 1000
MAX_LISTED = 50
"""Changes of one kind that are listed; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it is stored. `content` is its JSON object in the API, `upstream` the unique_ids that it depends on."""

    unique_id: str
    resource_type: str
    name: str
    package_name: str
    content: bytes
    upstream: tuple[str, ...]
    fingerprint: bytes
    """A hash of what is neither in `content` nor in the hashes below."""
    sql_hash: bytes | None = None
    """Of the SQL or Python source; None if unknown."""
    config_hash: bytes | None = None
    """Of the configuration, independent of the order of its keys; None if unknown."""
    definition: bytes | None = None
    """The rest of what dbt says of it, as a JSON object (`definitions`); None if unknown."""

    @property
    def is_external(self) -> bool:
        """Whether it is a model of another project, which this one reads."""
        return json_document.is_external(self.content)

    @property
    def hash(self) -> bytes:
        """`HASH_BYTES` bytes that identify the whole node."""
        digest = hashlib.blake2b(self.content, digest_size=HASH_BYTES)
        digest.update(b"\0" + "\0".join(self.upstream).encode() + b"\0" + self.fingerprint)
        digest.update(VERSION.encode() + (self.sql_hash or b"") + (self.config_hash or b"") + (self.definition or b""))
        return digest.digest()

    def row(self) -> bytes:
        """The `NODE_COLUMNS` in PostgreSQL's binary COPY format."""
        names = (text.encode() for text in (self.unique_id, self.resource_type, self.name, self.package_name))
        hashes = self.sql_hash, self.config_hash
        return copy_format.fields(self.hash, *names, copy_format.text_array(self.upstream), self.content, *hashes, self.definition)


class StorableLineage(Protocol):
    """A lineage whose nodes are in memory (`Lineage`) or in a file (`decoding.SpooledLineage`)."""

    @property
    def project_name(self) -> str | None:
        """The name in `dbt_project.yml`."""

    @property
    def dbt_version(self) -> str:
        """Of the dbt that wrote the manifest."""

    @property
    def adapter_type(self) -> str | None:
        """The adapter that dbt parsed for."""

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
    def unread(self) -> Mapping[str, int]:
        """The number of dbt's resources that are left out because their type is unknown, by type."""

    @property
    def hashes(self) -> bytes:
        """`HASH_BYTES` for each node, sorted by unique_id."""

    @property
    def quality(self) -> QualityTally:
        """What the project's nodes have of what they could have (`lineage.quality`)."""

    @property
    def external(self) -> frozenset[str]:
        """The unique_ids of external nodes."""

    def counts(self) -> Mapping[str, int]:
        """The number of nodes by resource type, in the order of `resource_types`, without zeros and without external ones."""

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """The rows (`Node.row`) at these positions, each prefixed with `before`, in chunks. Iterate in a thread."""

    def unique_ids(self) -> frozenset[str]:
        """The unique_ids of all nodes. Call it in a thread."""

    def close(self) -> None:
        """Release files, if any."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The graph of one commit."""

    project_name: str | None
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    nodes: tuple[Node, ...]
    unread: Mapping[str, int] = field(default_factory=dict)
    quality_settings: QualitySettings = USUAL

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

    @property
    def quality(self) -> QualityTally:
        """What the project's nodes have of what they could have (`lineage.quality`)."""
        reader = QualityReader()
        for node in self.nodes:
            reader.add(node.unique_id, node.resource_type, node.package_name, node.content, node.definition, node.upstream)
        return tally(reader.finish(), self.project_name, self.quality_settings)

    @property
    def external(self) -> frozenset[str]:
        """The unique_ids of external nodes."""
        return frozenset(node.unique_id for node in self.nodes if node.is_external)

    def counts(self) -> dict[str, int]:
        """The number of nodes by resource type, in the order of `resource_types`, without zeros and without external ones."""
        return in_order(Counter(node.resource_type for node in self.nodes if not node.is_external))

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """The rows at these positions, each prefixed with `before`, in chunks."""
        return copy_format.chunks((self.nodes[place].row() for place in places), before)

    def unique_ids(self) -> frozenset[str]:
        """The unique_ids of all nodes."""
        return frozenset(node.unique_id for node in self.nodes)

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class ChangeSummary:
    """Sorted unique_ids, and edges as (upstream, downstream). Each list may end at `MAX_LISTED`; `more` counts the rest."""

    nodes_added: tuple[str, ...] = ()
    nodes_removed: tuple[str, ...] = ()
    nodes_changed: tuple[str, ...] = ()
    edges_added: tuple[tuple[str, str], ...] = ()
    edges_removed: tuple[tuple[str, str], ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)
    """The number of changes that are not listed, by field name."""

    def __bool__(self) -> bool:
        """True when anything changed."""
        return bool(self.nodes_added or self.nodes_removed or self.nodes_changed or self.edges_added or self.edges_removed)


def read_manifest(
    content: bytes | mmap, label: str, image: str, names: WarehouseNames = UNKNOWN, code_owners: CodeOwners | None = None
) -> Lineage:
    """Decode a manifest and build its lineage. Raises ManifestError with the position; `label` and `image` are for its text."""
    try:
        return build(manifest.decode(content), names, code_owners)
    except manifest.DECODE_ERRORS as error:
        raise manifest.manifest_error(error, len(content), label, image) from error


def build(source: Manifest, names: WarehouseNames = UNKNOWN, code_owners: CodeOwners | None = None) -> Lineage:
    """Raises one of `manifest.DECODE_ERRORS`; `names` are those that dbt was given."""
    metadata = source.metadata
    found = tuple(nodes(source, names, code_owners))
    return Lineage(metadata.project_name, metadata.dbt_version, metadata.adapter_type, metadata.schema, found, source.unread)


def nodes(source: Manifest, names: WarehouseNames = UNKNOWN, code_owners: CodeOwners | None = None) -> Iterator[Node]:
    """The nodes sorted by unique_id. Their edges are exactly those of dbt's `parent_map`; `names` are those that dbt was given.

    External nodes on which nothing depends are left out: dbt may know more of them than the project reads.
    """
    configs, tests, owners = _Configs(), column_tests.by_node(source), Owners(source, code_owners)
    external = source.external()
    unread = external.difference(*source.parent_map.values()) if external else external
    for unique_id, resource in sorted(source.resources.items()):
        if unique_id in unread:
            continue
        upstream = sorted({parent for parent in source.parent_map.get(unique_id, ()) if parent in source.resources})
        config = configs.get(resource)
        content = json_document.node(unique_id, resource, names, owners, config.materialized, tests.get(unique_id, ()))
        content = json_document.external(content) if unique_id in external else content
        yield _node(unique_id, resource, content, tuple(upstream), config, source.definitions.get(unique_id))


def _node(unique_id: str, resource: Resource, content: Any, upstream: tuple[str, ...], config: _Config, raw: msgspec.Raw | None) -> Node:
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
        definition=None if raw is None else without_nul(definition(resource.resource_type, raw)),
    )


class _Config(NamedTuple):
    materialized: str | None
    hash: bytes
    """Independent of the order of keys."""


class _Configs:
    """Caches decoded configurations: most tests of a project have the same one, byte for byte."""

    def __init__(self) -> None:
        self._cached: dict[bytes, _Config] = {}

    def get(self, resource: Resource) -> _Config:
        raw = bytes(resource.config)
        if raw not in self._cached:
            if len(self._cached) >= MAX_CACHED_CONFIGS:
                self._cached.clear()
            value = resource.configuration()
            materialized = value.get("materialized")
            text = _sorted_json(value).encode()
            self._cached[raw] = _Config(materialized if isinstance(materialized, str) else None, _digest(text))
        return self._cached[raw]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()


def storable(value: Any) -> Any:
    """A JSON value without NUL, which PostgreSQL cannot store."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [storable(item) for item in value]
    return {key: storable(item) for key, item in value.items()} if isinstance(value, dict) else value


def _storable_json(content: Any) -> bytes:
    return without_nul(orjson.dumps(content))


def without_nul(encoded: bytes) -> bytes:
    """JSON without NUL, like `storable`."""
    return orjson.dumps(storable(orjson.loads(encoded))) if b"\\u0000" in encoded else encoded
