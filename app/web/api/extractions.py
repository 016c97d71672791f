"""Extractions: their progress, history and logs, and requests for new ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aiohttp import web

from app.core.models.connections import Connection
from app.core.models.extractions import ENDED, Extraction, Status
from app.core.yaml_text import part
from app.pipeline import triggers
from app.web.api.call import Call
from app.web.api.lineage import stored
from app.web.api.operation import API, NoQuery, Operation
from app.web.api.schemas.common import NoBody, Page, Paged
from app.web.api.schemas.extractions import ExtractionView, ExtractRequest, History, LogQuery, LogView
from app.web.api.visible import cursor_seal, visible_page
from app.web.http import requests, sse
from app.web.http.problems import HttpProblem, not_found
from app.web.keys import GITHUB

VIEWER_SHARE = 0.1
"""How much of all open streams one GitHub token can have."""
_FULL_ID = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")
ENDINGS: Mapping[Status, str] = {"succeeded": "succeeded", "failed": "failed", "superseded": "was superseded by a newer commit"}
"""Completes a sentence that begins with "The extraction"."""


async def extract(call: Call[NoQuery, ExtractRequest]) -> ExtractionView:
    """Queue an extraction."""
    connection = await call.connection("push")
    github = call.request.app[GITHUB]
    sha = None if call.body.sha is None else await _commit(call, connection, call.body.sha)
    return ExtractionView.of(await triggers.extract_now(call.store, github, connection, sha, "api"))


async def get_progress(call: Call[NoQuery, None]) -> ExtractionView | web.StreamResponse:
    """The newest extraction, as JSON or as server-sent events."""
    connection = await call.connection()
    last = await call.store.extractions.for_connection(connection.id, limit=1)
    if not last:
        raise HttpProblem(404, "No extraction yet", "Push to the repository, or request one with `POST …/extract`.")
    if sse.accepts_events(call.request):
        share = 1.0 if call.caller.everything else VIEWER_SHARE
        audience = sse.Audience(call.caller.key, share, lambda: call.caller.may("read", connection.repository))
        return await sse.stream(
            call.request, last[0].id, "json", lambda extraction: ExtractionView.of(extraction).model_dump_json(), audience
        )
    return ExtractionView.of(last[0])


async def list_extractions(call: Call[History, None]) -> Page[ExtractionView]:
    """The extractions of a connection, newest first."""
    query, connection = call.query, await call.connection()
    found = await call.store.extractions.search(
        connection.id,
        statuses=query.status or None,
        branch=query.branch,
        sha=query.sha,
        before=requests.number_cursor(query.cursor),
        limit=query.limit,
    )
    items = [ExtractionView.of(one) for one in found.extractions]
    return Page[ExtractionView](items=items, next_cursor=None if found.last is None else requests.next_cursor(str(found.last)))


async def list_active(call: Call[Paged, None]) -> Page[ExtractionView]:
    """Queued and running extractions, oldest first."""
    seal = await cursor_seal(call)
    place = requests.sealed_cursor(call.query.cursor, seal, 1)
    after = None if place is None else int(place[0])

    async def load(seen_by: Sequence[int] | None, last: Extraction | None, limit: int) -> list[Extraction]:
        return await call.store.extractions.active(after=after if last is None else last.number, seen_by=seen_by, limit=limit)

    found, last = await visible_page(call, call.query.limit, load)
    following = None if last is None else requests.next_sealed_cursor(seal, str(last.number))
    return Page[ExtractionView](items=[ExtractionView.of(one) for one in found], next_cursor=following)


async def get_extraction(call: Call[NoQuery, None]) -> ExtractionView:
    """One extraction."""
    return ExtractionView.of(await call.extraction())


async def get_log(call: Call[LogQuery, None]) -> LogView | web.Response:
    """The log of dbt, as text with its position in headers, or as JSON if `Accept` names it."""
    extraction = await call.extraction()
    log = await call.store.logs.get(extraction.id)
    complete = log.content if log else b""
    offset, content = part(complete, call.query.offset, call.query.limit)
    view = LogView(
        extraction_id=extraction.id,
        number=log.number if log else None,
        offset=offset,
        next_offset=offset + len(content),
        size=len(complete),
        ended=extraction.status in ENDED,
        content=content.decode(),
    )
    if "application/json" in call.request.headers.get("Accept", ""):
        return view
    headers = {"X-Log-Offset": str(offset), "X-Log-Next-Offset": str(view.next_offset), "X-Log-Size": str(view.size)}
    headers |= {"X-Log-Ended": str(view.ended).lower(), "Vary": "Accept"}
    return web.Response(body=content, content_type="text/plain", charset="utf-8", headers=headers)


async def cancel(call: Call[NoQuery, NoBody]) -> ExtractionView:
    """Cancel a queued or running extraction. Cancelling twice is fine; one that ended otherwise is a 409."""
    extraction = await call.extraction("push")
    await call.store.extractions.cancel(extraction.id)
    current = await call.store.extractions.get(extraction.id)
    if current is None:
        raise not_found("extraction")
    if current.status != "cancelled":
        detail = f"The extraction {ENDINGS[current.status]}, so there is nothing to cancel."
        raise HttpProblem(409, "Extraction already ended", detail, extraction_status=current.status)
    return ExtractionView.of(current)


async def retry(call: Call[NoQuery, NoBody]) -> ExtractionView:
    """Queue another extraction of the same commit and branch."""
    return ExtractionView.of(await triggers.extract_again(call.store, await call.extraction("push"), "api"))


async def _commit(call: Call[NoQuery, ExtractRequest], connection: Connection, name: str) -> str | None:
    """The commit that a name means; None: the followed branch's head. Raises HttpProblem 404, or 400 if it is ambiguous."""
    if _FULL_ID.fullmatch(name):
        return name.lower()
    if name == connection.followed_branch:
        return None
    head = await call.request.app[GITHUB].branch_head(connection.repository, name)
    return head or (await stored(call.store, connection, name)).sha


OPERATIONS = (
    Operation(
        method="POST",
        path=f"{API}/connections/{{id}}/extract",
        id="create_extraction",
        handler=extract,
        summary="Extract a commit, by default the branch's head; while that commit is queued or running, get that extraction",
        tag="extractions",
        body=ExtractRequest,
        response=ExtractionView,
        status=202,
        right="push",
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/progress",
        id="get_progress",
        handler=get_progress,
        summary="Get the newest extraction with its stages, as JSON or as server-sent events",
        tag="extractions",
        response=ExtractionView,
        media={
            "text/event-stream": "`event: progress` for each change, `event: end` for the last; `data` is the extraction as JSON. After a "
            "lost connection, send the last `id` as `Last-Event-ID`"
        },
        empty={204: "`Last-Event-ID` was the end of the stream: nothing follows"},
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/extractions",
        id="list_extractions",
        handler=list_extractions,
        summary="List the extractions of a connection, newest first",
        tag="extractions",
        query=History,
        response=Page[ExtractionView],
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/extractions/active",
        id="list_active_extractions",
        handler=list_active,
        summary="List queued and running extractions that the token may read, oldest first",
        tag="extractions",
        query=Paged,
        response=Page[ExtractionView],
    ),
    Operation(
        method="GET",
        path=f"{API}/extractions/{{id}}",
        id="get_extraction",
        handler=get_extraction,
        summary="Get one extraction: stages, attempts, settings, cost, and the result or error",
        tag="extractions",
        response=ExtractionView,
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/extractions/{{id}}/logs",
        id="get_extraction_log",
        handler=get_log,
        summary="Get dbt's log with secrets redacted; empty while there is none",
        tag="extractions",
        query=LogQuery,
        response=LogView,
        media={
            "text/plain": "The log, unless `Accept` names JSON. Headers: `X-Log-Offset`, `X-Log-Next-Offset`, `X-Log-Size`, `X-Log-Ended`"
        },
        right="read",
    ),
    Operation(
        method="POST",
        path=f"{API}/extractions/{{id}}/cancel",
        id="cancel_extraction",
        handler=cancel,
        summary="Cancel a queued or running extraction",
        tag="extractions",
        body=NoBody,
        response=ExtractionView,
        status=202,
        problems={409: "It has already ended, other than by being cancelled"},
        right="push",
    ),
    Operation(
        method="POST",
        path=f"{API}/extractions/{{id}}/retry",
        id="retry_extraction",
        handler=retry,
        summary="Extract the same commit again; while that commit is queued or running, get that extraction",
        tag="extractions",
        body=NoBody,
        response=ExtractionView,
        status=202,
        right="push",
    ),
)
