"""What column lineage adds to the document of one node: its columns with what they depend on, and the compiled code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from app.lineage.column_graph import ROWS, ColumnEdge, ColumnGraph
from app.lineage.column_reach import find_columns
from app.lineage.graph import Graph
from app.store import Store
from app.store.lineages import LineageHead

Json = dict[str, Any]
_NOTHING: Json = {"columns_status": None, "columns_reason": None, "columns_open": None, "hard_coded": [], "rows": []}
_NO_EDGES: Json = {"inherited_from": None, "in_sql": None, "upstream": [], "downstream": []}
COMPILED = ("model", "snapshot")
NO_SQL = "Only models and snapshots are compiled"
NOT_THERE: dict[str | None, str] = {
    None: "An earlier release of Freshet stored this lineage: extract the commit again to get compiled code and columns",
    "pending": "The columns of this commit are still being traced: try again in a few seconds",
    "ready": "It was not rendered",
}
"""Why there is no compiled code, by `columns_state`."""


def traced(columns: ColumnGraph | None, position: int, yaml: Sequence[Json]) -> Json:
    """The fields about columns; `yaml` are those that YAML files name. None: nothing is known of the SQL."""
    node = columns.nodes.get(position) if columns else None
    if columns is None or node is None:
        return {**_NOTHING, "columns": [{**one, **_NO_EDGES} for one in yaml]}
    named = {number: one for one in yaml for number in find_columns(columns, position, one["name"])}
    return {
        "columns": [_column(columns, number, named.get(number, {})) for number in node.columns],
        "columns_status": node.status,
        "columns_reason": node.reason,
        "columns_open": node.open,
        "hard_coded": [*node.hard_coded],
        "rows": [_above(columns.edge(edge)) for edge in columns.row_edges(position)],
    }


async def compiled_code(store: Store, head: LineageHead, graph: Graph, position: int) -> Json:
    """The compiled code and what is left out of it, or null and why."""
    node = graph.nodes[position]
    if node.resource_type not in COMPILED:
        return _code(None, NO_SQL)
    found = await store.columns.one(head.id, node.unique_id) if head.columns_state == "ready" else None
    said = _reasons(found[0].content) if found else _Reasons()
    if found is None or found[1] is None:
        return _code(None, said.compiled_reason or said.reason or head.columns_reason or NOT_THERE[head.columns_state])
    return _code(found[1].decode(), said.compiled_reason)


def _code(code: str | None, reason: str | None) -> Json:
    return {"compiled_code": code, "compiled_code_reason": reason}


class _Reasons(msgspec.Struct):
    reason: str | None = None
    compiled_reason: str | None = None


def _reasons(content: bytes) -> _Reasons:
    return msgspec.json.decode(content, type=_Reasons)


def _column(columns: ColumnGraph, number: int, yaml: Mapping[str, Any]) -> Json:
    known = {name: yaml.get(name) for name in ("meta", "tags", "constraints", "docs_blocks")}
    return {
        **msgspec.to_builtins(columns.column(number)),
        **known,
        "tests": yaml.get("tests", []),
        "upstream": [_above(columns.edge(edge)) for edge in columns.edges_into(number)],
        "downstream": [*_below(columns, number)],
    }


def _above(edge: ColumnEdge) -> Json:
    return {"unique_id": edge.upstream, "column": edge.upstream_column, **_kind(edge)}


def _below(columns: ColumnGraph, number: int) -> Iterator[Json]:
    for one in columns.edges_out_of(number):
        edge = columns.edge(one)
        column = None if columns.downstream(one) == ROWS else edge.downstream_column
        yield {"unique_id": edge.downstream, "column": column, **_kind(edge)}


def _kind(edge: ColumnEdge) -> Json:
    return {"type": edge.type, "subtype": edge.subtype, "certain": edge.certain}
