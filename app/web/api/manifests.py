"""dbt's own manifest of a commit, as dbt wrote it: in pieces, compressed if the client accepts that."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

from aiohttp import web

from app.core.models.connections import Connection
from app.store import Store
from app.store.lineages import LineageHead
from app.store.manifests import MAX_STORED_BYTES, PIECE_BYTES, StoredManifest
from app.web.api.call import Call
from app.web.api.lineage import RECENT, is_known, stored, validators
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.schemas.manifests import ManifestQuery
from app.web.http.negotiation import accepts_encoding
from app.web.http.problems import HttpProblem
from app.web.http.streaming import send_pieces

AT_ONCE = 4
"""Responses that read or unpack a piece at the same time."""
GZIP = 31
"""zlib's `wbits` for the format of gzip."""
NOT_FOUND = "Manifest not found"


class ManifestHandler:
    """`GET …/manifest.json`; its responses take turns."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def show(self, call: Call[ManifestQuery, None]) -> web.StreamResponse:
        """The manifest of the connection's lineage or of `sha`, or 304."""
        connection = await call.connection()
        head = await stored(call.store, connection, call.query.sha)
        manifest = await _manifest(call.store, connection, head)
        packed = accepts_encoding(",".join(call.request.headers.getall("Accept-Encoding", [])), "gzip")
        headers = {**validators(manifest.hash, packed), "Vary": "Accept-Encoding"}
        if is_known(call.request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        headers |= {"Content-Type": "application/json", "X-Manifest-Sha": head.sha}
        if packed:
            headers |= {"Content-Encoding": "gzip", "Content-Length": str(manifest.stored_bytes)}
            return await send_pieces(call.request, headers, self._pieces(call.store, manifest))
        headers["Content-Length"] = str(manifest.size_bytes)
        return await send_pieces(call.request, headers, self._unpacked(call.store, manifest))

    async def _pieces(self, store: Store, manifest: StoredManifest) -> AsyncIterator[bytes]:
        for start in range(0, manifest.stored_bytes, PIECE_BYTES):
            async with self._turns:
                piece = await store.manifests.piece(manifest, start)
            if not piece:
                raise ConnectionAbortedError  # deleted meanwhile: the client sees that the response is incomplete
            yield piece

    async def _unpacked(self, store: Store, manifest: StoredManifest) -> AsyncIterator[bytes]:
        unpacker = zlib.decompressobj(GZIP)
        async for piece in self._pieces(store, manifest):
            rest = piece
            while rest:
                async with self._turns:
                    text = await asyncio.to_thread(unpacker.decompress, rest, PIECE_BYTES)
                rest = unpacker.unconsumed_tail
                if text:
                    yield text


async def _manifest(store: Store, connection: Connection, head: LineageHead) -> StoredManifest:
    """The manifest of a lineage. Raises HttpProblem 404 that says why there is none."""
    manifest = await store.manifests.of_lineage(head.id)
    if manifest is not None and manifest.kept:
        return manifest
    candidates = await store.manifests.commits(connection.id, RECENT)
    if manifest is not None:
        reason = f"it has {manifest.size_bytes:,} bytes, and compressed more than the limit of {MAX_STORED_BYTES >> 20} MiB"
    else:
        reason = (
            "only those of the newest commit of each branch are, and of older ones as long as there is room. "
            "Re-run its check to have it again, or take one of `candidates`"
        )
    raise HttpProblem(404, NOT_FOUND, f"The manifest of {head.sha} is not kept: {reason}.", field="sha", candidates=candidates)


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/manifest.json",
            id="get_manifest",
            handler=ManifestHandler().show,
            summary="Get dbt's own manifest of a commit, for `--state` of a CI job",
            tag="lineage",
            query=ManifestQuery,
            media={
                "application/json": "dbt's manifest, as dbt wrote it; compressed if `Accept-Encoding` allows gzip. Header: `X-Manifest-Sha`"
            },
            empty={304: NOT_MODIFIED},
            problems={404: "There is no lineage, the token may not see it, or its manifest is not kept (`candidates` lists others)"},
            right="read",
        ),
    )
