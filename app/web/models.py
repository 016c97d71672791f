"""The JSON of the API as pydantic models: field names are those of the contract, times are UTC."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.jobs import Connection, Extraction, Problem, StageTime
from app.wording.report import conclusion_of, headline


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


Time = Annotated[datetime, AfterValidator(_utc)]
Item = TypeVar("Item")
Sha = Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}([0-9a-f]{24})?$")]


class ExtractRequest(BaseModel):
    """Body of `POST …/extract`; an empty body means the branch's head."""

    model_config = ConfigDict(extra="forbid")

    sha: Sha | None = None


class StageView(BaseModel):
    """One stage of an extraction. `state` is `done` or `running`."""

    stage: str
    state: str
    started_at: Time
    finished_at: Time | None
    seconds: float | None

    @classmethod
    def of(cls, stage: StageTime) -> Self:
        """Show a stage."""
        state = "running" if stage.ended_at is None else "done"
        return cls(stage=stage.stage, state=state, started_at=stage.started_at, finished_at=stage.ended_at, seconds=stage.seconds)


class RemarkView(BaseModel):
    """What is said of one place. `level` is `failure`, `warning` or `notice`, `path` is in the repository."""

    level: str
    title: str
    message: str
    path: str | None
    line: int | None


class ProblemView(BaseModel):
    """Why an extraction did not succeed."""

    title: str
    message: str
    next_step: str
    output: str
    path: str | None
    line: int | None
    remarks: list[RemarkView]

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Show a problem."""
        shown = asdict(problem)
        shown.pop("conclusion")
        return cls(**shown)


class ExtractionView(BaseModel):
    """One extraction."""

    id: str
    connection_id: str
    repository: str
    project_dir: str | None
    branch: str
    sha: str
    status: str
    stage: str | None
    trigger: str
    attempt: int
    headline: str
    conclusion: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    stages: list[StageView]
    error: ProblemView | None
    result: dict[str, Any] | None = Field(description="Counts, versions, what changed, invented values, remarks: of a success")

    @classmethod
    def of(cls, extraction: Extraction) -> Self:
        """Show an extraction."""
        problem = extraction.problem
        return cls(
            id=extraction.id,
            connection_id=extraction.connection_id,
            repository=extraction.repository.full_name,
            project_dir=extraction.project_dir,
            branch=extraction.branch,
            sha=extraction.sha,
            status=extraction.status,
            stage=extraction.stage,
            trigger=extraction.trigger,
            attempt=extraction.attempt,
            headline=headline(extraction),
            conclusion=conclusion_of(extraction),
            created_at=extraction.created_at,
            started_at=extraction.started_at,
            finished_at=extraction.finished_at,
            stages=[StageView.of(stage) for stage in extraction.stages],
            error=None if problem is None else ProblemView.of(problem),
            result=extraction.result or None,
        )


class ConnectionView(BaseModel):
    """One connection as it stands in lists."""

    id: str
    repository: str
    repository_id: str
    private: bool
    project_dir: str | None
    project_name: str | None
    branch: str | None
    created_at: Time
    head_sha: str | None
    lineage_sha: str | None
    extracted_at: Time | None
    stale: bool
    stale_reason: str | None = Field(description="Why the lineage is not of the newest commit")

    @classmethod
    def fields_of(cls, connection: Connection) -> dict[str, Any]:
        """Return the values of the fields."""
        return {
            "id": connection.id,
            "repository": connection.repository.full_name,
            "repository_id": str(connection.repository.id),
            "private": connection.repository.private,
            "project_dir": connection.project_dir,
            "project_name": connection.project_name,
            "branch": connection.followed_branch,
            "created_at": connection.created_at,
            "head_sha": connection.head_sha,
            "lineage_sha": connection.lineage_sha,
            "extracted_at": connection.extracted_at,
            "stale": connection.stale,
            "stale_reason": connection.stale_reason,
        }


class ConnectionDetail(ConnectionView):
    """One connection with its last extraction."""

    last_extraction: ExtractionView | None


class Page(BaseModel, Generic[Item]):
    """A list."""

    items: list[Item]
    next_cursor: str | None
