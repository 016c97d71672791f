"""A lineage in a file: written by the process that reads manifests, read by the service, which never has all of it in memory.

The file holds the nodes' rows, then their hashes, then where each row begins (and the last one ends), 8 bytes each.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

import msgspec

from app import copy_format
from app.lineage import HASH_BYTES, HASH_IN_ROW, in_order, nodes
from app.manifest import Manifest

OFFSET_BYTES = 8


class Summary(msgspec.Struct, frozen=True):
    """What is known of a lineage without its nodes: the last part of the file."""

    project_name: str | None
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    counts: dict[str, int]
    edge_count: int


class Sizes(msgspec.Struct, frozen=True):
    """How long the parts of the file are: bytes of all rows, number of nodes, bytes of the summary."""

    rows: int
    nodes: int
    summary: int


def write(of: Manifest, file: IO[bytes]) -> Sizes:
    """Write the lineage of a manifest. Raises one of `manifest.WRONG`."""
    hashes, offsets, counts, edges = bytearray(), array("Q", [0]), Counter[str](), 0
    for node in nodes(of):
        row = node.row()
        file.write(row)
        hashes += row[HASH_IN_ROW]
        offsets.append(offsets[-1] + len(row))
        counts[node.resource_type] += 1
        edges += len(node.upstream)
    metadata = of.metadata
    summary = msgspec.json.encode(
        Summary(metadata.project_name, metadata.dbt_version, metadata.adapter_type, metadata.schema, in_order(counts), edges)
    )
    for part in (hashes, offsets, summary):
        file.write(part)
    file.flush()
    return Sizes(offsets[-1], len(offsets) - 1, len(summary))


class SpooledLineage:
    """A `lineage.StorableLineage` in the file that `write` wrote. It has the file from now on."""

    def __init__(self, file: IO[bytes], sizes: Sizes) -> None:
        self._file = file
        self.node_count = sizes.nodes
        after_hashes = sizes.rows + HASH_BYTES * sizes.nodes
        after_offsets = after_hashes + OFFSET_BYTES * (sizes.nodes + 1)
        self.hashes = self._part(sizes.rows, after_hashes)
        self._offsets = array("Q", self._part(after_hashes, after_offsets))
        self._summary = msgspec.json.decode(self._part(after_offsets, after_offsets + sizes.summary), type=Summary)
        self.project_name = self._summary.project_name
        self.dbt_version = self._summary.dbt_version
        self.adapter_type = self._summary.adapter_type
        self.manifest_schema = self._summary.manifest_schema
        self.edge_count = self._summary.edge_count

    def __del__(self) -> None:
        """Leave no file open behind somebody who was stopped on the way."""
        self.close()

    def counts(self) -> Mapping[str, int]:
        """Return the number of nodes by resource type."""
        return self._summary.counts

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """Give the rows at these places, each with `before` before it, in pieces."""
        return copy_format.chunks((self._part(self._offsets[place], self._offsets[place + 1]) for place in places), before)

    def close(self) -> None:
        """Give back the disk."""
        self._file.close()

    def _part(self, begin: int, end: int) -> bytes:
        return os.pread(self._file.fileno(), end - begin, begin)
