"""What is to be done, decided from values alone: from an event to the commits that are to be extracted.

The records that the flow passes around stand here too: they are what is decided upon.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "superseded"]
Stage = Literal["cloning", "installing_deps", "parsing", "columns", "storing"]
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
    started_at: datetime | None = None
    finished_at: datetime | None = None
    problem: Problem | None = None
    result: dict[str, Any] = field(default_factory=dict)
    """Counts, dbt version, what changed, notes: what the check run and the API tell of a success."""


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
    project_name: str | None = None
    head_sha: str | None = None
    """Newest commit of the followed branch that we know of."""
    lineage_sha: str | None = None
    extracted_at: datetime | None = None

    @property
    def followed_branch(self) -> str | None:
        """The branch whose pushes move the lineage."""
        return self.branch or self.repository.default_branch

    @property
    def stale(self) -> bool:
        """True when the lineage is not of the newest commit that we know of."""
        return self.head_sha is not None and self.lineage_sha != self.head_sha


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
