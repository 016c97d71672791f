"""Authentication as the App: its JWT, and installation tokens limited to one purpose, and for git to one repository.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TypeVar
from weakref import WeakValueDictionary

import jwt
import msgspec
from cachetools import TLRUCache
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr

from app.core import log
from app.core.errors import (
    ConfigurationError,
    FreshetError,
    GoneError,
    NotConfiguredError,
    NotYetError,
    RejectedError,
    SuspendedError,
)
from app.core.models.github import Repository
from app.github.rest.http import ApiClient

T = TypeVar("T")

_log = log.get(__name__)

FETCH: Mapping[str, str] = {"contents": "read"}
"""Includes the metadata."""
REPORT: Mapping[str, str] = {"checks": "write"}

BACKDATED_S = 60
"""GitHub rejects JWTs issued in the future; its clock and ours may differ by this much."""
LIFETIME_S = 9 * 60
"""GitHub rejects JWTs that expire more than ten minutes from now, by its clock."""
SPARE_S = 2 * 60
"""A JWT that expires sooner is replaced."""
TOKEN_SPARE_S = 5 * 60
"""The same for an installation token: a fetch must end before it expires."""
MAX_TOKENS = 4096
NEW_TOKEN_S = 60.0
"""All of GitHub's servers know a new token by then."""
WORKING_TOKEN_S = 10.0
"""The same for one that has worked: if it is refused later, it was revoked."""
NEW_TOKEN_PAUSES_S = (1.0, 2.0, 4.0)
"""Before a refused new token is used again."""
NEW_TOKEN_RETRY_S = 5.0
"""When to try again after these."""
CLOCK_TOLERANCE_S = 30.0
"""A smaller difference between this host's clock and GitHub's does not matter."""

_Key = tuple[int, int | str | None, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Token:
    """An installation token: opaque, of any length."""

    value: SecretStr
    expires_at: datetime
    made_s: float
    """By this host's clock."""


@dataclass(frozen=True, slots=True)
class _App:
    id: str
    key: RSAPrivateKey


class _Created(msgspec.Struct):
    token: str
    expires_at: datetime


class AppAuth:
    """Authenticates as the App, or as an installation: for REST with one token per purpose, for git with one per repository."""

    def __init__(
        self,
        app_id: int | str | None,
        private_key_pem: SecretStr | str | None,
        api: ApiClient,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._clock = clock
        self._locks: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()
        self.configure(app_id, private_key_pem)

    def configure(self, app_id: int | str | None, private_key_pem: SecretStr | str | None) -> None:
        """Use this App from now on, or none. Raises ConfigurationError for an unusable key."""
        self._app: _App | None = None
        if app_id is not None and private_key_pem is not None:
            self._app = _App(str(app_id), _load_key(private_key_pem))
        self._jwt: tuple[SecretStr, float] | None = None
        self._tokens: TLRUCache[_Key, Token] = TLRUCache(MAX_TOKENS, ttu=_last_use, timer=self._now)
        self._accepted: set[SecretStr] = set()
        """Tokens that have worked."""

    @property
    def app_id(self) -> str:
        """The App's id. Raises NotConfiguredError."""
        return self._identity().id

    def jwt(self) -> SecretStr:
        """A currently valid JWT. Raises NotConfiguredError."""
        app, now = self._identity(), self._now()
        if self._jwt is None or not SPARE_S <= self._jwt[1] - now <= LIFETIME_S + CLOCK_TOLERANCE_S:
            times = {"iat": int(now) - BACKDATED_S, "exp": int(now) + LIFETIME_S}
            signed = jwt.encode({**times, "iss": app.id}, app.key, algorithm="RS256")
            self._jwt = SecretStr(signed), times["exp"]
        return self._jwt[0]

    async def token(self, installation_id: int, repository: int | str | None, permissions: Mapping[str, str]) -> Token:
        """A token with `permissions` for one repository (its id, or its name without the owner), or for all of the installation.

        Concurrent calls share one request.

        Raises GoneError (uninstalled, or the repository was removed), SuspendedError, GitHubUnavailableError or RejectedError.
        """
        key = (installation_id, repository, tuple(sorted(permissions.items())))
        async with self._locks.setdefault(key, asyncio.Lock()):
            token = self._tokens.get(key)
            if token is None:
                self._accepted.intersection_update([known.value for known in self._tokens.values()])
                token = await self._create(installation_id, repository, permissions)
                self._tokens[key] = token
            return token

    async def fetch_token(self, repository: Repository) -> SecretStr:
        """A token for git that can read one repository."""
        return (await self.token(repository.installation_id, repository.id, FETCH)).value

    async def package_token(self, requester: Repository, full_name: str) -> SecretStr | None:
        """A token that can read `full_name` alone, None if the installation of `requester` does not contain it.

        GitHub takes names without owners, so the owner is compared here: another account may have a repository with the same name.
        """
        owner, _, name = full_name.partition("/")
        if owner.lower() != requester.full_name.partition("/")[0].lower():
            return None
        try:
            return (await self.token(requester.installation_id, name.lower(), FETCH)).value
        except GoneError:
            return None

    async def with_jwt(self, call: Callable[[SecretStr], Awaitable[T]]) -> T:
        """Call as the App. If GitHub refuses the JWT because this host's clock is wrong, call once more with a corrected one."""
        before_s = self.clock_error_s
        try:
            return await call(self.jwt())
        except RejectedError as error:
            after_s = self.clock_error_s
            if error.status != HTTPStatus.UNAUTHORIZED or abs(after_s - before_s) < CLOCK_TOLERANCE_S:
                raise
        _log.warning("the clock of this host is wrong: set it, or start its time synchronization", seconds_behind_github=round(after_s))
        return await call(self.jwt())

    async def with_token(
        self, installation_id: int, repository_id: int | None, permissions: Mapping[str, str], call: Callable[[SecretStr], Awaitable[T]]
    ) -> T:
        """Call with a token.

        GitHub's servers may not know a new one for some seconds: then call again with the same. One that worked before, or should work by
        now, is replaced. Raises NotYetError if GitHub still does not know the token.
        """
        pauses = iter(NEW_TOKEN_PAUSES_S)
        while True:
            token = await self.token(installation_id, repository_id, permissions)
            try:
                return await self._call(installation_id, token.value, call)
            except _RejectedTokenError as error:
                if self.reject_token(token.value):
                    continue
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise NotYetError(error.doing, error.reason, retry_after_s=NEW_TOKEN_RETRY_S) from error
            await asyncio.sleep(pause_s)

    def reject_token(self, token: SecretStr) -> bool:
        """GitHub refused a token. Drop it, so that it is replaced; False if it is too new for that and to be used again."""
        known = next((known for known in self._tokens.values() if known.value == token), None)
        if known is None:
            return True
        if self._clock() - known.made_s < (WORKING_TOKEN_S if token in self._accepted else NEW_TOKEN_S):
            return False
        self.forget_token(token)
        return True

    def forget(self, installation_id: int) -> None:
        """Drop the tokens of an installation that was removed, suspended or changed."""
        for key in [key for key in self._tokens if key[0] == installation_id]:
            self._tokens.pop(key, None)

    def forget_all(self) -> None:
        """Drop all tokens: an installation was suspended, resumed or changed, which may have ended some."""
        self._tokens.clear()

    def forget_token(self, token: SecretStr) -> None:
        """Drop a token that GitHub rejected."""
        for key in [key for key, cached in self._tokens.items() if cached.value == token]:
            self._tokens.pop(key, None)

    def _identity(self) -> _App:
        if self._app is None:
            reason = "GITHUB_APP_ID and GITHUB_PRIVATE_KEY are not set"
            raise NotConfiguredError("authenticating with GitHub", reason, "Open /setup to create a GitHub App, or set them.")
        return self._app

    async def _call(self, installation_id: int, token: SecretStr, call: Callable[[SecretStr], Awaitable[T]]) -> T:
        try:
            answer = await call(token)
        except RejectedError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            raise _RejectedTokenError(error.doing, error.reason) from error
        except SuspendedError:
            self.forget(installation_id)
            raise
        self._accepted.add(token)
        return answer

    def _now(self) -> float:
        """GitHub's time."""
        return self._clock() + self.clock_error_s

    @property
    def clock_error_s(self) -> float:
        """How far this host's clock is behind GitHub's, as far as it matters."""
        return self._api.clock_offset_s if abs(self._api.clock_offset_s) >= CLOCK_TOLERANCE_S else 0.0

    async def _create(self, installation_id: int, repository: int | str | None, permissions: Mapping[str, str]) -> Token:
        """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app."""
        scope = "" if repository is None else f"repository {repository} of "
        doing = f"getting a token for {scope}installation {installation_id}"
        path = f"/app/installations/{installation_id}/access_tokens"
        scope_fields = {"repositories" if isinstance(repository, str) else "repository_ids": None if repository is None else [repository]}
        body = {**scope_fields, "permissions": dict(permissions)}
        try:
            created = await self.with_jwt(lambda token: self._api.post(path, _Created, doing=doing, token=token, body=body))
        except RejectedError as error:
            if error.status == HTTPStatus.UNPROCESSABLE_ENTITY and "not accessible" in error.reason:
                raise GoneError(doing, error.reason) from error
            raise
        return Token(SecretStr(created.token), created.expires_at, self._clock())


class _RejectedTokenError(FreshetError):
    """GitHub answered 401 to an installation token."""


def _last_use(_key: _Key, token: Token, _now: float) -> float:
    return token.expires_at.timestamp() - TOKEN_SPARE_S


def _load_key(pem: SecretStr | str) -> RSAPrivateKey:
    return _parse_key(pem.get_secret_value() if isinstance(pem, SecretStr) else pem)


@lru_cache(maxsize=1)
def _parse_key(text: str) -> RSAPrivateKey:
    """Parse the key once: it blocks the event loop for 50 ms and more."""
    doing, next_step = "reading GITHUB_PRIVATE_KEY", "Use the complete .pem file that GitHub generated for the App."
    try:
        # Many tools store the line ends of environment variables as \n.
        key = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: the parser's message may quote the key.
        raise ConfigurationError(doing, "it is not an unencrypted private key in PEM format", next_step) from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(doing, "it is not an RSA key", next_step)
    return key
