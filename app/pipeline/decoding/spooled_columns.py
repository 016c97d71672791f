"""The columns of a lineage's nodes in a file: written by the decoding process, read by the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from mmap import mmap
from typing import IO, Any, get_args

import msgspec

from app.lineage import copy_format
from app.lineage.column_document import COUNTED, ColumnStatus, NodeColumns, head_of, nodes_of
from app.lineage.column_overview import ColumnsOverview, OverviewBuilder
from app.pipeline.decoding.document_redaction import DocumentRedaction
from app.pipeline.decoding.spooled_rows import RowWriter, Sizes, SpooledRows


class ColumnsSummary(msgspec.Struct, frozen=True):
    """The columns of a lineage without its nodes."""

    dialect: str | None
    engine: str
    counts: dict[str, int]
    edge_count: int
    reused_count: int
    overview: ColumnsOverview


class ColumnsScope(msgspec.Struct, frozen=True):
    """What a document is read for."""

    known: frozenset[str]
    """The unique_ids of the lineage."""
    external: frozenset[str] = frozenset()
    """Those of external nodes, which count nowhere."""
    secrets: frozenset[str] = frozenset()
    """Values to mask: see `redaction.secret_values`."""


def write(document: bytes | mmap, scope: ColumnsScope, file: IO[bytes]) -> Sizes:
    """Write the columns of the known nodes of a document. Raises MalformedColumnsError."""
    head, rows, overview = head_of(document), RowWriter(file), OverviewBuilder()
    counts, edges, reused = Counter[str](dict.fromkeys(get_args(ColumnStatus), 0)), 0, 0
    for node in nodes_of(document, scope.known, DocumentRedaction(scope.secrets)):
        rows.add(node.unique_id, node.row())
        if node.unique_id not in scope.external:
            overview.add(node.unique_id, node.status, node.content)
            counts[node.status] += node.unique_id.startswith(COUNTED)
        edges += node.edge_count
        reused += node.reused
    return rows.finish(ColumnsSummary(head.dialect, head.engine, dict(counts), edges, reused, overview.finish()))


class SpooledColumns(SpooledRows):
    """A `lineage.column_document.StorableColumns` in the file that `write` wrote."""

    def __init__(self, file: IO[bytes], sizes: Sizes) -> None:
        super().__init__(file, sizes)
        summary = msgspec.json.decode(self.summary, type=ColumnsSummary)
        self.dialect, self.engine, self.counts = summary.dialect, summary.engine, summary.counts
        self.edge_count, self.reused_count = summary.edge_count, summary.reused_count
        self.overview = summary.overview

    def nodes(self) -> Iterator[NodeColumns]:
        """All nodes, sorted by unique_id."""
        for place in range(self.node_count):
            _, unique_id, status, content, code = copy_format.values(self.part(*self.place(place)))
            assert unique_id is not None and status is not None and content is not None  # noqa: S101, PT018 - as `NodeColumns.row` writes it
            known: Any = status.decode()
            yield NodeColumns(unique_id.decode(), known, content, code)
