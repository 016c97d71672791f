"""GitHub's webhook payloads as small typed events: only the events that we act on, only the fields that we use.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import msgspec

from app.errors import FreshetError
from app.jobs import Repository, branch_of

ZERO_SHA = "0" * 40
"""`after` of a push that deletes its branch."""

MOVED = ("renamed", "transferred", "deleted")
SEEN = ("privatized", "publicized", "archived", "unarchived")

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
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
    repository_selection: str = "selected"


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
    """None of the repositories of an account with many may be named: the installation is surveyed in any case."""


class Uninstalled(msgspec.Struct, frozen=True):
    """The App was removed from an account."""

    installation_id: int


class RepositoriesChanged(msgspec.Struct, frozen=True):
    """Repositories were added to, or taken out of, an installation."""

    installation: Installation
    added: tuple[Repository, ...]
    removed: tuple[int, ...]


class InstallationChanged(msgspec.Struct, frozen=True):
    """Something about an installation is other than before (suspended, permissions): GitHub is to be asked what."""

    installation: Installation


class RepositoryChanged(msgspec.Struct, frozen=True):
    """Something about a repository is other than before (name, owner, branch, visibility): GitHub is to be asked what."""

    repository: Repository
    action: str


class Rerequested(msgspec.Struct, frozen=True):
    """Somebody asked on GitHub for a commit's check run again. `external_id` None: for all of ours."""

    repository: Repository
    sha: str
    branch: str | None
    external_id: str | None


Event = Ping | Push | Installed | Uninstalled | InstallationChanged | RepositoriesChanged | RepositoryChanged | Rerequested


class _Action(msgspec.Struct):
    action: str = ""


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


class _RepositoryEvent(msgspec.Struct):
    action: str
    repository: _Repository
    installation: _Ref


class _CheckSuite(msgspec.Struct):
    head_sha: Sha
    head_branch: str | None = None


class _CheckRun(msgspec.Struct):
    head_sha: Sha
    check_suite: _CheckSuite
    external_id: str | None = None


class _CheckRunEvent(msgspec.Struct):
    action: str
    check_run: _CheckRun
    repository: _Repository
    installation: _Ref


class _CheckSuiteEvent(msgspec.Struct):
    action: str
    check_suite: _CheckSuite
    repository: _Repository
    installation: _Ref


class _InstallationRepositories(msgspec.Struct):
    action: str
    installation: Installation
    repositories_added: list[_Repository] = []
    repositories_removed: list[_Ref] = []


def parse(name: str, payload: bytes) -> Event | None:
    """Return the event of a payload, None when it is none that we act on. Raises UnreadableEventError.

    `name` is the `X-GitHub-Event` header.
    """
    read = _READERS.get(name)
    try:
        return read(payload) if read else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEventError(f"reading a {name} event", str(error)) from error


def _push(payload: bytes) -> Push | None:
    push = msgspec.json.decode(payload, type=_Push)
    branch = branch_of(push.ref)
    if branch is None:
        return None
    return Push(push.repository.seen_by(push.installation.id), branch, push.before, push.after)


def _installation(payload: bytes) -> Event | None:
    event = msgspec.json.decode(payload, type=_Installation)
    if event.action == "created":
        return Installed(event.installation, tuple(repository.seen_by(event.installation.id) for repository in event.repositories))
    if event.action == "deleted":
        return Uninstalled(event.installation.id)
    return InstallationChanged(event.installation)


def _repository(payload: bytes) -> RepositoryChanged | None:
    event = msgspec.json.decode(payload, type=_RepositoryEvent)
    if event.action in ("created", "edited", *MOVED, *SEEN):
        return RepositoryChanged(event.repository.seen_by(event.installation.id), event.action)
    return None


def _again(payload: bytes) -> bool:
    """Tell whether a check event asks for another run; the others only say what we did ourselves, and need not be whole."""
    return msgspec.json.decode(payload, type=_Action).action in ("rerequested", "requested_action")


def _check_run(payload: bytes) -> Rerequested | None:
    if not _again(payload):
        return None
    event = msgspec.json.decode(payload, type=_CheckRunEvent)
    run = event.check_run
    repository = event.repository.seen_by(event.installation.id)
    ours = run.external_id if run.external_id and _UUID.fullmatch(run.external_id) else None
    return Rerequested(repository, run.head_sha, run.check_suite.head_branch, ours)


def _check_suite(payload: bytes) -> Rerequested | None:
    if not _again(payload):
        return None
    event = msgspec.json.decode(payload, type=_CheckSuiteEvent)
    suite = event.check_suite
    return Rerequested(event.repository.seen_by(event.installation.id), suite.head_sha, suite.head_branch, None)


def _repositories(payload: bytes) -> RepositoriesChanged:
    event = msgspec.json.decode(payload, type=_InstallationRepositories)
    return RepositoriesChanged(
        event.installation,
        tuple(repository.seen_by(event.installation.id) for repository in event.repositories_added),
        tuple(repository.id for repository in event.repositories_removed),
    )


_READERS: dict[str, Callable[[bytes], Event | None]] = {
    "ping": lambda payload: msgspec.json.decode(payload, type=Ping),
    "push": _push,
    "installation": _installation,
    "installation_repositories": _repositories,
    "repository": _repository,
    "check_run": _check_run,
    "check_suite": _check_suite,
}
