"""A lineage in a file: written by the decoding process, read by the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import IO

import msgspec

from app.core.models.quality import USUAL, QualitySettings
from app.core.models.warehouse import WarehouseNames
from app.lineage.manifest import Manifest
from app.lineage.nodes import nodes
from app.lineage.owners import CodeOwners
from app.lineage.quality.counts import QualityReader
from app.lineage.quality.tallies import QualityTally, tally
from app.lineage.resource_types import in_order
from app.pipeline.decoding.spooled_rows import RowWriter, Sizes, SpooledRows


class Summary(msgspec.Struct, frozen=True):
    """A lineage without its nodes."""

    project_name: str | None
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    counts: dict[str, int]
    edge_count: int
    unread: dict[str, int]
    quality: QualityTally
    external: frozenset[str]


class ManifestScope(msgspec.Struct, frozen=True):
    """What else decides about the lineage of a manifest."""

    code_owners: CodeOwners | None = None
    quality: QualitySettings = USUAL


def write(of: Manifest, names: WarehouseNames, file: IO[bytes], scope: ManifestScope = ManifestScope()) -> Sizes:  # noqa: B008 - frozen
    """Write the lineage of a manifest; `names` as for `nodes`. Raises one of `manifest.DECODE_ERRORS`."""
    rows, counts, external, edges = RowWriter(file), Counter[str](), set[str](), 0
    metadata = of.metadata
    quality = QualityReader()
    for node in nodes(of, names, scope.code_owners):
        rows.add(node.unique_id, node.row())
        if node.is_external:
            external.add(node.unique_id)
        else:
            counts[node.resource_type] += 1
        edges += len(node.upstream)
        quality.add(node.unique_id, node.resource_type, node.package_name, node.content, node.definition, node.upstream)
    about = metadata.project_name, metadata.dbt_version, metadata.adapter_type, metadata.schema
    counted = tally(quality.finish(), metadata.project_name, scope.quality)
    return rows.finish(Summary(*about, in_order(counts), edges, dict(of.unread), counted, frozenset(external)))


class SpooledLineage(SpooledRows):
    """A `lineage.nodes.StorableLineage` in the file that `write` wrote."""

    def __init__(self, file: IO[bytes], sizes: Sizes) -> None:
        super().__init__(file, sizes)
        self._summary = msgspec.json.decode(self.summary, type=Summary)
        self.project_name = self._summary.project_name
        self.dbt_version = self._summary.dbt_version
        self.adapter_type = self._summary.adapter_type
        self.manifest_schema = self._summary.manifest_schema
        self.edge_count = self._summary.edge_count
        self.unread = self._summary.unread
        self.quality = self._summary.quality
        self.external = self._summary.external

    def counts(self) -> Mapping[str, int]:
        """The number of nodes by resource type."""
        return self._summary.counts
