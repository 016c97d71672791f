"""Requests to GitHub with a caller's own token. Nothing is cached here: see `viewers`."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import msgspec
from pydantic import SecretStr

from app.core.errors import (
    FreshetError,
    GitHubUnavailableError,
    GoneError,
    RejectedError,
    SuspendedError,
    UnavailableError,
    UnknownTokenError,
)
from app.core.models.github import Repository
from app.github.access.grants import Kind, RepositoryDescription, token_scopes
from app.github.rest.http import ApiClient, Basic

T = TypeVar("T")

CHECKING = "checking the token with GitHub"
ASKING = "checking with GitHub what this token may do"
"""Without the repository's name: the caller may not be allowed to know that it exists."""
LISTING = "listing the token's repositories on GitHub"
MAX_LISTED = 2000
"""Longer lists are not read to the end: GitHub needs more than half a minute for them."""
GIT_USER = "x-access-token"
NO_NAME = "-/-"
"""No repository can have this name. It is asked for instead of none, so that the number of requests does not tell which ones exist."""
_FULL_NAME = re.compile(r"(?!\.{1,2}/)[\w.-]+/(?!\.{1,2}\Z)[\w.-]+")


@dataclass(frozen=True, slots=True)
class ListedRepository:
    """A repository in a list."""

    id: int
    description: RepositoryDescription


class _Anything(msgspec.Struct):
    """Any JSON object."""


class _Permissions(msgspec.Struct):
    pull: bool = False
    push: bool = False


class _Repository(msgspec.Struct):
    id: int
    full_name: str
    private: bool
    default_branch: str = "HEAD"
    permissions: _Permissions = msgspec.field(default_factory=_Permissions)

    def description(self, scopes: frozenset[str] | None, *, contents: bool = False) -> RepositoryDescription:
        """With the scopes of the token that it was described for."""
        role = self.permissions
        return RepositoryDescription(self.full_name, self.default_branch, self.private, role.pull, role.push, scopes, contents)


class _Repositories(msgspec.Struct):
    repositories: list[_Repository]


class _Installation(msgspec.Struct):
    id: int
    permissions: dict[str, str] = {}
    suspended_at: str | None = None


class _Installations(msgspec.Struct):
    installations: list[_Installation]


class AccessQueries:
    """Queries to GitHub's REST API (`api`) and git server (`git`) with the caller's token.

    All raise UnknownTokenError when GitHub does not accept the token, and GitHubUnavailableError when there is no clear answer.
    """

    def __init__(self, api: ApiClient, git: ApiClient) -> None:
        self._api, self._git = api, git

    def point_at(self, api_url: str, server_url: str) -> None:
        """Use another GitHub server from now on."""
        self._api.point_at(api_url)
        self._git.point_at(server_url)

    async def is_valid(self, token: SecretStr) -> bool:
        """True if GitHub accepts the token, of any kind. The request does not count against its rate limit.

        https://docs.github.com/en/rest/rate-limit/rate-limit; a server without rate limits answers 404 after checking the token.
        """
        try:
            await self._api.check("/rate_limit", doing=CHECKING, token=token)
        except GoneError:
            return True
        except SuspendedError:
            return False
        except RejectedError as error:
            if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                return False
            raise GitHubUnavailableError(error.doing, error.reason) from error
        return True

    async def belongs_to(self, client: Basic, token: SecretStr) -> bool:
        """True for a valid token of this App's client.

        https://docs.github.com/en/rest/apps/oauth-applications#check-a-token
        """
        body = {"access_token": token.get_secret_value()}
        try:
            await self._api.post(f"/applications/{client.user}/token", _Anything, doing=CHECKING, token=client, body=body)
        except GoneError:
            return False
        except RejectedError as error:
            if error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                return False
            reason = "GitHub rejects the App's client id and secret"
            next_step = "Set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET to the values on the App's page on GitHub."
            raise UnavailableError(CHECKING, reason, next_step) from error
        return True

    async def describe(self, kind: Kind, token: SecretStr, repository: Repository) -> RepositoryDescription | None:
        """A repository as GitHub describes it for a token, None if it does not: https://docs.github.com/en/rest/repos/repos.

        The id decides: another repository may have its name by now. Single sign-on and IP allow lists give a 403, too.
        """
        named = repository.full_name if _FULL_NAME.fullmatch(repository.full_name) else NO_NAME
        for path in (f"/repos/{named}", f"/repositories/{repository.id}"):
            found = await _unless_denied(self._api.get_with_headers(path, _Repository, doing=ASKING, token=token))
            if found is not None and found[0].id == repository.id:
                return found[0].description(token_scopes(kind, found[1]))
        return None

    async def can_read_contents(self, token: SecretStr, described: RepositoryDescription) -> bool:
        """True if the token may read a repository's contents: https://docs.github.com/en/rest/commits/commits#get-a-commit."""
        path = f"/repos/{described.full_name}/commits/{quote(described.default_branch, safe='/')}"
        try:
            return await _unless_denied(self._api.get(path, _Anything, doing=ASKING, token=token)) is not None
        except _EmptyRepositoryError:
            return True

    async def can_push(self, token: SecretStr, full_name: str) -> bool:
        """True if the git server would accept a push with the token; nothing is pushed.

        https://git-scm.com/docs/http-protocol#_smart_clients
        """
        path, credentials = f"/{full_name}.git/info/refs", Basic(GIT_USER, token)
        try:
            return await _unless_denied(self._git.check(path, doing=ASKING, token=credentials, service="git-receive-pack")) is not None
        except UnknownTokenError:
            return False  # the REST API has just accepted it, so it is not a token for git

    async def list_repositories(self, kind: Kind, token: SecretStr) -> list[ListedRepository] | None:
        """The repositories that GitHub lists for a token; None if it cannot list them, or lists more than `MAX_LISTED`."""
        path = {"app_user": "/user/installations", "installation": "/installation/repositories"}.get(kind, "/user/repos")
        batches = {"app_user": self._list_for_app_user, "installation": self._list_for_installation}.get(kind, self._list_for_user)
        return await _unless_denied(_collected(batches(path, token)))

    async def _list_for_user(self, path: str, token: SecretStr) -> AsyncGenerator[list[ListedRepository], None]:
        """https://docs.github.com/en/rest/repos/repos#list-repositories-for-the-authenticated-user."""
        async with aclosing(self._api.pages_with_headers(path, list[_Repository], doing=LISTING, token=token)) as pages:
            async for repositories, headers in pages:
                scopes = token_scopes("user", headers)
                yield [ListedRepository(one.id, one.description(scopes)) for one in repositories]

    async def _list_for_app_user(self, path: str, token: SecretStr) -> AsyncGenerator[list[ListedRepository], None]:
        """https://docs.github.com/en/rest/apps/installations#list-app-installations-accessible-to-the-user-access-token."""
        async with aclosing(self._api.pages(path, _Installations, doing=LISTING, token=token)) as pages:
            installations = [one async for page in pages for one in page.installations if one.suspended_at is None]
        for one in installations:
            contents = one.permissions.get("contents") in ("read", "write")
            async with aclosing(self._list_for_installation(f"{path}/{one.id}/repositories", token, contents=contents)) as batches:
                async for batch in batches:
                    yield batch

    async def _list_for_installation(
        self, path: str, token: SecretStr, *, contents: bool = False
    ) -> AsyncGenerator[list[ListedRepository], None]:
        """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation."""
        async with aclosing(self._api.pages(path, _Repositories, doing=LISTING, token=token)) as pages:
            async for page in pages:
                yield [ListedRepository(one.id, one.description(None, contents=contents)) for one in page.repositories]


class _EmptyRepositoryError(FreshetError):
    """GitHub answered 409: the repository is empty."""


async def _unless_denied(query: Awaitable[T]) -> T | None:
    """The response, None if GitHub denies it. Raises UnknownTokenError, or GitHubUnavailableError for other errors."""
    try:
        return await query
    except (GoneError, SuspendedError):
        return None
    except RejectedError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return None
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise UnknownTokenError(error.doing, error.reason, "Send a valid token.") from error
        if error.status == HTTPStatus.CONFLICT:
            raise _EmptyRepositoryError(error.doing, error.reason) from error
        raise GitHubUnavailableError(error.doing, error.reason) from error


async def _collected(batches: AsyncGenerator[list[ListedRepository], None]) -> list[ListedRepository] | None:
    """The whole list, None if it is longer than `MAX_LISTED`."""
    repositories: list[ListedRepository] = []
    async with aclosing(batches):
        async for batch in batches:
            repositories += batch
            if len(repositories) > MAX_LISTED:
                return None
    return repositories
