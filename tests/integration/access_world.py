"""The API as callers see it: the real routes and a real database, beside a GitHub that says who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from app.callers import Right
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.client import GitHubClient
from app.github.questions import Questions
from app.github.viewers import Viewers
from app.jobs import Repository
from app.store import Store
from app.web import keys, limits, middleware, routes
from app.web.tokens import EitherCallers, ServiceCallers, ServiceTokens
from tests.double import GitHubDouble
from tests.double import Repository as Hosted

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
    connections: dict[str, str] = field(default_factory=dict)

    async def create(self, full_name: str, *, private: bool = True, files: Mapping[str, bytes] = FILES) -> Hosted:
        """Create a repository and follow it, whether the App is installed there or not."""
        hosted = await self.github.create_repository(full_name, dict(files), private=private)
        await self.store.installations.see(Repository(hosted.id, full_name, self.installation_id, "main", private))
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
        """Return the status of reading a connection."""
        return (await self.ask(token, f"{CONNECTIONS}/{self.connections[full_name]}"))[0]

    async def trigger(self, token: str | None, full_name: str = "octo/shop") -> int:
        """Return the status of asking for an extraction."""
        return (await self.ask(token, f"{CONNECTIONS}/{self.connections[full_name]}/extract", "POST"))[0]

    async def may(self, token: str, right: Right, hosted: Hosted) -> bool:
        """Return what the guard would be told."""
        caller = await self.viewers.of(token)
        return caller is not None and await caller.may(right, Repository(hosted.id, "is/not-asked-for", 0))

    async def listed(self, token: str) -> list[str]:
        """Return the repositories of the connections that are listed."""
        status, body, _ = await self.ask(token, CONNECTIONS)
        assert status == 200, body
        return [one["repository"] for one in body["items"]]

    def asked(self, path: str, since: int = 0) -> int:
        """Return how often GitHub was asked for paths with that end."""
        return sum(request.path.endswith(path) for request in self.github.requests[since:])


@asynccontextmanager
async def running(store: Store, *, with_client: bool = True, per_minute: int = 0, total_s: float = 5.0) -> AsyncIterator[World]:
    """Serve the API beside a GitHub on which the App is installed on the account `octo`."""
    clock = [1000.0]

    def now() -> float:
        return clock[0]

    async with (
        GitHubDouble() as github,
        ApiClient(github.api_url, total_s=total_s, ours=False) as api,
        ApiClient(github.server_url, total_s=total_s, ours=False) as git,
        aclosing(Viewers(Questions(api, git), clock=now)) as viewers,
    ):
        installed = await github.install("octo")
        await store.installations.install(installed.id, "octo", "Organization", "all")
        secret = SecretStr(github.app.client_secret) if with_client else None
        viewers.become(github.app.client_id if with_client else None, secret, (github.api_url, github.server_url))
        web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
        web_app[keys.STORE] = store
        web_app[keys.GITHUB] = GitHubClient(api, AppAuth(github.app.id, github.app.private_key_pem, api))
        web_app[keys.CALLERS] = EitherCallers(ServiceCallers(ServiceTokens([SERVICE])), viewers)
        limits.set_up(web_app, limits.Limits(per_minute, clock=now))
        routes.add(web_app, _no_delivery)
        async with TestClient(TestServer(web_app)) as client:
            yield World(github, store, viewers, client, clock, installed.id)


async def _no_delivery(_: web.Request) -> web.Response:
    raise AssertionError("a delivery came")
