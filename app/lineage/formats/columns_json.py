"""Columns and their edges as JSON, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import orjson

from app.lineage.column_graph import ColumnEdge, ColumnGraph, ColumnSelection
from app.lineage.formats.chunks import separated

EDGES_PER_CHUNK = 64
_encode = msgspec.json.encode


def render(above: Mapping[str, Any], selection: ColumnSelection | None) -> Iterator[bytes]:
    """A JSON object with the fields `above`, then `nodes` and `edges`; None: there are no columns, `above` says why."""
    yield orjson.dumps(above, option=orjson.OPT_UTC_Z)[:-1] + b',"nodes":['
    if selection is not None:
        yield from separated(nodes(selection), per_chunk=1)
    yield b'],"edges":['
    if selection is not None:
        yield from separated((_encode(edge(one)) for one in selection.edges_by_name()), EDGES_PER_CHUNK)
    yield b"]}"


def nodes(selection: ColumnSelection) -> Iterator[bytes]:
    """The nodes with their columns, as JSON objects."""
    for position, numbers in selection.nodes.items():
        yield _encode({**node(selection.columns, position), "columns": [selection.columns.column(number) for number in numbers]})


def node(columns: ColumnGraph, position: int) -> dict[str, Any]:
    """What is said of a node besides its columns."""
    traced = columns.nodes[position]
    return {
        "unique_id": columns.unique_id(position),
        "status": traced.status,
        "reason": traced.reason,
        "open": traced.open,
        "hard_coded": traced.hard_coded,
    }


def edge(found: ColumnEdge) -> dict[str, Any]:
    """An edge."""
    return {
        "upstream": {"unique_id": found.upstream, "column": found.upstream_column},
        "downstream": {"unique_id": found.downstream, "column": found.downstream_column},
        "type": found.type,
        "subtype": found.subtype,
        "certain": found.certain,
    }
