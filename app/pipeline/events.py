"""GitHub's webhook payloads as small typed events: only the events that we handle, only the fields that we use.

What GitHub's schema does not require may be missing. What a field can never contain is refused here with its name, before it reaches the
database: ids beyond 64 bits, NUL, names longer than GitHub allows.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import msgspec

from app.core.errors import FreshetError
from app.core.models.github import Repository

ZERO_SHA = "0" * 40
"""`after` of a push that deletes its branch."""

IDENTITY_CHANGES = ("renamed", "transferred", "deleted")
VISIBILITY_CHANGES = ("privatized", "publicized", "archived", "unarchived")

MAX_NAME = 512
"""Characters of a branch or account; GitHub's own limits are lower."""

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Sha = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?\Z")]
Id = Annotated[int, msgspec.Meta(gt=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z", max_length=MAX_NAME)]
FullName = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}/)[\w.-]{1,100}/(?!\.{1,2}\Z)[\w.-]{1,100}\Z")]


class UnreadableEventError(FreshetError):
    """A signed payload that does not match GitHub's documentation; the message names the field."""

    status = 400
    title = "Invalid payload"


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


class Ping(msgspec.Struct, frozen=True):
    """GitHub tests the webhook."""

    zen: str = ""


class Push(msgspec.Struct, frozen=True):
    """A branch was created, moved or deleted."""

    repository: Repository
    branch: str
    before: str
    after: str

    @property
    def deleted(self) -> bool:
        """True if the branch was deleted."""
        return self.after.strip("0") == ""

    @property
    def created(self) -> bool:
        """True if the branch was created."""
        return self.before.strip("0") == ""


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


class Rerequested(msgspec.Struct, frozen=True):
    """Somebody clicked "Re-run" on GitHub, for one check run (`external_id`) or for all of the commit's (None)."""

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
    full_name: FullName
    private: bool = True
    default_branch: Name | None = None

    def in_installation(self, installation_id: int) -> Repository:
        return Repository(self.id, self.full_name, installation_id, self.default_branch, self.private)


class _OfRepository(msgspec.Struct, kw_only=True):
    """About a repository; without `installation` it was not sent to the App."""

    repository: _Repository
    installation: _Ref | None = None

    def installed(self) -> Repository | None:
        return self.repository.in_installation(self.installation.id) if self.installation else None


class _Push(_OfRepository, kw_only=True):
    ref: Name
    before: Sha
    after: Sha


class _RepositoryEvent(_OfRepository, kw_only=True):
    action: str


class _CheckSuite(msgspec.Struct):
    head_sha: Sha
    head_branch: Name | None = None


class _CheckSuiteEvent(_OfRepository, kw_only=True):
    check_suite: _CheckSuite


class _SuiteOfRun(msgspec.Struct):
    head_branch: Name | None = None


class _CheckRun(msgspec.Struct):
    head_sha: Sha
    check_suite: _SuiteOfRun | None = None
    external_id: str | None = None


class _CheckRunEvent(_OfRepository, kw_only=True):
    check_run: _CheckRun


class _Installation(msgspec.Struct):
    action: str
    installation: Installation
    repositories: list[_Repository] | None = None


class _InstallationRepositories(msgspec.Struct):
    action: str
    installation: Installation
    repositories_added: list[_Repository] | None = None
    repositories_removed: list[_Ref] | None = None


def parse(name: str, payload: bytes) -> Event | None:
    """The event of a payload; None if we do not handle it, or if it is not about an installation of the App. Raises UnreadableEventError.

    `name` is the `X-GitHub-Event` header.
    """
    read = _READERS.get(name)
    try:
        return read(payload) if read else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEventError(f"reading a {name} event", str(error)) from error


def _push(payload: bytes) -> Push | None:
    push = msgspec.json.decode(payload, type=_Push)
    branch, repository = branch_of(push.ref), push.installed()
    return Push(repository, branch, push.before, push.after) if repository and branch else None


def _installation(payload: bytes) -> Event | None:
    event = msgspec.json.decode(payload, type=_Installation)
    if event.action == "created":
        return Installed(event.installation, _in_installation(event.installation, event.repositories))
    if event.action == "deleted":
        return Uninstalled(event.installation.id)
    return InstallationChanged(event.installation)


def _repository(payload: bytes) -> RepositoryChanged | None:
    event = msgspec.json.decode(payload, type=_RepositoryEvent)
    repository = event.installed()
    if repository and event.action in ("created", "edited", *IDENTITY_CHANGES, *VISIBILITY_CHANGES):
        return RepositoryChanged(repository, event.action)
    return None


def _requests_rerun(payload: bytes) -> bool:
    """True if a check event requests another run. Other actions report what we did ourselves, so they are not validated."""
    return msgspec.json.decode(payload, type=_Action).action in ("rerequested", "requested_action")


def _check_run(payload: bytes) -> Rerequested | None:
    if not _requests_rerun(payload):
        return None
    event = msgspec.json.decode(payload, type=_CheckRunEvent)
    run, repository = event.check_run, event.installed()
    ours = run.external_id if run.external_id and _UUID.fullmatch(run.external_id) else None
    branch = run.check_suite.head_branch if run.check_suite else None
    return Rerequested(repository, run.head_sha, branch, ours) if repository else None


def _check_suite(payload: bytes) -> Rerequested | None:
    if not _requests_rerun(payload):
        return None
    event = msgspec.json.decode(payload, type=_CheckSuiteEvent)
    suite, repository = event.check_suite, event.installed()
    return Rerequested(repository, suite.head_sha, suite.head_branch, None) if repository else None


def _in_installation(installation: Installation, repositories: list[_Repository] | None) -> tuple[Repository, ...]:
    return tuple(repository.in_installation(installation.id) for repository in repositories or ())


def _repositories(payload: bytes) -> RepositoriesChanged:
    event = msgspec.json.decode(payload, type=_InstallationRepositories)
    added = _in_installation(event.installation, event.repositories_added)
    return RepositoriesChanged(event.installation, added, tuple(repository.id for repository in event.repositories_removed or ()))


_READERS: dict[str, Callable[[bytes], Event | None]] = {
    "ping": lambda payload: msgspec.json.decode(payload, type=Ping),
    "push": _push,
    "installation": _installation,
    "installation_repositories": _repositories,
    "repository": _repository,
    "check_run": _check_run,
    "check_suite": _check_suite,
}


def branch_of(ref: str) -> str | None:
    """The branch of a git ref; None for tags and anything else.

    >>> branch_of("refs/heads/feature/ünï")
    'feature/ünï'
    >>> branch_of("refs/tags/v1") is None
    True
    """
    prefix = "refs/heads/"
    return ref[len(prefix) :] if ref.startswith(prefix) and len(ref) > len(prefix) else None
