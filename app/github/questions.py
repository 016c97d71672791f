"""What is asked of GitHub with a caller's own token: what it answers is what holds. Nothing is remembered here, see `viewers`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import msgspec
from pydantic import SecretStr

from app.errors import FreshetError, GitHubUnavailableError, GoneError, RejectedError, SuspendedError, UnavailableError, UnknownTokenError
from app.github.api import ApiClient, Basic
from app.github.grants import Described, Kind, scopes_of
from app.jobs import Repository

T = TypeVar("T")

CHECKING = "asking GitHub whether it knows this token"
ASKING = "asking GitHub what this token may do"
"""No repository is named: whoever asks may not be meant to know that there is one."""
LISTING = "asking GitHub for the repositories of this token"
MAX_LISTED = 2000
"""The list of whoever has more repositories is not read to its end: that takes GitHub half a minute and more."""
GIT_USER = "x-access-token"


@dataclass(frozen=True, slots=True)
class Listed:
    """A repository of a list."""

    id: int
    described: Described


class _Anything(msgspec.Struct):
    """An object, whatever is in it."""


class _Permissions(msgspec.Struct):
    pull: bool = False
    push: bool = False


class _Repository(msgspec.Struct):
    id: int
    full_name: str
    private: bool
    default_branch: str = "HEAD"
    permissions: _Permissions = msgspec.field(default_factory=_Permissions)

    def seen(self, scopes: frozenset[str] | None, *, contents: bool = False) -> Described:
        """Return it as we use it."""
        role = self.permissions
        return Described(self.full_name, self.default_branch, self.private, role.pull, role.push, scopes, contents)


class _Repositories(msgspec.Struct):
    repositories: list[_Repository]


class _Installation(msgspec.Struct):
    id: int
    permissions: dict[str, str] = {}
    suspended_at: str | None = None


class _Installations(msgspec.Struct):
    installations: list[_Installation]


class Questions:
    """GitHub's REST API (`api`) and its git (`git`), asked as whoever calls us.

    All raise UnknownTokenError when GitHub does not know the token, and GitHubUnavailableError when it says neither yes nor no.
    """

    def __init__(self, api: ApiClient, git: ApiClient) -> None:
        self._api, self._git = api, git

    def point_at(self, api_url: str, server_url: str) -> None:
        """Ask another GitHub from now on."""
        self._api.point_at(api_url)
        self._git.point_at(server_url)

    async def is_good(self, token: SecretStr) -> bool:
        """Tell whether GitHub knows a token of any kind, by what takes nothing of its rate limit.

        https://docs.github.com/en/rest/rate-limit/rate-limit; a server without limits answers 404, after it has looked at the token.
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

    async def is_of(self, client: Basic, token: SecretStr) -> bool:
        """Tell whether a token was made for this App's client, and is good.

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
            reason = "GitHub refuses the App's client id and secret"
            mend = "The operator sets GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET to those of the App's page on GitHub."
            raise UnavailableError(CHECKING, reason, mend) from error
        return True

    async def describe(self, kind: Kind, token: SecretStr, repository: Repository) -> Described | None:
        """Return a repository as GitHub describes it to a token, None when it does not: https://docs.github.com/en/rest/repos/repos.

        It is meant by its id: under its name there may be another one by now, which the token may see or not.
        403 are those of a single sign-on or of allowed addresses, too.
        """
        for path in (f"/repos/{repository.full_name}", f"/repositories/{repository.id}"):
            found = await _told(self._api.get_with_headers(path, _Repository, doing=ASKING, token=token))
            if found is not None and found[0].id == repository.id:
                return found[0].seen(scopes_of(kind, found[1]))
        return None

    async def reads_contents(self, token: SecretStr, described: Described) -> bool:
        """Tell whether a token may read what is in a repository: https://docs.github.com/en/rest/commits/commits#get-a-commit."""
        path = f"/repos/{described.full_name}/commits/{quote(described.default_branch, safe='/')}"
        try:
            return await _told(self._api.get(path, _Anything, doing=ASKING, token=token)) is not None
        except _NothingYetError:
            return True

    async def pushes(self, token: SecretStr, full_name: str) -> bool:
        """Tell whether git takes a push with a token, as far as to the point where it would begin.

        https://git-scm.com/docs/http-protocol#_smart_clients
        """
        path, credentials = f"/{full_name}.git/info/refs", Basic(GIT_USER, token)
        try:
            return await _told(self._git.check(path, doing=ASKING, token=credentials, service="git-receive-pack")) is not None
        except UnknownTokenError:
            return False  # the REST API has just taken it: it is no token for git

    async def listing(self, kind: Kind, token: SecretStr) -> list[Listed] | None:
        """Return the repositories that GitHub lists for a token; None when it lists none, or more than `MAX_LISTED`."""
        path = {"app_user": "/user/installations", "installation": "/installation/repositories"}.get(kind, "/user/repos")
        batches = {"app_user": self._of_user_of_app, "installation": self._of_installation}.get(kind, self._of_user)
        return await _told(_collected(batches(path, token)))

    async def _of_user(self, path: str, token: SecretStr) -> AsyncGenerator[list[Listed], None]:
        """https://docs.github.com/en/rest/repos/repos#list-repositories-for-the-authenticated-user."""
        async with aclosing(self._api.pages_with_headers(path, list[_Repository], doing=LISTING, token=token)) as pages:
            async for repositories, headers in pages:
                scopes = scopes_of("user", headers)
                yield [Listed(one.id, one.seen(scopes)) for one in repositories]

    async def _of_user_of_app(self, path: str, token: SecretStr) -> AsyncGenerator[list[Listed], None]:
        """https://docs.github.com/en/rest/apps/installations#list-app-installations-accessible-to-the-user-access-token."""
        async with aclosing(self._api.pages(path, _Installations, doing=LISTING, token=token)) as pages:
            installations = [one async for page in pages for one in page.installations if one.suspended_at is None]
        for one in installations:
            contents = one.permissions.get("contents") in ("read", "write")
            async with aclosing(self._of_installation(f"{path}/{one.id}/repositories", token, contents=contents)) as batches:
                async for batch in batches:
                    yield batch

    async def _of_installation(self, path: str, token: SecretStr, *, contents: bool = False) -> AsyncGenerator[list[Listed], None]:
        """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation."""
        async with aclosing(self._api.pages(path, _Repositories, doing=LISTING, token=token)) as pages:
            async for page in pages:
                yield [Listed(one.id, one.seen(None, contents=contents)) for one in page.repositories]


class _NothingYetError(FreshetError):
    """GitHub answered 409: the repository is empty."""


async def _told(asking: Awaitable[T]) -> T | None:
    """Return what GitHub answered, None where it says no. Raises UnknownTokenError, or GitHubUnavailableError when it says neither."""
    try:
        return await asking
    except (GoneError, SuspendedError):
        return None
    except RejectedError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return None
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise UnknownTokenError(error.doing, error.reason, "Send one that is still good.") from error
        if error.status == HTTPStatus.CONFLICT:
            raise _NothingYetError(error.doing, error.reason) from error
        raise GitHubUnavailableError(error.doing, error.reason) from error


async def _collected(batches: AsyncGenerator[list[Listed], None]) -> list[Listed] | None:
    """Return all of a list, None when it is too long to be read to its end."""
    found: list[Listed] = []
    async with aclosing(batches):
        async for batch in batches:
            found += batch
            if len(found) > MAX_LISTED:
                return None
    return found
