"""The only place where the parts meet. Each part's lifetime is one generator; they start in order and stop in the opposite order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import partial

from aiohttp import web

from app.core import log, metrics, traces
from app.core.app_manifest import SETUP_PATH, Identity
from app.core.errors import ConfigurationError, FreshetError, UnavailableError
from app.core.interruption import heard
from app.core.wakeup import Wakeup
from app.github.access.viewers import Viewers
from app.github.app.auth import AppAuth
from app.github.app.sign_in import UserSignIn
from app.github.git.submodules import SubmoduleSources
from app.github.rest.checks import GitHubClient
from app.github.rest.inventory import Inventory
from app.github.unverified import UnverifiedBodies
from app.github.webhook import Delivery, WebhookEndpoint
from app.packages.fetch.installer import Installer
from app.pipeline import check_runs, webhooks
from app.pipeline.bases import BaseFinder
from app.pipeline.branch_heads import BranchHeads
from app.pipeline.check_runs import LinkTargets
from app.pipeline.decoding import pool as decoding
from app.pipeline.decoding.pool import Decoders
from app.pipeline.impacts import Impacts
from app.pipeline.other_projects import InstallationProjects
from app.pipeline.reconciler import Reconciler, RetentionPolicy
from app.pipeline.refresh import Tools
from app.pipeline.search_updates import SearchUpdates
from app.pipeline.verification import Verifier
from app.pipeline.webhooks import SignedEvent
from app.pipeline.webhooks.batches import DeliveryBatches
from app.pipeline.worker import Worker
from app.runner.parse_state import ParseStates
from app.service import app_identity, caches, components, maintenance, open_files
from app.service.caches import Caches
from app.service.config import Settings
from app.store import Store, listen, migrate, pool
from app.store.check_runs import Turns
from app.web import keys, routes
from app.web.auth import rate_limits, sessions
from app.web.auth.service_tokens import EitherCallers, ServiceCallers, ServiceTokens
from app.web.auth.sessions import SessionKeeper
from app.web.http import live, middleware
from app.web.http.connections import AIOHTTP, LIMITS, ConnectionLimits, LimitedSite
from app.web.pages import frame, service_figures, sign_in
from app.web.pages import setup as setup_pages
from app.web.pages.setup_access import SetupAccess

SHUTDOWN_S = 5.0
"""Time for open requests to end; streams are closed immediately."""
OUTBOX_TASKS = 2
LOOK_TASKS = 4
SEND_TASKS = 4
STORE_POOL_SPARE = 8
"""Database connections beyond those of running extractions."""

Run = Callable[[Wakeup], Coroutine[None, None, None]]
"""Works forever, with a look at every wakeup."""

SETTINGS = web.AppKey("settings", Settings)
DSN = web.AppKey("dsn", str)
BATCHES = web.AppKey("batches", DeliveryBatches)
STATES = web.AppKey("states", ParseStates)
DECODERS = web.AppKey("decoders", Decoders)
INVENTORY = web.AppKey("inventory", Inventory)
RECONCILER = web.AppKey("reconciler", Reconciler)
SOURCES = web.AppKey("sources", SubmoduleSources)
SERVICE_TOKENS = web.AppKey("service_tokens", ServiceTokens)
VIEWERS = web.AppKey("viewers", Viewers)
USER_SIGN_IN = web.AppKey("user_sign_in", UserSignIn)
FETCHER = web.AppKey("fetcher", Installer)
INSTALLER = web.AppKey("installer", Installer)
CACHES = web.AppKey("caches", Caches)
AUTH = web.AppKey("auth", AppAuth)
ENDPOINT = web.AppKey("endpoint", WebhookEndpoint)
CONFIGURED = web.AppKey("configured", asyncio.Event)
"""Set when there is a GitHub App: at the start, or after `/setup` created one."""
STOP = web.AppKey("stop", asyncio.Event)
FAILED = web.AppKey("failed", list[str])

logger = log.get(__name__)


def create_app(settings: Settings) -> web.Application:
    """Compose the service; its `web.AppRunner` starts and stops it."""
    limits = ConnectionLimits()
    web_app = web.Application(middlewares=[limits.middleware, middleware.access_log, middleware.problems], client_max_size=64 << 10)
    web_app[LIMITS] = limits
    web_app[SETTINGS] = settings
    web_app[keys.CLOSING] = asyncio.Event()
    web_app[live.VIEWS] = live.LiveViews(web_app[keys.CLOSING], streams=limits.limit // 2)
    web_app[STOP] = asyncio.Event()
    web_app[CONFIGURED] = asyncio.Event()
    web_app[keys.SETUP_ACCESS] = SetupAccess()
    web_app[FAILED] = []
    rate_limits.set_up(web_app, rate_limits.RateLimiter(settings.freshet_api_rate_limit))
    web_app[SERVICE_TOKENS] = components.service_tokens(settings)
    web_app[keys.OBJECTIVE_S], web_app[keys.PUBLIC_URL] = settings.freshet_freshness_objective, settings.public_url
    web_app[keys.CHECKS] = {}
    web_app[STATES] = ParseStates(settings.work_dir)
    web_app[keys.NOTIFY], web_app[keys.WORK_DIR] = settings.subscription_rules, settings.work_dir
    web_app.cleanup_ctx.extend([_database, _github, _runner, _decoders, _background])
    web_app.on_shutdown.append(_close_streams)
    frame.set_up(web_app, settings.public_url)
    sign_in.set_up(web_app)
    sessions.set_up(web_app)
    web_app[keys.OPEN_PAGES] = settings.pages_may_be_open
    web_app[ENDPOINT] = WebhookEndpoint(None, partial(_receive, web_app), read=_read_delivery, bodies=UnverifiedBodies(settings.work_dir))
    routes.add(web_app, web_app[ENDPOINT].handle)
    return web_app


async def serve(settings: Settings) -> int:
    """Run the service, with traces if there is a collector."""
    async with traces.exporting(settings.otel_exporter_otlp_endpoint):
        return await _serve(settings)


async def _serve(settings: Settings) -> int:
    """Run the service until a signal stops it or a part of it dies. The exit status is 1 if a part died."""
    open_files.raise_limit()
    web_app = create_app(settings)
    runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=False, **AIOHTTP)
    loop = asyncio.get_running_loop()
    for number in heard():
        loop.add_signal_handler(number, web_app[STOP].set)
    try:
        await runner.setup()
        await _listen(runner, settings)
        if not web_app[CONFIGURED].is_set():
            link = f"{settings.public_url}{SETUP_PATH}?token={web_app[keys.SETUP_ACCESS].token}"
            log.announce("no GitHub App is configured yet: open this link to create one", link)
        # What there is now stays as long as the service: walking over it takes the event loop tenths of a second each time.
        gc.collect()
        gc.freeze()
        await web_app[STOP].wait()
        logger.info("stopping")
    finally:
        await runner.cleanup()
    logger.info("stopped")
    return 1 if web_app[FAILED] else 0


async def _database(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    size = settings.extraction_concurrency + STORE_POOL_SPARE
    async with components.database(settings, on_failure=lambda error: _end(web_app, error)) as dsn, pool.connect(dsn, size=size) as db:
        for name in await migrate.migrate(db):
            logger.info("database migrated", migration=name)
        store = Store(db)
        web_app[keys.STORE] = store
        web_app[BATCHES] = DeliveryBatches(store)
        setup_pages.set_up(web_app, store)
        web_app[keys.CHECKS]["database"] = store.check
        async with listen.listening(dsn) as listener:
            web_app[keys.LISTENER] = listener
            yield
            await web_app[BATCHES].close()


async def _github(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    async with components.github(settings) as (client, inventory, auth, setup):
        web_app[keys.GITHUB] = client
        web_app[AUTH] = auth
        web_app[INVENTORY] = inventory
        web_app[keys.HEADS] = BranchHeads(inventory)
        web_app[keys.SETUP] = setup
        web_app[keys.CHECKS]["GitHub credentials"] = client.check
        async with components.people(settings) as people, _caches(web_app, setup.server_url, auth, client):
            viewers, user_sign_in, web_app[keys.OPERATORS] = people
            web_app[VIEWERS], web_app[USER_SIGN_IN], web_app[keys.SIGN_IN] = viewers, user_sign_in, user_sign_in
            web_app[keys.CALLERS] = EitherCallers(ServiceCallers(web_app[SERVICE_TOKENS]), viewers)
            web_app[sessions.SESSIONS] = _keeper(web_app, viewers)
            setup.subscribe(lambda identity: _use_app(web_app, setup.server_url, identity))
            yield


def _keeper(web_app: web.Application, viewers: Viewers) -> SessionKeeper:
    settings = web_app[SETTINGS]
    secure, lifetime = settings.public_url.startswith("https:"), settings.session_lifetime
    return SessionKeeper(web_app[keys.STORE].sessions, viewers, web_app[USER_SIGN_IN], lifetime=lifetime, secure=secure)


@contextlib.asynccontextmanager
async def _caches(web_app: web.Application, server_url: str, auth: AppAuth, client: GitHubClient) -> AsyncIterator[None]:
    """The sources of commits and packages, and their caches."""
    parts = web_app[SETTINGS], server_url, auth, client
    async with caches.sources(*parts) as sources, caches.packages(*parts) as own, caches.packages(*parts, strangers=True) as strangers:
        web_app[SOURCES], web_app[INSTALLER], web_app[FETCHER] = SubmoduleSources(sources, own.git), own.installer, strangers.installer
        web_app[CACHES] = Caches(web_app[SETTINGS].work_dir, sources, own, web_app[STATES], strangers)
        yield


def _use_app(web_app: web.Application, server_url: str, identity: Identity) -> None:
    """Work as this App from now on, without a restart."""
    web_app[ENDPOINT].configure(identity.webhook_secret.get_secret_value())
    web_app[CACHES].point_at(server_url)
    addresses = app_identity.addresses(web_app[SETTINGS], identity)
    web_app[VIEWERS].use_app(identity.client_id, identity.client_secret, addresses)
    web_app[USER_SIGN_IN].use_app(identity.client_id, identity.client_secret, addresses[1])
    web_app[CONFIGURED].set()


async def _runner(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    async with components.lock_data_dir(settings), components.runner(settings, web_app[STATES]) as runner:
        web_app[keys.RUNNER] = runner
        service_figures.set_up(web_app)
        web_app[keys.CHECKS][components.runner_name(settings)] = runner.check
        yield


async def _decoders(web_app: web.Application) -> AsyncIterator[None]:
    settings = web_app[SETTINGS]
    async with decoding.serve(settings.work_dir, settings.extraction_concurrency) as decoders:
        web_app[DECODERS] = decoders
        yield


async def _background(web_app: web.Application) -> AsyncIterator[None]:
    """Run the background tasks. If one dies, the process ends, and the operator's supervisor restarts it."""
    settings, store, client, listener = web_app[SETTINGS], web_app[keys.STORE], web_app[keys.GITHUB], web_app[keys.LISTENER]
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    runner = web_app[keys.RUNNER]
    installer = runner if settings.dbt_deps_network else web_app[INSTALLER]
    projects = InstallationProjects(store, settings.private_packages)
    tools = Tools(web_app[SOURCES], installer, runner, web_app[DECODERS], web_app[FETCHER], projects)
    places = settings.extraction_concurrency
    impacts = Impacts(store, BaseFinder(store, client))
    verifier = Verifier(store, tools, web_app[STATES], settings.freshet_verify_share)
    limits = {"concurrency": places, "per_installation": settings.running_per_installation}
    worker = Worker(name, store, tools, impacts, **limits, verifier=verifier)
    retention = RetentionPolicy(timedelta(days=settings.freshet_grace_days), settings.delivery_retention, settings.history_retention)
    reconciler = web_app[RECONCILER] = Reconciler(store, client, web_app[INVENTORY], web_app[CACHES], retention)
    turns = Turns()
    targets = LinkTargets(settings.public_url, lambda: web_app[keys.SETUP].server_url)
    as_app: list[tuple[str, Run, str]] = [
        ("chores", reconciler.run_chores, "freshet_surveys"),
        ("surveys", reconciler.run_surveys, "freshet_surveys"),
        *[("looks", reconciler.run_looks, "freshet_looks")] * LOOK_TASKS,
        *[("outbox", lambda wakeup: check_runs.run(store, client, wakeup, targets, turns), "freshet_checks")] * OUTBOX_TASKS,
    ]
    notifications = components.dispatcher(settings, store, lambda: web_app[keys.SETUP].server_url)
    async with notifications as dispatcher, contextlib.AsyncExitStack() as wakeups:
        cancels = wakeups.enter_context(listener.wakeup("freshet_cancels"))
        jobs: list[tuple[str, Run, str]] = [
            ("worker", lambda wakeup: worker.run(wakeup, cancels), "freshet_queue"),
            ("impacts", impacts.run, "freshet_impacts"),
            ("search", SearchUpdates(store).run, "freshet_search"),
            ("access", web_app[VIEWERS].run, "freshet_access"),
            ("evaluation", dispatcher.run_evaluation, "freshet_notices"),
            *[("sending", dispatcher.run_sending, "freshet_notices")] * SEND_TASKS,
        ]
        jobs += [(label, _once_configured(web_app, run), channel) for label, run, channel in as_app]
        tasks = [asyncio.create_task(run(wakeups.enter_context(listener.wakeup(channel))), name=label) for label, run, channel in jobs]
        tasks.append(asyncio.create_task(maintenance.sweep(web_app[keys.RUNNER]), name="sweep"))
        tasks.append(asyncio.create_task(maintenance.keep_warm(web_app[keys.RUNNER], store.lineages), name="warm containers"))
        tasks.append(asyncio.create_task(maintenance.tidy(web_app[CACHES], store), name="tidy"))
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
    """Wait for a GitHub App before running: `/setup` may create one at any time."""

    async def wait(wakeup: Wakeup) -> None:
        await web_app[CONFIGURED].wait()
        await run(wakeup)

    return wait


def _died(web_app: web.Application, task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("a part of the service died", part=task.get_name(), exc_info=error)
        web_app[FAILED].append(task.get_name())
        web_app[STOP].set()


def _end(web_app: web.Application, error: FreshetError) -> None:
    """End the service, because it cannot go on, with a line that says why."""
    logger.error("the service ends, so that its supervisor can start it again", reason=str(error), next_step=error.next_step)
    web_app[FAILED].append(error.doing)
    web_app[STOP].set()


def _read_delivery(delivery: Delivery) -> SignedEvent | None:
    return webhooks.read(delivery.id, delivery.event, delivery.body)


async def _receive(web_app: web.Application, event: SignedEvent | None) -> None:
    """Store an event. One that could not be stored, or not in time, is requested from GitHub again."""
    if event is None:
        return
    try:
        with traces.span("delivery", delivery_id=event.delivery_id, event=event.name):
            await web_app[BATCHES].store(replace(event, traceparent=traces.traceparent()))
    except (UnavailableError, asyncio.CancelledError):
        web_app[RECONCILER].missed_delivery()
        raise
    if event.name == "installation":
        web_app[AUTH].forget_all()


async def _close_streams(web_app: web.Application) -> None:
    web_app[keys.CLOSING].set()
    web_app[keys.LISTENER].wake_all()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    try:
        await LimitedSite(runner, settings.host, settings.port, runner.app[LIMITS]).start()
    except OSError as error:
        reason = f"HOST and PORT: cannot listen on {settings.host}:{settings.port} ({error.strerror or error})"
        raise ConfigurationError("starting the web server", reason) from error
    addresses = [f"http://{address[0]}:{address[1]}" for address in runner.addresses]
    logger.info("listening", addresses=addresses, public_url=settings.public_url)
