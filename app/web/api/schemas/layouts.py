"""Layouts, in requests and responses. Response models only describe: the documents are written without building them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from app.lineage.layout.scene import Mark
from app.lineage.resource_types import ResourceType
from app.web.api.schemas.common import Commit, Model, Query, Text, Whole, example
from app.web.api.schemas.lineages import COMMIT, HEAD

LayoutFormat = Literal["json", "svg"]
MAX_HOPS = 20
MAX_EXPANSIONS = 50
HOPS = 2
"""Each way, unless the request says otherwise."""
ORDERS = {
    "unique_id": "model.shop.orders",
    "name": "orders",
    "resource_type": "model",
    "package_name": "shop",
    "group": "models/marts",
    "original_file_path": "models/marts/orders.sql",
    "materialized": "table",
    "owner": "Finance",
    "description": "One row for each order.",
    "tags": ["nightly"],
    "tests": 1,
    "columns": 1,
    "change": None,
    "trouble": "1 test failed",
    "x": 280,
    "y": 0,
    "width": 200,
    "height": 44,
    "layer": 1,
    "order": 0,
    "more_upstream": 0,
    "more_downstream": 4,
}
STG_ORDERS = {
    **ORDERS,
    "unique_id": "model.shop.stg_orders",
    "name": "stg_orders",
    "group": "models/staging",
    "original_file_path": "models/staging/stg_orders.sql",
    "materialized": "view",
    "owner": None,
    "description": "",
    "tags": [],
    "tests": 0,
    "columns": 0,
    "trouble": None,
    "x": 0,
    "layer": 0,
    "more_downstream": 0,
}
EDGE = {"upstream": "model.shop.stg_orders", "downstream": "model.shop.orders", "points": [[200, 22], [280, 22]], "change": None}
OVERVIEW: dict[str, Any] = {
    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "sha": HEAD,
    "base": None,
    "stale": False,
    "width": 420,
    "height": 32,
    "node_width": 160,
    "node_height": 32,
    "resource_types": ["model"],
    "groups": ["models/marts", "models/staging"],
    "nodes": {
        "unique_id": ["model.shop.stg_orders", "model.shop.orders"],
        "name": ["stg_orders", "orders"],
        "resource_type": [0, 0],
        "group": [1, 0],
        "x": [0, 260],
        "y": [0, 0],
        "change": [0, 0],
    },
    "edges": [0, 1],
    "edge_changes": [],
    "layers": [[0, 1, 0], [1, 1, 260]],
}


class LayoutQuery(Query):
    """Which nodes. Without `focus` all that match the filters, with it those around one node."""

    sha: Annotated[Commit | None, Field(description=f"Lineage of this commit: {COMMIT}; by default the connection's lineage")] = None
    base: Annotated[
        Commit | None, Field(description="Mark what was added, removed and changed since this commit, and show what was removed, too")
    ] = None
    resource_type: Annotated[
        list[ResourceType],
        Field(
            default_factory=list,
            description="Only nodes of this type; repeat it for any of several. By default everything except tests, unit tests, analyses "
            "and operations",
        ),
    ]
    package: Annotated[Text | None, Field(description="Only nodes of this dbt package")] = None
    tag: Annotated[Text | None, Field(description="Only nodes with this tag")] = None
    focus: Annotated[
        Text | None,
        Field(
            description="The nodes around this one: a `unique_id` or a name. It need not match the filters. dbt's graph operators set the "
            "hops: `2+orders+1`, `+orders`; escape the plus sign as `%2B`"
        ),
    ] = None
    upstream: Annotated[
        Whole | None, Field(ge=0, le=MAX_HOPS, description=f"Only with `focus`: edges from there to show upstream; by default {HOPS}")
    ] = None
    downstream: Annotated[
        Whole | None, Field(ge=0, le=MAX_HOPS, description=f"Only with `focus`: edges from there to show downstream; by default {HOPS}")
    ] = None
    expand: Annotated[
        list[Text],
        Field(
            default_factory=list,
            max_length=MAX_EXPANSIONS,
            description="Only with `focus`: show what another node depends on directly (`+NODE`), or what depends on it (`NODE+`); "
            "repeat it for several, as far as the address stays below 32 KiB. Escape the plus sign as `%2B`",
        ),
    ]
    show: Annotated[
        list[Text],
        Field(
            default_factory=list,
            max_length=MAX_EXPANSIONS,
            description="Only with `focus`: show this node too, such as one that a column of the focus leads to, and the exposures that "
            "read it; repeat it for several",
        ),
    ]
    format: Annotated[
        LayoutFormat | None, Field(description="Format of the response; by default `json`. `svg`, a picture, only with `focus`")
    ] = None


class LayoutNode(Model):
    """A node around the focus, and its place in pixels."""

    model_config = example(**ORDERS)

    unique_id: Annotated[str, Field(description="dbt's id")]
    name: Annotated[str, Field(description="dbt's name")]
    resource_type: Annotated[ResourceType, Field(description="dbt's type of the resource")]
    package_name: Annotated[str, Field(description="The dbt package that defines it")]
    group: Annotated[str, Field(description="Folder of its file, or its package if that is not the project itself")]
    original_file_path: Annotated[str, Field(description="File that defines it, relative to the directory of its package")]
    materialized: Annotated[str | None, Field(description="Materialization, such as `table`; null for types without one")]
    owner: Annotated[str | None, Field(description="Its owner, as in the lineage")]
    description: Annotated[str, Field(description="The first 200 characters of the description")]
    tags: Annotated[list[str], Field(description="dbt's tags")]
    tests: Annotated[int, Field(description="Number of its tests and unit tests")]
    columns: Annotated[int, Field(description="Number of columns that YAML files name")]
    change: Annotated[Mark | None, Field(description="What happened to it since `base`; null: nothing, or there is no `base`")]
    trouble: Annotated[
        str | None,
        Field(description="What failed or warned last in dbt's own runs, of the node or its tests, in a few words; null: nothing known"),
    ]
    x: Annotated[int, Field(description="Left side")]
    y: Annotated[int, Field(description="Top")]
    width: Annotated[int, Field(description="Width")]
    height: Annotated[int, Field(description="Height")]
    layer: Annotated[int, Field(description="Column from the left, from 0")]
    order: Annotated[int, Field(description="Place in its layer from the top, from 0")]
    more_upstream: Annotated[int, Field(description="How many nodes that it depends on are not shown")]
    more_downstream: Annotated[int, Field(description="How many nodes that depend on it are not shown")]


class LayoutEdge(Model):
    """An edge between two of the nodes."""

    model_config = example(**EDGE)

    upstream: Annotated[str, Field(description="`unique_id` of the node that is depended on")]
    downstream: Annotated[str, Field(description="`unique_id` of the node that depends on it")]
    points: Annotated[
        list[tuple[int, int]],
        Field(description="What a curve leads through, as x and y: from the right side of `upstream` to the left side of `downstream`"),
    ]
    change: Annotated[Mark | None, Field(description="`added` or `removed` since `base`; null: neither, or there is no `base`")]


class _Layout(Model):
    connection_id: Annotated[str, Field(description="UUID of the connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    sha: Annotated[str, Field(description="Commit of the lineage")]
    base: Annotated[str | None, Field(description="Commit that it is compared with; null: none")]
    stale: Annotated[bool, Field(description="As in the lineage: true if the commit is behind the branch")]
    width: Annotated[int, Field(description="Pixels")]
    height: Annotated[int, Field(description="Pixels")]


class NeighbourhoodDocument(_Layout):
    """The nodes around one, at most 300."""

    model_config = example(
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        repository="octo/shop",
        sha=HEAD,
        base=None,
        stale=False,
        focus="model.shop.orders",
        width=480,
        height=44,
        truncated=False,
        nodes=[STG_ORDERS, ORDERS],
        edges=[EDGE],
    )

    focus: Annotated[str, Field(description="`unique_id` of the node in the middle")]
    truncated: Annotated[bool, Field(description="True: there are more than 300 nodes, and the nearest are shown")]
    nodes: Annotated[list[LayoutNode], Field(description="By layer, then from top to bottom")]
    edges: Annotated[list[LayoutEdge], Field(description="Edges between these nodes")]


class OverviewNodes(Model):
    """All nodes, by layer and from top to bottom: lists of the same length, one item a node."""

    unique_id: Annotated[list[str], Field(description="dbt's ids")]
    name: Annotated[list[str], Field(description="dbt's names")]
    resource_type: Annotated[list[int], Field(description="Places in `resource_types`")]
    group: Annotated[list[int], Field(description="Places in `groups`")]
    x: Annotated[list[int], Field(description="Left sides")]
    y: Annotated[list[int], Field(description="Tops")]
    change: Annotated[list[Literal[0, 1, 2, 3]], Field(description="Since `base`: 0 nothing, 1 added, 2 removed, 3 changed")]


class OverviewDocument(_Layout):
    """The whole lineage, or what matches the filters, in pixels."""

    model_config = example(**OVERVIEW)

    node_width: Annotated[int, Field(description="Width of every node")]
    node_height: Annotated[int, Field(description="Height of every node")]
    resource_types: Annotated[list[ResourceType], Field(description="The resource types of the nodes")]
    groups: Annotated[list[str], Field(description="Folders, and packages other than the project itself, in order")]
    nodes: Annotated[OverviewNodes, Field(description="The nodes")]
    edges: Annotated[list[int], Field(description="Pairs of places in the lists of nodes: upstream, downstream, upstream, downstream …")]
    edge_changes: Annotated[
        list[Literal[0, 1, 2]], Field(description="For each edge, since `base`: 0 nothing, 1 added, 2 removed; empty: no edge differs")
    ]
    layers: Annotated[
        list[tuple[int, int, int]], Field(description="For each layer: its first node, its number of nodes, and its left side")
    ]


class LayoutDocument(RootModel[OverviewDocument | NeighbourhoodDocument]):
    """Where nodes are drawn: an overview, or with `focus` a neighbourhood."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [OVERVIEW]})
