"""Extractions as they are shown and asked for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import Field

from app.jobs import Conclusion, Extraction, Facts, Stage, Status
from app.web.models.common import Body, Model, Paged, Query, Sha, Text, Time, Whole, example
from app.web.models.runs import CostView, PlaceholderView, ProblemView, ResultView, SettingsView, StageView, TryView
from app.wording.redact import MAX_BYTES
from app.wording.report import conclusion_of, headline

MAX_OFFSET = 1 << 40

SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
EXTRACTION: dict[str, Any] = {
    "id": "5a1c5c0c-51a0-4d2b-8f52-3c1f2a0a6f0e",
    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "project_dir": "transform",
    "branch": "main",
    "sha": SHA,
    "status": "succeeded",
    "stage": None,
    "trigger": "push",
    "attempt": 2,
    "headline": "12 models, 30 tests, 4 sources, 61 edges (~1)",
    "conclusion": "success",
    "created_at": "2026-11-02T09:00:00Z",
    "started_at": "2026-11-02T09:00:00Z",
    "finished_at": "2026-11-02T09:00:09Z",
    "stages": [
        {
            "stage": "parsing",
            "state": "done",
            "started_at": "2026-11-02T09:00:06Z",
            "finished_at": "2026-11-02T09:00:09Z",
            "seconds": 3.0,
        }
    ],
    "tries": [
        {
            "number": 1,
            "began_at": "2026-11-02T09:00:00Z",
            "ended_at": "2026-11-02T09:00:01Z",
            "outcome": "retried",
            "stage": "cloning",
            "title": "GitHub is away",
            "message": "While fetching octo/shop at 6dcb09b: it answered with 502.",
            "next_due_at": "2026-11-02T09:00:05Z",
        },
        {
            "number": 2,
            "began_at": "2026-11-02T09:00:05Z",
            "ended_at": "2026-11-02T09:00:09Z",
            "outcome": "succeeded",
            "stage": None,
            "title": None,
            "message": None,
            "next_due_at": None,
        },
    ],
    "settings": {
        "project_dir": "transform",
        "profile": "shop",
        "target": "prod",
        "adapter_type": "snowflake",
        "evidence": "`profiles.yml` beside the project",
        "image": "dbt-runner:latest",
        "dbt_version": "1.11.16",
        "left_out": [{"directory": "integration_tests", "reason": "is below `integration_tests`"}],
    },
    "placeholders": [
        {"kind": "env_var", "name": "DBT_SCHEMA", "value": "placeholder", "path": "transform/dbt_project.yml", "line": 14},
    ],
    "cost": {
        "dbt_seconds": 2.7,
        "cpu_seconds": 2.1,
        "peak_memory_bytes": 231000000,
        "fetched_bytes": 48213,
        "packages_bytes": 1310720,
        "manifest_bytes": 730112,
    },
    "error": None,
    "result": {
        "project_dir": "transform",
        "project_name": "shop",
        "dbt_version": "1.11.16",
        "adapter_type": "snowflake",
        "target": "prod",
        "evidence": "`profiles.yml` beside the project",
        "image": "dbt-runner:latest",
        "counts": {"model": 12, "test": 30, "source": 4},
        "nodes": 46,
        "edges": 61,
        "change": {
            "nodes_added": [],
            "nodes_removed": [],
            "nodes_changed": ["model.shop.orders"],
            "edges_added": [],
            "edges_removed": [],
            "counts": {"nodes_added": 0, "nodes_removed": 0, "nodes_changed": 1, "edges_added": 0, "edges_removed": 0},
            "total": 1,
        },
        "carried_from": None,
        "notes": ["Parsed for snowflake with the target `prod`: `profiles.yml` beside the project."],
        "placeholders": [],
        "remarks": [],
        "usage": {"seconds": 2.7, "cpu_seconds": 2.1, "peak_memory_bytes": 231000000},
    },
}


class ExtractRequest(Body):
    """Body of `POST …/extract`; an empty body means the branch's head."""

    model_config = example(sha=SHA)

    sha: Annotated[Sha | None, Field(description="A commit; without it the head of the branch, as GitHub has it now")] = None


class History(Paged):
    """Which extractions of a connection. Filters hold together."""

    status: Annotated[list[Status], Field(max_length=6, description="One of these; repeatable")] = []  # noqa: RUF012 - pydantic copies it
    branch: Annotated[Text | None, Field(description="Of this branch")] = None
    sha: Annotated[Sha | None, Field(description="Of this commit")] = None


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
    stage: Stage | None
    trigger: str
    attempt: Annotated[int, Field(description="Tries that count: all but those that were handed back")]
    headline: Annotated[str, Field(description="How it stands, in a line")]
    conclusion: Annotated[Conclusion | None, Field(description="GitHub's word for how it ended")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    stages: Annotated[list[StageView], Field(description="Of the last try")]
    tries: Annotated[list[TryView], Field(description="The first one first; of more than 50 the last 50")]
    settings: SettingsView
    placeholders: Annotated[list[PlaceholderView], Field(description="Also of a failure")]
    cost: CostView
    error: ProblemView | None
    result: Annotated[ResultView | None, Field(description="Of a success")]

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
            tries=[TryView(**asdict(one)) for one in extraction.tries],
            settings=SettingsView(**_fields(extraction.facts, SettingsView)),
            placeholders=[PlaceholderView(**asdict(one)) for one in extraction.facts.placeholders],
            cost=CostView.of(extraction.facts),
            error=None if problem is None else ProblemView.of(problem),
            result=ResultView(**extraction.result) if extraction.result else None,
        )


def _fields(facts: Facts, model: type[Model]) -> dict[str, Any]:
    return {name: value for name, value in asdict(facts).items() if name in model.model_fields}


class LogView(Model):
    """dbt's log, or a part of it. Offsets and sizes count bytes of UTF-8; no character is ever cut."""

    model_config = example(
        extraction_id=EXTRACTION["id"],
        number=2,
        offset=0,
        next_offset=62,
        size=62,
        ended=True,
        content="09:00:06  Running with dbt=1.11.16\n09:00:08  Performance info\n",
    )

    extraction_id: str
    number: Annotated[int | None, Field(description="The try that it is of: the last one that came to run dbt; null: there is no log")]
    offset: Annotated[int, Field(description="Where `content` begins: `offset` of the request, or a little behind it")]
    next_offset: Annotated[int, Field(description="Where to go on; at the end it is `size`")]
    size: Annotated[int, Field(description="Of the whole log")]
    ended: Annotated[bool, Field(description="The extraction has ended: there will be no more")]
    content: str


class LogQuery(Query):
    """Which part of the log."""

    offset: Annotated[Whole, Field(ge=0, le=MAX_OFFSET, description="Bytes before the part; behind the end it is empty")] = 0
    limit: Annotated[Whole, Field(ge=4, le=MAX_BYTES, description="Bytes at most; without it all that is left")] = MAX_BYTES
