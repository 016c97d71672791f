"""People who are signed in: their account on GitHub, their tokens, and their sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class GitHubUser:
    """A person's account; GitHub's `id` never changes, `login` can."""

    id: int
    login: str


@dataclass(frozen=True, slots=True)
class UserTokens:
    """A user access token of our App, with what renews it. An App whose tokens do not expire has neither times nor `refresh`."""

    access: SecretStr
    expires_at: datetime | None = None
    refresh: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it is stored: the SHA-256 of its cookie, and encrypted tokens."""

    digest: bytes
    user: GitHubUser
    tokens: bytes
    version: int
    """Counts how often the tokens were renewed."""
    tokens_expire_at: datetime | None
    expires_at: datetime
    is_operator: bool | None = None
    """What GitHub said of it lately; None: nobody asked."""


class OperatorCheck(Protocol):
    """Knows who operates this service; implemented in `github/access/operators.py`."""

    @property
    def asks(self) -> bool:
        """Whether GitHub is asked about people whom the configuration does not name."""

    def names(self, user: GitHubUser) -> bool:
        """True if the configuration names the person."""

    async def include(self, user: GitHubUser, tokens: UserTokens) -> bool:
        """True if GitHub or the configuration says so; False if that cannot be known."""


class UserAuthorization(Protocol):
    """Sign-in with GitHub, as far as GitHub does it; implemented in `github/app/sign_in.py`.

    All methods raise GitHubUnavailableError, and `DeniedSignInError` when GitHub refuses.
    """

    @property
    def configured(self) -> bool:
        """Whether the App's client id and secret are known."""

    @property
    def secret(self) -> SecretStr:
        """The client's secret: the tokens are encrypted with a key that is derived from it."""

    def authorize_url(self, redirect_url: str, state: str, challenge: str) -> str:
        """The address on GitHub where a person authorizes the App; `challenge` is that of PKCE, by S256."""

    async def exchange(self, code: str, verifier: str, redirect_url: str) -> UserTokens:
        """The tokens for GitHub's code, which works once."""

    async def renew(self, tokens: UserTokens) -> UserTokens:
        """New tokens for old ones, which do not work any more afterwards."""

    async def user(self, tokens: UserTokens) -> GitHubUser:
        """Whose tokens they are."""

    async def revoke(self, tokens: UserTokens) -> None:
        """Make tokens useless."""
