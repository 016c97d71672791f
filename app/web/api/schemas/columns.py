"""Columns and what they depend on, in requests and responses. Response models only describe: the documents are written without them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from app.lineage.column_document import ColumnStatus, Subtype
from app.lineage.column_graph import EdgeType
from app.lineage.graph import Direction
from app.web.api.schemas.common import Commit, Model, Text, Time, Whole, example
from app.web.api.schemas.lineages import COLUMNS_STATE, COMMIT, HEAD, MAX_DEPTH, ColumnsState
from app.web.api.schemas.openlineage import OpenLineageQuery

ColumnsFormat = Literal["json", "csv", "openlineage"]

ORDER_ID: dict[str, Any] = {
    "name": "order_id",
    "data_type": "integer",
    "description": "The key.",
    "documented": True,
    "inherited_from": None,
    "in_sql": True,
}
STAGED_ID = {**ORDER_ID, "name": "id", "data_type": None, "description": "", "documented": False}
TRACED_ORDERS: dict[str, Any] = {
    "unique_id": "model.shop.orders",
    "status": "exact",
    "reason": None,
    "open": False,
    "hard_coded": [],
    "columns": [ORDER_ID],
}
COLUMN_EDGE: dict[str, Any] = {
    "upstream": {"unique_id": "model.shop.stg_orders", "column": "id"},
    "downstream": {"unique_id": "model.shop.orders", "column": "order_id"},
    "type": "DIRECT",
    "subtype": "IDENTITY",
    "certain": True,
}


class ColumnsQuery(OpenLineageQuery):
    """Which columns, and in which format. Without `node` all of them."""

    sha: Annotated[Commit | None, Field(description=f"Columns of this commit: {COMMIT}; by default of the connection's lineage")] = None
    node: Annotated[
        Text | None,
        Field(
            description="The columns of this node and those that they are connected to: a `unique_id` or a name. dbt's graph operators "
            "around it (`+orders`, `orders+`, `2+orders+1`, `@orders`) say which ones, instead of `direction` and `depth`"
        ),
    ] = None
    column: Annotated[
        Text | None, Field(description="Only this column of `node` and those that it is connected to; its case is ignored unless in quotes")
    ] = None
    direction: Annotated[Direction | None, Field(description="Which way to follow edges from `node`; by default `both`")] = None
    depth: Annotated[
        Whole | None, Field(ge=0, le=MAX_DEPTH, description="Maximum number of nodes away from `node`; by default no limit")
    ] = None
    format: Annotated[ColumnsFormat | None, Field(description="Format of the response, regardless of `Accept`; by default `json`")] = None


class ColumnEnd(Model):
    """An end of an edge."""

    unique_id: Annotated[str, Field(description="`unique_id` of the node")]
    column: Annotated[str, Field(description="Name of its column")]


class DownstreamEnd(Model):
    """The downstream end of an edge."""

    unique_id: Annotated[str, Field(description="`unique_id` of the node")]
    column: Annotated[str | None, Field(description="Name of its column; null: all of its rows depend on the upstream column")]


class TracedColumnOut(Model):
    """A column that the SQL makes or a YAML file names."""

    name: Annotated[str, Field(description="As the SQL names it, or as written in the YAML file if the SQL does not")]
    data_type: Annotated[str | None, Field(description="As written in the YAML file, else as the SQL casts it; null: not known")]
    description: Annotated[str, Field(description="From the YAML files, its own or inherited; can be empty")]
    documented: Annotated[bool, Field(description="True: the description is its own")]
    inherited_from: Annotated[
        ColumnEnd | None,
        Field(description="Where the description comes from if it is not its own: the nearest column upstream that it is a copy of"),
    ]
    in_sql: Annotated[
        bool | None,
        Field(
            description="True: the SQL makes it (of a source: some SQL reads it; of a seed: its header has it). False: only a YAML file "
            "names it. Null: not known"
        ),
    ]


class TracedNodeOut(Model):
    """A node with its columns."""

    unique_id: Annotated[str, Field(description="dbt's id")]
    status: Annotated[
        ColumnStatus,
        Field(description="`exact`: all of its columns and edges are known; `approximate` and `unknown`: see `reason`"),
    ]
    reason: Annotated[str | None, Field(description="Why it is not exact, or what is open")]
    open: Annotated[bool, Field(description="True: its table may have more columns than these, such as a source that nothing describes")]
    hard_coded: Annotated[list[str], Field(description="Tables that its SQL names and dbt's graph does not have")]
    columns: Annotated[list[TracedColumnOut], Field(description="In the order of the SQL, then those that only YAML files name")]


class ColumnEdgeOut(Model):
    """A dependency of a column, or of all rows of a node, on a column. Types and subtypes are OpenLineage's."""

    upstream: Annotated[ColumnEnd, Field(description="The column that is depended on")]
    downstream: Annotated[DownstreamEnd, Field(description="What depends on it")]
    type: Annotated[EdgeType, Field(description="`DIRECT`: values are made of it. `INDIRECT`: it decides which values or rows there are")]
    subtype: Annotated[
        Subtype,
        Field(description="`IDENTITY`, `TRANSFORMATION`, `AGGREGATION`; or `JOIN`, `GROUP_BY`, `FILTER`, `SORT`, `WINDOW`, `CONDITIONAL`"),
    ]
    certain: Annotated[bool, Field(description="False: possible, but not known, such as an unqualified column of two open tables")]


class ColumnsDocumentOut(Model):
    """The columns of a dbt project at one commit, or the selected part of them."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        repository="octo/shop",
        branch="main",
        project_dir="transform",
        sha=HEAD,
        head_sha=HEAD,
        extracted_at="2026-11-02T09:00:09Z",
        columns_state="ready",
        columns_reason=None,
        nodes=[TRACED_ORDERS, {**TRACED_ORDERS, "unique_id": "model.shop.stg_orders", "columns": [STAGED_ID]}],
        edges=[COLUMN_EDGE],
    )

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    branch: Annotated[str, Field(description="The branch whose push was extracted")]
    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]
    sha: Annotated[str, Field(description="Commit of this lineage")]
    head_sha: Annotated[str | None, Field(description="Newest known commit of the followed branch")]
    extracted_at: Annotated[Time, Field(description="When the lineage was stored")]
    columns_state: Annotated[ColumnsState | None, Field(description=COLUMNS_STATE)]
    columns_reason: Annotated[str | None, Field(description="Why there are no columns: what happened and what to do")]
    nodes: Annotated[
        list[TracedNodeOut], Field(description="Selected nodes, in order of `unique_id`; none unless `columns_state` is `ready`")
    ]
    edges: Annotated[list[ColumnEdgeOut], Field(description="Edges between their columns, in order of the downstream node")]
