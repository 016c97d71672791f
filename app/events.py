"""GitHub's webhook payloads as small typed events: only the events that we act on, only the fields that we use.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.errors import FreshetError
from app.jobs import Repository, branch_of

ZERO_SHA = "0" * 40
"""`after` of a push that deletes its branch."""

Sha = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}([0-9a-f]{24})?$")]
Id = Annotated[int, msgspec.Meta(gt=0)]


class UnreadableEventError(FreshetError):
    """A signed payload that is not what GitHub documents; the message names the field."""

    status = 400
    title = "The payload cannot be read"


class Account(msgspec.Struct, frozen=True):
    """Who the App is installed on."""

    login: str
    type: str = "User"


class Installation(msgspec.Struct, frozen=True):
    """The installation object of installation events."""

    id: Id
    account: Account


class Ping(msgspec.Struct, frozen=True):
    """GitHub tries the webhook out."""

    zen: str = ""


class Push(msgspec.Struct, frozen=True):
    """A branch was created, moved or deleted."""

    repository: Repository
    branch: str
    before: str
    after: str

    @property
    def deleted(self) -> bool:
        """True when the branch is gone."""
        return self.after.strip("0") == ""


class Installed(msgspec.Struct, frozen=True):
    """The App was installed on an account with these repositories."""

    installation: Installation
    repositories: tuple[Repository, ...]


class Uninstalled(msgspec.Struct, frozen=True):
    """The App was removed from an account."""

    installation_id: int


class RepositoriesChanged(msgspec.Struct, frozen=True):
    """Repositories were added to, or taken out of, an installation."""

    installation: Installation
    added: tuple[Repository, ...]
    removed: tuple[int, ...]


Event = Ping | Push | Installed | Uninstalled | RepositoriesChanged


class _Ref(msgspec.Struct):
    id: Id


class _Repository(msgspec.Struct):
    id: Id
    full_name: Annotated[str, msgspec.Meta(pattern=r"^[\w.-]+/[\w.-]+$")]
    private: bool = True
    default_branch: str | None = None

    def seen_by(self, installation_id: int) -> Repository:
        return Repository(self.id, self.full_name, installation_id, self.default_branch, self.private)


class _Push(msgspec.Struct):
    ref: str
    before: Sha
    after: Sha
    repository: _Repository
    installation: _Ref


class _Installation(msgspec.Struct):
    action: str
    installation: Installation
    repositories: list[_Repository] = []


class _InstallationRepositories(msgspec.Struct):
    action: str
    installation: Installation
    repositories_added: list[_Repository] = []
    repositories_removed: list[_Ref] = []


def parse(name: str, payload: bytes) -> Event | None:
    """Return the event of a payload, None when it is none that we act on. Raises UnreadableEventError.

    `name` is the `X-GitHub-Event` header.
    """
    try:
        match name:
            case "ping":
                return msgspec.json.decode(payload, type=Ping)
            case "push":
                return _push(msgspec.json.decode(payload, type=_Push))
            case "installation":
                return _installation(msgspec.json.decode(payload, type=_Installation))
            case "installation_repositories":
                return _repositories(msgspec.json.decode(payload, type=_InstallationRepositories))
            case _:
                return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEventError(f"reading a {name} event", str(error)) from error


def _push(push: _Push) -> Push | None:
    branch = branch_of(push.ref)
    if branch is None:
        return None
    return Push(push.repository.seen_by(push.installation.id), branch, push.before, push.after)


def _installation(event: _Installation) -> Event | None:
    if event.action == "created":
        return Installed(event.installation, tuple(repository.seen_by(event.installation.id) for repository in event.repositories))
    if event.action == "deleted":
        return Uninstalled(event.installation.id)
    return None


def _repositories(event: _InstallationRepositories) -> RepositoriesChanged:
    return RepositoriesChanged(
        event.installation,
        tuple(repository.seen_by(event.installation.id) for repository in event.repositories_added),
        tuple(repository.id for repository in event.repositories_removed),
    )
