"""What an outage of the database loses is requested from GitHub as soon as it is over, not minutes later."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import unquote

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.core.errors import GitHubUnavailableError, UnavailableError
from app.core.models.extractions import Problem
from app.core.models.github import Conclusion
from app.github.app.auth import AppAuth
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.pipeline import leases, loop, webhooks
from app.pipeline import reconciler as reconciler_module
from app.pipeline.reconciler import Reconciler, RetentionPolicy
from app.store import Store, listen, pool
from app.store.pool import Database
from tests.double import Answer, GitHubDouble, LateAnswer
from tests.patience import HANGS_S

LONG = timedelta(days=3)


@pytest.fixture(autouse=True)
def no_clock_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking again after a while is switched off."""
    monkeypatch.setattr(loop, "IDLE_S", 3600.0)
    monkeypatch.setattr(leases, "START_S", 0.0)
    monkeypatch.setattr(leases, "CHORES_AWAY_S", 0.05)
    monkeypatch.setattr(leases, "REPAIR_AGAIN_S", 0.0)


@asynccontextmanager
async def service(store: Store, github: GitHubDouble) -> AsyncIterator[Reconciler]:
    """The webhook and the reconciler of a service."""

    async def receive(request: web.Request) -> web.Response:
        headers = request.headers
        try:
            await webhooks.receive(store, headers["X-GitHub-Delivery"], headers["X-GitHub-Event"], await request.read())
        except UnavailableError:
            reconciler.missed_delivery()
            return web.Response(status=503)
        return web.Response(status=202)

    application = web.Application()
    application.router.add_post("/", receive)
    async with TestServer(application) as server, ApiClient(github.api_url, total_s=HANGS_S) as api:
        github.app.webhook_url = str(server.make_url("/"))
        auth = AppAuth(github.app.id, github.app.private_key_pem, api)
        client = GitHubClient(api, auth)
        reconciler = Reconciler(store, client, Inventory(api, auth, client), cast("Any", None), RetentionPolicy(LONG, LONG, None))
        chores = asyncio.create_task(reconciler.run_chores(listen.Wakeup()))
        try:
            yield reconciler
        finally:
            chores.cancel()
            await asyncio.gather(chores, return_exceptions=True)


class Line:
    """A connection to the server of a DSN, in front of which it can be cut: a Unix socket of its own, in `directory`."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self._server_socket = unquote(dsn.partition("host=")[2].partition("&")[0]) + "/.s.PGSQL.5432"
        self._socket = directory / ".s.PGSQL.5432"
        self.dsn = f"{dsn.partition('host=')[0]}host={directory}"
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._connected, str(self._socket))
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            self._socket.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
        self._writers |= {writer, server_writer}
        await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()


async def chores_are_done(db: Database) -> None:
    async with asyncio.timeout(HANGS_S):
        while await db.value("SELECT count(*) FROM chores WHERE due_at <= now() AND name IN ('deliveries', 'installations')"):
            await asyncio.sleep(0.02)


async def test_deliveries_lost_in_an_outage_are_requested_at_once(dsn: str, db: Database, tmp_path: Path) -> None:
    line = Line(dsn, tmp_path)
    async with AsyncExitStack() as service_stack, GitHubDouble() as github:
        async with line.up():
            store = Store(await service_stack.enter_async_context(pool.connect(line.dsn)))
            await service_stack.enter_async_context(service(store, github))
            repository = await github.create_repository("octo/shop", {"dbt_project.yml": "name: shop\n"})
            await github.install("octo")
            await chores_are_done(db)
        sha = await github.push(repository, {"a.sql": "select 1"})
        lost = next(one for one in reversed(github.deliveries) if one.event == "push")
        assert (lost.status_code, lost.payload["after"]) == (503, sha)
        async with line.up(), asyncio.timeout(HANGS_S):
            while not await db.value("SELECT count(*) FROM deliveries WHERE id = $1", lost.guid):
                await asyncio.sleep(0.02)


async def test_a_process_that_slept_asks_for_what_it_missed(db: Database, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with GitHubDouble() as github, service(store, github) as reconciler:
        await chores_are_done(db)
        monkeypatch.setattr(reconciler, "_clock", lambda: reconciler._awake_s + leases.ASLEEP_S + 1)
        requests = len(github.requests)
        assert await reconciler._chore()
        # A survey that was due at the start may list the installations meanwhile.
        assert "/app/hook/deliveries" in [one.path for one in github.requests[requests:]]


async def test_a_chore_that_github_did_not_answer_is_repeated_soon(db: Database, store: Store) -> None:
    async with GitHubDouble() as github, service(store, github) as reconciler:
        await chores_are_done(db)
        github.app.webhook_url = None
        github.state.requests.clear()
        github.faults.add("GET", "/app/hook/deliveries", 99, Answer(502))
        await store.installations.make_chores_due()
        wait_s = "SELECT extract(epoch FROM due_at - now())::float8 FROM chores WHERE name = 'deliveries'"
        async with asyncio.timeout(HANGS_S):
            # The service may take the chore before the test does.
            while await db.value(wait_s) != pytest.approx(leases.CHORE_RETRY_S, abs=5):
                with contextlib.suppress(GitHubUnavailableError):
                    await reconciler._next_chore()
                await asyncio.sleep(0.02)


async def failed_head(store: Store, github: GitHubDouble, reconciler: Reconciler, conclusion: Conclusion) -> None:
    """A repository that was looked at, whose head's extraction failed."""
    repository = await github.create_repository("octo/shop", {"dbt_project.yml": "name: shop\n"})
    await github.install("octo", [repository])
    await reconciler.list_installations()
    assert await reconciler._next_survey()
    assert await reconciler._next_look()
    running = await store.extractions.claim("w", LONG)
    assert running is not None
    problem = Problem("The engine was away", "For long.", conclusion=conclusion)
    assert await store.extractions.finish(running.id, "w", "failed", [], problem=problem)
    assert not await reconciler._next_look()


@pytest.mark.parametrize(("conclusion", "again"), [("neutral", 1), ("failure", 0)])
async def test_a_head_that_failed_because_of_freshet_is_extracted_again_although_it_is_unchanged(
    db: Database, store: Store, conclusion: Conclusion, again: int
) -> None:
    async with GitHubDouble() as github, service(store, github) as reconciler:
        await failed_head(store, github, reconciler, conclusion)
        await db.execute("UPDATE repositories SET look_at = now()")
        assert await reconciler._next_look()
    assert await db.value("SELECT count(*) FROM extractions WHERE status = 'queued'") == again


async def test_what_failed_while_an_installation_was_suspended_is_extracted_once_it_is_resumed(db: Database, store: Store) -> None:
    async with GitHubDouble() as github, service(store, github) as reconciler:
        await failed_head(store, github, reconciler, "neutral")
        await db.execute("UPDATE installations SET suspended_at = now()")
        await reconciler.list_installations()
        assert await reconciler._next_look()
    assert await db.value("SELECT count(*) FROM extractions WHERE status = 'queued'") == 1


class Ahead(datetime):
    """A clock that is eleven minutes ahead of the database's."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(minutes=11)


async def test_an_installation_that_came_during_a_list_stays_though_the_clock_is_wrong(
    db: Database, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler_module, "datetime", Ahead)
    async with GitHubDouble() as github, service(store, github) as reconciler:
        await chores_are_done(db)
        github.faults.add("GET", "/app/installations", 9, LateAnswer(1.0))
        requests = len(github.requests)
        listing = asyncio.create_task(reconciler.list_installations())
        async with asyncio.timeout(HANGS_S):
            while not any(one.path == "/app/installations" for one in github.requests[requests:]):
                await asyncio.sleep(0.01)
        await store.installations.install(7, "octo", "Organization", "all")
        await listing
    assert await db.value("SELECT deleted_at FROM installations WHERE id = 7") is None


class Broken:
    """A pool that loses its server while a query waits: giving back the connection fails, as the driver does it then."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()

    def acquire(self, **_: object) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        raise asyncpg.InterfaceError("PoolConnectionHolder.release() called on a free connection holder")

    async def fetch(self, *_: object) -> None:
        self.waits.set()
        await asyncio.Event().wait()


async def test_a_cancellation_is_no_outage_when_the_driver_hides_it() -> None:
    broken = Broken()
    asking = asyncio.create_task(pool.Database(cast("Any", broken)).rows("SELECT 1"))
    await broken.waits.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pool.Database(cast("Any", broken)).rows("SELECT 1")
