"""The only place where the parts meet: each part's lifetime is one generator here, from the first started to the last stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta

from aiohttp import web

from app import config, credentials, handlers, housekeeping, log, metrics, outbox, parts
from app.config import Settings
from app.dbt.docker import DockerRunner
from app.dbt.states import States
from app.decoding import pool as decoding
from app.decoding.pool import Decoders
from app.errors import ConfigurationError
from app.github.auth import AppAuth
from app.github.client import GitHubClient
from app.github.packages import GitPackages
from app.github.source import GitSources
from app.github.survey import Survey
from app.github.viewers import Viewers
from app.github.webhook import Delivery, WebhookEndpoint
from app.github_app import SETUP_PATH, Identity, delivery_window_s
from app.heads import Heads
from app.hub.installer import Installer
from app.parts import Caches
from app.ports import Bell
from app.reconcile import Kept, Reconciler
from app.refresh import Tools
from app.store import Store, migrate, pool, wake
from app.web import keys, limits, middleware, pages, routes, watch
from app.web.door import Door
from app.web.tokens import EitherCallers, ServiceCallers, ServiceTokens
from app.worker import Worker

SHUTDOWN_S = 5.0
"""Open requests get this long to end; streams end at once."""
OUTBOX_TASKS = 2
LOOK_TASKS = 4
SEND_TASKS = 4
STORE_POOL_SPARE = 8
"""Database connections beyond those of running extractions."""

Run = Callable[[Bell], Coroutine[None, None, None]]
"""Works for ever, with a look whenever the bell rings."""

SETTINGS = web.AppKey("settings", Settings)
DSN = web.AppKey("dsn", str)
RUNNER = web.AppKey("runner", DockerRunner)
DECODERS = web.AppKey("decoders", Decoders)
SURVEY = web.AppKey("survey", Survey)
SOURCES = web.AppKey("sources", GitSources)
SERVICE_TOKENS = web.AppKey("service_tokens", ServiceTokens)
VIEWERS = web.AppKey("viewers", Viewers)
INSTALLER = web.AppKey("installer", Installer)
CACHES = web.AppKey("caches", Caches)
ENDPOINT = web.AppKey("endpoint", WebhookEndpoint)
CONFIGURED = web.AppKey("configured", asyncio.Event)
"""Set once there is a GitHub App: from the start, or when `/setup` has made one."""
STOP = web.AppKey("stop", asyncio.Event)
FAILED = web.AppKey("failed", list[str])

logger = log.get(__name__)


def create_app(settings: Settings) -> web.Application:
    """Compose the service. It starts with its `web.AppRunner` and stops with it, in the opposite order."""
    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems], client_max_size=64 << 10)
    web_app[SETTINGS] = settings
    web_app[keys.CLOSING] = asyncio.Event()
    web_app[watch.VIEWS] = watch.Views(web_app[keys.CLOSING])
    web_app[STOP] = asyncio.Event()
    web_app[CONFIGURED] = asyncio.Event()
    web_app[keys.DOOR] = Door()
    web_app[FAILED] = []
    limits.set_up(web_app, limits.Limits(settings.freshet_api_rate_limit))
    web_app[SERVICE_TOKENS] = parts.service_tokens(settings)
    web_app[keys.OBJECTIVE_S], web_app[keys.PUBLIC_URL] = settings.freshet_freshness_objective, settings.public_url
    web_app[keys.CHECKS] = {}
    web_app[keys.NOTIFY] = settings.notify_rules
    web_app.cleanup_ctx.extend([_database, _github, _docker, _decoders, _background])
    web_app.on_shutdown.append(_close_streams)
    pages.set_up(web_app)
    web_app[ENDPOINT] = WebhookEndpoint(None, lambda delivery: _receive(web_app, delivery))
    routes.add(web_app, web_app[ENDPOINT].handle)
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
        if not web_app[CONFIGURED].is_set():
            link = f"{settings.public_url}{SETUP_PATH}?token={web_app[keys.DOOR].token}"
            logger.warning("there is no GitHub App yet: open this link to make one", url=link)
        await web_app[STOP].wait()
        logger.info("stopping")
    finally:
        await runner.cleanup()
    logger.info("stopped")
    return 1 if web_app[FAILED] else 0


async def _database(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    async with parts.database(settings) as dsn, pool.connect(dsn, size=settings.extraction_concurrency + STORE_POOL_SPARE) as db:
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
    async with parts.github(settings) as (client, survey, auth, setup):
        web_app[keys.GITHUB] = client
        web_app[SURVEY] = survey
        web_app[keys.HEADS] = Heads(survey)
        web_app[keys.SETUP] = setup
        web_app[keys.CHECKS]["GitHub credentials"] = client.check
        async with parts.viewers(settings) as viewers, _caches(web_app, setup.server_url, auth, client):
            web_app[VIEWERS] = viewers
            web_app[keys.CALLERS] = EitherCallers(ServiceCallers(web_app[SERVICE_TOKENS]), viewers)
            setup.when_taken(lambda identity: _become(web_app, setup.server_url, identity))
            yield


@contextlib.asynccontextmanager
async def _caches(web_app: web.Application, server_url: str, auth: AppAuth, client: GitHubClient) -> AsyncIterator[None]:
    """Have where commits and packages come from, and what is kept of them."""
    settings, environ = web_app[SETTINGS], config.environment()
    sources = GitSources(
        server_url, settings.work_dir, auth.fetch_token, refused=auth.forget_token, names=client.full_name, environ=environ
    )
    packages = GitPackages(
        server_url,
        settings.work_dir,
        auth.package_token,
        hosts=settings.package_hosts,
        refused=auth.forget_token,
        names=client.present_name,
        environ=environ,
    )
    with contextlib.closing(sources), contextlib.closing(packages):
        async with parts.installer(settings, packages, server_url) as installer:
            web_app[SOURCES], web_app[INSTALLER] = sources, installer
            web_app[CACHES] = Caches(settings.work_dir, sources, packages, installer, States(settings.work_dir))
            yield


def _become(web_app: web.Application, server_url: str, identity: Identity) -> None:
    """Hear and work as that App from now on, without a new start."""
    window_s = delivery_window_s(server_url)
    web_app[ENDPOINT].configure(identity.webhook_secret.get_secret_value(), window_s=window_s)
    web_app[CACHES].point_at(server_url)
    web_app[VIEWERS].become(identity.client_id, identity.client_secret, credentials.addresses(web_app[SETTINGS], identity))
    web_app[CONFIGURED].set()


async def _docker(web_app: web.Application) -> AsyncIterator[None]:
    async with parts.alone(web_app[SETTINGS]), parts.docker_runner(web_app[SETTINGS]) as runner:
        web_app[RUNNER] = runner
        web_app[keys.CHECKS]["Docker"] = runner.check
        yield


async def _decoders(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    async with decoding.serve(settings.work_dir, settings.extraction_concurrency) as decoders:
        web_app[DECODERS] = decoders
        yield


async def _background(web_app: web.Application) -> AsyncIterator[None]:
    """Run what works by itself. The death of one is the end of the process: an operator's supervisor starts it again."""
    settings, store, client, waker = web_app[SETTINGS], web_app[keys.STORE], web_app[keys.GITHUB], web_app[keys.WAKE]
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    runner = web_app[RUNNER]
    tools = Tools(web_app[SOURCES], runner if settings.dbt_deps_network else web_app[INSTALLER], runner, web_app[DECODERS])
    worker = Worker(name, store, tools, concurrency=settings.extraction_concurrency)
    kept = Kept(timedelta(days=settings.freshet_grace_days), settings.deliveries_kept, settings.history)
    reconciler = Reconciler(store, client, web_app[SURVEY], web_app[CACHES], kept)
    as_app: list[tuple[str, Run, str]] = [
        ("chores", reconciler.run_chores, "freshet_surveys"),
        ("surveys", reconciler.run_surveys, "freshet_surveys"),
        *[("looks", reconciler.run_looks, "freshet_looks")] * LOOK_TASKS,
        *[("outbox", lambda bell: outbox.run(store, client, bell, settings.public_url), "freshet_checks")] * OUTBOX_TASKS,
    ]
    telling = parts.notifier(settings, store, lambda: web_app[keys.SETUP].server_url)
    async with telling as notifier, contextlib.AsyncExitStack() as bells:
        cancels = bells.enter_context(waker.bell("freshet_cancels"))
        jobs: list[tuple[str, Run, str]] = [
            ("worker", lambda bell: worker.run(bell, cancels), "freshet_queue"),
            ("access", web_app[VIEWERS].run, "freshet_access"),
            ("judging", notifier.run_judging, "freshet_notices"),
            *[("sending", notifier.run_sending, "freshet_notices")] * SEND_TASKS,
        ]
        jobs += [(label, _once_configured(web_app, run), channel) for label, run, channel in as_app]
        tasks = [asyncio.create_task(run(bells.enter_context(waker.bell(channel))), name=label) for label, run, channel in jobs]
        tasks.append(asyncio.create_task(housekeeping.sweep(web_app[RUNNER]), name="sweep"))
        tasks.append(asyncio.create_task(housekeeping.keep_warm(web_app[RUNNER], store.lineages), name="warm containers"))
        tasks.append(asyncio.create_task(housekeeping.tidy(web_app[CACHES], store), name="tidy"))
        tasks.append(asyncio.create_task(metrics.watch_loop(), name="loop lag"))
        tasks.append(asyncio.create_task(metrics.watch_caches(settings.work_dir), name="cache sizes"))
        for task in tasks:
            task.add_done_callback(lambda done: _died(web_app, done))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _once_configured(web_app: web.Application, run: Run) -> Run:
    """Begin when there is a GitHub App: `/setup` may make one at any time."""

    async def wait(bell: Bell) -> None:
        await web_app[CONFIGURED].wait()
        await run(bell)

    return wait


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
    addresses = [f"http://{address[0]}:{address[1]}" for address in runner.addresses]
    logger.info("listening", addresses=addresses, public_url=settings.public_url)
