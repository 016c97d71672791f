"""Connections: the dbt projects that are followed, and what people want of them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from app import connecting
from app.connecting import ConnectedError, NoBranchError, Wish
from app.errors import GoneError
from app.jobs import Connection
from app.web import requests
from app.web.call import Call
from app.web.keys import GITHUB
from app.web.middleware import problem_of
from app.web.models.common import Page
from app.web.models.connections import ChangeRequest, ConnectionDetail, ConnectionsQuery, ConnectionView, ConnectRequest
from app.web.models.extractions import ExtractionView
from app.web.operations import API, NoQuery, Operation, json_response
from app.web.problems import Problem

CONFLICT = "The project is followed on that branch already: `connection_id` says by which connection; or the repository has too many"


async def list_connections(call: Call[ConnectionsQuery, None]) -> Page[ConnectionView]:
    """List the connections that the caller may see, by the names of their repositories."""
    asked, after = call.query, requests.cursor(call.query.cursor, 2)
    found = await call.store.connections.page(
        owner=asked.owner,
        repository=asked.repository,
        q=asked.q,
        seen_by=await call.caller.listed(),
        after=None if after is None else (after[0], requests.uuid(after[1], "cursor")),
        limit=asked.limit + 1,
    )
    read, more = found[: asked.limit], len(found) > asked.limit
    seen = await call.readable(connection.repository for connection in read)
    items = [ConnectionView(**ConnectionView.fields_of(connection)) for connection in read if connection.repository.id in seen]
    return Page[ConnectionView](items=items, next_cursor=requests.next_cursor(read[-1].repository.full_name, read[-1].id) if more else None)


async def get_connection(call: Call[NoQuery, None]) -> ConnectionDetail:
    """Show one connection with its last extraction."""
    return await _detail(call, await call.connection())


async def connect(call: Call[NoQuery, ConnectRequest]) -> web.Response:
    """Follow a project of a repository that the App is installed on."""
    wanted = call.body
    repository = await call.store.installations.named(wanted.repository)
    seen = await call.sees(repository)
    if repository is None or not seen:
        raise _no_repository(wanted.repository)
    await call.require("push", repository, "repository")
    try:
        made = await _told(connecting.connect(call.store, call.request.app[GITHUB], repository, Wish(wanted.project_dir, wanted.branch)))
    except GoneError as error:
        raise _no_repository(wanted.repository) from error
    response = json_response(await _detail(call, made), 201)
    response.headers["Location"] = f"{API}/connections/{made.id}"
    return response


async def change(call: Call[NoQuery, ChangeRequest]) -> ConnectionDetail:
    """Change the settings of a connection: those that the body names."""
    connection = await call.connection("push")
    named = call.body.model_fields_set
    project_dir = call.body.project_dir if "project_dir" in named else connection.project_dir
    branch = call.body.branch if "branch" in named else connection.branch
    changing = connecting.change(call.store, call.request.app[GITHUB], connection, Wish(project_dir, branch))
    return await _detail(call, await _told(changing))


async def disconnect(call: Call[NoQuery, None]) -> web.Response:
    """Remove a connection."""
    await connecting.disconnect(call.store, await call.connection("push"))
    return web.Response(status=204)


async def _detail(call: Call[Any, Any], connection: Connection) -> ConnectionDetail:
    last = await call.store.extractions.of_connection(connection.id, limit=1)
    return ConnectionDetail(**ConnectionView.fields_of(connection), last_extraction=ExtractionView.of(last[0]) if last else None)


async def _told(wish: Awaitable[Connection]) -> Connection:
    """Return what becomes of a wish. Raises Problem that names the field, or the connection that is in the way."""
    try:
        return await wish
    except NoBranchError as error:
        raise requests.invalid("branch", error.reason) from error
    except ConnectedError as error:
        found = problem_of(error)
        raise Problem(found.status, found.title, found.detail, connection_id=error.connection_id) from error


def _no_repository(name: str) -> Problem:
    told = f"There is no repository {name} that the App is installed on, or it may not be seen with this token."
    return Problem(404, "Not found", told, field="repository")


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections",
        handler=list_connections,
        summary="The connections that the caller may see",
        tag="connections",
        query=ConnectionsQuery,
        answer=Page[ConnectionView],
    ),
    Operation(
        method="POST",
        path=f"{API}/connections",
        handler=connect,
        summary="Follow a project of a repository that the App is installed on; its extraction starts by itself",
        tag="connections",
        body=ConnectRequest,
        answer=ConnectionDetail,
        status=201,
        problems={
            403: "GitHub lets the token read the repository, but not push to it",
            404: "The App is not installed on such a repository, or the token may not see it",
            409: CONFLICT,
        },
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}",
        handler=get_connection,
        summary="One connection, its settings, its last extraction, and how stale it is",
        tag="connections",
        answer=ConnectionDetail,
        right="read",
    ),
    Operation(
        method="PATCH",
        path=f"{API}/connections/{{id}}",
        handler=change,
        summary="Change settings: what the body does not name stays; the head of another branch is extracted by itself",
        tag="connections",
        body=ChangeRequest,
        answer=ConnectionDetail,
        problems={409: CONFLICT},
        right="push",
    ),
    Operation(
        method="DELETE",
        path=f"{API}/connections/{{id}}",
        handler=disconnect,
        summary="Stop following: hidden at once, deleted for good after the grace period, and back only by `POST`",
        tag="connections",
        status=204,
        right="push",
    ),
)
