"""GitHub's REST API for the pipeline (`app.pipeline.ports.GitHub`). Each request has a token with only the permission that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import SecretStr

from app.core.app_health import CHECKING, credentials_error
from app.core.errors import GoneError, RejectedError
from app.core.models.github import BranchHead, MergeBase, Repository
from app.github.app.auth import FETCH, REPORT, AppAuth
from app.github.rest import history, project_search
from app.github.rest.http import ApiClient
from app.github.rest.pace import Pace

T = TypeVar("T")

RESERVE = 100
"""Requests of an installation's hourly rate limit that are reserved for check runs; reads stop before that."""


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
    status: str = ""
    name: str = ""


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
    """GitHub for the pipeline. All methods raise as described in `app.pipeline.ports.GitHub`."""

    def __init__(self, api: ApiClient, auth: AppAuth, pace: Pace | None = None) -> None:
        """Without `pace`, requests are made at once."""
        self._api = api
        self._auth = auth
        self._pace = pace

    async def pace(self, installation_id: int) -> None:
        """Wait until an installation may be asked something."""
        if self._pace is not None:
            await self._pace.read(installation_id)

    async def paths(self, repository: Repository, sha: str) -> list[str]:
        """The paths of all files of a commit, or of its dbt project files if GitHub truncates the list.

        https://docs.github.com/en/rest/git/trees#get-a-tree
        """
        doing = f"listing the files of {_commit(repository, sha)}"

        async def read(tree_sha: str, type_: type[T], **query: str) -> T:
            return await self._get(repository, FETCH, f"/repos/{repository.full_name}/git/trees/{tree_sha}", type_, doing, **query)

        return await project_search.paths(read, sha, repository.full_name)

    async def describe(self, repository: Repository) -> Repository:
        """The repository's current name, default branch and visibility: https://docs.github.com/en/rest/repos/repos#get-a-repository."""
        found = await self._describe(repository)
        return replace(repository, full_name=found.full_name, default_branch=found.default_branch, private=found.private)

    async def branch_head(self, repository: Repository, branch: str) -> str | None:
        """The sha of a branch, None if there is no such branch."""
        head = await self.branch_head_if_changed(repository, branch, None)
        return head.sha if head else None

    async def branch_head_if_changed(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """The sha of a branch and the response's ETag, None if unchanged since `etag`."""
        head = await self._ref_if_changed(repository, branch, etag)
        if head is not None and head.sha is None:
            # GitHub answers 404 for a missing branch as for a missing repository.
            await self._describe(repository)
        return head

    async def compare(self, repository: Repository, base: str, head: str) -> MergeBase | None:
        """Where `head` left `base` (a branch or a full sha each), None if GitHub does not have one of them."""
        try:
            return await history.compare(self._reader(repository, f"comparing {_commit(repository, head)} with {base}"), base, head)
        except GoneError:
            # GitHub answers 404 for a missing branch as for a missing repository.
            await self._describe(repository)
            return None

    async def ancestors(self, repository: Repository, sha: str) -> list[str]:
        """The shas of a commit and of up to 99 commits that it is made of, the newest first. Also raises GoneError if there is none."""
        return await history.ancestors(self._reader(repository, f"listing the commits before {_commit(repository, sha)}"), sha)

    async def full_name(self, repository: Repository) -> str:
        """The repository's current name: it may have been renamed or transferred."""
        return (await self._describe(repository)).full_name

    async def current_name(self, requester: Repository, full_name: str) -> str:
        """The current name of any public repository, requested as the installation of `requester`."""
        return (await self._get(requester, FETCH, f"/repos/{full_name}", _Repository, f"looking up {full_name}")).full_name

    async def find_check_run(self, repository: Repository, sha: str, external_id: str) -> int | None:
        """The id of our check run with this `external_id`, None if there is none.

        https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference
        """
        runs = await self._check_runs(repository, sha)
        return next((run.id for run in runs if run.external_id == external_id), None)

    async def open_check_runs(self, repository: Repository, sha: str, name: str | None = None) -> dict[int, str]:
        """Our own check runs, of this name or of any, that have not ended: their ids with their `external_id`."""
        runs = await self._check_runs(repository, sha)
        return {run.id: run.external_id or "" for run in runs if run.status != "completed" and name in (None, run.name)}

    async def _check_runs(self, repository: Repository, sha: str) -> list[_CheckRun]:
        """Ours alone, also those that newer ones replaced."""
        doing = f"looking for the check run of {_commit(repository, sha)}"
        path = f"/repos/{repository.full_name}/commits/{quote(sha)}/check-runs"

        async def find(token: SecretStr) -> list[_CheckRun]:
            pages = self._api.pages(path, _CheckRuns, doing=doing, token=token, filter="all", app_id=self._auth.app_id)
            async with aclosing(pages):
                return [run async for page in pages for run in page.check_runs]

        return await self._as_installation(repository, REPORT, find)

    async def count_annotations(self, repository: Repository, check_run_id: int) -> int:
        """The number of annotations of a check run: https://docs.github.com/en/rest/checks/runs#get-a-check-run."""
        doing = f"looking at check run {check_run_id} of {repository.full_name}"
        path = f"/repos/{repository.full_name}/check-runs/{check_run_id}"
        return (await self._get(repository, REPORT, path, _CheckRunDetail, doing)).output.annotations_count

    async def create_check_run(self, repository: Repository, body: Mapping[str, Any], *, obsolete: bool = False) -> int:
        """Create a check run: https://docs.github.com/en/rest/checks/runs#create-a-check-run. Sent once."""
        doing = f"creating the check run of {_commit(repository, str(body.get('head_sha', '')))}"
        path = f"/repos/{repository.full_name}/check-runs"

        if self._pace is not None:
            await self._pace.create(repository.installation_id, doing, spare=obsolete)

        async def create(token: SecretStr) -> _CheckRun:
            return await self._api.post(path, _CheckRun, doing=doing, token=token, body=body)

        return (await self._report(repository, create)).id

    async def update_check_run(self, repository: Repository, check_run_id: int, body: Mapping[str, Any]) -> None:
        """Update a check run: https://docs.github.com/en/rest/checks/runs#update-a-check-run. Sent once: annotations append."""
        doing = f"updating check run {check_run_id} of {repository.full_name}"
        path = f"/repos/{repository.full_name}/check-runs/{check_run_id}"

        if self._pace is not None:
            await self._pace.write(repository.installation_id, doing)

        async def update(token: SecretStr) -> _CheckRun:
            return await self._api.patch(path, _CheckRun, doing=doing, token=token, body=body)

        await self._report(repository, update)

    async def check(self) -> str:
        """One line about our App. Raises NotConfiguredError, ConfigurationError or GitHubUnavailableError."""
        try:
            app = await self._auth.with_jwt(lambda jwt: self._api.get("/app", _GitHubApp, doing=CHECKING, token=jwt))
        except (GoneError, RejectedError) as error:
            raise credentials_error(error) from error
        seconds = round(abs(self._auth.clock_error_s))
        clock = f"; the clock of this host is {seconds} seconds {'behind' if self._auth.clock_error_s > 0 else 'ahead of'} GitHub's"
        return f"App {app.slug or app.name} (id {app.id}){clock if seconds else ''}"

    async def _describe(self, repository: Repository) -> _Repository:
        doing = f"looking up {repository.full_name}"
        try:
            found = await self._get(repository, FETCH, f"/repos/{repository.full_name}", _Repository, doing)
        except GoneError:
            found = None
        if found is None or found.id != repository.id:
            # It is gone, or was renamed and another repository has its old name: GitHub's redirects lead to this path, too.
            found = await self._get(repository, FETCH, f"/repositories/{repository.id}", _Repository, doing)
        return found

    async def _ref_if_changed(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None:
        """https://docs.github.com/en/rest/git/refs#get-a-reference; 409 means that the repository is empty."""
        doing = f"looking up the branch {branch} of {repository.full_name}"
        path = f"/repos/{repository.full_name}/git/ref/heads/{quote(branch, safe='/')}"

        async def get(token: SecretStr) -> tuple[_Ref, str | None] | None:
            await self.pace(repository.installation_id)
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
            await self.pace(repository.installation_id)
            return await self._api.get(path, type_, doing=doing, token=token, reserve=RESERVE, **query)

        return await self._as_installation(repository, permissions, get)

    def _reader(self, repository: Repository, doing: str) -> history.Read:
        async def read(path: str, type_: type[T], **query: str) -> T:
            return await self._get(repository, FETCH, f"/repos/{repository.full_name}{path}", type_, doing, **query)

        return read

    async def _report(self, repository: Repository, send: Callable[[SecretStr], Awaitable[T]]) -> T:
        """Write a check run. A public repository that was removed from the installation is visible, but 403: it is gone for us."""
        try:
            return await self._as_installation(repository, REPORT, send)
        except RejectedError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            raise GoneError(error.doing, error.reason) from error

    async def _as_installation(self, repository: Repository, permissions: Mapping[str, str], ask: Callable[[SecretStr], Awaitable[T]]) -> T:
        """One token of the installation per purpose: it stays in this process, and GitHub counts requests for tokens, too."""
        return await self._auth.with_token(repository.installation_id, None, permissions, ask)


def _commit(repository: Repository, sha: str) -> str:
    return f"{repository.full_name} at {sha[:7]}"
