"""What GitHub has, for the comparison with what we have (`app.ports.Survey`): installations, repositories, heads, lost deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from datetime import datetime

import msgspec
from pydantic import SecretStr

from app.errors import GitHubUnavailableError
from app.github import listing
from app.github.api import ApiClient
from app.github.auth import RECONCILE, AppAuth
from app.github.client import RESERVE, GitHubClient
from app.jobs import Repository
from app.ports import BranchHead, FailedDelivery, InstallationState, RepositoryState

EVENTS = frozenset({"push", "repository", "installation", "installation_repositories", "check_run", "check_suite"})
"""Events that we act on: the others need not be delivered again."""
MAX_READINGS = 3
"""Times that a list is read which changes while it is read."""


class _Account(msgspec.Struct):
    login: str = ""
    slug: str = ""
    """An enterprise has this in place of a login."""


class _Installation(msgspec.Struct):
    id: int
    target_type: str
    repository_selection: str
    account: _Account | None = None
    suspended_at: datetime | None = None


class _Repository(msgspec.Struct):
    id: int
    full_name: str
    default_branch: str
    private: bool
    archived: bool = False
    pushed_at: datetime | None = None


class _Repositories(msgspec.Struct):
    total_count: int
    repositories: list[_Repository]


class _Delivery(msgspec.Struct):
    id: int
    guid: str
    event: str
    delivered_at: datetime
    status: str
    status_code: int

    @property
    def failed(self) -> bool:
        """False for an attempt that succeeded and for one that is still under way."""
        return not (self.status in {"OK", "pending"} or self.status_code // 100 == 2)  # noqa: PLR2004 - 2xx


class Survey:
    """GitHub as the reconciler sees it. Every method raises as `app.ports.GitHub` says.

    All reading leaves `RESERVE` requests of the hour to the check runs: GitHubUnavailableError says when to go on.
    """

    def __init__(self, api: ApiClient, auth: AppAuth, client: GitHubClient) -> None:
        self._api = api
        self._auth = auth
        self._client = client

    async def installations(self) -> list[InstallationState]:
        """Return all installations of the App, suspended ones included.

        https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app
        """
        doing = "listing the App's installations"
        pages = self._api.pages("/app/installations", list[_Installation], doing=doing, token=self._auth.jwt(), reserve=RESERVE)
        async with aclosing(pages):
            return [_installation_state(installed) async for page in pages for installed in page]

    async def repositories(self, installation_id: int) -> list[RepositoryState]:
        """Return all repositories that an installation reaches. Raises GoneError and SuspendedError, too.

        https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation
        """
        doing = f"listing the repositories of installation {installation_id}"

        async def ask(token: SecretStr) -> list[_Repository] | None:
            pages = self._api.pages("/installation/repositories", _Repositories, doing=doing, token=token, reserve=RESERVE)
            async with aclosing(pages):
                return await _unless_moved(pages)

        for _ in range(MAX_READINGS):
            found = await self._auth.ask(installation_id, None, RECONCILE, ask)
            if found is not None:
                return [_repository_state(one, installation_id) for one in found]
        raise GitHubUnavailableError(doing, "the list changed each time that it was read")

    async def branch_head(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """Return the newest commit of a branch, None when that is as it was under `etag`: this costs nothing of the rate limit."""
        return await self._client.branch_head_if_changed(repository, branch, etag)

    async def paths(self, repository: Repository, sha: str) -> list[str]:
        """Return the paths of all files `dbt_project.yml` of a commit, and of `.github/freshet.yml`.

        Where GitHub truncates the listing, those below directories that hold no projects (`inference/names.py`) may be left out.
        """
        return listing.projects(await self._client.paths(repository, sha))

    async def failed_deliveries(self, since: datetime) -> list[FailedDelivery]:
        """Return what was attempted since then and never taken by us: the newest attempt of each delivery, oldest first.

        https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook
        """
        doing = "listing the webhook's deliveries"
        pages = self._api.pages("/app/hook/deliveries", list[_Delivery], doing=doing, token=self._auth.jwt(), reserve=RESERVE)
        async with aclosing(pages):
            return await _failed(pages, since)

    async def redeliver(self, delivery_id: int) -> None:
        """Have a delivery attempted again, under the same `X-GitHub-Delivery`. Sent once. GoneError: GitHub keeps them for a few days.

        https://docs.github.com/en/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook
        """
        path = f"/app/hook/deliveries/{delivery_id}/attempts"
        await self._api.trigger(path, doing=f"asking for delivery {delivery_id} again", token=self._auth.jwt())


async def _unless_moved(pages: AsyncIterator[_Repositories]) -> list[_Repository] | None:
    """Return what the pages hold; None when repositories came or went meanwhile, since others then slip from page to page unseen."""
    counts: set[int] = set()
    found: dict[int, _Repository] = {}
    async for page in pages:
        counts.add(page.total_count)
        found.update((repository.id, repository) for repository in page.repositories)
    return list(found.values()) if len(counts) == 1 else None


async def _failed(pages: AsyncIterator[list[_Delivery]], since: datetime) -> list[FailedDelivery]:
    newest: dict[str, _Delivery] = {}
    settled: set[str] = set()
    async for page in pages:
        for attempt in page:
            if attempt.event not in EVENTS or attempt.delivered_at < since:
                continue
            newest.setdefault(attempt.guid, attempt)
            if not attempt.failed:
                settled.add(attempt.guid)
        if any(attempt.delivered_at < since for attempt in page):
            break
    return _oldest_first(attempt for attempt in newest.values() if attempt.guid not in settled)


def _oldest_first(attempts: Iterable[_Delivery]) -> list[FailedDelivery]:
    ordered = sorted(attempts, key=lambda attempt: (attempt.delivered_at, attempt.id))
    return [FailedDelivery(attempt.id, attempt.guid, attempt.event, attempt.delivered_at) for attempt in ordered]


def _installation_state(installed: _Installation) -> InstallationState:
    account = installed.account or _Account()
    suspended = installed.suspended_at is not None
    return InstallationState(installed.id, account.login or account.slug, installed.target_type, suspended, installed.repository_selection)


def _repository_state(found: _Repository, installation_id: int) -> RepositoryState:
    repository = Repository(found.id, found.full_name, installation_id, found.default_branch, found.private)
    return RepositoryState(repository, found.archived, found.pushed_at)
