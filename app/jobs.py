"""What is to be done, decided from values alone: from an event to the commits that are to be extracted.

The records that the flow passes around stand here too: they are what is decided upon.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from app.remarks import Placeholder, Remark
from app.usage import Usage

Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "superseded"]
Stage = Literal["cloning", "installing_deps", "parsing", "columns", "storing"]
Outcome = Literal["retried", "handed_back", "succeeded", "failed", "cancelled", "lost"]
"""How a try ended. `handed_back`: its service stopped, and the try does not count; `lost`: its service died, or the database was away."""
Conclusion = Literal["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"]

STAGES: tuple[Stage, ...] = ("cloning", "installing_deps", "parsing", "storing")
ENDED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled", "superseded"})
MAX_ATTEMPTS = 3
"""Times that an extraction is tried when what stopped it may pass (an engine or GitHub that is away)."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A GitHub repository as an installation sees it; `id` is GitHub's and stays, `full_name` can change."""

    id: int
    full_name: str
    installation_id: int
    default_branch: str | None = None
    private: bool = True


@dataclass(frozen=True, slots=True)
class StageTime:
    """When a stage began and ended; `ended_at` is None while it runs."""

    stage: Stage
    started_at: datetime
    ended_at: datetime | None = None

    @property
    def seconds(self) -> float | None:
        """Duration in seconds, None while it runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an extraction did not succeed, as it is stored and shown."""

    title: str
    message: str
    next_step: str = ""
    output: str = ""
    """dbt's own words, if it said any."""
    path: str | None = None
    """File in the repository, where dbt named one."""
    line: int | None = None
    conclusion: Conclusion = "failure"
    remarks: tuple[Remark, ...] = ()
    """What is said place by place, and of the whole."""


@dataclass(frozen=True, slots=True)
class Try:
    """One time that an extraction was begun; `outcome` is None while it runs."""

    number: int
    began_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    stage: Stage | None = None
    """Where it ended, if not well."""
    title: str | None = None
    message: str | None = None
    """Why it did not end well."""
    next_due_at: datetime | None = None
    """When the next one may begin."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A directory with a `dbt_project.yml` that is no project of its own; `reason` is for people, after the directory."""

    directory: str
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """How an extraction was run and what that cost, as far as it came: also of one that failed. None: it did not come to it."""

    project_dir: str | None = None
    profile: str | None = None
    target: str | None = None
    adapter_type: str | None = None
    """What it was parsed for: the project's own adapter, or the one that stood in for it."""
    evidence: str | None = None
    """Where the adapter was read off."""
    image: str | None = None
    dbt_version: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()
    usage: Usage | None = None
    """Of the container that ran `dbt parse`."""
    fetched_bytes: int | None = None
    """What git received of the commit's repository, packed; 0 when the commit was there."""
    packages_bytes: int | None = None
    """Of the packages that dbt was given, as an archive."""
    manifest_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """What dbt logged in one try of an extraction, redacted, in UTF-8."""

    number: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Extraction:
    """One refresh of one connection at one commit."""

    id: str
    number: int
    """Rises with every extraction: of two of one branch, the one with the higher number is of the newer push."""
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
    """Somebody asked for it: it runs even when the lineage of the commit is known."""
    followed: bool = True
    """Of the branch that the connection follows."""
    siblings: int = 1
    """Connections of the repository, this one included."""
    repository_selection: str = "selected"
    """`all` when the installation sees every repository of its account: then nobody chose this one."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    problem: Problem | None = None
    result: dict[str, Any] = field(default_factory=dict)
    """Counts, dbt version, what changed, notes: what the check run and the API tell of a success."""
    tries: tuple[Try, ...] = ()
    facts: Facts = Facts()


@dataclass(frozen=True, slots=True)
class Connection:
    """One dbt project of one repository, followed on one branch."""

    id: str
    repository: Repository
    project_dir: str | None
    """None until the first extraction has found it."""
    branch: str | None
    """None follows the repository's default branch."""
    created_at: datetime
    by_hand: bool = False
    """Somebody made it, or said where its project is: what a commit holds neither moves nor hides it."""
    project_name: str | None = None
    head_sha: str | None = None
    """Newest commit of the followed branch that we know of."""
    stale_since: datetime | None = None
    """Since when the lineage is not of `head_sha`."""
    signed_series: int = 0
    """Rises with every removal: what was signed before it is worth nothing after it."""
    lineage_sha: str | None = None
    extracted_at: datetime | None = None
    head_status: Status | None = None
    """How the newest extraction of `head_sha` stands, unless the lineage is of that commit; None: there is none."""
    head_problem: str | None = None

    @property
    def followed_branch(self) -> str | None:
        """The branch whose pushes move the lineage."""
        return self.branch or self.repository.default_branch

    @property
    def stale(self) -> bool:
        """True when the lineage is not of the newest commit that we know of."""
        return self.head_sha is not None and self.lineage_sha != self.head_sha

    def lag_s(self, now: datetime) -> float:
        """Return for how many seconds the lineage has not been of the newest commit that we know of, 0 when it is."""
        return max((now - self.stale_since).total_seconds(), 0.0) if self.stale and self.stale_since else 0.0

    @property
    def stale_reason(self) -> str | None:
        """Why the lineage is not of the newest commit, None when it is."""
        if not self.stale:
            return None
        match self.head_status:
            case "failed":
                return self.head_problem or "Its extraction failed"
            case "queued":
                return "Its extraction waits for its turn"
            case "running":
                return "It is being extracted"
            case "cancelled":
                return "Its extraction was cancelled"
            case _:
                return "It was not extracted yet"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest extraction of a branch that was not superseded."""

    sha: str
    status: Status
    conclusion: str | None


def is_newest(head: str | None, before: str, after: str) -> bool:
    """Tell whether a push from `before` to `after` surely leaves the branch's head at `after`, as far as we know the branch.

    It does when it begins where we are. Else it came late or out of order, or one in between is missing; also a branch that begins
    again may be one that began long ago.
    """
    return head is None or head in (before, after)


def is_behind(newest: Newest | None, sha: str, lineage_sha: str | None = None) -> bool:
    """Tell whether a branch's head still needs an extraction.

    It does when there is none of it, when it ended by a fault of ours, or when it went well before anybody knew that it is the head.
    """
    if newest is None or newest.sha != sha:
        return True
    if newest.status == "succeeded":
        return lineage_sha is not None and lineage_sha != sha
    return newest.status == "failed" and newest.conclusion == "neutral"


def branch_of(ref: str) -> str | None:
    """Return the branch of a git ref, None for tags and anything else.

    >>> branch_of("refs/heads/feature/ünï")
    'feature/ünï'
    >>> branch_of("refs/tags/v1") is None
    True
    """
    prefix = "refs/heads/"
    return ref[len(prefix) :] if ref.startswith(prefix) and len(ref) > len(prefix) else None


def retry_delay(attempt: int, asked_s: float | None) -> timedelta:
    """Return how long to wait after try number `attempt` (from 0): what was asked for, else 1 s, 4 s, 16 s and so on."""
    return timedelta(seconds=max(asked_s or 0.0, 4.0 ** min(attempt, 12)))
