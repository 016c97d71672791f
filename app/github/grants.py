"""What a token may do with a repository, as far as GitHub's description of the repository tells. Decided from values alone.

https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.callers import Right

Kind = Literal["app_user", "installation", "fine_grained", "user"]
_KINDS: Mapping[str, Kind] = {"ghu_": "app_user", "ghs_": "installation", "github_pat_": "fine_grained"}
REPO, PUBLIC_REPO = "repo", "public_repo"


@dataclass(frozen=True, slots=True)
class Described:
    """A repository as GitHub describes it to a token."""

    full_name: str
    default_branch: str
    private: bool
    """Internal repositories of an enterprise are private ones too."""
    pull: bool
    push: bool
    """`pull` and `push` are the role of the token's user: the token itself may be allowed less, and that of an App has no user."""
    scopes: frozenset[str] | None
    """Of a classic token; None for all others."""
    contents: bool = False
    """The token is known to reach the contents of what its user may pull."""


@dataclass(frozen=True, slots=True)
class Told:
    """Which rights follow from the description; None: that does not tell, GitHub has to be asked for the thing itself."""

    read: bool | None
    push: bool | None

    def of(self, right: Right) -> bool | None:
        """Return one of them."""
        return self.read if right == "read" else self.push


def kind_of(token: str) -> Kind:
    """Return the kind of a token by its prefix: OAuth tokens (`gho_`), classic ones (`ghp_`) and those of old are `user`."""
    return next((kind for prefix, kind in _KINDS.items() if token.startswith(prefix)), "user")


def scopes_of(kind: Kind, headers: Mapping[str, str]) -> frozenset[str] | None:
    """Return the scopes that GitHub names with each answer to a classic token, None when the token is none.

    https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
    """
    named = headers.get("x-oauth-scopes")
    if kind != "user" or named is None:
        return None
    return frozenset(scope.strip() for scope in named.split(",") if scope.strip())


def told(kind: Kind, described: Described) -> Told:
    """Return what follows from the description of a repository.

    What is public is read by everybody. What is private is described to tokens that may not read its contents: to those with `metadata`
    alone, and to classic ones with a scope such as `repo:status`.
    """
    if described.scopes is not None:
        return _by_scopes(described, described.scopes)
    if kind == "user":
        return Told(described.pull or not described.private, described.push)
    read = True if not described.private or (described.contents and described.pull) else None
    # An App's user token stands for its user: that the App itself asks for no more than contents:read is not his right's end.
    return Told(read, described.push if kind == "app_user" else None)


def _by_scopes(described: Described, scopes: frozenset[str]) -> Told:
    whole = REPO in scopes
    read = (whole and described.pull) if described.private else True
    return Told(read, described.push and (whole or (not described.private and PUBLIC_REPO in scopes)))
