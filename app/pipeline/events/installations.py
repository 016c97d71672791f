"""Installations of the App, their repositories, and what people authorized.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#installation
https://docs.github.com/en/webhooks/webhook-events-and-payloads#repository
"""

from __future__ import annotations

import msgspec

from app.core.models.github import Repository
from app.pipeline.events.fields import Id, IdField, Name, OfRepository, RepositoryFields

IDENTITY_CHANGES = ("renamed", "transferred", "deleted")
VISIBILITY_CHANGES = ("privatized", "publicized", "archived", "unarchived")


class Account(msgspec.Struct, frozen=True):
    """The account that installed the App. An enterprise has a `slug` instead of a `login`."""

    login: Name = ""
    slug: Name = ""
    type: Name = "User"


class Installation(msgspec.Struct, frozen=True):
    """The installation object of installation events."""

    id: Id
    account: Account | None = None
    repository_selection: Name = "selected"

    @property
    def account_name(self) -> str:
        """Name of the account; empty if GitHub does not say."""
        return (self.account.login or self.account.slug) if self.account else ""

    @property
    def account_type(self) -> str:
        """`User`, `Organization` or `Enterprise`."""
        account = self.account or Account()
        return "Enterprise" if account.slug and not account.login else account.type


class Installed(msgspec.Struct, frozen=True):
    """The App was installed on an account with these repositories."""

    installation: Installation
    repositories: tuple[Repository, ...]
    """May be empty for accounts with many repositories; the installation is surveyed in any case."""


class Uninstalled(msgspec.Struct, frozen=True):
    """The App was removed from an account."""

    installation_id: int


class RepositoriesChanged(msgspec.Struct, frozen=True):
    """Repositories were added to or removed from an installation."""

    installation: Installation
    added: tuple[Repository, ...]
    removed: tuple[int, ...]


class InstallationChanged(msgspec.Struct, frozen=True):
    """An installation changed (suspended, permissions); a survey finds out how."""

    installation: Installation


class RepositoryChanged(msgspec.Struct, frozen=True):
    """A repository changed (name, owner, default branch, visibility); the reconciler asks GitHub for its state."""

    repository: Repository
    action: str


class AuthorizationRevoked(msgspec.Struct, frozen=True):
    """A person revoked the App's authorization to act for them."""

    user_id: int


class _Authorization(msgspec.Struct):
    action: str
    sender: IdField


class _Installation(msgspec.Struct):
    action: str
    installation: Installation
    repositories: list[RepositoryFields] | None = None


class _InstallationRepositories(msgspec.Struct):
    action: str
    installation: Installation
    repositories_added: list[RepositoryFields] | None = None
    repositories_removed: list[IdField] | None = None


class _RepositoryEvent(OfRepository, kw_only=True):
    action: str


def read_installation(payload: bytes | bytearray) -> Installed | Uninstalled | InstallationChanged:
    """Something happened to an installation."""
    event = msgspec.json.decode(payload, type=_Installation)
    if event.action == "created":
        return Installed(event.installation, _in_installation(event.installation, event.repositories))
    if event.action == "deleted":
        return Uninstalled(event.installation.id)
    return InstallationChanged(event.installation)


def read_repositories(payload: bytes | bytearray) -> RepositoriesChanged:
    """The repositories of an installation changed."""
    event = msgspec.json.decode(payload, type=_InstallationRepositories)
    added = _in_installation(event.installation, event.repositories_added)
    return RepositoriesChanged(event.installation, added, tuple(repository.id for repository in event.repositories_removed or ()))


def read_repository(payload: bytes | bytearray) -> RepositoryChanged | None:
    """A repository changed; None for what does not concern us."""
    event = msgspec.json.decode(payload, type=_RepositoryEvent)
    repository = event.installed()
    if repository and event.action in ("created", "edited", *IDENTITY_CHANGES, *VISIBILITY_CHANGES):
        return RepositoryChanged(repository, event.action)
    return None


def read_authorization(payload: bytes | bytearray) -> AuthorizationRevoked | None:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#github_app_authorization."""
    event = msgspec.json.decode(payload, type=_Authorization)
    return AuthorizationRevoked(event.sender.id) if event.action == "revoked" else None


def _in_installation(installation: Installation, repositories: list[RepositoryFields] | None) -> tuple[Repository, ...]:
    return tuple(repository.in_installation(installation.id) for repository in repositories or ())
