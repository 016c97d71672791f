"""The lineage, or a part of it, in any format: written in chunks, and not read at all when the client's ETag matches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from aiohttp import web

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage import node_selectors
from app.lineage.formats import dot, edges_csv, graphml, json_document, mermaid
from app.lineage.formats.chunks import pieces
from app.lineage.formats.heading import AnyHeading, Heading
from app.lineage.graph import Graph, GraphFilter, Selection
from app.lineage.node_selectors import NodeReference, SelectorError
from app.store import Store
from app.store.lineages import LineageHead
from app.web.api import openlineage
from app.web.api.call import Call
from app.web.api.openlineage import OpenLineagePart
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.lineages import FormatName, LineageDocument, LineagePart, LineageQuery
from app.web.http import requests
from app.web.http.negotiation import preferred
from app.web.http.problems import HttpProblem
from app.web.http.streaming import FairWriter, send_pieces

TRIES = 3
"""Times that a lineage is looked up; a new extraction can replace it between two steps."""
CANDIDATES = 20
RECENT = 5
"""Commits that are suggested instead of one that is not stored."""
FEW_NODES = 500
"""Up to this many nodes are selected on the event loop, more in a thread."""

LINEAGE_NOT_FOUND, COMMIT_AMBIGUOUS = "Lineage not found", "Commit is ambiguous"

Name = TypeVar("Name", bound=str)
Writer = Callable[[Heading, Selection], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of the lineage."""

    media_type: str
    parameters: str
    """Appended to the media type in `Content-Type`."""
    description: str
    write: Callable[[AnyHeading, Selection], Iterator[bytes]] | None = None
    """None: `web.api.openlineage` writes it, because it needs more."""


FORMATS: dict[FormatName, Format] = {
    "json": Format("application/json", "", "The lineage", json_document.render),
    "dot": Format("text/vnd.graphviz", "; charset=utf-8", "Graphviz DOT, for `dot -Tsvg`", dot.render),
    "mermaid": Format("text/vnd.mermaid", "; charset=utf-8", "A Mermaid flowchart, which GitHub's Markdown renders", mermaid.render),
    "graphml": Format("application/graphml+xml", "", "GraphML, for yEd, Gephi and networkx", graphml.render),
    "csv": Format("text/csv", "; charset=utf-8; header=present", "The edges, in columns `upstream` and `downstream`", edges_csv.render),
    "openlineage": Format("application/vnd.openlineage+json", "", "A list of OpenLineage events"),
}
MEDIA_TYPES: dict[str, FormatName] = {one.media_type: name for name, one in FORMATS.items()}


class LineageHandler:
    """`GET …/lineage`; its responses share one `FairWriter`."""

    def __init__(self) -> None:
        self._writer = FairWriter()

    async def show(self, call: Call[LineageQuery, None]) -> web.StreamResponse:
        """The lineage of the connection or of `sha`, or 304."""
        selected, name = part(call.query), format_of(call.request, call.query)
        graphs = call.store.lineage_cache
        for _ in range(TRIES):
            connection = await call.connection()
            head = await stored(call.store, connection, call.query.sha)
            headers = {**validators(connection, head, selected, name, openlineage.names_of(call.query)), "Vary": "Accept"}
            if is_known(call.request, headers["ETag"]):
                return web.Response(status=304, headers=headers)
            graph = await graphs.get(head)
            if graph is not None:
                few = await self._writer.take(partial(graph.select_small, selected, FEW_NODES))
                selection = await graphs.compute(partial(select, graph, selected)) if few is None else few
                headers["Content-Type"] = FORMATS[name].media_type + FORMATS[name].parameters
                heading = replace(heading_of(connection, head), notes=unmatched(graph, selected, selection))
                write = FORMATS[name].write
                if write is not None:
                    return await self._writer.send(call.request, headers, pieces(write(heading, selection)))
                columns = await graphs.columns(head) if head.columns_state == "ready" else None
                traced = columns.between(selection.numbers) if columns else None
                links = openlineage.links_of(call.request, connection.repository, openlineage.names_of(call.query))
                parts = [OpenLineagePart(head, heading, selection, links, traced)]
                return await send_pieces(call.request, headers, openlineage.pieces(call.store, self._writer, parts))
        raise UnavailableError("reading the lineage", "the commit keeps being extracted again", "Try again in a moment.")


def part(query: LineagePart) -> GraphFilter:
    """The requested part. Raises HttpProblem 400 that names the parameter."""
    for name, value in (("direction", query.direction), ("depth", query.depth)):
        if query.focus is None and value is not None:
            raise requests.invalid(name, "requires `focus`")
    return GraphFilter(
        focus=query.focus,
        direction=query.direction or "both",
        depth=query.depth,
        resource_types=tuple(sorted(set(query.resource_type))),
        package=query.package,
        tag=query.tag,
    )


def format_of(request: web.Request, query: LineagePart) -> FormatName:
    """The requested format. Raises HttpProblem: 406 for an unknown one, 400 for a parameter that does not apply to it."""
    name = query.format or negotiated(request, MEDIA_TYPES)
    openlineage.check(query, name)
    return name


def negotiated(request: web.Request, media_types: Mapping[str, Name]) -> Name:
    """The format that `Accept` prefers, by media type. Raises HttpProblem 406 if it allows none."""
    media_type = preferred(",".join(request.headers.getall("Accept", [])), list(media_types))
    if media_type is None:
        detail = f"`Accept`: use one of {', '.join(media_types)}, or set `format` to one of {', '.join(media_types.values())}."
        raise HttpProblem(406, "Format not available", detail, headers={"Vary": "Accept"}, field="Accept", candidates=list(media_types))
    return media_types[media_type]


def select(graph: Graph, selected: GraphFilter) -> Selection:
    """Select the part of a graph. Raises HttpProblem with candidates unless `focus` is exactly one node, or the versions of one model."""
    return graph.select(selected, None if selected.focus is None else focused(graph, selected, selected.focus)[1])


def focused(graph: Graph, selected: GraphFilter, focus: str) -> tuple[list[int], set[int]]:
    """The positions of a focus, and of all that the filter, or graph operators in `focus`, lead to from there. Raises HttpProblem."""
    reference = reference_of(graph, focus, "focus", alone=selected.depth is None and selected.direction == "both")
    found = find_node(graph, reference.node, "focus")
    return found, node_selectors.reach(graph, found, reference) if reference.has_operators else graph.around(found, selected)


def reference_of(graph: Graph, name: str, field: str, *, alone: bool) -> NodeReference:
    """A node with graph operators, unless a node has them in its name. Raises HttpProblem 400; `alone`: without direction and depth."""
    try:
        # In a query, a plus sign that is not escaped is a space.
        reference = NodeReference(name) if graph.find(name) else node_selectors.parse(name.replace(" ", "+"))
    except SelectorError as error:
        raise requests.invalid(field, error.reason) from error
    if reference.has_operators and not alone:
        raise requests.invalid(field, "has graph operators, so `direction` and `depth` have no meaning: leave them out")
    return reference


def unmatched(graph: Graph, selected: GraphFilter, selection: Selection) -> tuple[str, ...]:
    """Say which filters match no node of the whole lineage, if nothing was selected."""
    if selection.numbers:
        return ()
    alone = {
        "resource_type": GraphFilter(resource_types=selected.resource_types),
        "package": GraphFilter(package=selected.package),
        "tag": GraphFilter(tag=selected.tag),
    }
    found = [f"`{name}`: no node of this lineage matches" for name, one in alone.items() if not graph.select(one).numbers]
    return tuple(found) or ("no node of this lineage matches all filters",)


def find_node(graph: Graph, name: str, field: str) -> list[int]:
    """The positions of a node, or of all versions of a model. Raises HttpProblem with candidates if it is not exactly one."""
    found = node_selectors.find(graph, name)
    nodes = [graph.nodes[number] for number in found]
    if len({(node.resource_type, node.package_name, node.name) for node in nodes}) == 1:
        return found
    if found:
        candidates = [node.unique_id for node in nodes][:CANDIDATES]
        detail = f"`{field}`: {len(found)} nodes have this name; use the `unique_id` of one of them."
        raise HttpProblem(400, "Node is ambiguous", detail, field=field, candidates=candidates)
    similar = graph.similar(name)
    detail = f"`{field}`: no node of this lineage has this `unique_id` or name." + (" `candidates` lists similar ones." if similar else "")
    raise HttpProblem(404, "Node not found", detail, field=field, candidates=similar)


def only_node(graph: Graph, name: str, field: str) -> int:
    """The position of exactly one node. Raises HttpProblem with candidates."""
    found = find_node(graph, name, field)
    if len(found) > 1:
        candidates = [graph.nodes[number].unique_id for number in found]
        detail = f"`{field}`: {name} has {len(found)} versions; use the `unique_id` of one of them."
        raise HttpProblem(400, "Node is ambiguous", detail, field=field, candidates=candidates)
    return found[0]


async def stored(store: Store, connection: Connection, commit: str | None, field: str = "sha") -> LineageHead:
    """The lineage of the connection, or of a commit that the parameter `field` names. Raises HttpProblem 404, or 400 if it is ambiguous."""
    if commit is None:
        head = await store.lineages.head(connection.id)
        if head is None:
            raise HttpProblem(404, LINEAGE_NOT_FOUND, "No extraction of this connection has succeeded yet: see `GET …/progress`.")
        return head
    found = await store.lineages.find(connection.id, commit)
    if len(found) == 1:
        return found[0]
    if found:
        detail = f"`{field}`: {commit} is the beginning of several commits; give more digits."
        raise HttpProblem(400, COMMIT_AMBIGUOUS, detail, field=field, candidates=[one.sha for one in found])
    detail = f"`{field}`: no lineage of {commit} is stored. It was never extracted successfully, or it was deleted because of its age."
    recent = await store.lineages.recent_commits(connection.id, RECENT)
    raise HttpProblem(404, LINEAGE_NOT_FOUND, detail, field=field, candidates=recent)


def validators(*of: object) -> dict[str, str]:
    """ETag and caching headers; `of` is everything that the response depends on."""
    etag = hashlib.sha256(repr(of).encode()).hexdigest()[:32]
    return {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the request's `If-None-Match` contains the ETag."""
    return any(f'"{known.value}"' == etag or known.value == "*" for known in request.if_none_match or ())


def heading_of(connection: Connection, head: LineageHead) -> Heading:
    """The fields above the nodes."""
    return Heading(
        connection_id=connection.id,
        repository=connection.repository.full_name,
        branch=head.branch,
        project_dir=connection.project_dir,
        project_name=head.project_name,
        sha=head.sha,
        head_sha=connection.head_sha,
        state=connection.state() if connection.lineage_sha == head.sha else None,
        stale=connection.stale if connection.lineage_sha == head.sha else connection.head_sha not in {None, head.sha},
        stale_reason=connection.stale_reason if connection.lineage_sha == head.sha else None,
        extracted_at=head.extracted_at,
        dbt_version=head.dbt_version,
        adapter_type=head.adapter_type,
        manifest_schema=head.manifest_schema,
        columns_state=head.columns_state,
        columns_reason=head.columns_reason,
    )


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/lineage",
            id="get_lineage",
            handler=LineageHandler().show,
            summary="Get the lineage, whole or in part, in one of six formats",
            tag="lineage",
            query=LineageQuery,
            response=LineageDocument,
            media={one.media_type: one.description for name, one in FORMATS.items() if name != "json"},
            empty={304: NOT_MODIFIED},
            problems={
                404: "There is no lineage, the token may not see it, or `focus` is not in it (`candidates` lists similar nodes)",
                406: "`Accept` allows none of the formats (`candidates` lists the media types)",
            },
            right="read",
        ),
    )
