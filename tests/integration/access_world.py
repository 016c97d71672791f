"""The API with real routes and a real database, beside a GitHub double that decides who may do what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from app.core.models.callers import Right
from app.core.models.github import Repository
from app.github.access.queries import AccessQueries
from app.github.access.viewers import Viewers
from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.store import Store
from app.web import keys, routes
from app.web.auth import rate_limits
from app.web.auth.service_tokens import EitherCallers, ServiceCallers, ServiceTokens
from app.web.http import middleware
from tests.double import GitHubDouble
from tests.double import Repository as Hosted
from tests.patience import HANGS_S

SERVICE = "the-service-token"
FILES = {"dbt_project.yml": b"name: shop\n"}
CONNECTIONS = "/api/metadata/connections"


@dataclass
class World:
    """`clock` is what the caches of rights and the limits go by, in seconds."""

    github: GitHubDouble
    store: Store
    viewers: Viewers
    client: TestClient[web.Request, web.Application]
    clock: list[float]
    installation_id: int
    apis: tuple[ApiClient, ...]
    connections: dict[str, str] = field(default_factory=dict)

    async def create(self, full_name: str, *, private: bool = True, files: Mapping[str, bytes] = FILES) -> Hosted:
        """Create a repository and follow it, whether the App is installed there or not."""
        hosted = await self.github.create_repository(full_name, dict(files), private=private)
        await self.store.installations.update_from_push(Repository(hosted.id, full_name, self.installation_id, "main", private))
        self.connections[full_name] = (await self.store.connections.create(hosted.id, "")).id
        return hosted

    async def ask(self, token: str | None, path: str, method: str = "GET", **asked: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, body and headers."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.client.request(method, path, headers=headers, **asked) as response:
            body = await response.json(content_type=None)
            assert response.status < 400 or response.content_type == "application/problem+json"
            return response.status, body, response.headers

    async def read(self, token: str | None, full_name: str = "octo/shop") -> int:
        """The status of reading a connection."""
        return (await self.ask(token, f"{CONNECTIONS}/{self.connections[full_name]}"))[0]

    async def trigger(self, token: str | None, full_name: str = "octo/shop") -> int:
        """The status of requesting an extraction."""
        return (await self.ask(token, f"{CONNECTIONS}/{self.connections[full_name]}/extract", "POST"))[0]

    async def may(self, token: str, right: Right, hosted: Hosted) -> bool:
        """Whether the token has the right, as `Caller.may` answers."""
        caller = await self.viewers.find(token)
        return caller is not None and await caller.may(right, Repository(hosted.id, "is/not-asked-for", 0))

    async def listed(self, token: str) -> list[str]:
        """Repositories of the listed connections."""
        status, body, _ = await self.ask(token, CONNECTIONS)
        assert status == 200, body
        return [one["repository"] for one in body["items"]]

    async def being_asked(self, path: str) -> None:
        """Wait until a request whose path ends like this has reached GitHub; it may not be answered yet."""
        before = self.asked(path)
        async with asyncio.timeout(HANGS_S):
            while self.asked(path) == before:
                await asyncio.sleep(0)

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Shorten the timeout for GitHub to 0.2 seconds during an outage; at other times a busy machine may need longer."""
        sessions = [api._session for api in self.apis if api._session]
        before = [session.timeout for session in sessions]
        for session in sessions:
            session._timeout = aiohttp.ClientTimeout(total=0.2)
        yield
        for session, timeout in zip(sessions, before, strict=True):
            session._timeout = timeout

    def asked(self, path: str, since: int = 0) -> int:
        """Number of requests to GitHub whose path ends like this."""
        return sum(request.path.endswith(path) for request in self.github.requests[since:])


@asynccontextmanager
async def running(
    store: Store, *, with_client: bool = True, per_minute: int = 0, prepare: Callable[[web.Application], None] = lambda _: None
) -> AsyncIterator[World]:
    """Serve the API beside a GitHub on which the App is installed on the account `octo`."""
    clock = [1000.0]

    def now() -> float:
        return clock[0]

    async with (
        GitHubDouble() as github,
        ApiClient(github.api_url, total_s=HANGS_S, measured=False) as api,
        ApiClient(github.server_url, total_s=HANGS_S, measured=False) as git,
        aclosing(Viewers(AccessQueries(api, git), clock=now)) as viewers,
    ):
        installed = await github.install("octo")
        await store.installations.install(installed.id, "octo", "Organization", "all")
        secret = SecretStr(github.app.client_secret) if with_client else None
        viewers.use_app(github.app.client_id if with_client else None, secret, (github.api_url, github.server_url))
        web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
        web_app[keys.STORE] = store
        web_app[keys.GITHUB] = GitHubClient(api, AppAuth(github.app.id, github.app.private_key_pem, api))
        web_app[keys.CALLERS] = EitherCallers(ServiceCallers(ServiceTokens([SERVICE])), viewers)
        web_app[keys.SETUP] = SimpleNamespace(server_url="https://github.example")
        rate_limits.set_up(web_app, rate_limits.RateLimiter(per_minute, clock=now))
        prepare(web_app)
        routes.add(web_app, _no_delivery)
        async with TestClient(TestServer(web_app)) as client:
            yield World(github, store, viewers, client, clock, installed.id, (api, git))


async def _no_delivery(_: web.Request) -> web.Response:
    raise AssertionError("a delivery came")
