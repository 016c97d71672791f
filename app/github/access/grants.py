"""What a token may do with a repository, as far as GitHub's description of the repository says. Pure.

https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.core.models.callers import Right

Kind = Literal["app_user", "installation", "fine_grained", "user"]
_KINDS: Mapping[str, Kind] = {"ghu_": "app_user", "ghs_": "installation", "github_pat_": "fine_grained"}
REPO, PUBLIC_REPO = "repo", "public_repo"


@dataclass(frozen=True, slots=True)
class RepositoryDescription:
    """A repository as GitHub describes it for a token."""

    full_name: str
    default_branch: str
    private: bool
    """True for internal repositories of an enterprise, too."""
    pull: bool
    push: bool
    """`pull` and `push` are the role of the token's user. The token itself may allow less; an installation token has no user."""
    scopes: frozenset[str] | None
    """Of a classic token; None for other kinds."""
    contents: bool = False
    """The token can certainly read the contents of repositories that its user may pull."""


@dataclass(frozen=True, slots=True)
class ImpliedRights:
    """Rights that follow from a description; None: unknown, another query is needed."""

    read: bool | None
    push: bool | None

    def get(self, right: Right) -> bool | None:
        """Look up one right."""
        return self.read if right == "read" else self.push


def token_kind(token: str) -> Kind:
    """The kind of a token by its prefix: OAuth tokens (`gho_`), classic tokens (`ghp_`) and those without a prefix are `user`."""
    return next((kind for prefix, kind in _KINDS.items() if token.startswith(prefix)), "user")


def token_scopes(kind: Kind, headers: Mapping[str, str]) -> frozenset[str] | None:
    """The scopes that GitHub sends with each response to a classic token, None for other kinds.

    https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
    """
    scopes = headers.get("x-oauth-scopes")
    if kind != "user" or scopes is None:
        return None
    return frozenset(scope.strip() for scope in scopes.split(",") if scope.strip())


def implied_rights(kind: Kind, described: RepositoryDescription) -> ImpliedRights:
    """Derive rights from the description of a repository.

    Anyone may read public repositories. GitHub describes private ones also to tokens that may not read their contents: those with
    `metadata` alone, and classic ones with a scope such as `repo:status`.
    """
    if described.scopes is not None:
        return _by_scopes(described, described.scopes)
    if kind == "user":
        return ImpliedRights(described.pull or not described.private, described.push)
    read = True if not described.private or (described.contents and described.pull) else None
    # An App's user token acts for its user: the App's own contents:read does not limit the user's right to push.
    return ImpliedRights(read, described.push if kind == "app_user" else None)


def _by_scopes(described: RepositoryDescription, scopes: frozenset[str]) -> ImpliedRights:
    whole = REPO in scopes
    read = (whole and described.pull) if described.private else True
    return ImpliedRights(read, described.push and (whole or (not described.private and PUBLIC_REPO in scopes)))
