"""Authentication and permissions of callers.

App JWTs: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
Installation tokens: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app
"""

from __future__ import annotations

import secrets
import string
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import datetime, timedelta

import jwt

from tests.double.errors import ApiError
from tests.double.state import App, Installation, Json, Repository, State, Token, TokenForm

JWT_LIFETIME_S = 600
JWT_LEEWAY_S = 5
_LEVELS = {"read": 1, "write": 2, "admin": 3}
_PUBLIC = {"metadata": "read", "contents": "read", "checks": "read"}
_ALPHABET = string.ascii_letters + string.digits
_LONG_TOKEN_LENGTH = 520


def verify_app_jwt(app: App, authorization: str | None, now: datetime) -> None:
    """Check that a request comes from the App. Raises ApiError with GitHub's message."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError(401, "A JSON web token could not be decoded")
    checks = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_iss": False, "verify_aud": False}
    try:
        claims = jwt.decode(token, app.public_key_pem, algorithms=["RS256"], options=checks)  # type: ignore[arg-type]
    except jwt.InvalidTokenError as error:
        raise ApiError(401, "A JSON web token could not be decoded") from error
    check_claims(app, claims, now.timestamp())


def check_claims(app: App, claims: Json, now_s: float) -> None:
    """Check the claims of a JWT with a valid signature."""
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if str(claims.get("iss")) not in (str(app.id), app.client_id):
        raise ApiError(404, "Integration not found")
    if not isinstance(issued_at, int) or issued_at > now_s + JWT_LEEWAY_S:
        raise ApiError(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
    if not isinstance(expires_at, int) or expires_at <= now_s:
        raise ApiError(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        )
    if expires_at > now_s + JWT_LIFETIME_S:
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")


def new_token_value(app_id: int, form: TokenForm, count: int) -> str:
    """A token of 40 or 520 characters; ``count`` is the number of earlier tokens.

    https://github.blog/changelog/ announced the long form: opaque, with dots, and longer than any column of 255.
    """
    if form == "short" or (form == "alternate" and count % 2 == 0):
        return "ghs_" + random_text(36)
    head = f"ghs_{app_id}_{random_text(20)}."
    return head + random_text(_LONG_TOKEN_LENGTH - len(head) - 87) + "." + random_text(86)


def random_text(length: int) -> str:
    """Random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def issue_token(state: State, installation: Installation, body: Json) -> Token:
    """Create an installation token with the scope in the request's body."""
    requested = _requested_repositories(state, installation, body)
    token = Token(
        value=new_token_value(state.app.id, state.token_form, len(state.tokens)),
        expires_at=state.now() + timedelta(seconds=state.token_lifetime_s),
        permissions=_requested_permissions(installation, body.get("permissions")),
        installation_id=installation.id,
        repository_ids=requested,
    )
    state.tokens[token.value] = token
    return token


def _requested_repositories(state: State, installation: Installation, body: Json) -> frozenset[int] | None:
    """The repository ids in the body, None without any."""
    names, ids = body.get("repositories"), body.get("repository_ids")
    if not names and not ids:
        return None
    by_name = {repository.name.lower(): repository.id for repository in state.installed(installation)}
    requested = {by_name.get(str(name).lower()) for name in names or []} | set(ids or [])
    if not requested <= set(by_name.values()):
        raise ApiError(422, "There is at least one repository that does not exist or is not accessible to the parent installation.")
    return frozenset(id_ for id_ in requested if id_ is not None)


def _requested_permissions(installation: Installation, requested: Mapping[str, str] | None) -> dict[str, str]:
    """The permissions in the body, all granted ones without any; always with metadata."""
    granted = installation.permissions
    if not requested:
        return dict(granted)
    if any(not allows(granted, name, level) for name, level in requested.items()):
        raise ApiError(422, "The permissions requested are not granted to this installation.")
    return {"metadata": "read", **requested}


def allows(permissions: Mapping[str, str], name: str, level: str) -> bool:
    """True if the permissions include this level; ``write`` includes ``read``."""
    return _LEVELS.get(permissions.get(name, ""), 0) >= _LEVELS.get(level, 99)


def find_token(state: State, authorization: str | None) -> Token | None:
    """The token of a request, None for an anonymous one; a 401 for one that is unknown or has expired."""
    if not authorization:
        return None
    value = _token_value(authorization)
    token = state.tokens.get(value)
    if token is None or token.expires_at <= state.now():
        raise ApiError(401, "Bad credentials")
    return token


def _token_value(authorization: str) -> str:
    """The token in a header: ``Bearer`` and ``token`` for REST, ``Basic`` with any user name for git."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return value.strip()
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except (Base64Error, UnicodeDecodeError):
        return ""


def permissions_on(state: State, token: Token | None, repository: Repository) -> Mapping[str, str] | None:
    """A token's permissions on a repository, None if it must not learn that the repository exists."""
    public = None if repository.private else _PUBLIC
    if token is None:
        return public
    granted = _of_user(state, token, repository) if token.user is not None else _of_installation(state, token, repository)
    return public if granted is None else {**(public or {}), **granted}


def _of_installation(state: State, token: Token, repository: Repository) -> Mapping[str, str] | None:
    """An installation token's permissions on a repository, None if it does not include the repository."""
    if token.installation_id is None:
        return token.permissions if repository.id in (token.repository_ids or ()) else None
    return token.permissions if _reaches(state, token, repository) else None


def _of_user(state: State, token: Token, repository: Repository) -> Mapping[str, str] | None:
    """A user token's permissions: those that both the user and the token have."""
    role = token.roles.get(repository.id)
    if role is None:
        return None
    own = {**_PUBLIC, "contents": "read" if role == "pull" else "write"}
    if token.scopes is not None:
        return _of_scopes(token.scopes, own, private=repository.private)
    if token.client_id == state.app.client_id:
        installed = state.installation_of(repository)
        given = None if installed is None or installed.suspended_at is not None else installed.permissions
    else:
        given = token.permissions if token.repository_ids is None or repository.id in token.repository_ids else None
    if given is None:
        return None
    return {name: min(level, own[name], key=_LEVELS.__getitem__) for name, level in given.items() if name in own}


def _of_scopes(scopes: frozenset[str], own: Mapping[str, str], *, private: bool) -> Mapping[str, str] | None:
    """https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps#available-scopes."""
    if "repo" in scopes:
        return own
    if private:
        return {"metadata": "read"} if any(scope.startswith("repo") for scope in scopes) else None
    return own if "public_repo" in scopes else None


def _reaches(state: State, token: Token, repository: Repository) -> bool:
    """True if a repository is among those of an installation token."""
    installation = state.installations.get(token.installation_id or 0)
    if installation is None or installation.suspended_at is not None:
        return False
    return repository in state.installed(installation) and (token.repository_ids is None or repository.id in token.repository_ids)
