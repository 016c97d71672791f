"""Pushes whose extractions are compared: a real queue, worker and outbox, webhooks and git of the double, and a scripted dbt."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from app.core.errors import DbtError
from app.core.models.extractions import ENDED, Extraction
from app.core.spool import Spool
from app.github.app.auth import AppAuth
from app.github.git.source import GitSources
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.webhook import Delivery, WebhookEndpoint
from app.pipeline import check_runs, webhooks
from app.pipeline.bases import BaseFinder
from app.pipeline.check_runs import LinkTargets
from app.pipeline.decoding.inline import Inline
from app.pipeline.impacts import Impacts
from app.pipeline.ports import DbtJob, PackageTree, Parsed, TarStream
from app.pipeline.refresh import Tools
from app.pipeline.verification import Verifier
from app.pipeline.worker import Worker
from app.store import Store, listen
from tests.double import CheckRun, Content, GitHubDouble, Repository, git
from tests.integration.life_world import IMAGE, USAGE, Runner
from tests.patience import HANGS_S

PROJECT: dict[str, Content | None] = {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n", "models/a.sql": "select 1 as id"}
BROKEN = "dbt says no"


class SqlRunner(Runner):
    """A dbt that makes a model of each file in `models/`; `{{ ref('a') }}` and `{{ source('raw', 'a') }}` are edges.

    A file that says `BROKEN` is an error.
    """

    def __init__(self, work_dir: Path) -> None:
        super().__init__(self._never)
        self._work_dir = work_dir
        self.parsed: list[str] = []
        """The labels of the jobs."""
        self._may_end: dict[str, asyncio.Event] = {}

    def hold(self, sha: str) -> None:
        """Let dbt run at this commit until `release`."""
        self._may_end[sha[:7]] = asyncio.Event()

    def release(self, sha: str) -> None:
        """Let dbt end at this commit."""
        self._may_end[sha[:7]].set()

    async def _never(self, job: DbtJob) -> Parsed:
        raise NotImplementedError

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        del packages
        self.parsed.append(job.label)
        files = _unpacked(b"".join([chunk async for chunk in tree]))
        if held := self._may_end.get(job.label[-7:]):
            await held.wait()
        if any(BROKEN in text for text in files.values()):
            raise DbtError(f"parsing {job.label}", "Compilation Error\n  it is broken")
        spool = Spool(self._work_dir)
        await spool.write(_manifest(files))
        await spool.flush()
        return Parsed(spool, "", USAGE, IMAGE.name)


def _unpacked(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive + bytes(1024))) as members:
        files = {one.name.removeprefix("src/"): members.extractfile(one) for one in members.getmembers()}
        return {name: member.read().decode() for name, member in files.items() if member and name.startswith("models/")}


def _manifest(files: Mapping[str, str]) -> bytes:
    nodes, sources = {}, {}
    for path, text in sorted(files.items()):
        name = Path(path).stem
        upstream = [f"model.shop.{one}" for one in re.findall(r"ref\('(\w+)'\)", text)]
        for table in re.findall(r"source\('raw', '(\w+)'\)", text):
            upstream.append(f"source.shop.raw.{table}")
            plain = {"resource_type": "source", "name": table, "source_name": "raw", "package_name": "shop", "config": {}}
            sources[upstream[-1]] = {"unique_id": upstream[-1], **plain, "relation_name": f'"db"."raw"."{table}"'}
        nodes[f"model.shop.{name}"] = {
            "unique_id": f"model.shop.{name}",
            "resource_type": "model",
            "name": name,
            "package_name": "shop",
            "config": {},
            "relation_name": f'"db"."main"."{name}"',
            "original_file_path": path,
            "raw_code": text,
            "depends_on": {"nodes": upstream},
        }
    about = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "dbt_version": "1.11.16", "project_name": "shop"}
    parents = {unique_id: node["depends_on"]["nodes"] for unique_id, node in nodes.items()}  # type: ignore[index]
    return json.dumps({"metadata": {**about, "adapter_type": "duckdb"}, "nodes": nodes, "sources": sources, "parent_map": parents}).encode()


@dataclass
class ImpactWorld:
    """A repository with a dbt project on a GitHub, and a Freshet that hears of every push."""

    github: GitHubDouble
    store: Store
    dsn: str
    client: GitHubClient
    tools: Tools
    runner: SqlRunner
    repository: Repository
    stack: AsyncExitStack

    async def push(self, files: Mapping[str, Content | None], branch: str = "main", **more: Any) -> str:
        """A push to a branch, of which Freshet has heard when this returns."""
        return await self.github.push(self.repository, files, branch=branch, **more)

    async def history(self, path: str, parent: str, commits: int) -> str:
        """Commits that change a file and are not pushed; the last one."""
        who = f"Mona <mona@example.com> {int(self.github.state.now().timestamp())} +0000"
        stream = ""
        for number in range(commits):
            text = f"select {number} as id"
            stream += f"commit refs/nobody\nmark :{number + 1}\ncommitter {who}\ndata 1\nx\nfrom {f':{number}' if number else parent}\n"
            stream += f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        stream += f"get-mark :{commits}\ndone\n"
        output = await git.run(self.repository.directory, "fast-import", "--quiet", "--force", "--done", stdin=stream.encode())
        return output.decode().strip()

    async def connection_id(self) -> str:
        """The only connection's."""
        [connection] = await self.store.connections.for_repository(self.repository.id)
        return connection.id

    async def all_extractions(self, sha: str) -> list[Extraction]:
        """Of a commit, the newest first."""
        return (await self.store.extractions.search(await self.connection_id(), sha=sha, limit=20)).extractions

    async def ended(self, sha: str, trigger: str = "push") -> Extraction:
        """The newest extraction of a commit, once it has ended."""
        async with asyncio.timeout(HANGS_S):
            while True:
                found = [one for one in await self.all_extractions(sha) if one.trigger == trigger]
                if found and found[0].status in ENDED:
                    return found[0]
                await asyncio.sleep(0.02)

    async def running(self, sha: str) -> None:
        """Wait until dbt runs at a commit."""
        async with asyncio.timeout(HANGS_S):
            while not any(label.endswith(sha[:7]) for label in self.runner.parsed):
                await asyncio.sleep(0.02)

    async def rerun(self, sha: str) -> Extraction:
        """Run a commit again, as the button on GitHub does."""
        run = self.github.check_runs(self.repository, sha)[-1]
        await self.github.rerequest(run)
        return await self.ended(sha, "rerequested")

    async def impact(self, sha: str, state: str | None = None) -> dict[str, Any]:
        """What a commit does, once its extraction has ended and it has this state."""
        async with asyncio.timeout(HANGS_S):
            while True:
                found: dict[str, Any] = (await self.ended(sha)).result["impact"]
                if state in (None, found["state"]):
                    return found
                await asyncio.sleep(0.02)

    async def shown(self, sha: str, *words: str) -> CheckRun:
        """The check run of a commit, once GitHub shows it completed with these words."""
        async with asyncio.timeout(HANGS_S):
            while True:
                runs = [run for run in self.github.check_runs(self.repository, sha) if run.status == "completed"]
                if runs and all(word in f"{runs[-1].title} {runs[-1].summary}" for word in words):
                    return runs[-1]
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def working(
        self, name: str = "w", *, impacts: bool = True, verifier: Verifier | None = None, places: int = 2
    ) -> AsyncIterator[Worker]:
        """Have a service work; `impacts`: also compute impacts again."""
        computing = Impacts(self.store, BaseFinder(self.store, self.client))
        worker = Worker(name, self.store, self.tools, computing, concurrency=places, verifier=verifier)
        async with listen.listening(self.dsn) as listener, AsyncExitStack() as stack:
            wakeups = {
                channel: stack.enter_context(listener.wakeup(f"freshet_{channel}")) for channel in ("queue", "cancels", "checks", "impacts")
            }
            jobs = [worker.run(wakeups["queue"], wakeups["cancels"])]
            jobs.append(check_runs.run(self.store, self.client, wakeups["checks"], LinkTargets("https://freshet.example")))
            if impacts:
                jobs.append(computing.run(wakeups["impacts"]))
            tasks = [asyncio.create_task(job) for job in jobs]
            try:
                yield worker
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def make_world(
    store: Store, dsn: str, directory: Path, files: Mapping[str, Content | None] = PROJECT, **options: Any
) -> AsyncIterator[ImpactWorld]:
    """A world whose repository has one commit, of which Freshet has not heard."""
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(GitHubDouble(**options))
        api = await stack.enter_async_context(ApiClient(github.api_url, total_s=HANGS_S))
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)

        async def receive(delivery: Delivery) -> None:
            await webhooks.receive(store, delivery.id, delivery.event, delivery.body)

        endpoint = WebhookEndpoint(github.app.webhook_secret, receive)
        application = web.Application()
        application.router.add_post("/hook", endpoint.handle)
        server = await stack.enter_async_context(TestServer(application))
        work_dir = directory / "work"
        work_dir.mkdir()
        sources = GitSources(github.server_url, work_dir, auth.fetch_token, environ=os.environ)
        stack.enter_context(closing(sources))
        runner = SqlRunner(work_dir)
        repository = await github.create_repository("octo/shop", {name: text for name, text in files.items() if text is not None})
        github.app.webhook_url = str(server.make_url("/hook"))
        await github.install("octo", [repository])
        nothing: Any = None
        tools = Tools(sources, nothing, runner, Inline())
        yield ImpactWorld(github, store, dsn, GitHubClient(api, auth), tools, runner, repository, stack)
        await github.settle()
        assert github.violations == []


def changed(impact: Mapping[str, Any]) -> list[str]:
    """The names of the nodes that an impact says are changed."""
    found: Sequence[Mapping[str, Any]] = impact["changes"]
    return sorted(one["unique_id"].rpartition(".")[2] for one in found)
