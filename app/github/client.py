"""What the flow asks of GitHub's REST API (`app.ports.GitHub`), each time with a token that can do just that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import SecretStr

from app import log
from app.errors import ConfigurationError, FreshetError, GitHubUnavailableError, GoneError, RejectedError, SuspendedError
from app.github.api import ApiClient
from app.github.auth import FETCH, RECONCILE, REPORT, AppAuth
from app.jobs import Repository
from app.ports import Head

T = TypeVar("T")

_log = log.get(__name__)


class _Repository(msgspec.Struct):
    id: int
    full_name: str
    default_branch: str
    private: bool


class _Object(msgspec.Struct):
    sha: str


class _Ref(msgspec.Struct):
    object: _Object


class _TreeItem(msgspec.Struct):
    path: str
    type: str


class _Tree(msgspec.Struct):
    tree: list[_TreeItem]
    truncated: bool = False


class _CheckRun(msgspec.Struct):
    id: int
    external_id: str | None = None


class _CheckRuns(msgspec.Struct):
    check_runs: list[_CheckRun]


class _GitHubApp(msgspec.Struct):
    id: int
    slug: str = ""
    name: str = ""


class GitHubClient:
    """GitHub as the flow sees it. Every method raises as `app.ports.GitHub` says."""

    def __init__(self, api: ApiClient, auth: AppAuth) -> None:
        self._api = api
        self._auth = auth

    async def head(self, repository: Repository) -> Head:
        """Describe the newest commit of the default branch; the answer's repository has the name that it has now."""
        found = await self._describe(repository, FETCH)
        current = replace(repository, full_name=found.full_name, default_branch=found.default_branch, private=found.private)
        sha = await self._ref(current, found.default_branch)
        if sha is None:
            return Head(current, None, ())
        doing = f"listing the files of {current.full_name} at {sha[:7]}"
        path = f"/repos/{current.full_name}/git/trees/{sha}"
        tree = await self._get(current, FETCH, path, _Tree, doing, recursive="1")
        if tree.truncated:
            _log.warning("github.tree_truncated", repository=current.full_name, sha=sha, listed=len(tree.tree))
        return Head(current, sha, [item.path for item in tree.tree if item.type == "blob"])

    async def branch_head(self, repository: Repository, branch: str) -> str | None:
        """Return the sha of a branch, None when there is no such branch."""
        sha = await self._ref(repository, branch)
        if sha is None:
            # GitHub answers 404 for a missing branch as for a missing repository.
            await self._describe(repository, FETCH)
        return sha

    async def full_name(self, repository: Repository) -> str:
        """Return the repository's name as it is now: it may have been renamed or transferred."""
        return (await self._describe(repository, RECONCILE)).full_name

    async def find_check_run(self, repository: Repository, sha: str, external_id: str) -> int | None:
        """Return the id of our check run with this `external_id`, None when GitHub has none.

        https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference
        """
        doing = f"looking for the check run of {_commit(repository, sha)}"
        path = f"/repos/{repository.full_name}/commits/{quote(sha)}/check-runs"

        async def find(token: SecretStr) -> int | None:
            pages = self._api.pages(path, _CheckRuns, doing=doing, token=token, filter="all", app_id=self._auth.app_id)
            async with aclosing(pages):
                return await _first(pages, external_id)

        return await self._as_installation(repository, REPORT, find)

    async def create_check_run(self, repository: Repository, body: Mapping[str, Any]) -> int:
        """Create a check run: https://docs.github.com/en/rest/checks/runs#create-a-check-run. Sent once."""
        doing = f"creating the check run of {_commit(repository, str(body.get('head_sha', '')))}"
        path = f"/repos/{repository.full_name}/check-runs"

        async def create(token: SecretStr) -> _CheckRun:
            return await self._api.post(path, _CheckRun, doing=doing, token=token, body=body)

        return (await self._as_installation(repository, REPORT, create)).id

    async def update_check_run(self, repository: Repository, check_run_id: int, body: Mapping[str, Any]) -> None:
        """Update a check run: https://docs.github.com/en/rest/checks/runs#update-a-check-run. Sent once: annotations append."""
        doing = f"updating check run {check_run_id} of {repository.full_name}"
        path = f"/repos/{repository.full_name}/check-runs/{check_run_id}"

        async def update(token: SecretStr) -> _CheckRun:
            return await self._api.patch(path, _CheckRun, doing=doing, token=token, body=body)

        await self._as_installation(repository, REPORT, update)

    async def check(self) -> str:
        """Return one line on the App that GitHub knows us as. Raises NotConfiguredError, ConfigurationError or GitHubUnavailableError."""
        doing = "checking the GitHub App's credentials"
        try:
            app = await self._api.get("/app", _GitHubApp, doing=doing, token=self._auth.jwt())
        except (GoneError, RejectedError) as error:
            next_step = "GITHUB_APP_ID and GITHUB_PRIVATE_KEY have to be of the same App, and this host's clock has to be right."
            raise ConfigurationError(doing, error.reason, next_step) from error
        return f"App {app.slug or app.name} (id {app.id})"

    async def _describe(self, repository: Repository, permissions: Mapping[str, str]) -> _Repository:
        doing = f"looking up {repository.full_name}"
        try:
            found = await self._get(repository, permissions, f"/repos/{repository.full_name}", _Repository, doing)
        except GoneError:
            found = None
        if found is None or found.id != repository.id:
            # It was renamed and another repository took its old name, or it is gone: this is where GitHub's own redirects lead.
            found = await self._get(repository, permissions, f"/repositories/{repository.id}", _Repository, doing)
        return found

    async def _ref(self, repository: Repository, branch: str) -> str | None:
        """https://docs.github.com/en/rest/git/refs#get-a-reference; 409 says that the repository is empty."""
        doing = f"looking up the branch {branch} of {repository.full_name}"
        path = f"/repos/{repository.full_name}/git/ref/heads/{quote(branch, safe='/')}"
        try:
            return (await self._get(repository, FETCH, path, _Ref, doing)).object.sha
        except GoneError:
            return None
        except RejectedError as error:
            if error.status == HTTPStatus.CONFLICT:
                return None
            raise

    async def _get(self, repository: Repository, permissions: Mapping[str, str], path: str, type_: type[T], doing: str, **query: str) -> T:
        async def get(token: SecretStr) -> T:
            return await self._api.get(path, type_, doing=doing, token=token, **query)

        return await self._as_installation(repository, permissions, get)

    async def _as_installation(self, repository: Repository, permissions: Mapping[str, str], ask: Callable[[SecretStr], Awaitable[T]]) -> T:
        """Ask with a token of the installation, with a new one when GitHub refuses it."""
        try:
            return await self._ask_once(repository, permissions, ask)
        except _RefusedTokenError:
            pass
        try:
            return await self._ask_once(repository, permissions, ask)
        except _RefusedTokenError as refused:
            # A new token may be refused for some seconds: the same request is good later.
            raise GitHubUnavailableError(refused.doing, refused.reason) from refused

    async def _ask_once(self, repository: Repository, permissions: Mapping[str, str], ask: Callable[[SecretStr], Awaitable[T]]) -> T:
        token = (await self._auth.token(repository.installation_id, repository.id, permissions)).value
        try:
            return await ask(token)
        except RejectedError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            self._auth.forget_token(token)
            raise _RefusedTokenError(error.doing, error.reason) from error
        except SuspendedError:
            self._auth.forget(repository.installation_id)
            raise


class _RefusedTokenError(FreshetError):
    """GitHub answered 401 to an installation token."""


async def _first(pages: AsyncIterator[_CheckRuns], external_id: str) -> int | None:
    async for page in pages:
        for run in page.check_runs:
            if run.external_id == external_id:
                return run.id
    return None


def _commit(repository: Repository, sha: str) -> str:
    return f"{repository.full_name} at {sha[:7]}"
