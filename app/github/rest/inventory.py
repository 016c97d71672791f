"""Installations, repositories, heads and failed deliveries on GitHub, for the reconciler (`pipeline.ports.Inventory`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import datetime

import msgspec
from pydantic import SecretStr

from app.core.errors import GitHubUnavailableError
from app.core.models.github import BranchHead, FailedDelivery, InstallationState, Repository, RepositoryState
from app.github.app.auth import FETCH, AppAuth
from app.github.rest import project_search
from app.github.rest.checks import RESERVE, GitHubClient
from app.github.rest.http import ApiClient

EVENTS = frozenset({"push", "repository", "installation", "installation_repositories", "check_run", "check_suite"})
"""Events that Freshet handles; others need no redelivery."""
MAX_READINGS = 3
"""How often a list is read again if it changed while being read."""


class _Account(msgspec.Struct):
    login: str = ""
    slug: str = ""
    """Of an enterprise, which has no login."""


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
        """False for an attempt that succeeded or is still pending."""
        return not (self.status in {"OK", "pending"} or self.status_code // 100 == 2)  # noqa: PLR2004 - 2xx


class Inventory:
    """GitHub for the reconciler. All methods raise as described in `pipeline.ports.GitHub`.

    Reads leave `RESERVE` requests of the hourly rate limit to check runs; the GitHubUnavailableError has the time to continue.
    """

    def __init__(self, api: ApiClient, auth: AppAuth, client: GitHubClient) -> None:
        self._api = api
        self._auth = auth
        self._client = client

    async def installations(self) -> list[InstallationState]:
        """All installations of the App, including suspended ones.

        https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app
        """
        doing = "listing the App's installations"

        async def ask(jwt: SecretStr) -> list[InstallationState]:
            pages = self._api.pages("/app/installations", list[_Installation], doing=doing, token=jwt, reserve=RESERVE)
            async with aclosing(pages):
                return [_installation_state(installed) async for page in pages for installed in page]

        return await self._auth.with_jwt(ask)

    async def repositories(self, installation_id: int) -> list[RepositoryState]:
        """All repositories that an installation can access. Also raises GoneError and SuspendedError.

        https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation
        """
        doing = f"listing the repositories of installation {installation_id}"

        async def ask(token: SecretStr) -> list[_Repository] | None:
            pages = self._api.pages("/installation/repositories", _Repositories, doing=doing, token=token, reserve=RESERVE)
            async with aclosing(pages):
                return await _unless_changed(pages, lambda: self._client.pace(installation_id))

        for _ in range(MAX_READINGS):
            found = await self._auth.with_token(installation_id, None, FETCH, ask)
            if found is not None:
                return [_repository_state(one, installation_id) for one in found]
        raise GitHubUnavailableError(doing, "the list changed each time while it was read")

    async def branch_head(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """The newest commit of a branch, None if unchanged since `etag`, which does not count against the rate limit."""
        return await self._client.branch_head_if_changed(repository, branch, etag)

    async def paths(self, repository: Repository, sha: str) -> list[str]:
        """The paths of all `dbt_project.yml` files of a commit, and of `.github/freshet.yml`.

        If GitHub truncates the list, directories that never contain projects (`project/directory_names.py`) are skipped.
        """
        return project_search.projects(await self._client.paths(repository, sha))

    async def failed_deliveries(self, since: datetime) -> list[FailedDelivery]:
        """The newest attempt of each delivery since then that never succeeded, oldest first.

        https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook
        """
        doing = "listing the webhook's deliveries"

        async def ask(jwt: SecretStr) -> list[FailedDelivery]:
            pages = self._api.pages("/app/hook/deliveries", list[_Delivery], doing=doing, token=jwt, reserve=RESERVE)
            async with aclosing(pages):
                return await _failed(pages, since)

        return await self._auth.with_jwt(ask)

    async def redeliver(self, delivery_id: int) -> None:
        """Request a redelivery with the same `X-GitHub-Delivery`. Sent once. GoneError: GitHub keeps deliveries for a few days.

        https://docs.github.com/en/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook
        """
        path = f"/app/hook/deliveries/{delivery_id}/attempts"
        doing = f"requesting the redelivery of {delivery_id}"
        await self._auth.with_jwt(lambda jwt: self._api.trigger(path, doing=doing, token=jwt))


async def _unless_changed(pages: AsyncIterator[_Repositories], pace: Callable[[], Awaitable[None]]) -> list[_Repository] | None:
    """All repositories; None if the total changed meanwhile, because then repositories move between pages unseen."""
    counts: set[int] = set()
    found: dict[int, _Repository] = {}
    async for page in pages:
        counts.add(page.total_count)
        found.update((repository.id, repository) for repository in page.repositories)
        await pace()
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
