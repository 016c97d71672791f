"""The lineage, or a part of it: the nodes' own JSON goes through unread, in pieces, so that no reader keeps another one waiting."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TypeVar, get_args

import orjson
from aiohttp import web

from app.errors import UnavailableError
from app.graph import Direction, Graph, Part, Selection
from app.jobs import Connection
from app.lineage import RESOURCE_TYPES
from app.storage import LineageHead
from app.web import requests
from app.web.keys import STORE
from app.web.middleware import SECURITY_HEADERS
from app.web.problems import Problem

PARAMETERS = ("sha", "focus", "direction", "depth", "resource_type", "package", "tag")
TRIES = 3
CANDIDATES = 20
PIECE_BYTES = 64 << 10
TEXTS_AT_ONCE = 64
AT_ONCE = 4
"""Readers that get a piece in one turn of the event loop."""
FEW_NODES = 500
"""So many are found and shown without a thread."""
WRITE_S = 30.0
"""Who takes nothing for so long is not waited for."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lineage:
    """The address, and the turns that its readers take."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/metadata/connections/{id}/lineage`, of the connection or of one `sha`, whole or in part."""
        wanted, sha = part(request), requests.sha(request)
        graphs = request.app[STORE].graphs
        for _ in range(TRIES):
            connection, head = await _head(request, sha)
            headers = {"ETag": f'"{_etag(connection, head, wanted)}"', "Cache-Control": "private, no-cache"}
            if any(f'"{known.value}"' == headers["ETag"] or known.value == "*" for known in request.if_none_match or ()):
                return web.Response(status=304, headers=headers)
            graph = await graphs.of(head)
            if graph is not None:
                few = await self._in_turn(partial(graph.select_few, wanted, FEW_NODES))
                selection = await graphs.compute(partial(select, graph, wanted)) if few is None else few
                return await self._send(request, headers, _document(_above(connection, head), selection))
        raise UnavailableError("reading the lineage", "the commit is extracted again and again", "Try again in a while.")

    async def _send(self, request: web.Request, headers: dict[str, str], pieces: Iterator[bytes]) -> web.StreamResponse:
        """Answer at once when it is one piece, else piece by piece, and only as fast as the reader takes them."""
        first = await self._in_turn(lambda: list(islice(pieces, 2)))
        if len(first) == 1:
            return web.Response(body=first[0], headers=headers, content_type="application/json")
        response = web.StreamResponse(headers={**SECURITY_HEADERS, **headers, "Content-Type": "application/json"})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            for piece in first:
                await _write(response, piece)
            while piece := await self._in_turn(partial(next, pieces, b"")):
                await _write(response, piece)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        """Do what takes a moment, but for a few readers only before everything else gets its moment too."""
        async with self._turns:
            done = work()
            await asyncio.sleep(0)
        return done


def part(request: web.Request) -> Part:
    """Return the part that is asked for. Raises Problem 400 that names the parameter."""
    requests.known(request, PARAMETERS)
    focus = requests.text(request, "focus")
    direction, depth = requests.text(request, "direction"), requests.whole_number(request, "depth")
    for name, value in (("direction", direction), ("depth", depth)):
        if focus is None and value is not None:
            raise requests.invalid(name, "says how far to go from a `focus`, and there is none")
    kinds = {requests.choice("resource_type", value, RESOURCE_TYPES) for value in requests.texts(request, "resource_type")}
    return Part(
        focus=focus,
        direction="both" if direction is None else requests.choice("direction", direction, get_args(Direction)),
        depth=depth,
        resource_types=tuple(sorted(kinds)),
        package=requests.text(request, "package"),
        tag=requests.text(request, "tag"),
    )


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


async def _head(request: web.Request, sha: str | None) -> tuple[Connection, LineageHead]:
    connection = await requests.connection(request)
    head = await request.app[STORE].lineages.head(connection.id, sha)
    if head is None:
        what = f"The commit {sha} was not extracted." if sha else "The first extraction has not succeeded yet: `progress` tells more."
        raise Problem(404, "There is no lineage", what)
    return connection, head


def _etag(connection: Connection, head: LineageHead, wanted: Part) -> str:
    return hashlib.sha256(f"{head.id} {head.extracted_at} {connection} {wanted}".encode()).hexdigest()[:32]


def _above(connection: Connection, head: LineageHead) -> bytes:
    above = {
        "connection_id": connection.id,
        "repository": connection.repository.full_name,
        "branch": head.branch,
        "project_dir": connection.project_dir,
        "project_name": head.project_name,
        "sha": head.sha,
        "head_sha": connection.head_sha,
        "stale": connection.head_sha is not None and connection.head_sha != head.sha,
        "stale_reason": connection.stale_reason if connection.lineage_sha == head.sha else None,
        "extracted_at": head.extracted_at,
        "dbt_version": head.dbt_version,
        "adapter_type": head.adapter_type,
        "manifest_schema": head.manifest_schema,
    }
    return orjson.dumps(above, option=orjson.OPT_UTC_Z)


def _document(above: bytes, selection: Selection) -> Iterator[bytes]:
    """Yield the document in pieces of about `PIECE_BYTES`, each made when it is wanted."""
    nodes, edges = (map(b",".join, _batches(texts, TEXTS_AT_ONCE)) for texts in (selection.nodes(), selection.edges()))
    texts = chain((above[:-1], b',"nodes":['), _separated(nodes), (b'],"edges":[',), _separated(edges), (b"]}",))
    piece = bytearray()
    for text in texts:
        piece += text
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(piece)


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch


def _separated(texts: Iterable[bytes]) -> Iterator[bytes]:
    for number, text in enumerate(texts):
        yield b"," + text if number else text
