"""The lineage, or a part of it, in the format that is asked for: what is sent is made in pieces, and nothing is read for who has it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from app.errors import UnavailableError
from app.formats import document, dot, edges_csv, graphml, mermaid, openlineage
from app.formats.heading import Heading
from app.formats.openlineage import Links
from app.formats.pieces import pieces
from app.graph import Graph, Part, Selection
from app.jobs import Connection
from app.records import LineageHead
from app.web import requests
from app.web.call import Call
from app.web.keys import SETUP
from app.web.models.lineages import FormatName, LineageDocument, LineageQuery
from app.web.negotiation import accepted
from app.web.operations import API, Operation
from app.web.problems import Problem
from app.web.streaming import Turns

TRIES = 3
CANDIDATES = 20
FEW_NODES = 500
"""So many are found and shown without a thread."""

Writer = Callable[[Heading, Selection], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a lineage."""

    media_type: str
    parameters: str
    """Of the media type that is sent."""
    what: str
    write: Writer | None = None
    """None: it takes the links, too."""


FORMATS: dict[FormatName, Format] = {
    "json": Format("application/json", "", "The lineage", document.texts),
    "dot": Format("text/vnd.graphviz", "; charset=utf-8", "Graphviz' DOT, for `dot -Tsvg`", dot.texts),
    "mermaid": Format("text/vnd.mermaid", "; charset=utf-8", "A flowchart, as GitHub's Markdown shows it", mermaid.texts),
    "graphml": Format("application/graphml+xml", "", "GraphML, as yEd, Gephi and networkx read it", graphml.texts),
    "csv": Format("text/csv", "; charset=utf-8; header=present", "The edges: `upstream`, `downstream`", edges_csv.texts),
    "openlineage": Format("application/vnd.openlineage+json", "", "A list of OpenLineage's events"),
}
MEDIA_TYPES: dict[str, FormatName] = {one.media_type: name for name, one in FORMATS.items()}


class Lineage:
    """The address, and the turns that its readers take."""

    def __init__(self) -> None:
        self._turns = Turns()

    async def show(self, call: Call[LineageQuery, None]) -> web.StreamResponse:
        """Show the lineage of the connection or of one `sha`, whole or in part."""
        wanted, name = part(call.query), format_of(call)
        graphs = call.store.graphs
        for _ in range(TRIES):
            connection = await call.connection()
            head = await stored(call, connection, call.query.sha)
            headers = {**validators(connection, head, wanted, name, call.query.namespace), "Vary": "Accept"}
            if is_known(call.request, headers["ETag"]):
                return web.Response(status=304, headers=headers)
            graph = await graphs.of(head)
            if graph is not None:
                few = await self._turns.take(partial(graph.select_few, wanted, FEW_NODES))
                selection = await graphs.compute(partial(select, graph, wanted)) if few is None else few
                headers["Content-Type"] = FORMATS[name].media_type + FORMATS[name].parameters
                texts = _writer(call, connection, name)(_heading(connection, head), selection)
                return await self._turns.send(call.request, headers, pieces(texts))
        raise UnavailableError("reading the lineage", "the commit is extracted again and again", "Try again in a while.")


def part(asked: LineageQuery) -> Part:
    """Return the part that is asked for. Raises Problem 400 that names the parameter."""
    for name, value in (("direction", asked.direction), ("depth", asked.depth)):
        if asked.focus is None and value is not None:
            raise requests.invalid(name, "says how far to go from a `focus`, and there is none")
    return Part(
        focus=asked.focus,
        direction=asked.direction or "both",
        depth=asked.depth,
        resource_types=tuple(sorted(set(asked.resource_type))),
        package=asked.package,
        tag=asked.tag,
    )


def format_of(call: Call[LineageQuery, None]) -> FormatName:
    """Return the format that is asked for. Raises Problem: 406 when it is none of ours, 400 when a parameter does not go with it."""
    name = call.query.format or _accepted(call)
    if call.query.namespace is not None and name != "openlineage":
        raise requests.invalid("namespace", f"is of the format `openlineage`, and this is `{name}`")
    return name


def _accepted(call: Call[LineageQuery, None]) -> FormatName:
    found = accepted(",".join(call.request.headers.getall("Accept", [])), list(MEDIA_TYPES))
    if found is None:
        what = f"`Accept`: there is {', '.join(MEDIA_TYPES)}; or ask with `format` for {', '.join(FORMATS)}"
        raise Problem(406, "There is no such format", what, headers={"Vary": "Accept"}, field="Accept", candidates=list(MEDIA_TYPES))
    return MEDIA_TYPES[found]


def select(graph: Graph, wanted: Part) -> Selection:
    """Return what is asked for of a graph. Raises Problem, with candidates, when the focus is not one node."""
    if wanted.focus is None:
        return graph.select(wanted)
    found = graph.find(wanted.focus)
    if len(found) == 1:
        return graph.select(wanted, found[0])
    if found:
        among = [graph.nodes[number].unique_id for number in found]
        what = f"`focus`: {len(among)} nodes have this name; ask for one by its `unique_id`"
        raise Problem(400, "The focus is ambiguous", what, field="focus", candidates=among[:CANDIDATES])
    near = graph.near(wanted.focus)
    what = "`focus`: no node of this lineage has this `unique_id` or name" + ("; `candidates` are near ones" if near else "")
    raise Problem(404, "The focus is not in the lineage", what, field="focus", candidates=near)


async def stored(call: Call[LineageQuery, None], connection: Connection, sha: str | None) -> LineageHead:
    """Return the lineage of the connection, or of a commit. Raises Problem 404."""
    head = await call.store.lineages.head(connection.id, sha)
    if head is None and sha is None:
        raise Problem(404, "There is no lineage", "The first extraction has not succeeded yet: `progress` tells more.")
    if head is None:
        what = f"`sha`: no lineage of the commit {sha} is stored. It was never extracted, or is too old."
        raise Problem(404, "There is no lineage", what, field="sha")
    return head


def validators(*of: object) -> dict[str, str]:
    """Return the headers by which a caller can tell that nothing changed; `of` is all that the answer follows from."""
    etag = hashlib.sha256(repr(of).encode()).hexdigest()[:32]
    return {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}


def is_known(request: web.Request, etag: str) -> bool:
    """Tell whether the caller has what the ETag stands for."""
    return any(f'"{known.value}"' == etag or known.value == "*" for known in request.if_none_match or ())


def _writer(call: Call[LineageQuery, None], connection: Connection, name: FormatName) -> Writer:
    write = FORMATS[name].write
    if write is not None:
        return write
    setup = call.request.app[SETUP]
    links = Links(setup.public_url, f"{setup.server_url}/{connection.repository.full_name}", call.query.namespace)
    return partial(openlineage.texts, links=links)


def _heading(connection: Connection, head: LineageHead) -> Heading:
    return Heading(
        connection_id=connection.id,
        repository=connection.repository.full_name,
        branch=head.branch,
        project_dir=connection.project_dir,
        project_name=head.project_name,
        sha=head.sha,
        head_sha=connection.head_sha,
        stale=connection.head_sha is not None and connection.head_sha != head.sha,
        stale_reason=connection.stale_reason if connection.lineage_sha == head.sha else None,
        extracted_at=head.extracted_at,
        dbt_version=head.dbt_version,
        adapter_type=head.adapter_type,
        manifest_schema=head.manifest_schema,
    )


def operations() -> tuple[Operation, ...]:
    """Return the operations, with turns of their own."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/lineage",
            handler=Lineage().show,
            summary="The lineage, whole or in part, in one of six formats",
            tag="lineage",
            query=LineageQuery,
            answer=LineageDocument,
            media={one.media_type: one.what for name, one in FORMATS.items() if name != "json"},
            empty={304: "`If-None-Match` names what there is"},
            problems={
                404: "There is none, this token may not see it, or the focus is not in it: then `candidates` are near ones",
                406: "`Accept` names none of the formats",
            },
            right="read",
        ),
    )
