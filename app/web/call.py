"""One call of the API: who asks, and what was asked for, checked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web

from app.callers import Caller, Right
from app.jobs import Connection, Extraction, Repository
from app.storage import Store
from app.web import requests
from app.web.keys import STORE
from app.web.problems import Problem, not_found

Q = TypeVar("Q")
B = TypeVar("B")
NOTHING = Repository(0, "", 0)
"""Asked about in the place of what there is not: else a GitHub that is away would tell that from what may not be seen."""
ASKED_AT_ONCE = 8
"""Repositories of one page that GitHub is asked about at the same time."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """What a handler gets: `query` and `body` are of the models that its operation names."""

    request: web.Request
    caller: Caller
    query: Q
    body: B

    @property
    def store(self) -> Store:
        """The database."""
        return self.request.app[STORE]

    async def connection(self, right: Right = "read") -> Connection:
        """Return the connection that the path names. Raises Problem: 404 when the caller may not see it, 403 when that is all he may."""
        found = await self.store.connections.get(requests.path_id(self.request, "connection"))
        if found is None:
            raise not_found("connection")
        await self.require(right, found.repository, "connection")
        return found

    async def extraction(self, right: Right = "read") -> Extraction:
        """Return the extraction that the path names. Raises as `connection` does."""
        found = await self.store.extractions.get(requests.path_id(self.request, "extraction"))
        if found is None:
            raise not_found("extraction")
        await self.require(right, found.repository, "extraction")
        return found

    async def require(self, right: Right, repository: Repository, what: str) -> None:
        """Let the call go on if the caller has this right on GitHub; `what` is what of the repository he asked for."""
        if await self.caller.may(right, repository):
            return
        if right == "read" or not await self.caller.may("read", repository):
            raise not_found(what)
        told = f"GitHub lets this token read {repository.full_name}, but not push to it."
        raise Problem(403, "This needs leave to push", told)

    async def sees(self, repository: Repository | None) -> bool:
        """Tell whether the caller may read what somebody named, if there is such a repository."""
        return await self.caller.may("read", repository or NOTHING)

    async def readable(self, repositories: Iterable[Repository]) -> set[int]:
        """Return the ids of those that the caller may read."""
        asked = {repository.id: repository for repository in repositories} or {NOTHING.id: NOTHING}
        turn = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(repository: Repository) -> bool:
            async with turn:
                return await self.caller.may("read", repository)

        try:
            async with asyncio.TaskGroup() as tasks:
                answers = {id_: tasks.create_task(ask(repository)) for id_, repository in asked.items()}
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        return {id_ for id_, answer in answers.items() if answer.result()}
