"""Statistics of a connection: its resources, the cost of its extractions, and its freshness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.core.models.extractions import Status


@dataclass(frozen=True, slots=True)
class Resources:
    """The size of a connection's lineage, by resource type and in total."""

    sha: str
    extracted_at: datetime
    counts: Mapping[str, int]
    nodes: int
    edges: int


@dataclass(frozen=True, slots=True)
class Statuses:
    """The number of extractions by status, since the oldest counted one."""

    counts: Mapping[Status, int]
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Spread:
    """The newest value, median and 95th percentile of `times` measurements; None without any."""

    times: int
    last: float | None
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost per extraction, and in total (for memory: the maximum)."""

    spread: Spread
    whole: float


@dataclass(frozen=True, slots=True)
class Stats:
    """All statistics of a connection. `resources` is None without a lineage."""

    resources: Resources | None
    extractions: Statuses
    stages: Mapping[str, Spread]
    """In seconds."""
    cpu_seconds: Cost
    peak_memory_bytes: Cost


@dataclass(frozen=True, slots=True)
class FreshnessWindow:
    """How many pushes of the last `days` (or since `since`, if that is shorter) had their lineage within the objective."""

    days: int
    since: datetime
    pushes: int
    """Without the pending ones."""
    met: int
    missed: int
    refused: int
    """dbt reported an error, so there is no lineage."""
    pending: int

    @property
    def share(self) -> float | None:
        """The share of pushes with a lineage within the objective; None without any."""
        total = self.met + self.missed
        return self.met / total if total else None
