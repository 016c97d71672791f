"""Lineages, in requests and responses. Response models only describe: the documents are written without building them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from app.core.models.connections import State
from app.lineage.graph import Direction
from app.lineage.relations import RelationNameSource
from app.lineage.resource_types import ResourceType
from app.web.api.schemas.common import Commit, Model, Text, Time, Whole, example
from app.web.api.schemas.openlineage import OpenLineageQuery

FormatName = Literal["json", "dot", "mermaid", "graphml", "csv", "openlineage"]
COMMIT = "a full id, at least 7 digits of one, or a branch"
MAX_DEPTH = 999_999
ColumnsState = Literal["pending", "ready", "failed"]
COLUMNS_STATE = (
    "Whether `…/columns` has the columns: `ready`; `pending`: they follow within seconds; `failed`: see `columns_reason`; null: an earlier "
    "release stored the lineage, so extract the commit again to get them"
)

HEAD = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
STG_ORDERS: dict[str, Any] = {
    "unique_id": "model.shop.stg_orders",
    "resource_type": "model",
    "name": "stg_orders",
    "package_name": "shop",
    "original_file_path": "models/staging/stg_orders.sql",
    "relation_name": "analytics.prod.stg_orders",
    "relation_name_source": "profile",
    "materialized": "view",
    "description": "",
    "tags": [],
    "version": None,
    "access": "protected",
    "group": None,
    "owner": None,
    "meta": {},
    **dict.fromkeys(("type", "url", "label")),
    "columns": [],
}
ORDERS: dict[str, Any] = {
    "unique_id": "model.shop.orders",
    "resource_type": "model",
    "name": "orders",
    "package_name": "shop",
    "original_file_path": "models/marts/orders.sql",
    "relation_name": "analytics.prod.orders",
    "relation_name_source": "profile",
    "materialized": "table",
    "description": "One row for each order.",
    "tags": ["nightly"],
    "version": None,
    "access": "public",
    "group": "finance",
    "owner": "Finance",
    "meta": {"sla": "08:00"},
    **dict.fromkeys(("type", "url", "label")),
    "columns": [
        {
            "name": "order_id",
            "data_type": "integer",
            "description": "The key.",
            "tests": [{"unique_id": "test.shop.not_null_orders_order_id.cf6c17daed", "name": "not_null"}],
        }
    ],
}
EDGE = {"upstream": "model.shop.stg_orders", "downstream": "model.shop.orders"}


class LineagePart(OpenLineageQuery):
    """Which part of a lineage, and in which format. A node has to match all filters."""

    focus: Annotated[
        Text | None,
        Field(
            description="Only this node and the nodes connected to it: a `unique_id` or a name. dbt's graph operators around it "
            "(`+orders`, `orders+`, `2+orders+1`, `@orders`) say which ones, instead of `direction` and `depth`"
        ),
    ] = None
    direction: Annotated[Direction | None, Field(description="Which way to follow edges from `focus`; by default `both`")] = None
    depth: Annotated[
        Whole | None, Field(ge=0, le=MAX_DEPTH, description="Maximum number of edges away from `focus`; by default no limit")
    ] = None
    resource_type: Annotated[
        list[ResourceType], Field(default_factory=list, description="Only nodes of this type; repeat it for any of several")
    ]
    package: Annotated[Text | None, Field(description="Only nodes of this dbt package")] = None
    tag: Annotated[Text | None, Field(description="Only nodes with this tag")] = None
    format: Annotated[FormatName | None, Field(description="Format of the response, regardless of `Accept`; by default `json`")] = None


class LineageQuery(LineagePart):
    """Which lineage of a connection, which part of it, and in which format."""

    sha: Annotated[Commit | None, Field(description=f"Lineage of this commit: {COMMIT}; by default the connection's lineage")] = None


class ColumnTest(Model):
    """A test on a column."""

    unique_id: Annotated[str, Field(description="`unique_id` of the test's node")]
    name: Annotated[str, Field(description="Name of the generic test, such as `not_null`")]


class Column(Model):
    """A column that is named in the project's YAML files, by a description or by a test."""

    name: Annotated[str, Field(description="As written in the YAML file")]
    data_type: Annotated[str | None, Field(description="As written in the YAML file; null: not written")]
    description: Annotated[str, Field(description="As written in the YAML file; can be empty")]
    tests: Annotated[
        list[ColumnTest],
        Field(default_factory=list, description="Tests on this column; absent in lineages that an early version of Freshet stored"),
    ]


class Node(Model):
    """A dbt resource."""

    model_config = example(**ORDERS)

    unique_id: Annotated[str, Field(description="dbt's id: `RESOURCE_TYPE.PACKAGE.NAME`")]
    resource_type: Annotated[ResourceType, Field(description="dbt's type of the resource")]
    name: Annotated[str, Field(description="dbt's name; not always unique")]
    package_name: Annotated[str, Field(description="The dbt package that defines it; the project itself is one")]
    original_file_path: Annotated[str, Field(description="File that defines it, relative to the directory of its package")]
    relation_name: Annotated[
        str | None, Field(description="Table or view in the warehouse, as dbt quotes it; null: it has none, or its name is not known")
    ]
    relation_name_source: Annotated[
        RelationNameSource | None,
        Field(
            description="Where the name comes from: `profile` (the project's profiles.yml has the database or the schema), `settings` "
            "(`.github/freshet.yml` has), `project` (the project itself has both), or `placeholder`: something in it is not known, "
            "and `relation_name` is null. Null: it is no table or view. Absent in lineages that an early version of Freshet stored, "
            "as are the fields from `version` to `label`"
        ),
    ] = None
    materialized: Annotated[str | None, Field(description="Materialization, such as `table`; null for types without one")]
    description: Annotated[str, Field(description="From the project's YAML files; can be empty")]
    tags: Annotated[list[str], Field(description="dbt's tags")]
    version: Annotated[str | int | float | None, Field(description="Version of a versioned model")] = None
    access: Annotated[str | None, Field(description="Access of a model: `private`, `protected` or `public`")] = None
    group: Annotated[str | None, Field(description="dbt's group")] = None
    owner: Annotated[
        str | None,
        Field(
            description="Its `meta.owner`, else the `owner` of an exposure or of the group (a name, or else an email address), "
            "else the owners of its file by CODEOWNERS"
        ),
    ] = None
    meta: Annotated[
        dict[str, Any] | None, Field(description="dbt's `meta`, with null for values that are not known; null: it is longer than 16 KiB")
    ] = None
    type: Annotated[Any, Field(description="Type of an exposure, such as `dashboard`, or of a metric; null for others")] = None
    url: Annotated[Any, Field(description="Address of an exposure; null for others")] = None
    label: Annotated[Any, Field(description="Label of an exposure, a metric and so on; null for others")] = None
    columns: Annotated[list[Column], Field(description="Columns named in YAML files, then those that only a test names")]
    external_node: Annotated[
        bool,
        Field(description="True for a model of another project, which this one reads: only its name, version and table are known here"),
    ] = False


class Edge(Model):
    """A dependency: `downstream` depends on `upstream`."""

    model_config = example(**EDGE)

    upstream: Annotated[str, Field(description="`unique_id` of the node that is depended on")]
    downstream: Annotated[str, Field(description="`unique_id` of the node that depends on it")]


class LineageDocument(Model):
    """The lineage of a dbt project at one commit, or the selected part of it."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        repository="octo/shop",
        branch="main",
        project_dir="transform",
        project_name="shop",
        sha=HEAD,
        head_sha=HEAD,
        state="current",
        stale=False,
        stale_reason=None,
        extracted_at="2026-11-02T09:00:09Z",
        dbt_version="1.11.16",
        adapter_type="snowflake",
        manifest_schema="v12",
        columns_state="ready",
        columns_reason=None,
        notes=[],
        nodes=[ORDERS, STG_ORDERS],
        edges=[EDGE],
    )

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    branch: Annotated[str, Field(description="The branch whose push was extracted")]
    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]
    project_name: Annotated[str | None, Field(description="`name` in `dbt_project.yml`")]
    sha: Annotated[str, Field(description="Commit of this lineage")]
    head_sha: Annotated[str | None, Field(description="Newest known commit of the followed branch")]
    state: Annotated[State | None, Field(description="State of the connection; null for another commit than that of its lineage")]
    stale: Annotated[bool, Field(description="True: `sha` is not `head_sha`, and `state` is not `updating`")]
    stale_reason: Annotated[
        str | None, Field(description="Why the connection's lineage is behind, in a few words; null when it is not, or with another `sha`")
    ]
    extracted_at: Annotated[Time, Field(description="When the lineage was stored")]
    dbt_version: Annotated[str, Field(description="dbt's version, as in its manifest")]
    adapter_type: Annotated[str | None, Field(description="Adapter that the project was parsed for")]
    manifest_schema: Annotated[str, Field(description="Version of the schema of dbt's manifest, such as `v12`")]
    columns_state: Annotated[ColumnsState | None, Field(description=COLUMNS_STATE)] = None
    columns_reason: Annotated[str | None, Field(description="Why there are no columns: what happened and what to do")] = None
    notes: Annotated[list[str], Field(description="What to know about this answer, such as a filter that matches nothing")]
    nodes: Annotated[list[Node], Field(description="Selected nodes, in order of `unique_id`")]
    edges: Annotated[list[Edge], Field(description="Edges between these nodes")]
