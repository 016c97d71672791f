"""The graph of an owner's projects, in requests and responses. Response models only describe, as those of lineages do."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.lineage.organisation.joins import JoinReason
from app.web.api.schemas.common import Model, Text, Time, example
from app.web.api.schemas.lineages import HEAD, ORDERS, LineagePart, Node

SHOP: dict[str, Any] = {
    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "project_dir": "transform",
    "project_name": "shop",
    "branch": "main",
    "sha": HEAD,
    "extracted_at": "2026-11-02T09:00:09Z",
    "dbt_version": "1.11.16",
    "adapter_type": "snowflake",
    "other_branches": [],
}
BI: dict[str, Any] = {
    **SHOP,
    "connection_id": "7d4f7a52-0f0a-4f0e-8a53-1d5f2b6f7c22",
    "repository": "octo/bi",
    "project_dir": "",
    "project_name": "bi",
    "other_branches": ["dev"],
}
MADE: dict[str, Any] = {
    "id": "octo/shop/transform:model.shop.orders",
    **{name: SHOP[name] for name in ("connection_id", "repository", "project_name")},
    **ORDERS,
}
READ: dict[str, Any] = {
    "id": "octo/bi:source.bi.shop.orders",
    **{name: BI[name] for name in ("connection_id", "repository", "project_name")},
    **ORDERS,
    "unique_id": "source.bi.shop.orders",
    "resource_type": "source",
    "package_name": "bi",
    "original_file_path": "models/sources.yml",
    **dict.fromkeys(("materialized", "access", "group", "owner")),
    "tags": [],
    "columns": [],
}
BETWEEN = {"upstream": MADE["id"], "downstream": READ["id"]}
JOIN: dict[str, Any] = {
    **BETWEEN,
    "reason": "relation",
    "certain": True,
    "detail": "the source names the table that the node makes",
    "merged": False,
}

FAR: dict[str, Any] = {
    **{name: SHOP[name] for name in ("connection_id", "repository", "project_dir")},
    **{name: ORDERS[name] for name in ("unique_id", "resource_type", "name")},
    **{name: JOIN[name] for name in ("reason", "certain", "detail")},
}


class GraphQuery(LineagePart):
    """Whose graph, which part of it, and in which format. `focus` also takes the `id` of a node."""

    owner: Annotated[Text, Field(description="Account on GitHub that owns the repositories, in any case")]


class OrganisationProject(Model):
    """A project in the graph, at the commit of its connection's lineage."""

    model_config = example(**SHOP)

    connection_id: Annotated[str, Field(description="UUID of the connection that counts for the project")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]
    project_name: Annotated[str | None, Field(description="`name` in `dbt_project.yml`")]
    branch: Annotated[str, Field(description="The branch whose push was extracted")]
    sha: Annotated[str, Field(description="Commit of the lineage")]
    extracted_at: Annotated[Time, Field(description="When the lineage was stored")]
    dbt_version: Annotated[str, Field(description="dbt's version, as in its manifest")]
    adapter_type: Annotated[str | None, Field(description="Adapter that the project was parsed for")]
    other_branches: Annotated[
        list[str],
        Field(description="Branches that other connections of the project follow; with `focus`, empty. They are not in the graph"),
    ]


class ProjectJoin(Model):
    """A node of one project that is, or makes, a node of another."""

    model_config = example(**JOIN)

    upstream: Annotated[str, Field(description="`id` of the node that makes the table, or is defined in its own project")]
    downstream: Annotated[
        str, Field(description="`id` of the source, or the `id` that a package's node would have in the project that installs the package")
    ]
    reason: Annotated[
        JoinReason,
        Field(
            description="`relation`: a source is the table that a node makes; `package`: a node of a package is one of the project "
            "that the package is; `reference`: dbt knows the node by name alone, as one of another project"
        ),
    ]
    certain: Annotated[bool, Field(description="False: another node may be meant, or another table of this name")]
    detail: Annotated[str, Field(description="Why it is certain or not, as a clause")]
    merged: Annotated[bool, Field(description="True: both are one node, `upstream`, so there is no edge and no node `downstream`")]


class OrganisationNode(Node):
    """A dbt resource of one of the projects."""

    model_config = example(**MADE)

    id: Annotated[str, Field(description="`REPOSITORY/DIRECTORY:UNIQUE_ID`: unique in the graph")]
    connection_id: Annotated[str, Field(description="UUID of its project's connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    project_name: Annotated[str | None, Field(description="`name` in the project's `dbt_project.yml`")]


class OrganisationEdge(Model):
    """A dependency, within a project or between two: `downstream` depends on `upstream`."""

    model_config = example(**BETWEEN)

    upstream: Annotated[str, Field(description="`id` of the node that is depended on")]
    downstream: Annotated[str, Field(description="`id` of the node that depends on it")]


class LeftOutOfGraph(Model):
    """What limits left out of the graph, of what the token may read."""

    model_config = example(connections=0, nodes=False, joins=0)

    connections: Annotated[int, Field(description="Connections that are not in the graph")]
    nodes: Annotated[bool, Field(description="True: nodes of the connections in the graph are missing, too")]
    joins: Annotated[int, Field(description="Joins: more nodes make a table of the same name")]


class OrganisationDocument(Model):
    """The lineages of an owner's projects as one graph, or the selected part of it."""

    model_config = example(
        owner="octo",
        connections=[BI, SHOP],
        joins=[JOIN],
        left_out={"connections": 0, "nodes": False, "joins": 0},
        notes=[],
        nodes=[READ, MADE],
        edges=[BETWEEN],
    )

    owner: Annotated[str, Field(description="As in the request")]
    connections: Annotated[list[OrganisationProject], Field(description="The projects in the graph, by repository")]
    joins: Annotated[list[ProjectJoin], Field(description="Joins between the selected nodes")]
    left_out: Annotated[LeftOutOfGraph, Field(description="What limits left out")]
    notes: Annotated[list[str], Field(description="What to know about this answer, such as a filter that matches nothing")]
    nodes: Annotated[list[OrganisationNode], Field(description="Selected nodes, by project")]
    edges: Annotated[list[OrganisationEdge], Field(description="Edges between these nodes")]


class FarJoin(Model):
    """A node of another project that a node is joined with."""

    model_config = example(**FAR)

    connection_id: Annotated[str, Field(description="UUID of its project's connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]
    unique_id: Annotated[str, Field(description="dbt's id of the node in its project")]
    resource_type: Annotated[str, Field(description="dbt's resource type")]
    name: Annotated[str, Field(description="dbt's name of the node")]
    reason: Annotated[JoinReason, Field(description="Why they are joined, as in the graph of the owner")]
    certain: Annotated[bool, Field(description="False: another node may be meant, or another table of this name")]
    detail: Annotated[str, Field(description="Why it is certain or not, as a clause")]


class NodeJoins(Model):
    """What a node is joined with in other projects that the token may read."""

    model_config = example(made_by=[FAR], read_by=[], projects=0, cut=False)

    made_by: Annotated[list[FarJoin], Field(description="Nodes that make the table of a source, or are the node of a package; at most 100")]
    read_by: Annotated[
        list[FarJoin], Field(description="Sources that are its table, and the node itself in projects that install it; at most 100")
    ]
    projects: Annotated[int, Field(description="Projects in `read_by`, also in what is left out")]
    cut: Annotated[bool, Field(description="True: there are more")]
