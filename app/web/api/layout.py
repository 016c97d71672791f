"""Where the nodes of a lineage are drawn: all of them, or those around one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage import node_selectors
from app.lineage.formats.chunks import parts
from app.lineage.graph import Graph, GraphFilter
from app.lineage.layout.neighbourhood import Expansion, Neighbourhood, around, neighbourhood
from app.lineage.layout.scene import SHOWN, Scene
from app.lineage.layout.svg import svg
from app.lineage.node_selectors import NodeReference, SelectorError
from app.web.api.call import Call
from app.web.api.layout_cache import LAYOUTS, Drawn, OverviewBody
from app.web.api.lineage import TRIES, heading_of, is_known, only_node, stored, validators
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.layouts import HOPS, LayoutDocument, LayoutQuery
from app.web.api.troubles import troubles
from app.web.http import requests
from app.web.http.negotiation import accepts_encoding
from app.web.http.streaming import FairWriter

VERSION = 1
"""Of the layouts: another one changes every `ETag`."""
SVG_HEADERS = {
    "Content-Type": "image/svg+xml; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
FEW_NODES = 60
"""Up to this many nodes are laid out on the event loop, more in a thread."""


class LayoutHandler:
    """`GET …/layout`; its responses share one `FairWriter`."""

    def __init__(self) -> None:
        self._writer = FairWriter()

    async def show(self, call: Call[LayoutQuery, None]) -> web.StreamResponse:
        """The layout as JSON, or 304."""
        _check(call.query)
        packed = accepts_encoding(",".join(call.request.headers.getall("Accept-Encoding", [])), "gzip")
        for _ in range(TRIES):
            connection = await call.connection()
            drawn = await drawn_for(call, connection)
            heading = _heading(connection, drawn)
            of_results = await call.store.node_results.revision(connection.id)
            headers = {**validators(VERSION, heading, drawn.key, call.query.model_dump(), packed, of_results), "Vary": "Accept-Encoding"}
            if is_known(call.request, headers["ETag"]):
                return web.Response(status=304, headers=headers)
            headers |= SVG_HEADERS if call.query.format == "svg" else {"Content-Type": "application/json"}
            if call.query.focus is not None:
                body = await self._neighbourhood(call, connection, drawn, heading)
            elif packed:
                body, headers["Content-Encoding"] = await self._overview(call, drawn, heading, OverviewBody.packed), "gzip"
            else:
                body = await self._overview(call, drawn, heading, OverviewBody.plain)
            if body is not None:
                return await self._writer.send(call.request, headers, parts(body))
        raise _replaced()

    async def _overview(
        self, call: Call[LayoutQuery, None], drawn: Drawn, heading: bytes, write: Callable[[OverviewBody, bytes], bytes]
    ) -> bytes | None:
        graphs = call.store.lineage_cache
        found = await call.request.app[LAYOUTS].overview(graphs, drawn)
        return None if found is None else await graphs.compute(partial(write, found, heading))

    async def _neighbourhood(self, call: Call[LayoutQuery, None], connection: Connection, drawn: Drawn, heading: bytes) -> bytes | None:
        found = await _focused(call, drawn)
        if found is None:
            return None
        scene, focused = found
        choose, compute = partial(_around, scene, focused, call.query), call.store.lineage_cache.compute
        wrong = await troubles(call.store, connection.id, scene.graph)
        # Names are looked for among all nodes.
        shown = await (compute(choose) if call.query.expand or call.query.show else self._writer.take(choose))
        write = partial(_picture if call.query.format == "svg" else _body, heading, scene, focused.position, shown, wrong)
        return await (self._writer.take(write) if len(shown.nodes) <= FEW_NODES else compute(write))


async def scene_of(call: Call[LayoutQuery, None], drawn: Drawn) -> Scene:
    """Everything that a call draws. Raises UnavailableError if it was replaced meanwhile."""
    scene = await call.request.app[LAYOUTS].scene(call.store.lineage_cache, drawn)
    if scene is None:
        raise _replaced()
    return scene


async def around_focus(call: Call[LayoutQuery, None], connection: Connection, drawn: Drawn) -> dict[str, Any]:
    """The layout around the focus of a call. Raises UnavailableError as `scene_of` does, and HttpProblem with candidates."""
    found = await _focused(call, drawn)
    if found is None:
        raise _replaced()
    scene, focused = found
    wrong = await troubles(call.store, connection.id, scene.graph)
    return await call.store.lineage_cache.compute(lambda: _fields(scene, focused.position, _around(scene, focused, call.query), wrong))


def _replaced() -> UnavailableError:
    return UnavailableError("reading the lineage", "the commit keeps being extracted again", "Try again in a moment.")


async def _focused(call: Call[LayoutQuery, None], drawn: Drawn) -> tuple[Scene, Expansion] | None:
    """The scene, and the focus with its hops; None if it was replaced meanwhile."""
    graphs, layouts = call.store.lineage_cache, call.request.app[LAYOUTS]
    scene = await layouts.scene(graphs, drawn)
    if scene is None:
        return None
    position = scene.graph.position(call.query.focus or "")
    if position is None:
        focused = await graphs.compute(partial(_named, scene.graph, call.query))
    else:
        focused = Expansion(position, *_hops(call.query))
    if scene.number(focused.position) is None:
        scene = await layouts.scene(graphs, replace(drawn, also=scene.graph.nodes[focused.position].unique_id))
    return None if scene is None else (scene, focused)


def _named(graph: Graph, query: LayoutQuery) -> Expansion:
    """The node that `focus` means by its name, with graph operators or without. Raises HttpProblem."""
    focus = query.focus or ""
    # In a query, a plus sign that is not escaped is a space.
    reference = NodeReference(focus) if node_selectors.find(graph, focus) else _parsed(focus.replace(" ", "+"), "focus")
    position = only_node(graph, reference.node, "focus")
    if not reference.has_operators:
        return Expansion(position, *_hops(query))
    if reference.parents_of_children:
        raise requests.invalid("focus", "has the operator `@`, which no drawing around one node can show: use `+`")
    if query.upstream is not None or query.downstream is not None:
        raise requests.invalid("focus", "has graph operators, so `upstream` and `downstream` have no meaning: leave them out")
    everything = len(graph.nodes)
    return Expansion(position, *(everything if hops is None else hops for hops in (reference.upstream, reference.downstream)))


def _parsed(text: str, field: str) -> NodeReference:
    """Raises HttpProblem 400."""
    try:
        return node_selectors.parse(text)
    except SelectorError as error:
        raise requests.invalid(field, error.reason) from error


def _hops(query: LayoutQuery) -> Iterator[int]:
    return (HOPS if one is None else one for one in (query.upstream, query.downstream))


def _check(query: LayoutQuery) -> None:
    """Raise HttpProblem 400 that names the parameter."""
    for name, value in query.model_dump(include={"upstream", "downstream", "expand", "show"}).items():
        if query.focus is None and value not in (None, []):
            raise requests.invalid(name, "requires `focus`")
    if query.focus is None and query.format == "svg":
        raise requests.invalid("format", "`svg` requires `focus`")


async def drawn_for(call: Call[LayoutQuery, None], connection: Connection) -> Drawn:
    """What a call draws. Raises HttpProblem if a commit has no lineage."""
    query = call.query
    head = await stored(call.store, connection, query.sha)
    base = None if query.base is None else await stored(call.store, connection, query.base, "base")
    selected = GraphFilter(resource_types=tuple(sorted(set(query.resource_type or SHOWN))), package=query.package, tag=query.tag)
    return Drawn(head, base, selected)


def _heading(connection: Connection, drawn: Drawn) -> bytes:
    """The fields before the layout, as a JSON object."""
    found = heading_of(connection, drawn.head)
    return orjson.dumps(
        {
            "connection_id": found.connection_id,
            "repository": found.repository,
            "sha": found.sha,
            "base": None if drawn.base is None else drawn.base.sha,
            "stale": found.stale,
        }
    )


def _around(scene: Scene, focused: Expansion, query: LayoutQuery) -> Neighbourhood:
    also = [only_node(scene.graph, name, "show") for name in query.show]
    return around(scene, [focused, *(_expansion(scene, text) for text in query.expand)], also)


def _body(heading: bytes, scene: Scene, position: int, shown: Neighbourhood, wrong: Mapping[str, str]) -> bytes:
    return heading[:-1] + b"," + orjson.dumps(_fields(scene, position, shown, wrong))[1:]


def _picture(heading: bytes, scene: Scene, position: int, shown: Neighbourhood, wrong: Mapping[str, str]) -> bytes:
    return svg({**orjson.loads(heading), **_fields(scene, position, shown, wrong)})


def _fields(scene: Scene, position: int, shown: Neighbourhood, wrong: Mapping[str, str]) -> dict[str, Any]:
    found = neighbourhood(shown)
    nodes = [{**node, "trouble": wrong.get(node["unique_id"])} for node in found["nodes"]]
    return {"focus": scene.graph.nodes[position].unique_id, **found, "nodes": nodes}


def _expansion(scene: Scene, text: str) -> Expansion:
    """Raises HttpProblem 400 or 404 that names the parameter."""
    # In a query, a plus sign that is not escaped is a space.
    reference = _parsed(text.replace(" ", "+"), "expand")
    depths = reference.upstream, reference.downstream
    if reference.parents_of_children or not {*depths} <= {0, None} or depths == (0, 0):
        raise requests.invalid("expand", "must be `+NODE` or `NODE+`")
    return Expansion(only_node(scene.graph, reference.node, "expand"), *(int(depth is None) for depth in depths))


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/layout",
            id="get_layout",
            handler=LayoutHandler().show,
            summary="Get where to draw nodes: the whole lineage, or the nodes around one",
            tag="lineage",
            query=LayoutQuery,
            response=LayoutDocument,
            media={"image/svg+xml": "A picture of the nodes around `focus`"},
            empty={304: NOT_MODIFIED},
            problems={
                404: "There is no lineage, the token may not see it, or `focus` or `expand` is not in it (`candidates` lists similar nodes)"
            },
            right="read",
        ),
    )
