"""Tools about one commit: a node, what is around it, what its columns are made of, and why it depends on another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import orjson

from app.lineage import nearest
from app.lineage.column_graph import ColumnEdge, ColumnGraph, ColumnSelection
from app.lineage.graph import Graph, GraphFilter, GraphNode, Selection
from app.store.lineages import LineageHead
from app.web.api import columns as columns_api
from app.web.api.call import Call
from app.web.api.lineage import focused, only_node, stored
from app.web.api.nodes import document
from app.web.api.schemas.columns import ColumnsQuery
from app.web.mcp import projects
from app.web.mcp.answers import Contents, Json, PagePlace, about, answered, place_of, retried, without_nothing
from app.web.mcp.budget import Item
from app.web.mcp.inputs import ColumnLineageInput, CommitInput, LineageInput, NodeInput, Part, PathInput

DESCRIPTION = 120
"""Characters in a list of nodes."""
CODE = 1000
"""Characters of a part of code."""
MAX_HARD_CODED, MAX_COMMON = 10, 20
BASICS = (
    *("unique_id", "resource_type", "name", "package_name", "original_file_path", "relation_name", "materialized", "description", "tags"),
    *("owner", "group", "access", "version", "columns_state", "columns_status", "columns_reason"),
)
ELSEWHERE = (
    *BASICS,
    *("connection_id", "repository", "branch", "project_dir", "sha", "head_sha", "extracted_at", "columns", "upstream", "downstream"),
    *(
        "raw_code",
        "compiled_code",
        "compiled_code_reason",
        "columns_open",
        "rows",
        "notes",
        "docs_blocks",
        "last_result",
        "patch_path",
        "language",
        "label",
    ),
)
"""Fields of a node that are not in the list `config`."""


async def get_node(call: Call[NodeInput, None]) -> bytes:
    """One node."""
    place = place_of(call)

    async def attempt() -> tuple[Json, LineageHead, Json] | None:
        connection, head, graph = await _commit(call, place)
        found = graph and await document(call.store, connection, head, graph, only_node(graph, call.query.node, "node"))
        return (about(connection, head), head, found) if found else None

    heading, head, node = await retried("reading a node", attempt)
    heading |= without_nothing({name: node.get(name) for name in (*BASICS, "last_result")})
    include = call.query.include
    if "compiled_code" in include:
        heading |= without_nothing({"compiled_code_reason": node["compiled_code_reason"]})

    def make() -> Contents:
        items = list(_of_node(node, include))
        code = [name for part, name in (("code", "raw_code"), ("compiled_code", "compiled_code")) if part in include and node.get(name)]
        return Contents(
            heading=heading,
            lists=("upstream", "downstream", "columns", "config", *code),
            items=items,
            total=Counter(one.kind for one in items),
            shas=(head.sha,),
            notes=node["notes"],
        )

    return await answered(call, make, place.begin)


async def get_lineage(call: Call[LineageInput, None]) -> bytes:
    """The nodes around a focus, the nearest first."""
    query, place = call.query, place_of(call)
    selected = GraphFilter(query.focus, query.direction or "both", query.depth, tuple(query.types))

    async def attempt() -> tuple[Json, LineageHead, Graph, ColumnGraph | None] | None:
        connection, head, graph = await _commit(call, place)
        columns = await call.store.lineage_cache.columns(head) if query.columns and head.columns_state == "ready" else None
        return (about(connection, head), head, graph, columns) if graph else None

    heading, head, graph, columns = await retried("reading a lineage", attempt)

    def make() -> Contents:
        start, around = focused(graph, selected, query.focus)
        selection = graph.select(selected, around)
        ordered = [one for one in nearest.by_distance(graph, start, around) if selection.has(one[0])]
        total = Counter(graph.nodes[number].resource_type for number, _ in ordered)
        total["edge"] = sum(len(selection.parents(number)) for number, _ in ordered)
        items = _around(graph, selection, ordered, columns if query.columns else None, named=query.columns)
        most, shas = {"nodes": query.limit}, (head.sha,)
        return Contents(heading=heading, lists=("nodes", "edges"), items=items, total=total, most=most, shas=shas)

    return await answered(call, make, place.begin)


async def get_column_lineage(call: Call[ColumnLineageInput, None]) -> bytes:
    """What columns of a node are made of, and what depends on them."""
    query, place = call.query, place_of(call)
    wanted = ColumnsQuery(**query.model_dump(include={"node", "column", "direction", "depth"}))
    columns_api.check(wanted)

    async def attempt() -> tuple[Json, LineageHead, Graph, ColumnGraph | None] | None:
        connection, head, graph = await _commit(call, place)
        ready = head.columns_state == "ready"
        columns = await call.store.lineage_cache.columns(head) if ready else None
        return (about(connection, head), head, graph, columns) if graph and (columns or not ready) else None

    heading, head, graph, columns = await retried("reading columns", attempt)
    heading |= without_nothing({"columns_state": head.columns_state, "columns_reason": head.columns_reason})

    def make() -> Contents:
        start, _ = focused(graph, GraphFilter(depth=0), query.node)
        chosen = columns_api.select(graph, columns, wanted)
        items = _columns(graph, start, chosen) if chosen else ()
        total = Counter(graph.nodes[position].resource_type for position in chosen.nodes) if chosen else Counter[str]()
        total["column_edge"] = len(chosen.edges) if chosen else 0
        most, shas = {"edges": query.limit}, (head.sha,)
        return Contents(heading=heading, lists=("nodes", "edges"), items=items, total=total, most=most, shas=shas)

    return await answered(call, make, place.begin)


async def find_path(call: Call[PathInput, None]) -> bytes:
    """The shortest ways from a node to one that depends on it."""
    query, place = call.query, place_of(call)

    async def attempt() -> tuple[Json, LineageHead, Graph, ColumnGraph | None] | None:
        connection, head, graph = await _commit(call, place)
        columns = await call.store.lineage_cache.columns(head) if query.columns and head.columns_state == "ready" else None
        return (about(connection, head), head, graph, columns) if graph else None

    heading, head, graph, columns = await retried("reading a lineage", attempt)

    def make() -> Contents:
        node, above = only_node(graph, query.node, "node"), only_node(graph, query.depends_on, "depends_on")
        found = nearest.shortest_paths(graph, above, node, query.limit)
        items, more = _ways(graph, found, columns) if found.paths else _apart(graph, node, above)
        total = Counter(one.kind for one in items)
        total["path"] = found.count
        heads = {**heading, "depends": bool(found.paths), **more}
        return Contents(heading=heads, lists=("paths", "columns", "common_upstream"), items=items, total=total, shas=(head.sha,))

    return await answered(call, make, place.begin)


async def _commit(call: Call[Any, None], place: PagePlace) -> tuple[Any, LineageHead, Graph | None]:
    """The project, the commit and its lineage; None if it was replaced since."""
    query: CommitInput = call.query
    connection = await projects.connection_of(call)
    head = await stored(call.store, connection, place.shas[0] if place.shas else query.sha)
    return connection, head, await call.store.lineage_cache.get(head)


def _of_node(node: Mapping[str, Any], include: Sequence[Part]) -> Iterator[Item]:
    for way in ("upstream", "downstream"):
        for one in node[way]:
            yield Item(way, way, lambda one=one: one)  # type: ignore[misc]
    if "columns" in include:
        for one in node["columns"]:
            yield Item("columns", "column", lambda one=one: _column(one))  # type: ignore[misc]
    if "config" in include:
        for name, value in node.items():
            if name not in ELSEWHERE and value not in (None, "", [], {}):
                yield Item("config", "field", lambda name=name, value=value: {name: value})  # type: ignore[misc]
    for part, name in (("code", "raw_code"), ("compiled_code", "compiled_code")):
        text = node.get(name) if part in include else None
        for begin in range(0, len(text or ""), CODE):
            yield Item(name, name, lambda text=text, begin=begin: text[begin : begin + CODE])  # type: ignore[misc]


def _column(one: Mapping[str, Any]) -> Json:
    tests = [test["name"] for test in one.get("tests") or ()]
    fields = {"name": one["name"], "data_type": one["data_type"], "description": one["description"], "tests": tests}
    return without_nothing({**fields, "inherited_description": True if one.get("inherited_from") else None})


def _around(
    graph: Graph, selection: Selection, ordered: Sequence[tuple[int, int]], columns: ColumnGraph | None, *, named: bool
) -> Iterator[Item]:
    """Each node, and then its edges from and to those before it."""
    said: set[int] = set()
    for number, distance in ordered:
        node = graph.nodes[number]
        yield Item("nodes", node.resource_type, partial(_brief, node, distance, _names(node, number, columns) if named else None))
        pairs = [(parent, number) for parent in graph.parents[number] if parent in said]
        pairs += [(number, child) for child in graph.children(number) if child in said]
        for above, below in pairs:
            yield Item("edges", "edge", lambda ends=(above, below): [graph.nodes[one].unique_id for one in ends])  # type: ignore[misc]
        if selection.has(number):
            said.add(number)


def _names(node: GraphNode, number: int, columns: ColumnGraph | None) -> list[str]:
    if columns is not None and number in columns.nodes:
        return [columns.name(one) for one in columns.nodes[number].columns]
    return [one["name"] for one in orjson.loads(node.content).get("columns", ())]


def _brief(node: GraphNode, distance: int, columns: list[str] | None) -> Json:
    content = orjson.loads(node.content)
    description = content.get("description") or ""
    short = description if len(description) <= DESCRIPTION else description[: DESCRIPTION - 1] + "…"
    known = {"materialized": content.get("materialized"), "description": short, "owner": content.get("owner"), "columns": columns}
    return {"unique_id": node.unique_id, "resource_type": node.resource_type, "distance": distance, **without_nothing(known)}


def _columns(graph: Graph, start: Sequence[int], chosen: ColumnSelection) -> Iterator[Item]:
    """The edges by how far away they are, and each node before its first edge."""
    columns = chosen.columns
    positions = {*chosen.nodes, *start}
    distances = dict(nearest.by_distance(graph, start, positions))
    far = len(graph.nodes)

    def ends(edge: int) -> tuple[int, int]:
        return columns.owner(columns.upstream(edge)), columns.below(edge)

    said: set[int] = set()
    for edge in sorted(chosen.edges, key=lambda one: (max(distances.get(end, far) for end in ends(one)), one)):
        for position in ends(edge):
            if position not in said:
                said.add(position)
                yield Item("nodes", graph.nodes[position].resource_type, partial(_traced, columns, position))
        yield Item("edges", "column_edge", lambda edge=edge: _step(columns.edge(edge)))  # type: ignore[misc]
    for position in chosen.nodes:
        if position not in said:
            yield Item("nodes", graph.nodes[position].resource_type, partial(_traced, columns, position))


def _traced(columns: ColumnGraph, position: int) -> Json:
    node = columns.nodes[position]
    more = without_nothing({"reason": node.reason, "hard_coded": list(node.hard_coded[:MAX_HARD_CODED])})
    return {"unique_id": columns.unique_id(position), "status": node.status, **more}


def _step(edge: ColumnEdge) -> Json:
    ends = {"upstream": edge.upstream, "upstream_column": edge.upstream_column, "downstream": edge.downstream}
    more = without_nothing({"downstream_column": edge.downstream_column, "certain": None if edge.certain else False})
    return {**ends, "subtype": edge.subtype, **more}


def _ways(graph: Graph, found: nearest.ShortestPaths, columns: ColumnGraph | None) -> tuple[list[Item], Json]:
    def names(path: Sequence[int]) -> list[str]:
        return [graph.nodes[one].unique_id for one in path]

    items = [Item("paths", "path", partial(names, path)) for path in found.paths]
    first = found.paths[0]
    if columns is not None:
        for above, below in pairwise(first):
            of_above = columns.nodes[above].columns if above in columns.nodes else ()
            edges = [edge for one in of_above for edge in columns.edges_out_of(one) if columns.below(edge) == below]
            items += [Item("columns", "column_edge", lambda edge=edge: _step(columns.edge(edge))) for edge in edges]  # type: ignore[misc]
    return items, {"edges": len(first) - 1, "count": found.count}


def _apart(graph: Graph, node: int, above: int) -> tuple[list[Item], Json]:
    """Neither is upstream of the other, or it is the other way round."""
    reverse = bool(nearest.shortest_paths(graph, node, above, 1).paths)
    both = graph.reach({node}, "upstream", None) & graph.reach({above}, "upstream", None)
    ordered = [] if reverse else nearest.by_distance(graph, [node], graph.reach({node}, "upstream", None))
    common = [graph.nodes[one].unique_id for one, _ in ordered if one in both][:MAX_COMMON]
    return [Item("common_upstream", "common_upstream", lambda one=one: one) for one in common], {"reverse": reverse}  # type: ignore[misc]
