"""Extractions and their logs, in requests and responses."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import Field

from app.core.models.extractions import Extraction, Facts, Stage, Status
from app.core.models.github import Conclusion
from app.reports.check_run import conclusion_of, headline
from app.reports.redaction import MAX_BYTES
from app.web.api.schemas.common import Body, Commit, Model, Paged, Query, Sha, Text, Time, Whole, example
from app.web.api.schemas.lineages import COMMIT
from app.web.api.schemas.runs import AttemptView, CostView, PlaceholderView, ProblemView, ResultView, RunSettingsView, StageView

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
    "headline": "1 model changed, 2 exposures reached",
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
            "title": "GitHub is unavailable",
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
        "left_out": [{"directory": "integration_tests", "reason": "is inside `integration_tests`"}],
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
        "project_name": "shop",
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
        "columns": {
            "state": "ready",
            "engine": "sqlglot 30.30.0",
            "counts": {"exact": 11, "approximate": 1, "unknown": 0},
            "edges": 203,
            "reused": 15,
            "not_exact": [
                {
                    "status": "approximate",
                    "reason": "`dbt_utils.get_column_values` reads rows from the warehouse.",
                    "count": 1,
                    "unique_ids": ["model.shop.payment_methods"],
                }
            ],
            "reasons": 1,
            "hard_coded": [{"name": "legacy.crm.accounts", "count": 1, "unique_ids": ["model.shop.accounts"]}],
            "tables": 1,
        },
        "impact": {
            "state": "ready",
            "reason": None,
            "base": {
                "kind": "merge_base",
                "sha": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
                "branch": "main",
                "wanted_sha": None,
                "behind_by": 3,
                "pull_request": None,
            },
            "conclusion": "success",
            "counts": {"changes": {"logic": 1}, "columns": {"logic": 1}, "reached": {"exposure": 2}, "owners": {"Finance": 2}},
        },
        "notes": ["Parsed for snowflake with the target `prod`: `profiles.yml` beside the project."],
        "remarks": [],
    },
}


class ExtractRequest(Body):
    """Body of `POST …/extract`; an empty body means the branch's head."""

    model_config = example(sha=SHA)

    sha: Annotated[
        Commit | None, Field(description=f"The commit to extract: {COMMIT}. Without it, the followed branch's head as GitHub has it now")
    ] = None


class History(Paged):
    """Filters; an extraction has to match all of them."""

    status: Annotated[list[Status], Field(max_length=6, description="Only extractions with this status; repeat it for any of several")] = []  # noqa: RUF012 - pydantic copies it
    branch: Annotated[Text | None, Field(description="Only extractions of this branch")] = None
    sha: Annotated[Sha | None, Field(description="Only extractions of this commit: a full id")] = None


class ExtractionView(Model):
    """One extraction: the refresh of one connection at one commit."""

    model_config = example(**EXTRACTION)

    id: Annotated[str, Field(description="UUID of the extraction; also the check run's `external_id`")]
    connection_id: Annotated[str, Field(description="UUID of its connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    project_dir: Annotated[
        str | None, Field(description="Directory of the project, empty for the repository's root; null until it has been found")
    ]
    branch: Annotated[str, Field(description="The branch that was pushed to; `owner:branch` of a pull request from a fork")]
    sha: Annotated[str, Field(description="The extracted commit")]
    status: Annotated[Status, Field(description="`superseded`: a newer commit of the branch arrived before its turn")]
    stage: Annotated[Stage | None, Field(description="The stage it is in; null before the first stage and unless it is running")]
    trigger: Annotated[
        str,
        Field(
            description="Why it was queued: `push`, `pull_request`, `merge_group` (merge queue), `rerequested` (re-run on GitHub), `api`, "
            "`reconcile` (found without a push), `discovery` (new project), `base` (others are compared with its commit; no check run) or "
            "`verification` (its partial parse proved wrong)"
        ),
    ]
    attempt: Annotated[int, Field(description="Attempts so far, without those that were handed back; 0 before the first one")]
    headline: Annotated[str, Field(description="Its state in one line: the title of its check run")]
    conclusion: Annotated[Conclusion | None, Field(description="The check run's conclusion; null until the extraction has ended")]
    created_at: Annotated[Time, Field(description="When it was queued")]
    started_at: Annotated[Time | None, Field(description="When its first attempt began; null while it has not begun")]
    finished_at: Annotated[Time | None, Field(description="When it ended; null until then")]
    stages: Annotated[list[StageView], Field(description="Stages of the newest attempt, in order")]
    tries: Annotated[list[AttemptView], Field(description="Attempts, oldest first; only the newest 50")]
    settings: Annotated[RunSettingsView, Field(description="What the project was extracted with")]
    placeholders: Annotated[
        list[PlaceholderView],
        Field(description="Values that Freshet used for undefined variables; present after a failure too"),
    ]
    cost: Annotated[CostView, Field(description="What the newest attempt used")]
    error: Annotated[
        ProblemView | None, Field(description="Why it failed; null unless `status` is `failed`, or the result of a success is missing")
    ]
    result: Annotated[ResultView | None, Field(description="What it produced; null unless `status` is `succeeded`")]

    @classmethod
    def of(cls, extraction: Extraction) -> Self:
        """From the stored extraction."""
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
            tries=[AttemptView(**asdict(one)) for one in extraction.tries],
            settings=RunSettingsView(**_fields(extraction.facts, RunSettingsView)),
            placeholders=_placeholders(extraction),
            cost=CostView.of(extraction.facts),
            error=None if problem is None else ProblemView.of(problem),
            result=ResultView(**extraction.result) if extraction.status == "succeeded" and not problem else None,
        )


def _placeholders(extraction: Extraction) -> list[PlaceholderView]:
    """Those of this extraction, or of the one whose lineage was carried forward."""
    own = [PlaceholderView(**asdict(one)) for one in extraction.facts.placeholders]
    return own or [PlaceholderView(**one) for one in extraction.result.get("placeholders", ())]


def _fields(facts: Facts, model: type[Model]) -> dict[str, Any]:
    return {name: value for name, value in asdict(facts).items() if name in model.model_fields}


class LogView(Model):
    """dbt's log, or a part of it. Offsets and sizes count bytes of UTF-8; characters are never split."""

    model_config = example(
        extraction_id=EXTRACTION["id"],
        number=2,
        offset=0,
        next_offset=62,
        size=62,
        ended=True,
        content="09:00:06  Running with dbt=1.11.16\n09:00:08  Performance info\n",
    )

    extraction_id: Annotated[str, Field(description="UUID of the extraction")]
    number: Annotated[int | None, Field(description="Number of the attempt: the newest one that ran dbt; null: there is no log")]
    offset: Annotated[int, Field(description="Where `content` begins: the requested `offset`, moved up to 3 bytes to the next character")]
    next_offset: Annotated[int, Field(description="`offset` of the next part; equal to `size` at the end")]
    size: Annotated[int, Field(description="Bytes of the whole log")]
    ended: Annotated[bool, Field(description="True: the extraction has ended, so the log will not grow")]
    content: Annotated[str, Field(description="The text, with secrets redacted; empty while there is no log")]


class LogQuery(Query):
    """Which part of the log."""

    offset: Annotated[Whole, Field(ge=0, le=MAX_OFFSET, description="Bytes to skip; past the end, the answer is empty")] = 0
    limit: Annotated[Whole, Field(ge=4, le=MAX_BYTES, description="Maximum number of bytes; by default the rest of the log")] = MAX_BYTES
