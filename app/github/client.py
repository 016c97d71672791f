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

from app.checkup import CHECKING, refused
from app.errors import GoneError, RejectedError
from app.github import listing
from app.github.api import ApiClient
from app.github.auth import FETCH, RECONCILE, REPORT, AppAuth
from app.jobs import Repository
from app.ports import BranchHead

T = TypeVar("T")

RESERVE = 100
"""Requests of an installation's hour that are kept for its check runs: reading stops before them."""


class _Repository(msgspec.Struct):
    id: int
    full_name: str
    default_branch: str
    private: bool


class _Object(msgspec.Struct):
    sha: str


class _Ref(msgspec.Struct):
    object: _Object


class _CheckRun(msgspec.Struct):
    id: int
    external_id: str | None = None


class _Output(msgspec.Struct):
    annotations_count: int = 0


class _CheckRunDetail(msgspec.Struct):
    output: _Output


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

    async def paths(self, repository: Repository, sha: str) -> list[str]:
        """Return the paths of all files of a commit, or of its dbt projects' files where GitHub does not list them all at once.

        https://docs.github.com/en/rest/git/trees#get-a-tree
        """
        doing = f"listing the files of {_commit(repository, sha)}"

        async def read(tree_sha: str, type_: type[T], **query: str) -> T:
            return await self._get(repository, FETCH, f"/repos/{repository.full_name}/git/trees/{tree_sha}", type_, doing, **query)

        return await listing.paths(read, sha, repository.full_name)

    async def describe(self, repository: Repository) -> Repository:
        """Return a repository as it is now: https://docs.github.com/en/rest/repos/repos#get-a-repository."""
        found = await self._describe(repository, RECONCILE)
        return replace(repository, full_name=found.full_name, default_branch=found.default_branch, private=found.private)

    async def branch_head(self, repository: Repository, branch: str) -> str | None:
        """Return the sha of a branch, None when there is no such branch."""
        head = await self.branch_head_if_changed(repository, branch, None)
        return head.sha if head else None

    async def branch_head_if_changed(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """Return the sha of a branch and the ETag of this answer, None when it is as it was under `etag`."""
        head = await self._ref_if_changed(repository, branch, etag)
        if head is not None and head.sha is None:
            # GitHub answers 404 for a missing branch as for a missing repository.
            await self._describe(repository, FETCH)
        return head

    async def full_name(self, repository: Repository) -> str:
        """Return the repository's name as it is now: it may have been renamed or transferred."""
        return (await self._describe(repository, RECONCILE)).full_name

    async def present_name(self, asking: Repository, full_name: str) -> str:
        """Return the name that a public repository of anybody has now, asked as the installation of `asking`."""
        return (await self._get(asking, RECONCILE, f"/repos/{full_name}", _Repository, f"looking up {full_name}")).full_name

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

    async def annotations_of(self, repository: Repository, check_run_id: int) -> int:
        """Return how many annotations a check run has: https://docs.github.com/en/rest/checks/runs#get-a-check-run."""
        doing = f"looking at check run {check_run_id} of {repository.full_name}"
        path = f"/repos/{repository.full_name}/check-runs/{check_run_id}"
        return (await self._get(repository, REPORT, path, _CheckRunDetail, doing)).output.annotations_count

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
        try:
            app = await self._api.get("/app", _GitHubApp, doing=CHECKING, token=self._auth.jwt())
        except (GoneError, RejectedError) as error:
            raise refused(error) from error
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

    async def _ref_if_changed(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """https://docs.github.com/en/rest/git/refs#get-a-reference; 409 says that the repository is empty."""
        doing = f"looking up the branch {branch} of {repository.full_name}"
        path = f"/repos/{repository.full_name}/git/ref/heads/{quote(branch, safe='/')}"

        async def get(token: SecretStr) -> tuple[_Ref, str | None] | None:
            return await self._api.get_if_changed(path, _Ref, doing=doing, token=token, etag=etag, reserve=RESERVE)

        try:
            found = await self._as_installation(repository, FETCH, get)
        except GoneError:
            return BranchHead(None, None)
        except RejectedError as error:
            if error.status == HTTPStatus.CONFLICT:
                return BranchHead(None, None)
            raise
        return None if found is None else BranchHead(found[0].object.sha, found[1])

    async def _get(self, repository: Repository, permissions: Mapping[str, str], path: str, type_: type[T], doing: str, **query: str) -> T:
        async def get(token: SecretStr) -> T:
            return await self._api.get(path, type_, doing=doing, token=token, reserve=RESERVE, **query)

        return await self._as_installation(repository, permissions, get)

    async def _as_installation(self, repository: Repository, permissions: Mapping[str, str], ask: Callable[[SecretStr], Awaitable[T]]) -> T:
        return await self._auth.ask(repository.installation_id, repository.id, permissions, ask)


async def _first(pages: AsyncIterator[_CheckRuns], external_id: str) -> int | None:
    async for page in pages:
        for run in page.check_runs:
            if run.external_id == external_id:
                return run.id
    return None


def _commit(repository: Repository, sha: str) -> str:
    return f"{repository.full_name} at {sha[:7]}"
