"""The edges between columns as CSV, quoted as in `edges_csv`. Columns, unlike unique_ids, can have names that look like formulas."""

from __future__ import annotations

from collections.abc import Iterator

from app.lineage.column_graph import ColumnSelection
from app.lineage.formats.edges_csv import cell

HEADER = ("upstream_unique_id", "upstream_column", "downstream_unique_id", "downstream_column", "type", "subtype", "certain")


def render(selection: ColumnSelection | None) -> Iterator[bytes]:
    """A header, then one line per edge; `downstream_column` is empty for all rows."""
    yield _line(*HEADER)
    for one in selection.edges_by_name() if selection is not None else ():
        ends = one.upstream, one.upstream_column, one.downstream, one.downstream_column or ""
        yield _line(*ends, one.type, one.subtype, "true" if one.certain else "false")


def _line(*cells: str) -> bytes:
    return (",".join(map(cell, cells)) + "\r\n").encode()
