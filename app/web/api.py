"""The JSON API: each handler reads what was asked, asks the store once, and shows what came."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel

from app import handlers
from app.web import requests, sse
from app.web.keys import GITHUB, STORE
from app.web.models import ConnectionDetail, ConnectionView, ExtractionView, ExtractRequest, Page
from app.web.problems import Problem


async def list_connections(request: web.Request) -> web.Response:
    """`GET /api/metadata/connections`."""
    limit = requests.limit(request)
    after = requests.cursor(request, 2)
    found = await request.app[STORE].connections.page(
        owner=requests.text(request, "owner"),
        repository=requests.text(request, "repository"),
        q=requests.text(request, "q"),
        after=_pair(after),
        limit=limit + 1,
    )
    shown = found[:limit]
    following = requests.next_cursor(shown[-1].repository.full_name, shown[-1].id) if len(found) > limit else None
    items = [ConnectionView(**ConnectionView.fields_of(connection)) for connection in shown]
    return _json(Page[ConnectionView](items=items, next_cursor=following))


async def get_connection(request: web.Request) -> web.Response:
    """`GET /api/metadata/connections/{id}`."""
    connection = await requests.connection(request)
    last = await request.app[STORE].extractions.of_connection(connection.id, limit=1)
    detail = ConnectionDetail(**ConnectionView.fields_of(connection), last_extraction=ExtractionView.of(last[0]) if last else None)
    return _json(detail)


async def extract(request: web.Request) -> web.Response:
    """`POST /api/metadata/connections/{id}/extract`."""
    connection = await requests.connection(request)
    wanted = await requests.body(request, ExtractRequest)
    queued = await handlers.extract_now(request.app[STORE], request.app[GITHUB], connection, wanted.sha, "api")
    return _json(ExtractionView.of(queued), status=202)


async def get_progress(request: web.Request) -> web.StreamResponse:
    """`GET /api/metadata/connections/{id}/progress`, as JSON or as server-sent events."""
    connection = await requests.connection(request)
    last = await request.app[STORE].extractions.of_connection(connection.id, limit=1)
    if not last:
        raise Problem(404, "There is no extraction yet", "Push to the repository, or ask for one with `extract`.")
    if "text/event-stream" in request.headers.get("Accept", ""):
        return await sse.follow(request, last[0].id, lambda extraction: ExtractionView.of(extraction).model_dump_json())
    return _json(ExtractionView.of(last[0]))


async def list_extractions(request: web.Request) -> web.Response:
    """`GET /api/metadata/connections/{id}/extractions`, newest first."""
    connection = await requests.connection(request)
    limit = requests.limit(request)
    found = await request.app[STORE].extractions.of_connection(connection.id, before=_number(request), limit=limit + 1)
    following = requests.next_cursor(str(found[limit - 1].number)) if len(found) > limit else None
    return _json(Page[ExtractionView](items=[ExtractionView.of(one) for one in found[:limit]], next_cursor=following))


async def list_active(request: web.Request) -> web.Response:
    """`GET /api/metadata/extractions/active`, oldest first."""
    limit = requests.limit(request)
    found = await request.app[STORE].extractions.active(after=_number(request), limit=limit + 1)
    following = requests.next_cursor(str(found[limit - 1].number)) if len(found) > limit else None
    return _json(Page[ExtractionView](items=[ExtractionView.of(one) for one in found[:limit]], next_cursor=following))


async def get_extraction(request: web.Request) -> web.Response:
    """`GET /api/metadata/extractions/{id}`."""
    return _json(ExtractionView.of(await requests.extraction(request)))


def _json(model: BaseModel, status: int = 200) -> web.Response:
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type="application/json")


def _pair(parts: list[str] | None) -> tuple[str, str] | None:
    if parts is None:
        return None
    return parts[0], requests.uuid(parts[1], "cursor")


def _number(request: web.Request) -> int | None:
    parts = requests.cursor(request, 1)
    if parts is None:
        return None
    if not (parts[0].isascii() and parts[0].isdigit() and len(parts[0]) < 19):  # noqa: PLR2004 - digits of a bigint
        raise requests.invalid("cursor", "is not one that an answer gave")
    return int(parts[0])
