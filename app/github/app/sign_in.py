"""People authorize the App on GitHub, which gives us tokens that act for them.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

import msgspec
from pydantic import SecretStr

from app.core.errors import DeniedSignInError, FreshetError, GitHubUnavailableError, GoneError, RejectedError, SuspendedError
from app.core.models.sessions import GitHubUser, UserTokens
from app.github.rest.http import ApiClient, Basic

AUTHORIZE_PATH = "/login/oauth/authorize"
TOKEN_PATH = "/login/oauth/access_token"  # noqa: S105 - a path
SIGNING_IN = "signing in with GitHub"
RENEWING = "renewing a person's token with GitHub"
REVOKING = "revoking a person's token on GitHub"


class _Tokens(msgspec.Struct):
    """GitHub answers errors with status 200."""

    access_token: str = ""
    expires_in: int | None = None
    refresh_token: str | None = None
    error: str = ""


class _User(msgspec.Struct):
    id: int
    login: str


class UserSignIn:
    """Sign-in for the users of our App, by its client id and secret."""

    def __init__(self, api: ApiClient, server: ApiClient, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`api` is GitHub's REST API, `server` its web server."""
        self._api, self._server, self._clock = api, server, clock
        self._client: Basic | None = None
        self._server_url = ""

    @property
    def configured(self) -> bool:
        """Whether the App's client id and secret are known."""
        return self._client is not None

    @property
    def secret(self) -> SecretStr:
        """The client's secret. Raises DeniedSignInError if it is not known."""
        return self._known().password

    def use_app(self, client_id: str | None, client_secret: SecretStr | None, server_url: str) -> None:
        """Sign in users of this App from now on. The clients must point to its server."""
        self._client = Basic(client_id, client_secret) if client_id and client_secret else None
        self._server_url = server_url

    def authorize_url(self, redirect_url: str, state: str, challenge: str) -> str:
        """The address on GitHub where a person authorizes the App."""
        query = {
            "client_id": self._known().user,
            "redirect_uri": redirect_url,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._server_url}{AUTHORIZE_PATH}?{urlencode(query)}"

    async def exchange(self, code: str, verifier: str, redirect_url: str) -> UserTokens:
        """The tokens for GitHub's code. Raises DeniedSignInError or GitHubUnavailableError."""
        return await self._tokens({"code": code, "code_verifier": verifier, "redirect_uri": redirect_url}, SIGNING_IN)

    async def renew(self, tokens: UserTokens) -> UserTokens:
        """New tokens for old ones, which GitHub invalidates. Raises DeniedSignInError or GitHubUnavailableError.

        https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
        """
        if tokens.refresh is None:
            raise DeniedSignInError(RENEWING, "expired_token")
        return await self._tokens({"grant_type": "refresh_token", "refresh_token": tokens.refresh.get_secret_value()}, RENEWING)

    async def user(self, tokens: UserTokens) -> GitHubUser:
        """Whose tokens they are: https://docs.github.com/en/rest/users/users#get-the-authenticated-user."""
        try:
            found = await self._api.get("/user", _User, doing=SIGNING_IN, token=tokens.access)
        except (GoneError, RejectedError, SuspendedError) as error:
            raise DeniedSignInError(SIGNING_IN, "bad_token") from error
        return GitHubUser(found.id, found.login)

    async def revoke(self, tokens: UserTokens) -> None:
        """https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token."""
        client = self._known()
        path, body = f"/applications/{client.user}/token", {"access_token": tokens.access.get_secret_value()}
        try:
            await self._api.delete(path, doing=REVOKING, token=client, body=body)
        except (GoneError, RejectedError, SuspendedError) as error:
            raise DeniedSignInError(REVOKING, "bad_token") from error

    async def _tokens(self, fields: dict[str, str], doing: str) -> UserTokens:
        client = self._known()
        known = {"client_id": client.user, "client_secret": client.password.get_secret_value()}
        try:
            found = await self._server.post_form(TOKEN_PATH, _Tokens, doing=doing, fields={**known, **fields})
        except (GoneError, RejectedError, SuspendedError) as error:
            raise _refusal(doing, error) from error
        if not found.access_token:
            raise DeniedSignInError(doing, found.error or "no_token")
        expires_at = None if found.expires_in is None else self._clock() + timedelta(seconds=found.expires_in)
        return UserTokens(SecretStr(found.access_token), expires_at, SecretStr(found.refresh_token) if found.refresh_token else None)

    def _known(self) -> Basic:
        if self._client is None:
            raise DeniedSignInError(SIGNING_IN, "incorrect_client_credentials")
        return self._client


def _refusal(doing: str, error: FreshetError) -> FreshetError:
    """An answer without the JSON of an error: the server does not know the client, or something else answers."""
    if isinstance(error, RejectedError) and error.status != HTTPStatus.UNAUTHORIZED:
        return GitHubUnavailableError(doing, error.reason)
    return DeniedSignInError(doing, "incorrect_client_credentials")
