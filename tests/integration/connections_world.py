"""The API over a real database and a GitHub with state. Workers are a name here: what dbt would say is said by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app import handlers
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.client import GitHubClient
from app.github.survey import Survey
from app.heads import Heads
from app.jobs import Extraction, Problem, Repository, Status
from app.lineage import Lineage, Node
from app.reconcile import Kept, Reconciler
from app.store import Store
from app.web import keys, middleware, routes
from app.web.tokens import ServiceCallers, ServiceTokens
from tests.double import GitHubDouble, Installation, git
from tests.double import Repository as Hosted

SERVICE = "token"
PUBLIC_URL = "https://freshet.example"
LEASE = timedelta(minutes=1)
DAY = timedelta(days=1)


class Readers:
    """Callers whose tokens are `read` and `push`, for the rights that they have everywhere, and `none` (`app.ports.Callers`)."""

    everything = False

    def __init__(self, right: str = "") -> None:
        self.key = self.right = right

    async def of(self, token: str) -> Any:
        if token == SERVICE:
            return await ServiceCallers(ServiceTokens([SERVICE])).of(token)
        return Readers(token) if token in ("read", "push", "none") else None

    async def may(self, right: str, _repository: Repository) -> bool:
        return right == self.right or (right == "read" and self.right == "push")

    async def listed(self) -> Sequence[int] | None:
        return None


@dataclass
class World:
    github: GitHubDouble
    installation: Installation
    store: Store
    client: TestClient[web.Request, web.Application]
    reconciler: Reconciler
    numbers: Iterator[int] = field(default_factory=count)

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, token: str = SERVICE, **headers: str) -> Any:
        """Ask the API and return what it answers; the status is asserted."""
        sent = {"Authorization": f"Bearer {token}", **headers}
        async with self.client.request(method, f"/api/metadata{path}", json=body, headers=sent) as response:
            text = await response.text()
            assert response.status == status, f"{method} {path}: {response.status} {text}"
            return await response.json(content_type=None) if text else None

    async def create(self, name: str = "octo/shop", files: dict[str, Any] | None = None, *, private: bool = True) -> tuple[Hosted, str]:
        """Create a repository that the App sees, of which nobody told us more than its name; return it with its head."""
        url, self.github.app.webhook_url = self.github.app.webhook_url, None
        hosted = await self.github.create_repository(name, files or {"dbt_project.yml": "name: shop\n"}, private=private)
        self.github.app.webhook_url = url
        await self.store.installations.see(self.ours(hosted))
        return hosted, await self.head(hosted)

    async def head(self, hosted: Hosted, branch: str = "main") -> str:
        """Return the head of a branch on GitHub."""
        return await git.resolve(hosted.directory, f"refs/heads/{branch}") or ""

    def ours(self, hosted: Hosted) -> Repository:
        return Repository(hosted.id, hosted.full_name, self.installation.id, hosted.default_branch, hosted.private)

    async def push(self, hosted: Hosted, branch: str = "main", *, heard: bool = True) -> str:
        """Push something new to GitHub, which tells the service of it."""
        return await self.github.push(hosted, {"a.sql": f"select {next(self.numbers)}"}, branch=branch, deliver=heard)

    async def look(self, hosted: Hosted) -> None:
        """Let the reconciler look at a repository."""
        await self.store.installations.look_failed(hosted.id, datetime.now(UTC))
        while await self.reconciler._next_look():
            pass

    async def extract(self, *projects: str, problem: Problem | None = None, result: dict[str, Any] | None = None) -> Extraction:
        """Run the next extraction, whose commit holds these projects, as the worker does."""
        extraction = await self.store.extractions.claim("w", LEASE)
        assert extraction is not None, "nothing waits"
        async with self.store.transaction() as tx:
            await handlers.follow(tx, extraction.repository, extraction.branch, extraction.sha, projects)
            if problem is None:
                await tx.lineages.save(extraction, LINEAGE, b"input of " + extraction.sha.encode())
                current = await tx.extractions.get(extraction.id)
                assert current is not None
                place = projects[0] if current.project_dir is None else current.project_dir
                await tx.connections.found_project(extraction.connection_id, place, "shop")
            status: Status = "failed" if problem else "succeeded"
            assert await tx.extractions.finish(extraction.id, "w", status, [], problem=problem, result={} if problem else result or RESULT)
        return extraction

    async def queue(self) -> list[Extraction]:
        return await self.store.extractions.active(after=None, limit=100)

    async def directories(self, hosted: Hosted) -> list[tuple[str | None, str | None]]:
        """Return directory and branch of the connections of a repository."""
        found = await self.ask("GET", f"/connections?repository={hosted.full_name}")
        return sorted(((one["project_dir"], one["branch"]) for one in found["items"]), key=str)


LINEAGE = Lineage("shop", "1.11.16", "duckdb", "v12", (Node("model.shop.a", "model", "a", "shop", b"{}", (), b""),))

RESULT: dict[str, Any] = {"counts": {"model": 1}, "nodes": 1, "edges": 0, "change": None, "usage": {}}


@asynccontextmanager
async def world(store: Store) -> AsyncIterator[World]:
    async with GitHubDouble() as github, ApiClient(github.api_url, total_s=5.0) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        client = GitHubClient(api, auth)
        survey = Survey(api, auth, client)
        web_app = web.Application(middlewares=[middleware.access_log, middleware.problems], client_max_size=64 << 10)
        web_app[keys.STORE], web_app[keys.GITHUB], web_app[keys.HEADS] = store, client, Heads(survey)
        web_app[keys.CALLERS], web_app[keys.OBJECTIVE_S], web_app[keys.PUBLIC_URL] = Readers(), 60.0, PUBLIC_URL
        routes.add(web_app, _taken(store))
        async with TestClient(TestServer(web_app)) as asking:
            github.app.webhook_url = str(asking.make_url("/api/webhooks/github"))
            installation = await github.install("octo")
            reconciler = Reconciler(store, client, survey, cast("Any", None), Kept(DAY, DAY, DAY))
            yield World(github, installation, store, asking, reconciler)
            assert github.violations == []


def _taken(store: Store) -> Any:
    """A webhook that trusts everybody."""

    async def take(request: web.Request) -> web.Response:
        delivery, name = request.headers["X-GitHub-Delivery"], request.headers["X-GitHub-Event"]
        await handlers.receive(store, delivery, name, await request.read())
        return web.Response(status=202)

    return take
