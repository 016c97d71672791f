"""Where commits and packages come from, and what is kept of them on this host.

What strangers ask for comes from public hosts alone, never from those that only the operator's network has, and is kept apart: so they find
nothing that others fetched, and what they fetch pushes nothing out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from app.github.app.auth import AppAuth
from app.github.git.packages import GitPackages
from app.github.git.source import GitSources
from app.github.rest.checks import GitHubClient
from app.packages.fetch.installer import Installer
from app.runner.parse_state import ParseStates
from app.service import components, config
from app.service.config import Settings
from app.store import Store

STRANGERS = "strangers"
"""The directory of their packages in the work directory."""
STRANGERS_BYTES = 1 << 30
"""Of their packages, and of their packages from git."""


@dataclass(frozen=True, slots=True)
class PackageSupply:
    """Packages from git, and the installer of all packages."""

    git: GitPackages
    installer: Installer


@contextlib.asynccontextmanager
async def sources(settings: Settings, server_url: str, auth: AppAuth, client: GitHubClient) -> AsyncIterator[GitSources]:
    """The sources of commits."""
    commits = GitSources(
        server_url,
        settings.work_dir,
        auth.fetch_token,
        on_rejected_token=auth.reject_token,
        current_name=client.full_name,
        environ=config.environment(),
    )
    with contextlib.closing(commits):
        yield commits


@contextlib.asynccontextmanager
async def packages(
    settings: Settings, server_url: str, auth: AppAuth, client: GitHubClient, *, strangers: bool = False
) -> AsyncIterator[PackageSupply]:
    """Where packages come from; `strangers`: those that strangers ask for."""
    work_dir = settings.work_dir / STRANGERS if strangers else settings.work_dir
    hosts = settings.public_package_hosts if strangers else settings.package_hosts
    git = GitPackages(
        server_url,
        work_dir,
        auth.package_token,
        hosts=hosts,
        private=settings.private_packages,
        on_rejected_token=auth.reject_token,
        current_name=client.current_name,
        environ=config.environment(),
    )
    with contextlib.closing(git):
        async with components.installer(settings, git, server_url, work_dir=work_dir, hosts=hosts) as installer:
            yield PackageSupply(git, installer)


class Caches:
    """The caches of repositories, packages and parse states (implements `app.pipeline.ports.Caches`)."""

    def __init__(
        self, work_dir: Path, commits: GitSources, supply: PackageSupply, states: ParseStates, strangers: PackageSupply | None = None
    ) -> None:
        self._work_dir = work_dir
        self._commits, self._supply, self._strangers, self._states = commits, supply, strangers, states
        self._supplies = [one for one in (supply, strangers) if one is not None]

    def point_at(self, server_url: str) -> None:
        """Use another GitHub server from now on."""
        self._commits.point_at(server_url)
        for supply in self._supplies:
            supply.git.point_at(server_url)
            supply.installer.point_at(server_url)

    async def remove(self, repository_id: int) -> None:
        """Delete a repository's mirror and parse states."""
        await self._commits.remove(repository_id)
        await self._states.remove(repository_id)

    async def remove_installation(self, installation_id: int) -> None:
        """Delete an installation's packages and parse states."""
        for supply in self._supplies:
            await supply.git.remove_installation(installation_id)
            await supply.installer.remove(installation_id)
        await self._states.remove_installation(installation_id)

    async def tidy(self, store: Store) -> None:
        """Delete what belongs to nothing in the database, then pack each cache and shrink it to its limits."""
        repositories, installations = await store.retention.missing(*await asyncio.to_thread(_cached_ids, self._work_dir))
        for repository_id in repositories:
            await self.remove(repository_id)
        for installation_id in installations:
            await self.remove_installation(installation_id)
        await self._commits.tidy()
        await self._supply.git.tidy()
        await self._supply.installer.tidy()
        if self._strangers is not None:
            await self._strangers.git.tidy(STRANGERS_BYTES)
            await self._strangers.installer.tidy(STRANGERS_BYTES)
        await self._states.tidy()


def _cached_ids(work_dir: Path) -> tuple[list[int], list[int]]:
    """The ids of cached repositories and of installations, without 0: that is what `extract` on the command line read."""

    def ids(*patterns: str) -> list[int]:
        stems = {path.stem for pattern in patterns for path in work_dir.glob(pattern)}
        return sorted(int(stem) for stem in stems if stem.isdecimal() and stem != "0")

    kept = ("packages/*", "git-packages*/*")
    return ids("git*/*.git", "states/*/*"), ids(*kept, *(f"{STRANGERS}/{pattern}" for pattern in kept), "states/*")
