"""Results of dbt's own runs, in requests and responses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.lineage.run_results import MAX_ID, ArtifactKind
from app.web.api.schemas.common import Model, Time, example

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
