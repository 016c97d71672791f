"""One node whole, in responses. The models only describe: the document is written without building them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.web.api.schemas.common import Commit, Query, Time
from app.web.api.schemas.lineages import COMMIT, HEAD, ORDERS, Column, Node

Json = Any


class NodeQuery(Query):
    """Which lineage."""

    sha: Annotated[Commit | None, Field(description=f"The node at this commit: {COMMIT}; by default in the connection's lineage")] = None


class NodeColumn(Column):
    """A column with everything that the YAML files say of it."""

    meta: Annotated[dict[str, Json] | None, Field(description="dbt's `meta` of the column")]
    tags: Annotated[list[str] | None, Field(description="dbt's tags of the column")]
    constraints: Annotated[list[Json] | None, Field(description="dbt's constraints of the column")]
    docs_blocks: Annotated[list[str] | None, Field(description="Ids of the doc blocks in its description")]
    documented: Annotated[bool, Field(description="True: it has a description")]


class NodeDocument(Node):
    """A dbt resource whole. Fields of one resource type (`given` of a unit test) are only there for that type."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
                    "repository": "octo/shop",
                    "branch": "main",
                    "project_dir": "transform",
                    "sha": HEAD,
                    "head_sha": HEAD,
                    "extracted_at": "2026-11-02T09:00:09Z",
                    **ORDERS,
                    "fqn": ["shop", "marts", "orders"],
                    "database": "analytics",
                    "schema": "prod",
                    "alias": "orders",
                    "config": {"materialized": "table", "tags": ["nightly"]},
                    "latest_version": None,
                    "contract": {"enforced": False},
                    "constraints": [],
                    "raw_code": "select * from {{ ref('stg_orders') }}",
                    "compiled_code": None,
                    "compiled_code_reason": "Freshet does not compile models: `raw_code` is what the project has",
                    "language": "sql",
                    "patch_path": "shop://models/marts/marts.yml",
                    "docs_blocks": [],
                    "columns": [
                        {**column, "meta": {}, "tags": [], "constraints": [], "docs_blocks": [], "documented": True}
                        for column in ORDERS["columns"]
                    ],
                    "upstream": ["model.shop.stg_orders"],
                    "downstream": ["exposure.shop.board"],
                    "notes": [],
                }
            ]
        },
    )

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    branch: Annotated[str, Field(description="The branch whose push was extracted")]
    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]
    sha: Annotated[str, Field(description="Commit of this lineage")]
    head_sha: Annotated[str | None, Field(description="Newest known commit of the followed branch")]
    extracted_at: Annotated[Time, Field(description="When the lineage was stored")]
    fqn: Annotated[list[str] | None, Field(description="dbt's fully qualified name: package, directories, name")]
    database: Annotated[str | None, Field(description="Database, project or catalog of its table; null: it has none, or it is unknown")]
    schema_: Annotated[str | None, Field(alias="schema", description="Schema or dataset of its table; null: it has none, or it is unknown")]
    alias: Annotated[str | None, Field(description="Name of its table, if dbt makes one")]
    config: Annotated[dict[str, Json] | None, Field(description="dbt's configuration, with what the project file adds")]
    latest_version: Annotated[Json, Field(description="Of a versioned model: the latest version, a text or a number")]
    contract: Annotated[Json, Field(description="dbt's contract: whether its columns are enforced")]
    constraints: Annotated[list[Json] | None, Field(description="dbt's constraints of the model")]
    raw_code: Annotated[str | None, Field(description="The code as the project has it; empty or null for types without")]
    compiled_code: Annotated[str | None, Field(description="The code that dbt would run; null: see `compiled_code_reason`")]
    compiled_code_reason: Annotated[str | None, Field(description="Why `compiled_code` is null")]
    language: Annotated[str | None, Field(description="`sql` or `python`")]
    patch_path: Annotated[str | None, Field(description="The YAML file that describes it, as `PACKAGE://PATH`")]
    docs_blocks: Annotated[list[str] | None, Field(description="Ids of the doc blocks in its description")]
    columns: Annotated[list[NodeColumn], Field(description="Columns named in YAML files, then those that only a test names")]  # type: ignore[assignment]
    upstream: Annotated[list[str], Field(description="`unique_id`s of the nodes that it depends on")]
    downstream: Annotated[list[str], Field(description="`unique_id`s of the nodes that depend on it")]
    notes: Annotated[list[str], Field(description="What to know about this answer, such as fields that an earlier release did not store")]
