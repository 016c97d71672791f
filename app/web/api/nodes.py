"""One node whole: its part of the lineage, everything else that dbt's manifest says of it, and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage.definitions import COMMON, OF_TYPE
from app.lineage.graph import Graph
from app.store import Store
from app.store.lineages import LineageHead, StoredNode
from app.web.api.call import Call
from app.web.api.lineage import TRIES, is_known, only_node, stored, validators
from app.web.api.node_columns import compiled_code, traced
from app.web.api.node_results import results_at
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.nodes import NodeDocument, NodeQuery

EARLIER_RELEASE = "An earlier release of Freshet stored this node: extract the commit again to get all fields"


async def get_node(call: Call[NodeQuery, None]) -> web.Response:
    """The node, or 304."""
    name = call.request.match_info["unique_id"]
    for _ in range(TRIES):
        connection = await call.connection()
        head = await stored(call.store, connection, call.query.sha)
        headers = validators(connection.id, head, name, await call.store.node_results.revision(connection.id))
        if is_known(call.request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        graph = await call.store.lineage_cache.get(head)
        if graph is None:
            continue
        found = await document(call.store, connection, head, graph, only_node(graph, name, "unique_id"))
        if found is not None:
            body = await call.store.lineage_cache.compute(partial(orjson.dumps, found, option=orjson.OPT_UTC_Z))
            return web.Response(body=body, headers=headers, content_type="application/json")
    raise UnavailableError("reading a node", "the commit keeps being extracted again", "Try again in a moment.")


async def document(store: Store, connection: Connection, head: LineageHead, graph: Graph, number: int) -> dict[str, Any] | None:
    """The node with the fields of `NodeDocument`; None if the lineage was replaced or removed since."""
    graphs, ready = store.lineage_cache, head.columns_state == "ready"
    columns = await graphs.columns(head) if ready else None
    code = await compiled_code(store, head, graph, number)
    results = await results_at(store, connection, graph, number)
    found = await store.lineages.node(head, graph.nodes[number].unique_id)
    if found is None or (ready and columns is None):
        return None

    def collect() -> dict[str, Any]:
        known = fields(found)
        parts = (_place(connection, head), known, code, traced(columns, number, known["columns"]), _neighbours(graph, number), results)
        return {name: value for part in parts for name, value in part.items()}

    return await graphs.compute(collect)


def fields(node: StoredNode) -> dict[str, Any]:
    """The fields of a node: those of the lineage, then those that only its definition has."""
    content: dict[str, Any] = orjson.loads(node.content)
    definition: dict[str, Any] = orjson.loads(node.definition or b"{}")
    names = (*COMMON, "docs_blocks", *OF_TYPE.get(content["resource_type"], ()))
    more = {name: definition.get(name) for name in (*names, *definition) if name not in content and name != "columns"}
    columns = [_column(column, definition.get("columns", {}).get(column["name"], {})) for column in content.get("columns", [])]
    return {
        **content,
        **more,
        "columns": columns,
        "notes": [] if node.definition is not None else [EARLIER_RELEASE],
    }


def _column(column: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: definition.get(name) for name in ("meta", "tags", "constraints", "docs_blocks")}
    return {**column, **known, "documented": bool(column.get("description"))}


def _neighbours(graph: Graph, number: int) -> dict[str, list[str]]:
    hops = {
        "upstream": graph.reach({number}, "upstream", 1),
        "downstream": graph.reach({number}, "downstream", 1),
    }
    return {name: [graph.nodes[one].unique_id for one in sorted(found - {number})] for name, found in hops.items()}


def _place(connection: Connection, head: LineageHead) -> dict[str, Any]:
    return {
        "connection_id": connection.id,
        "repository": connection.repository.full_name,
        "branch": head.branch,
        "project_dir": connection.project_dir,
        "sha": head.sha,
        "head_sha": connection.head_sha,
        "extracted_at": head.extracted_at,
        "columns_state": head.columns_state,
    }


OPERATIONS = (
    Operation(
        id="get_node",
        method="GET",
        path=f"{API}/connections/{{id}}/nodes/{{unique_id}}",
        handler=get_node,
        summary="Get one node whole: everything that dbt says of it, and its neighbours",
        tag="lineage",
        query=NodeQuery,
        response=NodeDocument,
        empty={304: NOT_MODIFIED},
        problems={404: "There is no such lineage or node (`candidates` lists similar ones), or the token may not see it"},
        right="read",
    ),
)
