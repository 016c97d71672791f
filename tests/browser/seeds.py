"""Repositories on the double's GitHub, and what Freshet found in them, made by the real pipeline with a dbt in miniature."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from app.core.models.extractions import ENDED, Extraction
from app.core.models.github import Repository as OurRepository
from app.github.app.auth import AppAuth
from app.github.git.source import GitSources
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.webhook import Delivery, WebhookEndpoint
from app.lineage.run_results import NodeResult
from app.pipeline import webhooks
from app.pipeline.bases import BaseFinder
from app.pipeline.decoding.inline import Inline
from app.pipeline.impacts import Impacts
from app.pipeline.refresh import Tools
from app.pipeline.worker import Worker
from app.store import Store, listen
from app.store.node_results import ArtifactHead
from demo import parking, second_push, side_push
from demo.__main__ import FOLDER, PROJECT, REPOSITORY
from tests.dbt_double import DoubleRunner
from tests.double import Content, GitHubDouble, Repository
from tests.patience import HANGS_S

CLAIM = "a worker elsewhere"
HOURS = timedelta(hours=12)


@dataclass
class Seeds:
    """What the pages are about."""

    github: GitHubDouble
    store: Store
    bikes: Repository
    parking: Repository
    connections: dict[str, str] = field(default_factory=dict)
    """Ids by the name of the repository."""
    extractions: dict[str, str] = field(default_factory=dict)
    """Ids by what is special about them."""
    commits: dict[str, str] = field(default_factory=dict)
    """Their commits."""

    def page(self, name: str) -> str:
        """The path of an extraction's page."""
        return f"/extractions/{self.extractions[name]}"

    def connection(self, repository: str = "bikes", rest: str = "") -> str:
        """The path of a connection's page, or of one below it."""
        return f"/connections/{self.connections[repository]}{rest}"


@dataclass
class _Seeding:
    seeds: Seeds

    async def push(self, name: str, repository: Repository, files: Mapping[str, Content | None], **more: Any) -> Extraction:
        """Push, and wait for the end of the extraction."""
        sha = await self.seeds.github.push(repository, files, **more)
        found = await self._ended(repository, sha)
        self.seeds.extractions[name], self.seeds.commits[name] = found.id, sha
        return found

    async def _ended(self, repository: Repository, sha: str) -> Extraction:
        async with asyncio.timeout(HANGS_S):
            while True:
                for connection in await self.seeds.store.connections.for_repository(repository.id):
                    page = await self.seeds.store.extractions.search(connection.id, sha=sha, limit=1)
                    if page.extractions and page.extractions[0].status in ENDED:
                        return page.extractions[0]
                await asyncio.sleep(0.02)


async def seed(github: GitHubDouble, store: Store, dsn: str, directory: Path) -> Seeds:
    """Make everything. Afterwards a service takes over: the extractions that run or wait here do so for hours."""
    readme: dict[str, Content] = {"README.md": "Bicycles for rent.\n"}
    seeds = Seeds(
        github,
        store,
        await github.create_repository(REPOSITORY, readme),
        await github.create_repository(parking.REPOSITORY, {"README.md": parking.README}),
    )
    async with _working(github, store, dsn, directory):
        installation = await github.install("acme")
        for hosted, directory_of in ((seeds.bikes, FOLDER), (seeds.parking, "")):
            known = OurRepository(hosted.id, hosted.full_name, installation.id, hosted.default_branch, hosted.private)
            await store.installations.update_from_push(known)
            connection = await store.connections.create(hosted.id, directory_of)
            seeds.connections[hosted.name] = connection.id
        await _bikes(_Seeding(seeds))
        await _parking(_Seeding(seeds))
    await _unfinished(seeds)
    await _results(seeds)
    return seeds


async def _results(seeds: Seeds) -> None:
    """Two nights of dbt: a model that became slow, a test that fails, a source that is late."""
    connection_id, failed = seeds.connections[seeds.bikes.name], False
    head = await seeds.store.lineages.head(connection_id)
    graph = None if head is None else await seeds.store.lineage_cache.get(head)
    assert graph is not None
    for night in range(2):
        artifact = ArtifactHead("run_results", f"night-{night}", datetime.now(UTC) - timedelta(hours=30 - 24 * night))
        found = []
        for node in graph.nodes:
            status = {"source": "warn", "test": "pass" if failed else "fail"}.get(node.resource_type, "success")
            failed = failed or node.resource_type == "test"
            found.append(
                NodeResult(node.unique_id, status, 0.5 + 4 * night, 3 * (status == "fail"), "OK", artifact.generated_at, 10**9, None)
            )
        await seeds.store.node_results.save(connection_id, artifact, found)


async def _bikes(seeding: _Seeding) -> None:
    bikes = seeding.seeds.bikes
    files: dict[str, Content] = {
        f"{FOLDER}/{path.relative_to(PROJECT)}": path.read_bytes() for path in sorted(PROJECT.rglob("*")) if path.is_file()
    }
    await seeding.push("first", bikes, files, message="Add the dbt project")
    changed = {f"{FOLDER}/{path}": content for path, content in second_push.FILES.items()}
    await seeding.push("changed", bikes, changed, message=second_push.MESSAGE)
    await seeding.push("carried", bikes, {"README.md": "Bicycles for rent, in two cities.\n"}, message="Say where")
    renamed = {f"{FOLDER}/{path}": content for path, content in side_push.FILES.items()}
    await seeding.push("breaking", bikes, renamed, branch=side_push.BRANCH, message=side_push.MESSAGE)


async def _parking(seeding: _Seeding) -> None:
    await seeding.push("small", seeding.seeds.parking, parking.FILES, message=parking.MESSAGE)
    await seeding.push("failed", seeding.seeds.parking, parking.BROKEN, message=parking.BROKEN_MESSAGE)


async def _unfinished(seeds: Seeds) -> None:
    """Extractions of branches that no worker ends; `live` and `cancel` are for the tests that do."""
    extractions = seeds.store.extractions
    for name in ("cancelled", "superseded", "running", "live", "queued", "cancel"):
        repository = seeds.bikes if name == "live" else seeds.parking
        [connection] = await seeds.store.connections.for_repository(repository.id)
        sha = await seeds.github.push(repository, {"models/more.sql": f"select '{name}' as name"}, branch=f"try-{name}", deliver=False)
        seeds.commits[name] = sha
        seeds.extractions[name] = await extractions.enqueue(connection.id, f"try-{name}", sha, "push")
        if name == "cancelled":
            await extractions.cancel(seeds.extractions[name])
        if name == "superseded":
            await extractions.supersede(connection.id, f"try-{name}", "f" * 40)
        if name in {"running", "live"}:
            await extractions.claim(f"{CLAIM}/{name}", HOURS)
    await seeds.store._db.execute("UPDATE extractions SET due_at = now() + interval '12 hours' WHERE status = 'queued'")


@asynccontextmanager
async def _working(github: GitHubDouble, store: Store, dsn: str, directory: Path) -> AsyncIterator[None]:
    """Take webhooks and extract, in this process."""

    async def receive(delivery: Delivery) -> None:
        await webhooks.receive(store, delivery.id, delivery.event, delivery.body)

    work_dir = directory / "seeding"
    work_dir.mkdir()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(ApiClient(github.api_url, total_s=HANGS_S))
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        application = web.Application()
        application.router.add_post("/hook", WebhookEndpoint(github.app.webhook_secret, receive).handle)
        server = await stack.enter_async_context(TestServer(application))
        sources = stack.enter_context(closing(GitSources(github.server_url, work_dir, auth.fetch_token, environ=os.environ)))
        nothing: Any = None
        tools = Tools(sources, nothing, DoubleRunner(work_dir), Inline())
        impacts = Impacts(store, BaseFinder(store, GitHubClient(api, auth)))
        worker = Worker("seeding", store, tools, impacts, concurrency=2)
        listener = await stack.enter_async_context(listen.listening(dsn))
        wakeups = {name: stack.enter_context(listener.wakeup(f"freshet_{name}")) for name in ("queue", "cancels", "impacts")}
        jobs = (worker.run(wakeups["queue"], wakeups["cancels"]), impacts.run(wakeups["impacts"]))
        tasks = [asyncio.create_task(job) for job in jobs]
        github.app.webhook_url = str(server.make_url("/hook"))
        try:
            yield
            await github.settle()
        finally:
            github.app.webhook_url = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
