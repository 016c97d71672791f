"""What the flow needs of the outside worlds, as Protocols: the edges (`github/`, `dbt/`, `store/`) implement them, `main.py` wires them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.images import RunnerImage
from app.inference.project import Entry, Member
from app.jobs import Repository
from app.lineage import StorableLineage
from app.notices import Message
from app.remarks import Placeholder
from app.settings import PackageRule
from app.spool import Spool
from app.usage import Usage

TarStream = AsyncIterator[bytes]
"""Entries of an uncompressed tar archive in chunks of any size, without the archive's end: whoever takes them may add entries."""


# -- git -------------------------------------------------------------------------------------------------------------


class SourceTree(Protocol):
    """One commit of a repository, readable until its context is left."""

    sha: str
    entries: Sequence[Entry]

    @property
    def fetched_bytes(self) -> int:
        """What had to be received for it until now, packed."""

    async def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        """Return the bytes of blobs by object id, for entries that do not tell: of a big repository, what is not read is not fetched."""

    async def read(self, oids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the contents of blobs by object id. The caller bounds their sizes by `entries`."""

    def members(self, members: Sequence[Member]) -> TarStream:
        """Stream tar entries (headers and contents, without the archive's end) of the given files."""


class Sources(Protocol):
    """Where commits come from."""

    def open(self, repository: Repository, sha: str) -> AbstractAsyncContextManager[SourceTree]:
        """Fetch exactly `sha`. Raises GoneError, CommitGoneError or GitHubUnavailableError."""


class Caches(Protocol):
    """What is kept between extractions."""

    async def remove(self, repository_id: int) -> None:
        """Remove what is kept of a repository."""

    async def remove_installation(self, installation_id: int) -> None:
        """Remove what is kept for an installation."""


# -- dbt -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateScope:
    """Whose state a job may begin with and leave: what dbt keeps of a parse to do less in the next one."""

    installation_id: int
    repository_id: int
    connection_id: str
    branch: str
    followed: bool
    """The branch is the one that the connection follows: others may begin with what it left, and never the other way round."""
    fresh: bool
    """Begin with nothing: somebody asked for it."""


@dataclass(frozen=True, slots=True)
class DbtJob:
    """What a container is told: one dbt project inside a source tree."""

    extraction_id: str
    label: str
    """For people: `octo/shop at 1a2b3c4`."""
    project_dir: str
    """Relative to the repository's root, `""` for the root itself."""
    profile: str
    target: str
    adapter_type: str
    image: RunnerImage
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Values of `var`, from `.github/freshet.yml`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Values of `env_var`, from `.github/freshet.yml`."""
    state: StateScope | None = None
    """None: a job of its own, which neither finds nor leaves one."""


class State(Protocol):
    """What an earlier container of a connection left: opaque, only a container reads it."""

    size_bytes: int

    def stream(self) -> AsyncIterator[bytes]:
        """Return it in chunks, `size_bytes` together."""


class PackageTree(Protocol):
    """The installed packages of one extraction: an opaque tar archive that a container wrote and only a container reads."""

    size_bytes: int

    def stream(self) -> AsyncIterator[bytes]:
        """Return the archive in chunks."""

    def close(self) -> None:
        """Give back the disk that it takes."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What `dbt parse` left. Whoever has it closes `spool`, which holds the manifest."""

    spool: Spool
    log: str
    usage: Usage
    image: str
    placeholders: tuple[Placeholder, ...] = ()

    @property
    def manifest(self) -> bytes:
        """The manifest, for whom its size is no matter."""
        return self.spool.content()


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """The packages that one project of one commit asks for."""

    repository: Repository
    """Whose installation it is: private packages come from repositories of the same one."""
    job: DbtJob
    install_dir: str
    """Where they go: a directory of the repository, `dbt_packages` of the project unless it says otherwise."""
    texts: Mapping[str, bytes]
    """`packages.yml`, `dependencies.yml`, `package-lock.yml` and `dbt_project.yml` of the project and of local packages, by path."""
    rules: tuple[PackageRule, ...]
    tree: Callable[[], TarStream]
    """The project's files, as of `Runner.parse`, for an installer that has dbt do it."""


class Decoders(Protocol):
    """Reads manifests: see `decoding/`."""

    async def lineage(self, manifest: Spool, label: str, image: str) -> StorableLineage:
        """Return the lineage of a manifest, to be closed. `label` names the commit, `image` the runner image, for people.

        Raises ManifestError, or UnavailableError when trying again may help.
        """


class Installer(Protocol):
    """Brings packages: see `hub/`, which runs nothing of them, and `dbt/`, which has `dbt deps` do it on the operator's network."""

    async def install(self, wanted: PackageRequest) -> PackageTree:
        """Raises PackagesError (each package by its name and place), or UnavailableError when trying again may help."""


class PackageSources(Protocol):
    """Where git packages come from."""

    def open_package(self, url: str, revision: str | None, asking: Repository) -> AbstractAsyncContextManager[SourceTree]:
        """Fetch a revision (branch, tag or commit; None is the default branch's head) of a git address as people write it.

        A private repository of the installation that `asking` belongs to is read with a token for that repository alone.
        Raises GoneError (not to be had), RejectedAddressError (we do not go there), or UnavailableError.
        """


class Runner(Protocol):
    """Runs dbt where it can do no harm."""

    async def images(self) -> Sequence[RunnerImage]:
        """Return the runner images there are, the default one first. Raises RunnerImageError or EngineUnavailableError."""

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        """`dbt parse` without a network.

        `tree` streams tar entries without the archive's end (see `SourceTree.members`). Raises DbtError, ContainerOutOfMemoryError,
        ContainerTimedOutError, OutputTooBigError, or EngineUnavailableError and RunnerImageError (to be tried again).
        """


# -- GitHub ----------------------------------------------------------------------------------------------------------


class GitHub(Protocol):
    """GitHub's REST API as far as the flow uses it.

    All raise GitHubUnavailableError (try again), GoneError, SuspendedError, NotConfiguredError or RejectedError.
    """

    async def describe(self, repository: Repository) -> Repository:
        """Return a repository as it is now: its name, default branch and visibility."""

    async def branch_head(self, repository: Repository, branch: str) -> str | None:
        """Return the sha of a branch, None when there is no such branch."""

    async def find_check_run(self, repository: Repository, sha: str, external_id: str) -> int | None:
        """Return the id of our check run with this `external_id`, None when GitHub has none."""

    async def annotations_of(self, repository: Repository, check_run_id: int) -> int:
        """Return how many annotations a check run has."""

    async def create_check_run(self, repository: Repository, body: Mapping[str, Any]) -> int:
        """Create a check run and return its id. Not idempotent: look with `find_check_run` before trying again."""

    async def update_check_run(self, repository: Repository, check_run_id: int, body: Mapping[str, Any]) -> None:
        """Update a check run. Annotations are appended to those it has."""


@dataclass(frozen=True, slots=True)
class InstallationState:
    """An installation as GitHub lists it now."""

    id: int
    account: str
    account_type: str
    suspended: bool
    repository_selection: str
    """`all` or `selected`."""


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """A repository of an installation as GitHub lists it now."""

    repository: Repository
    archived: bool
    pushed_at: datetime | None


@dataclass(frozen=True, slots=True)
class BranchHead:
    """A branch as GitHub has it: `sha` is None when there is no such branch; `etag` is for asking again."""

    sha: str | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A delivery that we never took: `id` is that of its newest attempt, `guid` stays the same for all of them."""

    id: int
    guid: str
    event: str
    delivered_at: datetime


class Survey(Protocol):
    """What GitHub has, for the comparison with what we have: see `github/survey.py`. All raise as `GitHub` does."""

    async def installations(self) -> list[InstallationState]: ...
    async def repositories(self, installation_id: int) -> list[RepositoryState]: ...
    async def branch_head(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None: ...
    async def paths(self, repository: Repository, sha: str) -> list[str]: ...
    async def failed_deliveries(self, since: datetime) -> list[FailedDelivery]: ...
    async def redeliver(self, delivery_id: int) -> None: ...


# -- messages --------------------------------------------------------------------------------------------------------


class Channel(Protocol):
    """A way to people or programs: see `notify/`."""

    async def send(self, message: Message, to: str, secret: str | None) -> None:
        """Send a message to an address, signed with the secret if the way knows signatures.

        Raises UndeliverableError or RejectedAddressError (for good), or UnavailableError (try again).
        """


# -- waking ----------------------------------------------------------------------------------------------------------


class Bell(Protocol):
    """Rings when there may be something to do. Missing a ring is harmless: whoever waits also looks from time to time."""

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring since the last call, or after `timeout_s`."""

    def ring(self) -> None:
        """Wake who waits."""
