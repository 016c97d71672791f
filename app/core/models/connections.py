"""A connection: one dbt project of one repository, followed on one branch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from app.core.models.extractions import Status
from app.core.models.github import Repository

State = Literal["current", "updating", "stale", "failed", "never"]
"""Whether the lineage is that of the newest commit. `updating`: that commit's extraction is under way, and not late; `never`: there is no
lineage yet, for another reason than `failed`."""
UPDATING_FOR = timedelta(minutes=10)
"""An extraction that takes longer leaves its connection stale."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One dbt project of one repository, followed on one branch."""

    id: str
    repository: Repository
    project_dir: str | None
    """None until the first extraction finds it."""
    branch: str | None
    """None: the repository's default branch."""
    created_at: datetime
    manual: bool = False
    """Created or given a directory through the API, so it is not moved or hidden automatically."""
    project_name: str | None = None
    head_sha: str | None = None
    """The newest known commit of the followed branch."""
    stale_since: datetime | None = None
    """Since when the lineage has not been of `head_sha`."""
    signed_series: int = 0
    """Increases with every removal, which invalidates earlier signatures."""
    lineage_sha: str | None = None
    lineage_branch: str | None = None
    """The branch that was extracted; after the followed branch changed, another one for a while."""
    extracted_at: datetime | None = None
    head_status: Status | None = None
    """The status of the newest extraction of `head_sha`; None if there is none, or if the lineage is of that commit."""
    head_problem: str | None = None

    @property
    def followed_branch(self) -> str | None:
        """The branch whose pushes move the lineage."""
        return self.branch or self.repository.default_branch

    @property
    def behind(self) -> bool:
        """True if the lineage is not of the newest known commit."""
        return self.head_sha is not None and self.lineage_sha != self.head_sha

    def state(self, now: datetime | None = None) -> State:
        """The state at a time, by default now."""
        if not self.behind:
            return "never" if self.lineage_sha is None else "current"
        if self.head_status == "failed":
            return "failed"
        if self.lineage_sha is None:
            return "never"
        late = self.stale_since is not None and (now or datetime.now(UTC)) - self.stale_since > UPDATING_FOR
        ordinary = self.lineage_branch == self.followed_branch and not late
        return "updating" if self.head_status in {"queued", "running"} and ordinary else "stale"

    @property
    def stale(self) -> bool:
        """True if the lineage is behind, and no ordinary extraction is about to change that."""
        return self.behind and self.state() != "updating"

    def lag_s(self, now: datetime) -> float:
        """Seconds for which the lineage has been behind; 0 if it is current."""
        return max((now - self.stale_since).total_seconds(), 0.0) if self.behind and self.stale_since else 0.0

    @property
    def stale_reason(self) -> str | None:
        """Why the lineage is behind; None if it is current."""
        if not self.behind:
            return None
        match self.head_status:
            case "failed":
                return self.head_problem or "Its extraction failed"
            case "queued":
                return "Its extraction is queued"
            case "running":
                return "It is being extracted"
            case "cancelled":
                return "Its extraction was cancelled"
            case _:
                return "It has not been extracted yet"
