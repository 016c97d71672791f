"""What the database hands over to the flow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.jobs import Extraction, Repository
from app.lineage import Difference


@dataclass(frozen=True, slots=True)
class Look:
    """A repository that GitHub is to be asked about, for the `attempts`-th time. `etag` is that of its head, if it is known."""

    repository: Repository
    attempts: int
    etag: str | None = None
    moved: bool = False
    """The head moved since then: while it is the one of the ETag it is another one than we know."""


@dataclass(frozen=True, slots=True)
class KnownInput:
    """A commit with the same input as another one: its lineage, and what was said of it."""

    lineage_id: int
    sha: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckRunDue:
    """A check run that GitHub does not show as it is. `in_doubt`: it may exist without our knowing its id."""

    extraction_id: str
    github_id: int | None
    revision: int
    in_doubt: bool
    attempts: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, for all processes that share the database; the counts end at 10,000."""

    queued: int
    running: int
    queued_s: float
    """For how long the oldest extraction has been due."""
    check_runs_due: int
    check_runs_due_s: float
    """For how long the oldest check run has been due."""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections to the database: used by somebody now, and at most."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A lineage that was stored."""

    switched: bool
    """It is the connection's now."""
    change: Difference | None
    """From the one that was the connection's before, None if there was none."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted of history, up to the connection `after` (None: there are no more)."""

    after: str | None
    extractions: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Found:
    """Extractions that were looked for in a history, newest first."""

    extractions: list[Extraction]
    last: int | None
    """The number of the last one that was looked at; None when there are no more."""


@dataclass(frozen=True, slots=True)
class LineageHead:
    """What stands above the nodes of a lineage."""

    id: int
    sha: str
    branch: str
    project_name: str | None
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    extracted_at: datetime
