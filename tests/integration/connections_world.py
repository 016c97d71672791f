"""The API with a real database and the GitHub double. There are no workers: the tests end extractions themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.core.models.extractions import Extraction, Problem, Status
from app.core.models.github import Repository
from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.lineage.nodes import Lineage, Node
from app.pipeline import connections, webhooks
from app.pipeline.branch_heads import BranchHeads
from app.pipeline.reconciler import Reconciler, RetentionPolicy
from app.store import Store
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from tests.double import GitHubDouble, Installation, git
from tests.double import Repository as Hosted
from tests.patience import HANGS_S

SERVICE = "token"
PUBLIC_URL = "https://freshet.example"
LEASE = timedelta(minutes=1)
DAY = timedelta(days=1)


class Readers:
    """Callers with the tokens `read`, `push` and `none`, named after their rights on every repository (`core.models.callers.Callers`)."""

    everything = False

    def __init__(self, right: str = "") -> None:
        self.key = self.right = right

    async def find(self, token: str) -> Any:
        if token == SERVICE:
            return await ServiceCallers(ServiceTokens([SERVICE])).find(token)
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
        """The API's answer; asserts the status."""
        sent = {"Authorization": f"Bearer {token}", **headers}
        async with self.client.request(method, f"/api/metadata{path}", json=body, headers=sent) as response:
            text = await response.text()
            assert response.status == status, f"{method} {path}: {response.status} {text}"
            return await response.json(content_type=None) if text else None

    async def create(self, name: str = "octo/shop", files: dict[str, Any] | None = None, *, private: bool = True) -> tuple[Hosted, str]:
        """Create a repository in the installation, without a webhook delivery about its content; it and its head."""
        url, self.github.app.webhook_url = self.github.app.webhook_url, None
        hosted = await self.github.create_repository(name, files or {"dbt_project.yml": "name: shop\n"}, private=private)
        self.github.app.webhook_url = url
        await self.store.installations.update_from_push(self.ours(hosted))
        return hosted, await self.head(hosted)

    async def head(self, hosted: Hosted, branch: str = "main") -> str:
        """The head of a branch on GitHub."""
        return await git.resolve(hosted.directory, f"refs/heads/{branch}") or ""

    def ours(self, hosted: Hosted) -> Repository:
        return Repository(hosted.id, hosted.full_name, self.installation.id, hosted.default_branch, hosted.private)

    async def push(self, hosted: Hosted, branch: str = "main", *, heard: bool = True) -> str:
        """Push a new commit to GitHub, which delivers the event. The first one of a repository makes the reconciler look at it."""
        known = await self.store.connections.for_repository(hosted.id)
        sha = await self.github.push(hosted, {"a.sql": f"select {next(self.numbers)}"}, branch=branch, deliver=heard)
        if heard and not known:
            await self.run_looks()
        return sha

    async def look(self, hosted: Hosted) -> None:
        """Run the reconciler for a repository."""
        await self.store.installations.look_after_push(hosted.id)
        await self.run_looks()

    async def run_looks(self) -> None:
        """Look at what is due."""
        while await self.reconciler._next_look():
            pass

    async def extract(self, *projects: str, problem: Problem | None = None, result: dict[str, Any] | None = None) -> Extraction:
        """Run the next extraction as the worker does; its commit has these projects."""
        extraction = await self.store.extractions.claim("w", LEASE)
        assert extraction is not None, "nothing is queued"
        async with self.store.transaction() as tx:
            await connections.sync_with_projects(tx, extraction.repository, extraction.branch, extraction.sha, projects)
            if problem is None:
                await tx.lineages.save(extraction, LINEAGE, b"input of " + extraction.sha.encode())
                current = await tx.extractions.get(extraction.id)
                assert current is not None
                place = projects[0] if current.project_dir is None else current.project_dir
                await tx.connections.set_project(extraction.connection_id, place, "shop")
            status: Status = "failed" if problem else "succeeded"
            assert await tx.extractions.finish(extraction.id, "w", status, [], problem=problem, result={} if problem else result or RESULT)
        return extraction

    async def queue(self) -> list[Extraction]:
        return await self.store.extractions.active(after=None, limit=100)

    async def directories(self, hosted: Hosted) -> list[tuple[str | None, str | None]]:
        """The directory and branch of each connection of a repository."""
        found = await self.ask("GET", f"/connections?repository={hosted.full_name}")
        return sorted(((one["project_dir"], one["branch"]) for one in found["items"]), key=str)


LINEAGE = Lineage("shop", "1.11.16", "duckdb", "v12", (Node("model.shop.a", "model", "a", "shop", b"{}", (), b""),))

RESULT: dict[str, Any] = {"counts": {"model": 1}, "nodes": 1, "edges": 0, "change": None, "usage": {}}


@asynccontextmanager
async def world(store: Store) -> AsyncIterator[World]:
    async with GitHubDouble() as github, ApiClient(github.api_url, total_s=HANGS_S) as api:
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        client = GitHubClient(api, auth)
        survey = Inventory(api, auth, client)
        web_app = web.Application(middlewares=[middleware.access_log, middleware.problems], client_max_size=64 << 10)
        web_app[keys.STORE], web_app[keys.GITHUB], web_app[keys.HEADS] = store, client, BranchHeads(survey)
        web_app[keys.CALLERS], web_app[keys.OBJECTIVE_S], web_app[keys.PUBLIC_URL] = Readers(), 60.0, PUBLIC_URL
        routes.add(web_app, _taken(store))
        async with TestClient(TestServer(web_app)) as asking:
            github.app.webhook_url = str(asking.make_url("/api/webhooks/github"))
            installation = await github.install("octo")
            reconciler = Reconciler(store, client, survey, cast("Any", None), RetentionPolicy(DAY, DAY, DAY))
            yield World(github, installation, store, asking, reconciler)
            assert github.violations == []


def _taken(store: Store) -> Any:
    """A webhook that checks no signature."""

    async def take(request: web.Request) -> web.Response:
        delivery, name = request.headers["X-GitHub-Delivery"], request.headers["X-GitHub-Event"]
        await webhooks.receive(store, delivery, name, await request.read())
        return web.Response(status=202)

    return take
