"""One node whole, in responses. The models only describe: the document is written without building them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.lineage.column_document import ColumnStatus, Subtype
from app.lineage.column_graph import EdgeType
from app.web.api.schemas.columns import COLUMN_EDGE, ORDER_ID, ColumnEnd, DownstreamEnd, TracedColumnOut
from app.web.api.schemas.common import Commit, Query, Time
from app.web.api.schemas.lineages import COLUMNS_STATE, COMMIT, HEAD, ORDERS, ColumnsState, ColumnTest, Node
from app.web.api.schemas.results import LAST, NodeResultView

Json = Any
NODE_COLUMN: dict[str, Any] = {
    **ORDER_ID,
    "tests": ORDERS["columns"][0]["tests"],
    "meta": {},
    "tags": [],
    "constraints": [],
    "docs_blocks": [],
    "upstream": [{**COLUMN_EDGE["upstream"], "type": "DIRECT", "subtype": "IDENTITY", "certain": True}],
    "downstream": [],
}


class NodeQuery(Query):
    """Which lineage."""

    sha: Annotated[Commit | None, Field(description=f"The node at this commit: {COMMIT}; by default in the connection's lineage")] = None


class ColumnSource(ColumnEnd):
    """A column that is depended on. Types and subtypes are OpenLineage's."""

    type: Annotated[EdgeType, Field(description="`DIRECT`: values are made of it. `INDIRECT`: it decides which values or rows there are")]
    subtype: Annotated[Subtype, Field(description="Such as `IDENTITY` or `FILTER`")]
    certain: Annotated[bool, Field(description="False: possible, but not known")]


class ColumnUse(DownstreamEnd):
    """A column, or all rows of a node, that depend on a column."""

    type: Annotated[EdgeType, Field(description="As in `upstream`")]
    subtype: Annotated[Subtype, Field(description="Such as `IDENTITY` or `FILTER`")]
    certain: Annotated[bool, Field(description="False: possible, but not known")]


class NodeColumn(TracedColumnOut):
    """A column with everything that the YAML files say of it, and what it depends on."""

    tests: Annotated[list[ColumnTest], Field(description="Tests on this column")]
    meta: Annotated[dict[str, Json] | None, Field(description="dbt's `meta` of the column")]
    tags: Annotated[list[str] | None, Field(description="dbt's tags of the column")]
    constraints: Annotated[list[Json] | None, Field(description="dbt's constraints of the column")]
    docs_blocks: Annotated[list[str] | None, Field(description="Ids of the doc blocks in its description")]
    upstream: Annotated[list[ColumnSource], Field(description="What its values depend on, one node away")]
    downstream: Annotated[list[ColumnUse], Field(description="What depends on it, one node away")]


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
                    "compiled_code": 'select * from "analytics"."prod"."stg_orders"',
                    "compiled_code_reason": None,
                    "language": "sql",
                    "patch_path": "shop://models/marts/marts.yml",
                    "docs_blocks": [],
                    "columns_state": "ready",
                    "columns_status": "exact",
                    "columns_reason": None,
                    "columns_open": False,
                    "hard_coded": [],
                    "columns": [NODE_COLUMN],
                    "rows": [],
                    "upstream": ["model.shop.stg_orders"],
                    "downstream": ["exposure.shop.board"],
                    "last_result": None,
                    "test_results": [LAST],
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
    compiled_code_reason: Annotated[str | None, Field(description="Why `compiled_code` is null, or what is left out of it")]
    language: Annotated[str | None, Field(description="`sql` or `python`")]
    patch_path: Annotated[str | None, Field(description="The YAML file that describes it, as `PACKAGE://PATH`")]
    docs_blocks: Annotated[list[str] | None, Field(description="Ids of the doc blocks in its description")]
    columns_state: Annotated[ColumnsState | None, Field(description=COLUMNS_STATE)]
    columns_status: Annotated[
        ColumnStatus | None,
        Field(description="`exact`: all of its columns and what they depend on are known; `approximate`, `unknown`: see `columns_reason`"),
    ]
    columns_reason: Annotated[str | None, Field(description="Why they are not exact")]
    columns_open: Annotated[bool | None, Field(description="True: its table may have more columns than these")]
    hard_coded: Annotated[list[str], Field(description="Tables that its SQL names and dbt's graph does not have")]
    columns: Annotated[list[NodeColumn], Field(description="Columns of the SQL, then those that only YAML files or tests name")]  # type: ignore[assignment]
    rows: Annotated[list[ColumnSource], Field(description="Columns that decide which rows there are")]
    upstream: Annotated[list[str], Field(description="`unique_id`s of the nodes that it depends on")]
    downstream: Annotated[list[str], Field(description="`unique_id`s of the nodes that depend on it")]
    last_result: Annotated[
        NodeResultView | None, Field(description="Its newest result of dbt's own runs, whatever the commit; null: there is none")
    ]
    test_results: Annotated[
        list[NodeResultView], Field(description="The results of tests on it, at most 100; those that failed or warned first")
    ]
    notes: Annotated[list[str], Field(description="What to know about this answer, such as fields that an earlier release did not store")]
