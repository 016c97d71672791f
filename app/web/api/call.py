"""One call of the API: the caller, and the validated query and body."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiohttp import web

from app.core.models.callers import Caller, Right
from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.core.models.github import Repository
from app.store import Store
from app.web.http import requests
from app.web.http.problems import HttpProblem, not_found
from app.web.keys import STORE

Q = TypeVar("Q")
B = TypeVar("B")
NO_REPOSITORY = Repository(0, "", 0)
"""Checked in place of a repository that does not exist. Without that check, an outage of GitHub would reveal which names exist."""
CHECKS_AT_ONCE = 8
"""Repositories of one page whose permissions are requested from GitHub in parallel."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """What a handler receives; `query` and `body` are instances of its operation's models."""

    request: web.Request
    caller: Caller
    query: Q
    body: B

    @property
    def store(self) -> Store:
        """The database."""
        return self.request.app[STORE]

    async def connection(self, right: Right = "read") -> Connection:
        """The connection in the path. Raises HttpProblem: 404 if the caller may not read it, 403 if they may only read it."""
        found = await self.store.connections.get(requests.path_id(self.request, "connection"))
        if found is None:
            raise not_found("connection")
        await self.require(right, found.repository, "connection")
        return found

    async def extraction(self, right: Right = "read") -> Extraction:
        """The extraction in the path. Raises as `connection` does."""
        found = await self.store.extractions.get(requests.path_id(self.request, "extraction"))
        if found is None:
            raise not_found("extraction")
        await self.require(right, found.repository, "extraction")
        return found

    async def require(self, right: Right, repository: Repository, what: str) -> None:
        """Raise HttpProblem unless the caller has this right on GitHub; `what` names the thing in the error ("connection")."""
        if await self.caller.may(right, repository):
            return
        if right == "read" or not await self.caller.may("read", repository):
            raise not_found(what)
        raise HttpProblem(403, "Push permission required", f"On GitHub, you may read {repository.full_name}, but not push to it.")

    async def sees(self, repository: Repository | None) -> bool:
        """Whether the repository exists and the caller may read it; both cases take the same check."""
        return await self.caller.may("read", repository or NO_REPOSITORY)

    async def readable(self, repositories: Iterable[Repository]) -> set[int]:
        """Ids of the repositories that the caller may read."""
        by_id = {repository.id: repository for repository in repositories} or {NO_REPOSITORY.id: NO_REPOSITORY}
        slots = asyncio.Semaphore(CHECKS_AT_ONCE)

        async def check(repository: Repository) -> bool:
            async with slots:
                return await self.caller.may("read", repository)

        try:
            async with asyncio.TaskGroup() as tasks:
                answers = {id_: tasks.create_task(check(repository)) for id_, repository in by_id.items()}
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        return {id_ for id_, answer in answers.items() if answer.result()}
