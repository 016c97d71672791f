"""Extractions: how they stand and stood, and a new one where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from app import handlers
from app.jobs import ENDED, Extraction, Status
from app.texts import part
from app.web import requests, sse
from app.web.call import Call
from app.web.keys import GITHUB
from app.web.models.common import NoBody, Page, Paged
from app.web.models.extractions import ExtractionView, ExtractRequest, History, LogQuery, LogView
from app.web.operations import API, NoQuery, Operation
from app.web.problems import Problem, not_found

ENDINGS: Mapping[Status, str] = {"succeeded": "succeeded", "failed": "failed", "superseded": "was superseded by a newer commit"}
"""What it did, in a sentence."""


async def extract(call: Call[NoQuery, ExtractRequest]) -> ExtractionView:
    """Queue an extraction."""
    connection = await call.connection("push")
    github = call.request.app[GITHUB]
    return ExtractionView.of(await handlers.extract_now(call.store, github, connection, call.body.sha, "api"))


async def get_progress(call: Call[NoQuery, None]) -> ExtractionView | web.StreamResponse:
    """Show the current or last extraction, as JSON or as server-sent events."""
    connection = await call.connection()
    last = await call.store.extractions.of_connection(connection.id, limit=1)
    if not last:
        raise Problem(404, "There is no extraction yet", "Push to the repository, or ask for one with `extract`.")
    if sse.wanted(call.request):
        return await sse.follow(call.request, last[0].id, "json", lambda extraction: ExtractionView.of(extraction).model_dump_json())
    return ExtractionView.of(last[0])


async def list_extractions(call: Call[History, None]) -> Page[ExtractionView]:
    """List the extractions of a connection, newest first."""
    asked, connection = call.query, await call.connection()
    found = await call.store.extractions.search(
        connection.id,
        statuses=asked.status or None,
        branch=asked.branch,
        sha=asked.sha,
        before=requests.number_cursor(asked.cursor),
        limit=asked.limit,
    )
    items = [ExtractionView.of(one) for one in found.extractions]
    return Page[ExtractionView](items=items, next_cursor=None if found.last is None else requests.next_cursor(str(found.last)))


async def list_active(call: Call[Paged, None]) -> Page[ExtractionView]:
    """List what is queued or runs, oldest first."""
    after = requests.number_cursor(call.query.cursor)
    found = await call.store.extractions.active(after=after, seen_by=await call.caller.listed(), limit=call.query.limit + 1)
    seen = await call.readable(one.repository for one in found[: call.query.limit])
    return _page(found, call.query.limit, seen)


async def get_extraction(call: Call[NoQuery, None]) -> ExtractionView:
    """Show one extraction."""
    return ExtractionView.of(await call.extraction())


async def get_log(call: Call[LogQuery, None]) -> LogView | web.Response:
    """Show what dbt logged, as text or, if JSON is asked for, with where it stands."""
    extraction = await call.extraction()
    log = await call.store.logs.of(extraction.id)
    whole = log.content if log else b""
    offset, content = part(whole, call.query.offset, call.query.limit)
    view = LogView(
        extraction_id=extraction.id,
        number=log.number if log else None,
        offset=offset,
        next_offset=offset + len(content),
        size=len(whole),
        ended=extraction.status in ENDED,
        content=content.decode(),
    )
    if "application/json" in call.request.headers.get("Accept", ""):
        return view
    headers = {"X-Log-Offset": str(offset), "X-Log-Next-Offset": str(view.next_offset), "X-Log-Size": str(view.size)}
    headers |= {"X-Log-Ended": str(view.ended).lower(), "Vary": "Accept"}
    return web.Response(body=content, content_type="text/plain", charset="utf-8", headers=headers)


async def cancel(call: Call[NoQuery, NoBody]) -> ExtractionView:
    """Cancel what is queued or runs. Once more does no harm; what has ended otherwise stays as it is."""
    extraction = await call.extraction("push")
    await call.store.extractions.cancel(extraction.id)
    current = await call.store.extractions.get(extraction.id)
    if current is None:
        raise not_found("extraction")
    if current.status != "cancelled":
        raise Problem(
            409, "The extraction has ended", f"It {ENDINGS[current.status]}: there is nothing to cancel.", extraction_status=current.status
        )
    return ExtractionView.of(current)


async def retry(call: Call[NoQuery, NoBody]) -> ExtractionView:
    """Queue another extraction of the same commit and branch."""
    return ExtractionView.of(await handlers.extract_again(call.store, await call.extraction("push"), "api"))


def _page(found: list[Extraction], limit: int, seen: set[int] | None = None) -> Page[ExtractionView]:
    """Return at most `limit` of what was found, of the repositories that may be `seen`."""
    following = requests.next_cursor(str(found[limit - 1].number)) if len(found) > limit else None
    shown = [one for one in found[:limit] if seen is None or one.repository.id in seen]
    return Page[ExtractionView](items=[ExtractionView.of(one) for one in shown], next_cursor=following)


OPERATIONS = (
    Operation(
        method="POST",
        path=f"{API}/connections/{{id}}/extract",
        handler=extract,
        summary="Extract a commit, or the newest one; while one for that commit is queued or running: that one",
        tag="extractions",
        body=ExtractRequest,
        answer=ExtractionView,
        status=202,
        right="push",
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/progress",
        handler=get_progress,
        summary="The current or last extraction, stage by stage",
        tag="extractions",
        answer=ExtractionView,
        media={
            "text/event-stream": "`event: progress` for each change, `event: end` for the last; `data` is the extraction, `id` is for "
            "`Last-Event-ID` when the stream was lost"
        },
        empty={204: "The event of `Last-Event-ID` was the last one"},
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/extractions",
        handler=list_extractions,
        summary="The history of a connection, newest first",
        tag="extractions",
        query=History,
        answer=Page[ExtractionView],
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/extractions/active",
        handler=list_active,
        summary="What is queued or runs, oldest first",
        tag="extractions",
        query=Paged,
        answer=Page[ExtractionView],
    ),
    Operation(
        method="GET",
        path=f"{API}/extractions/{{id}}",
        handler=get_extraction,
        summary="One extraction",
        tag="extractions",
        answer=ExtractionView,
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/extractions/{{id}}/logs",
        handler=get_log,
        summary="The log of dbt, secrets redacted; empty while there is none",
        tag="extractions",
        query=LogQuery,
        answer=LogView,
        media={
            "text/plain": "The log itself, unless `Accept` names JSON; `X-Log-Offset`, `X-Log-Next-Offset`, `X-Log-Size` and `X-Log-Ended`"
        },
        right="read",
    ),
    Operation(
        method="POST",
        path=f"{API}/extractions/{{id}}/cancel",
        handler=cancel,
        summary="Cancel an extraction that is queued or runs",
        tag="extractions",
        body=NoBody,
        answer=ExtractionView,
        status=202,
        problems={409: "It has ended, and not by being cancelled"},
        right="push",
    ),
    Operation(
        method="POST",
        path=f"{API}/extractions/{{id}}/retry",
        handler=retry,
        summary="Extract the same commit once more; while one of it is queued or runs: that one",
        tag="extractions",
        body=NoBody,
        answer=ExtractionView,
        status=202,
        right="push",
    ),
)
