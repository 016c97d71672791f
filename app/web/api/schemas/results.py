"""Results of dbt's own runs, in requests and responses."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field

from app.lineage.run_results import MAX_ID, ArtifactKind, Verdict, verdict
from app.store.node_results import PastResult, StoredResult
from app.web.api.schemas.common import Model, Paged, Text, Time, example

ARTIFACT: dict[str, Any] = {
    "type": "object",
    "description": "dbt's `run_results.json` or `sources.json`, as dbt wrote it",
    "required": ["metadata", "results"],
    "properties": {
        "metadata": {
            "type": "object",
            "required": ["dbt_schema_version", "generated_at", "invocation_id"],
            "properties": {
                "dbt_schema_version": {
                    "enum": [
                        *(f"https://schemas.getdbt.com/dbt/run-results/v{number}.json" for number in (4, 5, 6)),
                        "https://schemas.getdbt.com/dbt/sources/v3.json",
                    ]
                },
                "generated_at": {"type": "string", "format": "date-time"},
                "invocation_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$"},
            },
        },
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["unique_id", "status"],
                "properties": {
                    "unique_id": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
                    "status": {"type": "string", "pattern": "^[a-z][a-z -]{0,29}$"},
                },
            },
        },
    },
}
"""JSON Schema of the body."""


class ResultsTaken(Model):
    """What was taken of an artifact."""

    model_config = example(
        kind="run_results",
        invocation_id="5f1c1b0e-8f0a-4a4e-9d7b-2f1f0f6f5a11",
        generated_at="2026-11-02T09:00:09Z",
        repeated=False,
        results=42,
        taken=41,
        older=0,
        unknown=1,
        unknown_examples=["test.shop.not_null_orders_id.a1"],
    )

    kind: Annotated[ArtifactKind, Field(description="Which artifact it was")]
    invocation_id: Annotated[str, Field(description="dbt's id of the run")]
    generated_at: Annotated[Time, Field(description="When dbt wrote it")]
    repeated: Annotated[bool, Field(description="True: it was taken before, so nothing changed")]
    results: Annotated[int, Field(description="Results in the artifact")]
    taken: Annotated[int, Field(description="Nodes whose results were stored")]
    older: Annotated[int, Field(description="Those of them of which a newer result is stored: they count in the history only")]
    unknown: Annotated[int, Field(description="Nodes that the connection's lineage does not have: their results were left out")]
    unknown_examples: Annotated[list[str], Field(description="At most 5 of their `unique_id`s")]


STATE = (
    "What the status means: `passed`, `warned` (also a source that is later than `warn_after`), `failed` (also one later than "
    "`error_after`) or `skipped`"
)
PAST: dict[str, Any] = {"at": "2026-11-02T04:20:09Z", "status": "fail", "seconds": 0.4, "failures": 3, "bytes": None, "slot_ms": None}
LAST: dict[str, Any] = {
    "unique_id": "test.shop.not_null_orders_id.a1",
    "status": "fail",
    "state": "failed",
    "at": "2026-11-02T04:20:09Z",
    "message": "Got 3 results, configured to fail if != 0",
    "loaded_at": None,
    "history": [PAST],
}


class ResultsQuery(Paged):
    """Which results."""

    node: Annotated[Text | None, Field(description="Only that of this node: its `unique_id` or name in the connection's lineage")] = None
    state: Annotated[list[Verdict], Field(default_factory=list, description="Only results of this state; repeat it for any of several")]


class PastResultView(Model):
    """One result of a node."""

    model_config = example(**PAST)

    at: Annotated[Time, Field(description="When dbt wrote the artifact")]
    status: Annotated[str, Field(description="dbt's word, such as `success`, `pass`, `warn`, `error`, `fail`, `skipped`")]
    seconds: Annotated[float | None, Field(description="How long it took")]
    failures: Annotated[int | None, Field(description="Rows that a test found")]
    bytes: Annotated[int | None, Field(description="Bytes that the warehouse billed or, if it does not say so, read")]
    slot_ms: Annotated[int | None, Field(description="BigQuery's slot milliseconds")]

    @classmethod
    def of(cls, past: PastResult) -> Self:
        """Make one."""
        return cls(**past._asdict())


class NodeResultView(Model):
    """The last result of a node, and those before it."""

    model_config = example(**LAST)

    unique_id: Annotated[str, Field(description="dbt's id of the node")]
    status: Annotated[str, Field(description="dbt's word")]
    state: Annotated[Verdict, Field(description=STATE)]
    at: Annotated[Time, Field(description="When dbt wrote the artifact")]
    message: Annotated[str | None, Field(description="What dbt said, shortened, without secrets")]
    loaded_at: Annotated[Time | None, Field(description="Of a source: when its newest row was loaded")]
    history: Annotated[list[PastResultView], Field(description="The newest 20 results, this one among them, the newest first")]

    @classmethod
    def of(cls, stored: StoredResult) -> Self:
        """Make one."""
        return cls(
            unique_id=stored.unique_id,
            status=stored.status,
            state=verdict(stored.status),
            at=stored.at,
            message=stored.message,
            loaded_at=stored.loaded_at,
            history=[PastResultView.of(one) for one in stored.history],
        )
