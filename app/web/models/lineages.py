"""Lineages and their differences as they are shown and asked for. What is shown goes through unread: these models describe it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.diff import Change
from app.graph import Direction
from app.lineage import ResourceType
from app.web.models.common import Model, Query, Sha, Text, Time, Whole, example

FormatName = Literal["json", "dot", "mermaid", "graphml", "csv", "openlineage"]
Namespace = Annotated[str, StringConstraints(max_length=200, pattern="^[A-Za-z][A-Za-z0-9+.-]*(:[A-Za-z0-9:;=/_.@+-]*)?$")]
"""As OpenLineage's conventions have it of a data source, `scheme:[//authority]`, of the characters that Marquez takes."""
MAX_DEPTH = 999_999

BASE, HEAD = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d", "6dcb09b5b57875f334f61aebed695e2e4193db5e"
STG_ORDERS: dict[str, Any] = {
    "unique_id": "model.shop.stg_orders",
    "resource_type": "model",
    "name": "stg_orders",
    "package_name": "shop",
    "original_file_path": "models/staging/stg_orders.sql",
    "relation_name": '"analytics"."prod"."stg_orders"',
    "materialized": "view",
    "description": "",
    "tags": [],
    "columns": [],
}
ORDERS: dict[str, Any] = {
    "unique_id": "model.shop.orders",
    "resource_type": "model",
    "name": "orders",
    "package_name": "shop",
    "original_file_path": "models/marts/orders.sql",
    "relation_name": '"analytics"."prod"."orders"',
    "materialized": "table",
    "description": "One row for each order.",
    "tags": ["nightly"],
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


class LineageQuery(Query):
    """Which part of a lineage, and how it is written. Everything that is said holds at once."""

    sha: Annotated[Sha | None, Field(description="The lineage of this commit; without it, that of the connection")] = None
    focus: Annotated[Text | None, Field(description="A `unique_id`, or a name that one node has: it, and what it is connected to")] = None
    direction: Annotated[Direction | None, Field(description="Which way to go from the focus; without it, both ways")] = None
    depth: Annotated[
        Whole | None, Field(ge=0, le=MAX_DEPTH, description="So many edges away from the focus at most; without it, all the way")
    ] = None
    resource_type: Annotated[list[ResourceType], Field(default_factory=list, description="Any of these types; may be repeated")]
    package: Annotated[Text | None, Field(description="This dbt package")] = None
    tag: Annotated[Text | None, Field(description="What has this tag")] = None
    format: Annotated[FormatName | None, Field(description="How it is written, whatever `Accept` says")] = None
    namespace: Annotated[
        Namespace | None,
        Field(description="Of the datasets in OpenLineage's events, such as `snowflake://acme-prod`; without it, the adapter's name"),
    ] = None


class ColumnTest(Model):
    """A test at a column."""

    unique_id: str
    name: Annotated[str, Field(description="Of the generic test, such as `not_null`")]


class Column(Model):
    """A column that the project's YAML files name, or that a test is written at."""

    name: str
    data_type: str | None
    description: str
    tests: Annotated[
        list[ColumnTest], Field(default_factory=list, description="Absent of what was extracted by a Freshet that did not know them")
    ]


class Node(Model):
    """A dbt resource."""

    model_config = example(**ORDERS)

    unique_id: str
    resource_type: ResourceType
    name: str
    package_name: str
    original_file_path: Annotated[str, Field(description="From the project's (or the package's) directory on")]
    relation_name: str | None
    materialized: str | None
    description: str
    tags: list[str]
    columns: list[Column]


class Edge(Model):
    """`downstream` depends on `upstream`; both are unique_ids."""

    model_config = example(**EDGE)

    upstream: str
    downstream: str


class LineageDocument(Model):
    """The lineage of a dbt project at one commit, or a part of it: edges are those between the nodes that are shown."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        repository="octo/shop",
        branch="main",
        project_dir="transform",
        project_name="shop",
        sha=HEAD,
        head_sha=HEAD,
        stale=False,
        stale_reason=None,
        extracted_at="2026-11-02T09:00:09Z",
        dbt_version="1.11.16",
        adapter_type="snowflake",
        manifest_schema="v12",
        nodes=[ORDERS, STG_ORDERS],
        edges=[EDGE],
    )

    connection_id: str
    repository: str
    branch: str
    project_dir: str | None
    project_name: str | None
    sha: str
    head_sha: Annotated[str | None, Field(description="The newest commit of the followed branch that is known")]
    stale: Annotated[bool, Field(description="The lineage is not of that commit")]
    stale_reason: str | None
    extracted_at: Time
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    nodes: list[Node]
    edges: list[Edge]


class DiffQuery(Query):
    """Two commits whose lineages are stored."""

    base: Annotated[Sha, Field(description="The commit to compare with")]
    head: Annotated[Sha, Field(description="The commit that is compared")]


class Side(Model):
    """One of the two lineages."""

    sha: str
    branch: str
    extracted_at: Time


class NodePlace(Model):
    """Which node it is, and where it stands."""

    unique_id: str
    resource_type: ResourceType
    name: str
    package_name: str
    original_file_path: str


class ColumnChanges(Model):
    """Columns by name. A changed one has another type, description or other tests."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class ChangedNode(NodePlace):
    """A node that is at both commits, and not the same."""

    changes: Annotated[
        list[Change],
        Field(
            description="`other` is what is none of the others, such as the rows of a seed or the name of a table, and what cannot be told "
            "because one of the lineages was extracted by a Freshet that did not store it"
        ),
    ]
    columns: Annotated[ColumnChanges | None, Field(description="Null when no column changed")]


class DiffCounts(Model):
    """How many there are of each."""

    nodes_added: int
    nodes_removed: int
    nodes_changed: int
    edges_added: int
    edges_removed: int


class DiffDocument(Model):
    """What is other at `head` than at `base`: nodes in the order of their unique_ids, edges in that of their upstreams."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        base={"sha": BASE, "branch": "main", "extracted_at": "2026-11-01T16:20:00Z"},
        head={"sha": HEAD, "branch": "main", "extracted_at": "2026-11-02T09:00:09Z"},
        counts={"nodes_added": 1, "nodes_removed": 0, "nodes_changed": 1, "edges_added": 1, "edges_removed": 0},
        nodes_added=[{name: STG_ORDERS[name] for name in NodePlace.model_fields}],
        nodes_removed=[],
        nodes_changed=[
            {
                **{name: ORDERS[name] for name in NodePlace.model_fields},
                "changes": ["sql", "columns", "edges"],
                "columns": {"added": ["order_id"], "removed": [], "changed": []},
            }
        ],
        edges_added=[EDGE],
        edges_removed=[],
    )

    connection_id: str
    base: Side
    head: Side
    counts: DiffCounts
    nodes_added: list[NodePlace]
    nodes_removed: list[NodePlace]
    nodes_changed: list[ChangedNode]
    edges_added: list[Edge]
    edges_removed: list[Edge]
