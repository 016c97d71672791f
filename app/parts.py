"""Parts of the service that a command uses alone too: each from its settings, and gone when it is left."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from app import credentials
from app.config import Settings
from app.dbt.docker import DockerRunner
from app.dbt.engine import connect
from app.dbt.isolation import NO_NETWORK, Policy
from app.dbt.states import States
from app.deps.addresses import configured
from app.errors import ConfigurationError
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.client import GitHubClient
from app.github.packages import GitPackages
from app.github.questions import Questions
from app.github.setup import AppSetup
from app.github.source import GitSources
from app.github.survey import Survey
from app.github.viewers import Viewers
from app.hub.guard import Guard
from app.hub.installer import Installer
from app.notices import Kind
from app.notifier import Notifier
from app.notify.mail import Mail, sender, server
from app.notify.webhook import Webhooks
from app.ports import Channel, PackageSources
from app.storage import Store
from app.store import embedded
from app.web.token_file import TokenFile
from app.web.tokens import ServiceTokens
from app.wording.notice import Links

CALLERS_TOTAL_S = 5.0
"""Somebody waits while GitHub is asked what he may do."""


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
async def alone(settings: Settings) -> AsyncIterator[None]:
    """Hold `FRESHET_DATA_DIR` for this service: it names the containers that may be swept. Raises ConfigurationError."""
    with (settings.freshet_data_dir / "service.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = f"FRESHET_DATA_DIR: another Freshet uses {settings.freshet_data_dir}"
            raise ConfigurationError("starting the service", reason, "Stop it, or give each a directory of its own.") from error
        yield


@contextlib.asynccontextmanager
async def docker_runner(settings: Settings, role: str = "service") -> AsyncIterator[DockerRunner]:
    """Yield the runner of containers. What a service sweeps at its start are those of its own role."""
    verify = settings.docker_tls_verify not in (None, "", "0")
    async with connect(settings.docker_host, tls_verify=verify, cert_path=settings.docker_cert_path) as docker:
        runner = DockerRunner(
            docker,
            image=settings.dbt_docker_image,
            more_images=settings.dbt_docker_images or None,
            cpus=settings.dbt_cpus,
            memory_bytes=settings.dbt_memory,
            timeout_s=settings.dbt_timeout,
            pids=settings.dbt_pids,
            deps_network=settings.dbt_deps_network or NO_NETWORK,
            package_hub_url=settings.dbt_package_hub_url,
            instance=_instance(settings, role),
            work_dir=settings.work_dir,
            policy=Policy(settings.freshet_container_runtime, settings.seccomp_profile, settings.freshet_isolation == "strict"),
            warm=settings.warm_containers,
        )
        try:
            yield runner
        finally:
            await runner.close()


@contextlib.asynccontextmanager
async def github(settings: Settings) -> AsyncIterator[tuple[GitHubClient, Survey, AppAuth, AppSetup]]:
    """Yield the client of GitHub's API and the App, which is who the environment or `/setup` made it."""
    known = credentials.identity(settings)
    async with ApiClient(credentials.addresses(settings, known)[0]) as api:
        auth = AppAuth(None, None, api)
        setup = credentials.app_setup(settings, known, api, auth)
        client = GitHubClient(api, auth)
        yield client, Survey(api, auth, client), auth, setup


def service_tokens(settings: Settings) -> ServiceTokens:
    """Return the tokens of the environment and of the file. Raises ConfigurationError when that cannot be used."""
    file = settings.freshet_api_tokens_file
    return ServiceTokens((one.get_secret_value() for one in settings.freshet_api_tokens), TokenFile(file) if file else None)


@contextlib.asynccontextmanager
async def viewers(settings: Settings) -> AsyncIterator[Viewers]:
    """Yield who knows GitHub's tokens. Its connections are its own: those who call wait for each other, and never the App for them."""
    async with (
        ApiClient(settings.github_api_url, total_s=CALLERS_TOTAL_S, ours=False) as api,
        ApiClient(settings.github_server_url, total_s=CALLERS_TOTAL_S, ours=False) as git,
        contextlib.aclosing(Viewers(Questions(api, git))) as found,
    ):
        yield found


@contextlib.asynccontextmanager
async def installer(settings: Settings, packages: PackageSources, server_url: str) -> AsyncIterator[Installer]:
    """Yield what fetches packages: git ones from `packages`, those of the hub and tarballs by itself."""
    async with Guard(settings.package_hosts | configured([server_url])) as guard:
        yield Installer(packages, guard, work_dir=settings.work_dir, hub_url=settings.dbt_package_hub_url, server_url=server_url)


@contextlib.asynccontextmanager
async def notifier(settings: Settings, store: Store, server_url: Callable[[], str]) -> AsyncIterator[Notifier]:
    """Yield what tells those who asked for it: by webhooks, and by mail if the operator has a server. `server_url` is GitHub's."""
    async with Webhooks(settings.notify_rules.hosts) as webhooks:
        channels: dict[Kind, Channel] = {"webhook": webhooks}
        if settings.freshet_smtp_url and settings.freshet_mail_from:
            channels["email"] = Mail(server(settings.freshet_smtp_url.get_secret_value()), sender(settings.freshet_mail_from))
        yield Notifier(store, channels, settings.stale, lambda: Links(settings.public_url, server_url()))


class Caches:
    """All that is kept of repositories and packages between extractions (`app.ports.Caches`)."""

    def __init__(self, work_dir: Path, sources: GitSources, git_packages: GitPackages, packages: Installer, states: States) -> None:
        self._work_dir = work_dir
        self._sources, self._git_packages, self._packages, self._states = sources, git_packages, packages, states

    def point_at(self, server_url: str) -> None:
        """Have another GitHub from now on."""
        for part in (self._sources, self._git_packages, self._packages):
            part.point_at(server_url)

    async def remove(self, repository_id: int) -> None:
        """Throw away what is kept of a repository."""
        await self._sources.remove(repository_id)
        await self._states.remove(repository_id)

    async def remove_installation(self, installation_id: int) -> None:
        """Throw away what is kept for an installation."""
        await self._git_packages.remove_installation(installation_id)
        await self._packages.remove(installation_id)
        await self._states.remove_installation(installation_id)

    async def tidy(self, store: Store) -> None:
        """Keep everything packed and within its bounds, and nothing of what the database does not know any more."""
        repositories, installations = await store.gone(*await asyncio.to_thread(_kept, self._work_dir))
        for repository_id in repositories:
            await self.remove(repository_id)
        for installation_id in installations:
            await self.remove_installation(installation_id)
        await self._sources.tidy()
        await self._git_packages.tidy()
        await self._packages.tidy()
        await self._states.tidy()


def _kept(work_dir: Path) -> tuple[list[int], list[int]]:
    """Return the ids of the repositories, and of the installations, of which something is kept; 0 is what the command line read."""

    def ids(*patterns: str) -> list[int]:
        stems = {path.stem for pattern in patterns for path in work_dir.glob(pattern)}
        return sorted(int(stem) for stem in stems if stem.isdecimal() and stem != "0")

    return ids("git*/*.git", "states/*/*"), ids("packages/*", "git-packages*/*", "states/*")


def _instance(settings: Settings, role: str) -> str:
    """Return a name for this service's containers that is the same after a restart, and another for another service on the engine."""
    place = f"{socket.gethostname()} {settings.freshet_data_dir.resolve()} {role}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]
