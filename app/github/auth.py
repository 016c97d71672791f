"""The App's identity: its JWT, and installation tokens that are good for one repository and one purpose.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
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

from app.errors import (
    ConfigurationError,
    FreshetError,
    GitHubUnavailableError,
    GoneError,
    NotConfiguredError,
    RejectedError,
    SuspendedError,
)
from app.github.api import ApiClient
from app.jobs import Repository

T = TypeVar("T")

FETCH: Mapping[str, str] = {"contents": "read"}
REPORT: Mapping[str, str] = {"checks": "write"}
RECONCILE: Mapping[str, str] = {"metadata": "read"}

BACKDATED_S = 60
"""GitHub refuses a JWT from the future: its clock and ours may differ by this much."""
LIFETIME_S = 9 * 60
"""GitHub refuses a JWT that ends more than ten minutes from now, by its clock."""
SPARE_S = 2 * 60
"""A JWT that ends sooner is not used any more."""
TOKEN_SPARE_S = 5 * 60
"""Likewise for an installation token: a fetch that starts with it has to end with it."""
MAX_TOKENS = 4096

_Key = tuple[int, int | str | None, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Token:
    """An installation token: opaque, of any length."""

    value: SecretStr
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _App:
    id: str
    key: RSAPrivateKey


class _Created(msgspec.Struct):
    token: str
    expires_at: datetime


class AppAuth:
    """Authenticates as the App, or as one of its installations, narrowed to one repository wherever there is one."""

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
        """Become the App with that id and key, or none. Raises ConfigurationError when the key cannot be used."""
        self._app: _App | None = None
        if app_id is not None and private_key_pem is not None:
            self._app = _App(str(app_id), _load_key(private_key_pem))
        self._jwt: tuple[SecretStr, float] | None = None
        self._tokens: TLRUCache[_Key, Token] = TLRUCache(MAX_TOKENS, ttu=_last_use, timer=self._clock)

    @property
    def app_id(self) -> str:
        """The App's id. Raises NotConfiguredError."""
        return self._identity().id

    def jwt(self) -> SecretStr:
        """Return a JWT that GitHub takes now. Raises NotConfiguredError."""
        app, now = self._identity(), self._clock()
        if self._jwt is None or self._jwt[1] - now < SPARE_S:
            times = {"iat": int(now) - BACKDATED_S, "exp": int(now) + LIFETIME_S}
            signed = jwt.encode({**times, "iss": app.id}, app.key, algorithm="RS256")
            self._jwt = SecretStr(signed), times["exp"]
        return self._jwt[0]

    async def token(self, installation_id: int, repository: int | str | None, permissions: Mapping[str, str]) -> Token:
        """Return a token for one repository (its id, or its name without the owner), or for all of the installation's.

        It has no more than `permissions`, and is made once however many ask.

        Raises GoneError (uninstalled, or the repository was taken out), SuspendedError, GitHubUnavailableError or RejectedError.
        """
        key = (installation_id, repository, tuple(sorted(permissions.items())))
        async with self._locks.setdefault(key, asyncio.Lock()):
            token = self._tokens.get(key)
            if token is None:
                token = await self._create(installation_id, repository, permissions)
                self._tokens[key] = token
            return token

    async def fetch_token(self, repository: Repository) -> SecretStr:
        """Return a token that reads the contents of one repository: for git."""
        return (await self.token(repository.installation_id, repository.id, FETCH)).value

    async def package_token(self, asking: Repository, full_name: str) -> SecretStr | None:
        """Return a token that reads the contents of `full_name` alone, None when the installation of `asking` does not have it.

        GitHub takes a name without its owner: that of another account must not get the token of one that is called the same here.
        """
        owner, _, name = full_name.partition("/")
        if owner.lower() != asking.full_name.partition("/")[0].lower():
            return None
        try:
            return (await self.token(asking.installation_id, name.lower(), FETCH)).value
        except GoneError:
            return None

    async def ask(
        self, installation_id: int, repository_id: int | None, permissions: Mapping[str, str], ask: Callable[[SecretStr], Awaitable[T]]
    ) -> T:
        """Ask with a token as of `token`, and with a new one when GitHub refuses it."""
        try:
            return await self._ask_once(installation_id, repository_id, permissions, ask)
        except _RefusedTokenError:
            pass
        try:
            return await self._ask_once(installation_id, repository_id, permissions, ask)
        except _RefusedTokenError as refused:
            # A new token may be refused for some seconds: the same request is good later.
            raise GitHubUnavailableError(refused.doing, refused.reason) from refused

    def forget(self, installation_id: int) -> None:
        """Drop the tokens of an installation: it was removed, suspended or changed."""
        for key in [key for key in self._tokens if key[0] == installation_id]:
            self._tokens.pop(key, None)

    def forget_token(self, token: SecretStr) -> None:
        """Drop a token that GitHub refused."""
        for key in [key for key, known in self._tokens.items() if known.value == token]:
            self._tokens.pop(key, None)

    def _identity(self) -> _App:
        if self._app is None:
            reason = "GITHUB_APP_ID and GITHUB_PRIVATE_KEY are not set"
            raise NotConfiguredError("asking GitHub", reason, "Open /setup to make a GitHub App, or set them.")
        return self._app

    async def _ask_once(
        self, installation_id: int, repository_id: int | None, permissions: Mapping[str, str], ask: Callable[[SecretStr], Awaitable[T]]
    ) -> T:
        token = (await self.token(installation_id, repository_id, permissions)).value
        try:
            return await ask(token)
        except RejectedError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            self.forget_token(token)
            raise _RefusedTokenError(error.doing, error.reason) from error
        except SuspendedError:
            self.forget(installation_id)
            raise

    async def _create(self, installation_id: int, repository: int | str | None, permissions: Mapping[str, str]) -> Token:
        """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app."""
        what = "" if repository is None else f"repository {repository} of "
        doing = f"getting a token for {what}installation {installation_id}"
        path = f"/app/installations/{installation_id}/access_tokens"
        narrowed = {"repositories" if isinstance(repository, str) else "repository_ids": None if repository is None else [repository]}
        body = {**narrowed, "permissions": dict(permissions)}
        try:
            created = await self._api.post(path, _Created, doing=doing, token=self.jwt(), body=body)
        except RejectedError as error:
            if error.status == HTTPStatus.UNPROCESSABLE_ENTITY and "not accessible" in error.reason:
                raise GoneError(doing, error.reason) from error
            raise
        return Token(SecretStr(created.token), created.expires_at)


class _RefusedTokenError(FreshetError):
    """GitHub answered 401 to an installation token."""


def _last_use(_key: _Key, token: Token, _now: float) -> float:
    return token.expires_at.timestamp() - TOKEN_SPARE_S


def _load_key(pem: SecretStr | str) -> RSAPrivateKey:
    """Parse the key once: it takes 50 ms and more, in which the loop would stand still."""
    text = pem.get_secret_value() if isinstance(pem, SecretStr) else pem
    doing, next_step = "reading GITHUB_PRIVATE_KEY", "Use the .pem file that GitHub made for the App, whole."
    try:
        # Many tools that hold environment variables write line ends as \n.
        key = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: the parser's words can quote the key.
        raise ConfigurationError(doing, "it is not an unencrypted private key in PEM form", next_step) from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(doing, "it is not an RSA key", next_step)
    return key
