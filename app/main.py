"""The only place where the parts meet: each part's lifetime is one generator here, from the first started to the last stopped."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine

from aiohttp import web

from app import config, handlers, log, outbox, reconcile
from app.config import Settings
from app.dbt.docker import DockerRunner
from app.dbt.engine import connect
from app.errors import ConfigurationError, EngineUnavailableError
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.client import GitHubClient
from app.github.source import GitSources
from app.github.webhook import Delivery, WebhookEndpoint
from app.ports import Bell
from app.store import Store, embedded, migrate, pool, wake
from app.web import keys, middleware, pages, routes
from app.web.tokens import ServiceTokens
from app.worker import Worker

SHUTDOWN_S = 5.0
"""Open requests get this long to end; streams end at once."""
OUTBOX_TASKS = 2
TIDY_S = 3600.0
SWEEP_S = 10.0
STORE_POOL_SPARE = 8
"""Database connections beyond those of running extractions."""

SETTINGS = web.AppKey("settings", Settings)
DSN = web.AppKey("dsn", str)
RUNNER = web.AppKey("runner", DockerRunner)
SOURCES = web.AppKey("sources", GitSources)
AUTH = web.AppKey("auth", AppAuth)
STOP = web.AppKey("stop", asyncio.Event)
FAILED = web.AppKey("failed", list[str])

logger = log.get(__name__)


def create_app(settings: Settings) -> web.Application:
    """Compose the service. It starts with its `web.AppRunner` and stops with it, in the opposite order."""
    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems], client_max_size=64 << 10)
    web_app[SETTINGS] = settings
    web_app[keys.CLOSING] = asyncio.Event()
    web_app[STOP] = asyncio.Event()
    web_app[FAILED] = []
    web_app[keys.TOKENS] = ServiceTokens(token.get_secret_value() for token in settings.freshet_api_tokens)
    web_app[keys.CHECKS] = {}
    web_app.cleanup_ctx.extend([_database, _github, _docker, _background])
    web_app.on_shutdown.append(_close_streams)
    pages.set_up(web_app)
    secret = settings.github_webhook_secret
    endpoint = WebhookEndpoint(secret.get_secret_value() if secret else None, lambda delivery: _receive(web_app, delivery))
    routes.add(web_app, endpoint.handle)
    return web_app


async def serve(settings: Settings) -> int:
    """Run the service until it is told to stop, or a part of it dies; return the exit status."""
    web_app = create_app(settings)
    runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=False)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, web_app[STOP].set)
    try:
        await runner.setup()
        await _listen(runner, settings)
        await web_app[STOP].wait()
        logger.info("stopping")
    finally:
        await runner.cleanup()
    logger.info("stopped")
    return 1 if web_app[FAILED] else 0


def make_directories(settings: Settings) -> None:
    """Make the directories that everything else takes for granted. Raises ConfigurationError that names the variable."""
    for name, directory in (("FRESHET_DATA_DIR", settings.freshet_data_dir), ("DBT_WORK_DIR", settings.work_dir)):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError("preparing the directories", f"{name}: {directory} cannot be made ({error.strerror})") from error


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """Yield the DSN of the configured PostgreSQL, or of our own, which then runs until this is left."""
    if settings.database_url:
        yield settings.database_url.get_secret_value()
    else:
        async with embedded.serve(settings.freshet_data_dir) as dsn:
            yield dsn


@contextlib.asynccontextmanager
async def docker_runner(settings: Settings) -> AsyncIterator[DockerRunner]:
    """Yield the runner of containers."""
    verify = settings.docker_tls_verify not in (None, "", "0")
    async with connect(settings.docker_host, tls_verify=verify, cert_path=settings.docker_cert_path) as docker:
        yield DockerRunner(
            docker,
            image=settings.dbt_docker_image,
            cpus=settings.dbt_cpus,
            memory_bytes=settings.dbt_memory,
            timeout_s=settings.dbt_timeout,
            pids=settings.dbt_pids,
            deps_network=settings.dbt_deps_network,
            package_hub_url=settings.dbt_package_hub_url,
            instance=_instance(settings),
            work_dir=settings.work_dir,
        )


@contextlib.asynccontextmanager
async def github(settings: Settings) -> AsyncIterator[tuple[GitHubClient, AppAuth]]:
    """Yield the client of GitHub's API and the App's identity."""
    async with ApiClient(settings.github_api_url) as api:
        auth = AppAuth(settings.github_app_id, settings.private_key_pem, api)
        yield GitHubClient(api, auth), auth


async def _database(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    async with database(settings) as dsn, pool.connect(dsn, size=settings.extraction_concurrency + STORE_POOL_SPARE) as db:
        for name in await migrate.migrate(db):
            logger.info("database migrated", migration=name)
        store = Store(db)
        web_app[keys.STORE] = store
        web_app[keys.CHECKS]["database"] = store.check
        async with wake.listening(dsn) as waker:
            web_app[keys.WAKE] = waker
            yield


async def _github(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    async with github(settings) as (client, auth):
        web_app[keys.GITHUB] = client
        web_app[keys.CHECKS]["GitHub credentials"] = client.check
        sources = GitSources(
            settings.github_server_url,
            settings.work_dir,
            auth.fetch_token,
            refused=auth.forget_token,
            names=client.full_name,
            environ=config.environment(),
        )
        with contextlib.closing(sources):
            web_app[SOURCES] = sources
            yield


async def _docker(web_app: web.Application) -> AsyncIterator[None]:
    async with docker_runner(web_app[SETTINGS]) as runner:
        web_app[RUNNER] = runner
        web_app[keys.CHECKS]["Docker"] = runner.check
        yield


async def _background(web_app: web.Application) -> AsyncIterator[None]:
    """Run what works by itself. The death of one is the end of the process: an operator's supervisor starts it again."""
    settings, store, client, waker = web_app[SETTINGS], web_app[keys.STORE], web_app[keys.GITHUB], web_app[keys.WAKE]
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    worker = Worker(name, store, web_app[SOURCES], web_app[RUNNER], concurrency=settings.extraction_concurrency)
    jobs: list[tuple[str, Callable[[Bell], Coroutine[None, None, None]], str]] = [("worker", worker.run, "freshet_queue")]
    if settings.github_app_id is not None:
        jobs.append(("looks", lambda bell: reconcile.run(store, client, bell), "freshet_looks"))
        jobs += [("outbox", lambda bell: outbox.run(store, client, bell, settings.public_url), "freshet_checks")] * OUTBOX_TASKS
    with contextlib.ExitStack() as bells:
        tasks = [asyncio.create_task(run(bells.enter_context(waker.bell(channel))), name=label) for label, run, channel in jobs]
        tasks.append(asyncio.create_task(_sweep(web_app[RUNNER]), name="sweep"))
        tasks.append(asyncio.create_task(_tidy(web_app[SOURCES]), name="tidy"))
        for task in tasks:
            task.add_done_callback(lambda done: _died(web_app, done))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _sweep(runner: DockerRunner) -> None:
    """Remove what an earlier start left, once the engine answers."""
    while True:
        try:
            removed = await runner.sweep()
        except EngineUnavailableError as error:
            logger.warning("cannot look for containers that an earlier start left", reason=str(error))
            await asyncio.sleep(SWEEP_S)
        else:
            logger.info("swept", containers_removed=removed)
            return


async def _tidy(sources: GitSources) -> None:
    """Keep the mirrors packed and within their bounds."""
    while True:
        await asyncio.sleep(TIDY_S)
        await sources.tidy()


def _died(web_app: web.Application, task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("a part of the service died", part=task.get_name(), exc_info=error)
        web_app[FAILED].append(task.get_name())
        web_app[STOP].set()


async def _receive(web_app: web.Application, delivery: Delivery) -> None:
    with log.bound(**{log.DELIVERY: delivery.id}):
        await handlers.receive(web_app[keys.STORE], delivery.id, delivery.event, delivery.body)


async def _close_streams(web_app: web.Application) -> None:
    web_app[keys.CLOSING].set()
    web_app[keys.WAKE].ring_all()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        reason = f"HOST and PORT: {settings.host}:{settings.port} cannot be listened on ({error.strerror or error})"
        raise ConfigurationError("starting the web server", reason) from error
    logger.info(
        "listening", addresses=[f"http://{address[0]}:{address[1]}" for address in runner.addresses], public_url=settings.public_url
    )


def _instance(settings: Settings) -> str:
    """Return a name for this service's containers that is the same after a restart, and another for another service on the engine."""
    place = f"{socket.gethostname()} {settings.freshet_data_dir.resolve()}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]
