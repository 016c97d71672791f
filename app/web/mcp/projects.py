"""The project that a tool is asked about: by id, by the repository's name, or the only one that the caller may see."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.core.models.connections import Connection
from app.web.api.call import Call
from app.web.api.connections import list_connections
from app.web.api.schemas.common import Page
from app.web.api.schemas.connections import ConnectionsQuery, ConnectionView
from app.web.http.problems import HttpProblem, not_found

CANDIDATES = 20
MOST_OF_REPOSITORY = 200


async def connection_of(call: Call[Any, None]) -> Connection:
    """The connection. Raises HttpProblem with candidates, all of which the caller may see."""
    asked, directory = call.query.connection, _directory(call.query.project_dir)
    if asked is not None and (id_ := _uuid(asked)) is not None:
        found = await call.store.connections.get(id_)
        if found is None or not await call.sees(found.repository):
            raise await _unknown(call, asked)
        return found
    views = (await listed(call, ConnectionsQuery(repository=asked, limit=MOST_OF_REPOSITORY if asked else 2))).items
    if asked is not None and not views:
        raise await _unknown(call, asked)
    if asked is None and len(views) > 1:
        detail = "`connection`: is required, because you can see several projects; `candidates` has some of them."
        raise HttpProblem(400, "Connection required", detail, field="connection", candidates=await _some(call))
    chosen = [one for one in views if directory is None or one.project_dir == directory]
    if len(chosen) != 1:
        raise _which(views, chosen, asked)
    found = await call.store.connections.get(chosen[0].id)
    if found is None:
        raise not_found("connection")
    return found


async def listed(call: Call[Any, None], query: ConnectionsQuery) -> Page[ConnectionView]:
    """Connections that the caller may see."""
    return await list_connections(Call(call.request, call.caller, query, None))


def _which(views: list[ConnectionView], chosen: list[ConnectionView], asked: str | None) -> HttpProblem:
    """None or several of the projects of a repository are meant."""
    if not views:
        return HttpProblem(404, "No project", "You can see no dbt project that Freshet follows.", field="connection")
    where = asked or views[0].repository
    if chosen:
        detail = f"`project_dir`: {where} has {len(chosen)} projects like this: name one in `connection` by its id, or by `project_dir`."
        candidates = [f"{one.id} (project_dir {one.project_dir or '.'}, branch {one.branch})" for one in chosen]
        return HttpProblem(400, "Project is ambiguous", detail, field="project_dir", candidates=candidates[:CANDIDATES])
    candidates = [one.project_dir or "." for one in views]
    detail = f"`project_dir`: {where} has no dbt project there that Freshet follows."
    return HttpProblem(404, "Project not found", detail, field="project_dir", candidates=candidates[:CANDIDATES])


async def _unknown(call: Call[Any, None], asked: str) -> HttpProblem:
    detail = f"`connection`: there is no project {asked}, or you may not see it. `candidates` has some that you can see."
    return HttpProblem(404, "Connection not found", detail, field="connection", candidates=await _some(call))


async def _some(call: Call[Any, None]) -> list[str]:
    """Repositories with projects that the caller may see."""
    return list(dict.fromkeys(one.repository for one in (await listed(call, ConnectionsQuery(limit=CANDIDATES))).items))


def _directory(given: str | None) -> str | None:
    return None if given is None else given.removeprefix("./").strip("/").removeprefix(".")


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
