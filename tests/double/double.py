"""Installations, webhooks and check runs: what users of the App do and see."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tests.double import events
from tests.double.people import People
from tests.double.state import AccountType, CheckRun, Delivery, Installation, Repository
from tests.patience import HANGS_S

POLL_S = 0.02


class GitHubDouble(People):
    """A GitHub with one App, an async context manager that listens on 127.0.0.1.

    ``api_prefix`` is where REST is served ("" for the root, as on api.github.com; the default is that of GitHub
    Enterprise Server); git is always at the root. ``tree_limit`` is the number of entries after which a recursive
    tree is truncated, ``rate_limit`` the number of requests an installation has.
    """

    async def install(
        self,
        account: str,
        repositories: Literal["all"] | Sequence[Repository] = "all",
        *,
        account_type: AccountType = "Organization",
    ) -> Installation:
        """Install the App on an account, on all of its repositories or on some, and deliver ``installation``."""
        chosen = None if repositories == "all" else {repository.id for repository in repositories}
        owner = replace(self.state.account(account), type=account_type)
        self.state.accounts[account] = owner
        permissions = dict(self.app.permissions)
        installed = Installation(next(self.state.ids), owner, chosen, permissions, self.state.now())
        self.state.installations[installed.id] = installed
        await self._deliver_installation("created", installed)
        return installed

    async def uninstall(self, installation: Installation) -> None:
        """Remove an installation and its tokens, and deliver ``installation``."""
        repositories = self.state.installed(installation)
        del self.state.installations[installation.id]
        self._revoke(installation)
        await self._hookshot.deliver(events.installation(self.state, "deleted", installation, repositories))

    async def suspend(self, installation: Installation) -> None:
        """Suspend an installation: its tokens are revoked and it receives no new ones."""
        installation.suspended_at = self.state.now()
        self._revoke(installation)
        await self._deliver_installation("suspend", installation)

    async def unsuspend(self, installation: Installation) -> None:
        """Unsuspend an installation."""
        installation.suspended_at = None
        await self._deliver_installation("unsuspend", installation)

    async def add_repositories(self, installation: Installation, repositories: Sequence[Repository]) -> None:
        """Add repositories to an installation on selected ones."""
        if installation.repository_ids is not None:
            installation.repository_ids |= {repository.id for repository in repositories}
        await self._hookshot.deliver(events.installation_repositories(self.state, "added", installation, repositories))

    async def remove_repositories(self, installation: Installation, repositories: Sequence[Repository]) -> None:
        """Remove repositories from an installation, which has selected repositories from then on."""
        before = {repository.id for repository in self.state.installed(installation)}
        installation.repository_ids = before - {repository.id for repository in repositories}
        await self._hookshot.deliver(events.installation_repositories(self.state, "removed", installation, repositories))

    # Webhooks

    async def ping(self) -> None:
        """Deliver ``ping``."""
        await self._hookshot.deliver(events.ping(self.state))

    async def rerequest(self, run: CheckRun) -> None:
        """Press "Re-run" on a check run; deliver ``check_run`` if the App is installed."""
        installed = self.state.installation_of(self.state.repositories[run.repository_id])
        if installed is not None:
            await self._hookshot.deliver(events.check_run(self.state, "rerequested", installed, run))

    async def request_action(self, run: CheckRun, identifier: str) -> None:
        """Press a button that a check run has under this identifier."""
        installed = self.state.installation_of(self.state.repositories[run.repository_id])
        if installed is not None:
            event = events.check_run(self.state, "requested_action", installed, run)
            await self._hookshot.deliver(replace(event, payload={**event.payload, "requested_action": {"identifier": identifier}}))

    async def revoke_authorization(self, login: str) -> None:
        """A person revokes the App's authorization: their tokens end, and ``github_app_authorization`` is delivered."""
        mine = [value for value, token in self.state.tokens.items() if (token.user, token.client_id) == (login, self.app.client_id)]
        for value in mine:
            self.revoke(value)
        await self._hookshot.deliver(events.authorization_revoked(self.state, login))

    async def redeliver(self, delivery_id: int | str) -> Delivery:
        """Send an event again: by the number of a delivery, or by its X-GitHub-Delivery, which stays the same."""
        attempts = [d for d in self.state.deliveries if delivery_id in (d.id, d.guid)]
        return await self._hookshot.redeliver(attempts[-1])

    async def settle(self) -> None:
        """Wait for events caused by the App's own requests."""
        await self._hookshot.settle()

    # Check runs

    def check_runs(self, repository: Repository, sha: str | None = None) -> list[CheckRun]:
        """The check runs of a repository, or of one commit, oldest first."""
        runs = [run for run in self.state.check_runs.values() if run.repository_id == repository.id]
        return [run for run in runs if sha in (None, run.head_sha)]

    async def wait_for_check_run(
        self,
        repository: Repository,
        sha: str,
        *,
        name: str | None = None,
        status: str = "completed",
        timeout_s: float = HANGS_S,
    ) -> CheckRun:
        """Wait until the newest check run of a commit (and name) has had that status. The TimeoutError lists the existing ones."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    runs = [run for run in self.check_runs(repository, sha) if name in (None, run.name)]
                    if runs and status in {step.status for step in runs[-1].history}:
                        return runs[-1]
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            existing = [f"{run.name}: {run.status}" for run in self.check_runs(repository, sha)]
            message = f"no check run of {repository.full_name} at {sha} became {status} within {timeout_s} s; existing: {existing}"
            raise TimeoutError(message) from error

    async def _deliver_installation(self, action: str, installation: Installation) -> None:
        """Deliver ``installation`` with its repositories."""
        repositories = self.state.installed(installation)
        await self._hookshot.deliver(events.installation(self.state, action, installation, repositories))

    def _revoke(self, installation: Installation) -> None:
        """Revoke the tokens of an installation."""
        self.state.tokens = {v: t for v, t in self.state.tokens.items() if t.installation_id != installation.id}
