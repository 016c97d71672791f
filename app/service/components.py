"""The parts of the service that commands use too, each built from the settings and closed when its context ends."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from app.core.egress.addresses import configured
from app.core.errors import ConfigurationError, UnavailableError
from app.core.models.notifications import Kind
from app.github.access.operators import Operators
from app.github.access.queries import AccessQueries
from app.github.access.viewers import Viewers
from app.github.app.auth import AppAuth
from app.github.app.registration import AppSetup
from app.github.app.sign_in import UserSignIn
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.github.rest.inventory import Inventory
from app.github.rest.pace import Pace
from app.notifications.channels.email import EmailChannel, sender, server
from app.notifications.channels.webhook import WebhookChannel
from app.notifications.dispatcher import Dispatcher
from app.notifications.messages import MessageLinks
from app.notifications.ports import Channel
from app.packages.fetch.http import EgressClient
from app.packages.fetch.installer import Installer
from app.pipeline.ports import PackageSources, Runner
from app.runner.docker import engine
from app.runner.docker.backend import DockerRunner
from app.runner.docker.isolation import NO_NETWORK, Policy
from app.runner.parse_state import ParseStates
from app.service import app_identity
from app.service.config import Settings
from app.store import Store, embedded, pool
from app.store.pool import Database
from app.web.auth.service_tokens import ServiceTokens
from app.web.auth.token_file import TokenFile

ACCESS_TIMEOUT_S = 5.0
"""A caller waits while GitHub is asked what they may do."""


def make_directories(settings: Settings) -> None:
    """Create the data and work directories. Raises ConfigurationError that names the variable."""
    for name, directory in (("FRESHET_DATA_DIR", settings.freshet_data_dir), ("DBT_WORK_DIR", settings.work_dir)):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError("preparing the directories", f"{name}: {directory} cannot be created ({error.strerror})") from error


@contextlib.asynccontextmanager
async def database(settings: Settings, *, on_failure: embedded.OnFailure = lambda _: None) -> AsyncIterator[str]:
    """The DSN of the configured PostgreSQL, or of the embedded one, which runs until the context ends.

    `on_failure` is called if the embedded one died and cannot be started again.
    """
    if settings.database_url:
        yield settings.database_url.get_secret_value()
    else:
        async with embedded.serve(settings.freshet_data_dir, on_failure=on_failure) as dsn:
            yield dsn


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[tuple[Database, str]]:
    """The database for a command, and a remark about it: the embedded PostgreSQL of a running service is used together with it."""
    async with contextlib.AsyncExitStack() as stack:
        remark, advice = "", f"Its log is {settings.freshet_data_dir / 'postgres.log'}."
        try:
            dsn = await stack.enter_async_context(database(settings))
        except embedded.InUseError as error:
            if error.dsn is None:
                reason = "a service that uses the same FRESHET_DATA_DIR is starting it right now"
                raise UnavailableError("connecting to the embedded PostgreSQL", reason, "Run this again in a minute.") from error
            dsn, remark = error.dsn, f"in use by the running service (process {error.pid})"
            advice = f"The running service (process {error.pid}) starts it again if it ended. {advice}"
        if settings.database_url:
            yield await stack.enter_async_context(pool.connect(dsn)), remark
        else:
            yield await stack.enter_async_context(pool.connect(dsn, doing="connecting to the embedded PostgreSQL", advice=advice)), remark


@contextlib.asynccontextmanager
async def lock_data_dir(settings: Settings) -> AsyncIterator[None]:
    """Lock `FRESHET_DATA_DIR`: two services in one would sweep each other's containers. Raises ConfigurationError."""
    with (settings.freshet_data_dir / "service.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = f"FRESHET_DATA_DIR: another Freshet uses {settings.freshet_data_dir}"
            raise ConfigurationError("starting the service", reason, "Stop the other one, or use another directory.") from error
        yield


def docker_engine(settings: Settings) -> contextlib.AbstractAsyncContextManager[engine.Docker]:
    """A connection to the engine that Docker's own variables name. Raises ConfigurationError."""
    verify = settings.docker_tls_verify not in (None, "", "0")
    return engine.connect(settings.docker_host, tls_verify=verify, cert_path=settings.docker_cert_path)


def runner(settings: Settings, states: ParseStates, role: str = "service") -> contextlib.AbstractAsyncContextManager[Runner]:
    """The runner: the only place that chooses a backend. A sweep removes containers of the same role only."""
    choose = _kubernetes_runner if settings.freshet_runner == "kubernetes" else _docker_runner
    return choose(settings, states, role)


def runner_name(settings: Settings) -> str:
    """What people call the backend that `runner` chooses."""
    return "Kubernetes" if settings.freshet_runner == "kubernetes" else "Docker"


@contextlib.asynccontextmanager
async def _docker_runner(settings: Settings, states: ParseStates, role: str) -> AsyncIterator[DockerRunner]:
    async with docker_engine(settings) as docker:
        backend = DockerRunner(
            docker,
            image=settings.dbt_docker_image,
            more_images=settings.dbt_docker_images or None,
            cpus=settings.dbt_cpus,
            memory_bytes=settings.dbt_memory,
            timeout_s=settings.dbt_timeout,
            pids=settings.dbt_pids,
            deps_network=settings.dbt_deps_network or NO_NETWORK,
            package_hub_url=settings.dbt_package_hub_url,
            instance=instance(settings, role),
            work_dir=settings.work_dir,
            states=states,
            policy=Policy(settings.freshet_container_runtime, settings.seccomp_profile, settings.freshet_isolation == "strict"),
            warm=settings.freshet_warm_containers,
        )
        try:
            yield backend
        finally:
            await backend.close()


@contextlib.asynccontextmanager
async def _kubernetes_runner(settings: Settings, states: ParseStates, role: str) -> AsyncIterator[Runner]:
    try:
        # The client library is an extra, and importing it takes half a second of processor time and 45 MB.
        from app.runner.kubernetes import cluster  # noqa: PLC0415
        from app.runner.kubernetes.backend import KubernetesRunner  # noqa: PLC0415
    except ModuleNotFoundError as error:
        step = "Install Freshet with it: `pip install 'freshet[kubernetes]'`."
        raise ConfigurationError("reading the configuration", "FRESHET_RUNNER: kubernetes needs kubernetes_asyncio", step) from error
    async with cluster.connect(settings.freshet_kubernetes_namespace or "", settings.kubeconfig) as namespace:
        backend = KubernetesRunner(
            namespace,
            image_names=settings.freshet_kubernetes_image,
            cpus=settings.dbt_cpus,
            memory_bytes=settings.dbt_memory,
            timeout_s=settings.dbt_timeout,
            deps_network=settings.dbt_deps_network or NO_NETWORK,
            package_hub_url=settings.dbt_package_hub_url,
            instance=instance(settings, role),
            work_dir=settings.work_dir,
            states=states,
            runtime_class=settings.freshet_container_runtime,
            strict=settings.freshet_isolation == "strict",
            warm=settings.freshet_warm_containers,
        )
        try:
            yield backend
        finally:
            await backend.close()


@contextlib.asynccontextmanager
async def github(settings: Settings) -> AsyncIterator[tuple[GitHubClient, Inventory, AppAuth, AppSetup]]:
    """The clients of GitHub's API, with the App's identity from the environment or `/setup`. Raises ConfigurationError."""
    app = app_identity.identity(settings)
    async with ApiClient(app_identity.addresses(settings, app)[0]) as api:
        auth = AppAuth(None, None, api)
        setup = app_identity.app_setup(settings, app, api, auth)
        client = GitHubClient(api, auth, Pace())
        yield client, Inventory(api, auth, client), auth, setup


def service_tokens(settings: Settings) -> ServiceTokens:
    """The tokens of the environment and of the file. Raises ConfigurationError if the file is unusable."""
    file = settings.freshet_api_tokens_file
    return ServiceTokens((token.get_secret_value() for token in settings.freshet_api_tokens), TokenFile(file) if file else None)


@contextlib.asynccontextmanager
async def people(settings: Settings) -> AsyncIterator[tuple[Viewers, UserSignIn, Operators]]:
    """The check of callers' GitHub tokens, sign-in, and who operates the service.

    They have their own connections, so the App never waits for callers.
    """
    async with (
        ApiClient(settings.github_api_url, total_s=ACCESS_TIMEOUT_S, measured=False) as api,
        ApiClient(settings.github_server_url, total_s=ACCESS_TIMEOUT_S, measured=False) as git,
        contextlib.aclosing(Viewers(AccessQueries(api, git))) as callers,
        contextlib.aclosing(Operators(settings.freshet_operators, api)) as operators,
    ):
        yield callers, UserSignIn(api, git), operators


@contextlib.asynccontextmanager
async def installer(
    settings: Settings, packages: PackageSources, server_url: str, *, work_dir: Path | None = None, hosts: frozenset[str] | None = None
) -> AsyncIterator[Installer]:
    """The installer of packages: git packages come from `packages`, hub packages and tarballs over HTTP.

    By default they come from all `hosts` that the operator allows, and are cached in the settings' work directory.
    """
    async with EgressClient((settings.package_hosts if hosts is None else hosts) | configured([server_url])) as http:
        hub_url, private, directory = settings.dbt_package_hub_url, settings.private_packages, work_dir or settings.work_dir
        yield Installer(packages, http, work_dir=directory, hub_url=hub_url, server_url=server_url, private=private)


@contextlib.asynccontextmanager
async def dispatcher(settings: Settings, store: Store, server_url: Callable[[], str]) -> AsyncIterator[Dispatcher]:
    """The sender of notifications: by webhook, and by email if a mail server is configured. `server_url` is GitHub's."""
    async with WebhookChannel(settings.subscription_rules.hosts) as webhooks:
        channels: dict[Kind, Channel] = {"webhook": webhooks}
        if settings.freshet_smtp_url and settings.freshet_mail_from:
            channels["email"] = EmailChannel(server(settings.freshet_smtp_url.get_secret_value()), sender(settings.freshet_mail_from))
        yield Dispatcher(store, channels, settings.stale_after, lambda: MessageLinks(settings.public_url, server_url()))


def instance(settings: Settings, role: str) -> str:
    """A label for this service's containers: the same after a restart, different from all other services on the same engine.

    The host's name and the path of the directory are not enough: services in containers often share both.
    """
    file = settings.freshet_data_dir / "instance"
    try:
        if not file.exists():
            new = file.with_name(f"instance.{secrets.token_hex(4)}")
            new.write_text(secrets.token_hex(16))
            new.replace(file)
        identity = file.read_text().strip()
    except OSError as error:
        raise ConfigurationError("preparing the directories", f"FRESHET_DATA_DIR: {file} cannot be used ({error.strerror})") from error
    return hashlib.sha256(f"{identity} {role}".encode()).hexdigest()[:16]
