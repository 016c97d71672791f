"""An extraction: one refresh of one connection at one commit, with its stages, attempts and cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from app.core.models.annotations import Annotation, IgnoredCheck, Placeholder
from app.core.models.comparisons import Base
from app.core.models.github import Conclusion, Repository
from app.core.models.pull_requests import is_of_fork

Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "superseded"]
Stage = Literal["cloning", "installing_deps", "parsing", "columns", "storing"]
Outcome = Literal["retried", "handed_back", "succeeded", "failed", "cancelled", "lost"]
"""How an attempt ended. `handed_back`: the service stopped, and the attempt does not count; `lost`: the service or the database failed."""

STAGES: tuple[Stage, ...] = ("cloning", "installing_deps", "parsing", "columns", "storing")
ENDED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled", "superseded"})


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container used, from the start of the job to its end. None if the engine did not report it."""

    seconds: float
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What a container left besides its result, also if it failed."""

    usage: Usage
    log: str = ""
    """dbt's whole (bounded) log; until it is redacted, with any secrets in it."""
    placeholders: tuple[Placeholder, ...] = ()
    """The placeholders used until it ended."""
    ignored: tuple[IgnoredCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class StageTime:
    """When a stage started and ended; `ended_at` is None while it runs."""

    stage: Stage
    started_at: datetime
    ended_at: datetime | None = None

    @property
    def seconds(self) -> float | None:
        """The duration in seconds; None while it runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an extraction failed, as it is stored and shown."""

    title: str
    message: str
    next_step: str = ""
    output: str = ""
    """dbt's own message, if there is one."""
    path: str | None = None
    """The file in the repository, if dbt named one."""
    line: int | None = None
    conclusion: Conclusion = "failure"
    remarks: tuple[Annotation, ...] = ()
    """Remarks on files, and on the whole repository."""


RESULT_MISSING = Problem(
    "The result is missing",
    "This extraction succeeded, but its stored result is missing or damaged, so there is nothing to show. Your commit is not the cause.",
    "Re-run this check. If it happens again, ask the operator to look at Freshet's log.",
    conclusion="neutral",
)
"""In place of a result that cannot be read."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to run an extraction; `outcome` is None while it runs."""

    number: int
    began_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    stage: Stage | None = None
    """The stage in which it failed."""
    title: str | None = None
    message: str | None = None
    """Why it failed."""
    next_due_at: datetime | None = None
    """When the next attempt may start."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A directory with a `dbt_project.yml` that is not treated as a project; `reason` continues a sentence that begins with it."""

    directory: str
    reason: str


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """What git says of a commit. Whoever wrote it chose all of it; None: it says nothing usable."""

    author: str | None
    authored_at: datetime | None
    subject: str
    """The first line of its message."""


@dataclass(frozen=True, slots=True)
class Facts:
    """How an extraction ran and what it used, also if it failed. None: it did not get that far."""

    project_dir: str | None = None
    profile: str | None = None
    target: str | None = None
    adapter_type: str | None = None
    """The adapter that dbt parsed with: the project's own, or a stand-in."""
    evidence: str | None = None
    """Where the adapter was found."""
    image: str | None = None
    dbt_version: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()
    usage: Usage | None = None
    """Of the container that ran `dbt parse`."""
    fetched_bytes: int | None = None
    """What git received for the commit, packed; 0 if the mirror had it."""
    packages_bytes: int | None = None
    """The size of the packages, as an archive."""
    manifest_bytes: int | None = None
    commit: CommitFacts | None = None


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """dbt's log of one attempt, redacted, in UTF-8."""

    number: int
    content: bytes


ANYONE = "anyone"
"""In place of a branch, the trust in what no parse state had a part in."""


@dataclass(frozen=True, slots=True)
class BranchTrust:
    """Whose parse states and lineages an extraction may use: a result is trusted as far as what made it.

    The followed branch uses its own. Other branches use their own and those of the followed branch. A branch that is followed, one that is
    not, one of the same name that was created later, and one of a fork are different ones, each with its own text.
    """

    own: str = ""
    followed: str = ""
    """Equal to `own` if the extraction is of the followed branch."""
    was_head: bool = False
    """The commit is, or was, the head of the branch: otherwise it neither uses nor leaves a parse state."""
    shared: bool = False
    """A side branch has a commit of another branch: its lineage must not depend on the side branch's state."""
    leaves: bool = True
    """The extraction leaves a parse state for the branch. One of a fork leaves none: strangers would fill the disk. Nor does one of a merge
    queue, whose branches have one commit each."""
    followed_branch: str = ""
    """The name of the followed branch."""

    @property
    def trusted(self) -> frozenset[str]:
        """Whose lineages the extraction may carry forward."""
        return frozenset({ANYONE, self.followed, self.own})


@dataclass(frozen=True, slots=True)
class Extraction:
    """One refresh of one connection at one commit."""

    id: str
    number: int
    """Increases with every extraction: on one branch, a higher number means a newer push."""
    connection_id: str
    repository: Repository
    branch: str
    sha: str
    project_dir: str | None
    status: Status
    trigger: str
    created_at: datetime
    stage: Stage | None = None
    stages: tuple[StageTime, ...] = ()
    attempt: int = 0
    forced: bool = False
    """Requested explicitly, so it runs even if the lineage of the commit is stored."""
    followed: bool = True
    """True if its branch is the connection's followed branch."""
    siblings: int = 1
    """The number of connections of the repository, including this one."""
    repository_selection: str = "selected"
    """`all` if the App is installed on every repository of the account, so nobody selected this one."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    problem: Problem | None = None
    result: dict[str, Any] = field(default_factory=dict)
    """Counts, dbt version, changes and notes for the check run and the API: of a success, or without columns once the lineage is stored."""
    tries: tuple[Attempt, ...] = ()
    facts: Facts = Facts()
    base: Base | None = None
    """What it is compared with; None: nothing, or not known yet."""
    background: bool = False
    """Nobody asked for it, but others are compared with its commit: it runs behind everything else, and has no check run."""
    trust: BranchTrust = BranchTrust()
    """Of a claimed one."""
    delivery_id: str | None = None
    """The delivery that led to it, if it was one."""
    traceparent: str | None = None
    """The trace of that delivery."""

    @property
    def attempt_number(self) -> int:
        """Of the newest attempt, counting those that were handed back."""
        return self.tries[-1].number if self.tries else 1

    @property
    def of_fork(self) -> bool:
        """True if a stranger wrote the commit: it is of a pull request from a fork."""
        return is_of_fork(self.branch)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest extraction of a branch, apart from superseded ones."""

    sha: str
    status: Status
    conclusion: str | None
