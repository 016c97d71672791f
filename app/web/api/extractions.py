"""Extractions: how they stand and stood, and a new one where it is asked for."""

from __future__ import annotations

from aiohttp import web

from app import handlers
from app.jobs import Extraction
from app.web import requests, sse
from app.web.call import Call
from app.web.keys import GITHUB
from app.web.models.common import Page, Paged
from app.web.models.extractions import ExtractionView, ExtractRequest
from app.web.operations import API, NoQuery, Operation
from app.web.problems import Problem


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
    if "text/event-stream" in call.request.headers.get("Accept", ""):
        return await sse.follow(call.request, last[0].id, lambda extraction: ExtractionView.of(extraction).model_dump_json())
    return ExtractionView.of(last[0])


async def list_extractions(call: Call[Paged, None]) -> Page[ExtractionView]:
    """List the extractions of a connection, newest first."""
    connection = await call.connection()
    before = requests.number_cursor(call.query.cursor)
    return _page(await call.store.extractions.of_connection(connection.id, before=before, limit=call.query.limit + 1), call.query.limit)


async def list_active(call: Call[Paged, None]) -> Page[ExtractionView]:
    """List what is queued or runs, oldest first."""
    after = requests.number_cursor(call.query.cursor)
    found = await call.store.extractions.active(after=after, seen_by=await call.caller.listed(), limit=call.query.limit + 1)
    seen = await call.readable(one.repository for one in found[: call.query.limit])
    return _page(found, call.query.limit, seen)


async def get_extraction(call: Call[NoQuery, None]) -> ExtractionView:
    """Show one extraction."""
    return ExtractionView.of(await call.extraction())


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
        media={"text/event-stream": "`event: progress` for each change, `event: end` for the last; `data` is the extraction"},
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/extractions",
        handler=list_extractions,
        summary="The history of a connection, newest first",
        tag="extractions",
        query=Paged,
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
)
