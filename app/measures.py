"""What is measured of a connection: what its lineage holds, what its extractions cost, how fast it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.jobs import Status


@dataclass(frozen=True, slots=True)
class Resources:
    """What a connection's lineage holds, by resource type and together."""

    sha: str
    extracted_at: datetime
    counts: Mapping[str, int]
    nodes: int
    edges: int


@dataclass(frozen=True, slots=True)
class Statuses:
    """How many extractions have each status, since the oldest that was counted."""

    counts: Mapping[Status, int]
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Of `times` measurements, the newest one, the one in the middle, and what 95 of 100 stay below. None: there is none."""

    times: int
    last: float | None
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What extractions cost each, and their sum; of memory the most."""

    spread: Spread
    whole: float


@dataclass(frozen=True, slots=True)
class Stats:
    """What a connection holds and costs. `resources` is None while it has no lineage."""

    resources: Resources | None
    extractions: Statuses
    stages: Mapping[str, Spread]
    """In seconds."""
    cpu_seconds: Cost
    peak_memory_bytes: Cost


@dataclass(frozen=True, slots=True)
class Answers:
    """How fast the pushes of the last `days`, or of the time since `since` if that is shorter, were answered."""

    days: int
    since: datetime
    pushes: int
    """All but the pending ones."""
    met: int
    missed: int
    refused: int
    """dbt said no: there was no lineage to be had."""
    pending: int

    @property
    def share(self) -> float | None:
        """The share of those that met the objective among those that could, None while there are none."""
        could = self.met + self.missed
        return self.met / could if could else None
