"""What the pipeline needs from the outside, as Protocols: `github`, `runner` and `packages` implement them, `service` connects them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.core.models.annotations import IgnoredCheck, Placeholder
from app.core.models.extractions import CommitFacts, Usage
from app.core.models.github import BranchHead, FailedDelivery, InstallationState, MergeBase, Repository, RepositoryState
from app.core.models.other_projects import OtherProject, PublicModel
from app.core.models.quality import USUAL, QualitySettings
from app.core.models.warehouse import UNKNOWN, WarehouseNames
from app.core.spool import FinishedSpool, Spool
from app.lineage.column_document import StorableColumns
from app.lineage.manifest_comparison import ManifestDifferences
from app.lineage.nodes import StorableLineage
from app.lineage.owners import CodeOwners
from app.project.checkout import Entry
from app.project.read_files import Member
from app.project.repository_settings import PackageRule
from app.project.runner_images import RunnerImage

TarStream = AsyncIterator[bytes]
"""Entries of an uncompressed tar archive in chunks of any size, without the end of the archive, so more entries can be added."""


# -- git -------------------------------------------------------------------------------------------------------------


class SourceTree(Protocol):
    """One commit of a repository, readable until its context ends."""

    sha: str
    entries: Sequence[Entry]

    @property
    def fetched_bytes(self) -> int:
        """What git has received for this commit so far, packed."""

    async def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        """The sizes of blobs in bytes, by object id, for entries of unknown size: big repositories are not fetched as a whole."""

    async def read(self, oids: Sequence[str]) -> Mapping[str, bytes]:
        """The contents of blobs, by object id. The caller limits their sizes."""

    def members(self, members: Sequence[Member]) -> TarStream:
        """Tar entries (headers and contents) of the given files."""

    async def commit_facts(self) -> CommitFacts | None:
        """Who wrote the commit, when, and why; None for files that are no commit."""

    async def fetch_submodules(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Add the files of submodules to `entries`; for each path `""`, or why that is not possible. Raises UnavailableError."""


class Sources(Protocol):
    """Where commits come from."""

    def open(self, repository: Repository, sha: str, ref: str = "") -> AbstractAsyncContextManager[SourceTree]:
        """Fetch exactly `sha`; by `ref`, which led to it, if the server does not send it by its id.

        Raises GoneError, CommitGoneError or GitHubUnavailableError.
        """


class ProjectFinder(Protocol):
    """The other projects of an installation, by the names that dependencies have for them."""

    async def find(self, names: Sequence[str], asking: Repository, project_dir: str) -> tuple[OtherProject, ...]:
        """What is known of each, as far as the repository may use it; in the order of the names. `project_dir`: of the project itself.

        Raises UnavailableError.
        """


class Caches(Protocol):
    """The caches of repositories, packages and parse states."""

    async def remove(self, repository_id: int) -> None:
        """Delete what is cached for a repository."""

    async def remove_installation(self, installation_id: int) -> None:
        """Delete what is cached for an installation."""


# -- dbt -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateScope:
    """Which parse state a job starts with and leaves: what a container remembers of the last parse."""

    installation_id: int
    repository_id: int
    connection_id: str
    own: str
    """The branch, as `BranchTrust` identifies it."""
    followed: str
    """The connection's followed branch. Side branches may start with its state, but it never starts with theirs."""
    fresh: bool
    """Start without a state."""
    leaves: bool = True
    """Leave one for the branch."""


@dataclass(frozen=True, slots=True)
class DbtJob:
    """The job of a container: one dbt project inside a source tree."""

    extraction_id: str
    label: str
    """For people: `octo/shop at 1a2b3c4`."""
    project_dir: str
    """Relative to the repository's root, `""` for the root itself."""
    profile: str
    target: str
    adapter_type: str
    image: RunnerImage
    names: WarehouseNames = UNKNOWN
    """Of the target: dbt builds the names of tables with them."""
    install_dir: str = ""
    """Where packages are, relative to the repository's root: dbt looks there if the project's own setting leads nowhere."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Values of `var`, from `.github/freshet.yml`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Values of `env_var`, from `.github/freshet.yml`."""
    state: StateScope | None = None
    """None: the job neither reads nor leaves a parse state, nor a columns document."""
    columns: bool = False
    """Whether the columns are wanted too: see `Parsed.columns`."""
    show_log: Callable[[str], Awaitable[None]] | None = field(default=None, compare=False)
    """Called with dbt's log so far, now and then while dbt runs. It must not raise."""
    any_version: bool = False
    """Whether somebody chose the version of dbt, whatever the project requires."""
    external_nodes: tuple[PublicModel, ...] = ()
    """Models of other projects that `ref()` may name."""
    unhurried: bool = False
    """Nobody waits for it: it leaves warm containers and processor time to others."""


class ParseState(Protocol):
    """A parse state or a columns document that an earlier container left: opaque, only read by containers."""

    size_bytes: int

    def stream(self) -> AsyncIterator[bytes]:
        """All of it in chunks, `size_bytes` in total."""


class ParseStateCache(Protocol):
    """The parse states and columns documents on this host."""

    async def distrust(self, scope: StateScope) -> None:
        """Make sure that no job of the connection starts with what was made of any of its states until now."""


class PackageTree(Protocol):
    """The installed packages of one extraction, as a tar archive that only containers read."""

    size_bytes: int

    def stream(self) -> AsyncIterator[bytes]:
        """The archive in chunks."""

    def close(self) -> None:
        """Free its disk space."""


@dataclass(frozen=True, slots=True)
class ColumnsDocument:
    """A columns document, see `lineage.column_document`. `spool` is not checked yet; the receiver has to close it."""

    spool: Spool
    usage: Usage
    """Of the columns alone, after the manifest."""


class ColumnsDelivery(Protocol):
    """The columns document of a container that has delivered its manifest and goes on."""

    async def wait(self) -> ColumnsDocument:
        """Wait for the document, at most for the rest of the container's time limit. Call it once.

        Raises ColumnsError if there is none, and EngineUnavailableError if the service is stopped meanwhile.
        """

    async def refuse(self) -> None:
        """Say that the document is not one: the branch's next job starts without it, and without the one that this job started with."""

    def close(self) -> None:
        """End the container, unless it has delivered everything, and free the document, unless `wait` returned it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The output of `dbt parse`. `spool` is the manifest; the receiver has to close it."""

    spool: Spool
    log: str
    usage: Usage
    image: str
    placeholders: tuple[Placeholder, ...] = ()
    states_of: frozenset[str] = frozenset()
    """The branches (as `BranchTrust` identifies them) whose parse state or columns document the container was given, whatever it says that
    it did with them."""
    ignored: tuple[IgnoredCheck, ...] = ()
    columns: ColumnsDelivery | None = None
    """If the job asks for columns. The receiver has to close it; until then, the container may run."""

    @property
    def manifest(self) -> bytes:
        """The whole manifest in memory; only for callers that know it is small."""
        return self.spool.content()


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """The packages that one project of one commit requests."""

    repository: Repository
    """Private packages come from repositories of the same installation."""
    job: DbtJob
    install_dir: str
    """The target directory in the repository, by default `dbt_packages` of the project."""
    texts: Mapping[str, bytes]
    """`packages.yml`, `dependencies.yml`, `package-lock.yml` and `dbt_project.yml` of the project and of local packages, by path."""
    rules: tuple[PackageRule, ...]
    tree: Callable[[], TarStream]
    """The project's files, as for `Runner.parse`, for an installer that runs `dbt deps`."""
    since: float = 0.0
    """Seconds since the epoch: what ranges, branches and URLs lead to has to have been looked up since then."""
    committed: Mapping[str, str] = field(default_factory=dict)
    """Directories of packages that the repository contains, by the address that asks for them: they are not fetched."""
    unfetched: Mapping[str, str] = field(default_factory=dict)
    """Parts of the commit that are not there, such as submodules, with the reasons: see `ProjectLayout.omitted`."""


class Decoders(Protocol):
    """Decodes manifests and columns documents; see `decoding/`."""

    async def lineage(
        self,
        manifest: Spool,
        names: WarehouseNames,
        label: str,
        image: str,
        code_owners: CodeOwners | None = None,
        quality: QualitySettings = USUAL,
    ) -> StorableLineage:
        """The lineage of a manifest; the caller closes it. `names`: of the job; `label` (commit) and `image`: for error messages.

        `quality`: what counts for it.

        Raises ManifestError, or UnavailableError if a retry may help.
        """

    async def columns(
        self, document: Spool, lineage: StorableLineage, label: str, image: str, secrets: Collection[str] = ()
    ) -> StorableColumns:
        """The columns of a lineage's nodes, without `secrets`; the caller closes them. `lineage` has to be open.

        `label` and `image`: for error messages. Raises ColumnsError.
        """

    async def differences(self, manifest: Spool, other: FinishedSpool, label: str, image: str) -> ManifestDifferences:
        """What two manifests of one input do not have in common. Raises like `lineage`."""


class Installer(Protocol):
    """Installs packages: `packages/fetch` without running any of their code, a `Runner` with `dbt deps`."""

    async def identify(self, request: PackageRequest) -> str:
        """What the request leads to now: equal texts mean equal packages. Raises like `install`."""

    async def install(self, request: PackageRequest) -> PackageTree:
        """Raises PackagesError (each package with its name, file and line), or UnavailableError if a retry may help."""


class PackageSources(Protocol):
    """Where git packages come from."""

    def open_package(self, url: str, revision: str | None, requester: Repository) -> AbstractAsyncContextManager[SourceTree]:
        """Fetch a revision (branch, tag or commit; None: the head of the default branch) of a git URL as written in `packages.yml`.

        A private repository of the same installation as `requester` is read with a token for that repository alone.
        Raises GoneError (not found or no access), RejectedAddressError (not allowed), or UnavailableError.
        """


class Runner(Installer, Protocol):
    """Runs dbt in isolation: a backend of `app/runner`. As an Installer it runs `dbt deps` on the operator's network."""

    async def images(self) -> Sequence[RunnerImage]:
        """The runner images, the default one first. Raises RunnerImageError or EngineUnavailableError."""

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        """Run `dbt parse` without a network.

        `tree` streams tar entries (see `SourceTree.members`). Raises DbtError, ContainerOutOfMemoryError, ContainerTimedOutError,
        OutputTooBigError, or EngineUnavailableError and RunnerImageError (retryable).
        """

    async def sweep(self) -> int:
        """Remove containers that an earlier run of this service left, or that could not be removed; their number.

        Raises EngineUnavailableError.
        """

    async def keep_warm(self, used: Sequence[tuple[str, str, float]]) -> None:
        """Keep containers warm, until cancelled; `used` are the image names and adapters of recent jobs, and how many seconds ago."""

    async def check(self) -> str:
        """One line about the engine and the images in use. Raises RunnerImageError, EngineUnavailableError or ConfigurationError."""

    async def close(self) -> None:
        """Delete the remaining containers, and wait for it."""


# -- GitHub ----------------------------------------------------------------------------------------------------------


class GitHub(Protocol):
    """The part of GitHub's REST API that the pipeline uses.

    All methods raise GitHubUnavailableError (retryable), GoneError, SuspendedError, NotConfiguredError or RejectedError.
    """

    async def describe(self, repository: Repository) -> Repository:
        """The repository's current name, default branch and visibility."""

    async def branch_head(self, repository: Repository, branch: str) -> str | None:
        """The sha of a branch; None if there is no such branch."""

    async def compare(self, repository: Repository, base: str, head: str) -> MergeBase | None:
        """Where the history of `head` left that of `base`, each a branch or a full sha; None if GitHub does not have one of them."""

    async def ancestors(self, repository: Repository, sha: str) -> list[str]:
        """The shas of a commit and of up to 99 commits that it is made of, the newest first."""

    async def find_check_run(self, repository: Repository, sha: str, external_id: str) -> int | None:
        """The id of our check run with this `external_id`; None if there is none."""

    async def open_check_runs(self, repository: Repository, sha: str, name: str | None = None) -> dict[int, str]:
        """Our own check runs, of this name or of any, that have not ended: their ids with their `external_id`."""

    async def count_annotations(self, repository: Repository, check_run_id: int) -> int:
        """The number of annotations of a check run."""

    async def create_check_run(self, repository: Repository, body: Mapping[str, Any], *, obsolete: bool = False) -> int:
        """Create a check run; its id. Not idempotent: call `find_check_run` before a retry.

        `obsolete`: of a superseded commit or a stranger's, so others come first where GitHub limits how many are created.
        """

    async def update_check_run(self, repository: Repository, check_run_id: int, body: Mapping[str, Any]) -> None:
        """Update a check run. GitHub appends annotations to the existing ones."""


class Inventory(Protocol):
    """The state of GitHub, for the comparison with the database; see `github/rest/inventory.py`. Raises like `GitHub`."""

    async def installations(self) -> list[InstallationState]: ...
    async def repositories(self, installation_id: int) -> list[RepositoryState]: ...
    async def branch_head(self, repository: Repository, branch: str, etag: str | None) -> BranchHead | None: ...
    async def paths(self, repository: Repository, sha: str) -> list[str]: ...
    async def failed_deliveries(self, since: datetime) -> list[FailedDelivery]: ...
    async def redeliver(self, delivery_id: int) -> None: ...
