"""Extractions as they are shown and asked for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import Field

from app.jobs import Extraction, Problem, StageTime, Status
from app.web.models.common import Body, Model, Sha, Time, example
from app.wording.report import conclusion_of, headline

EXTRACTION: dict[str, Any] = {
    "id": "5a1c5c0c-51a0-4d2b-8f52-3c1f2a0a6f0e",
    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "project_dir": "transform",
    "branch": "main",
    "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "status": "succeeded",
    "stage": None,
    "trigger": "push",
    "attempt": 1,
    "headline": "12 models, 30 tests, 4 sources, 61 edges",
    "conclusion": "success",
    "created_at": "2026-11-02T09:00:00Z",
    "started_at": "2026-11-02T09:00:00Z",
    "finished_at": "2026-11-02T09:00:09Z",
    "stages": [
        {
            "stage": "parsing",
            "state": "done",
            "started_at": "2026-11-02T09:00:01Z",
            "finished_at": "2026-11-02T09:00:09Z",
            "seconds": 8.0,
        }
    ],
    "error": None,
    "result": {"dbt_version": "1.11.16", "nodes": 46, "edges": 61},
}


class ExtractRequest(Body):
    """Body of `POST …/extract`; an empty body means the branch's head."""

    model_config = example(sha="6dcb09b5b57875f334f61aebed695e2e4193db5e")

    sha: Annotated[Sha | None, Field(description="A commit; without it the head of the branch, as GitHub has it now")] = None


class StageView(Model):
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


class RemarkView(Model):
    """What is said of one place. `level` is `failure`, `warning` or `notice`, `path` is in the repository."""

    level: str
    title: str
    message: str
    path: str | None
    line: int | None


class ProblemView(Model):
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


class ExtractionView(Model):
    """One extraction."""

    model_config = example(**EXTRACTION)

    id: str
    connection_id: str
    repository: str
    project_dir: str | None
    branch: str
    sha: str
    status: Status
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
