"""The differences between two lineages, in requests and responses. Response models only describe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.lineage.diff import Change
from app.lineage.resource_types import ResourceType
from app.web.api.schemas.common import Commit, Model, Query, Time, example
from app.web.api.schemas.lineages import COMMIT, EDGE, HEAD, ORDERS, STG_ORDERS, Edge

BASE = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d"


class DiffQuery(Query):
    """Two commits whose lineages are stored."""

    base: Annotated[Commit, Field(description=f"The older commit: {COMMIT}")]
    head: Annotated[Commit, Field(description=f"The newer commit: {COMMIT}")]


class Side(Model):
    """One of the two lineages."""

    sha: Annotated[str, Field(description="Commit of the lineage")]
    branch: Annotated[str, Field(description="The branch whose push was extracted")]
    extracted_at: Annotated[Time, Field(description="When the lineage was stored")]


class NodePlace(Model):
    """A node, and the file that defines it."""

    unique_id: Annotated[str, Field(description="dbt's id")]
    resource_type: Annotated[ResourceType, Field(description="dbt's type of the resource")]
    name: Annotated[str, Field(description="dbt's name")]
    package_name: Annotated[str, Field(description="The dbt package that defines it")]
    original_file_path: Annotated[str, Field(description="File that defines it, relative to the directory of its package")]


class ColumnChanges(Model):
    """Names of changed columns, each list in order."""

    added: Annotated[list[str], Field(description="Only at `head`")]
    removed: Annotated[list[str], Field(description="Only at `base`")]
    changed: Annotated[list[str], Field(description="At both, with another type, description or other tests")]


class ChangedNode(NodePlace):
    """A node that exists at both commits and differs."""

    changes: Annotated[
        list[Change],
        Field(
            description="What differs. `other`: something else, such as the rows of a seed or the name of a table, or not known because "
            "one of the lineages was extracted by an early version of Freshet"
        ),
    ]
    columns: Annotated[ColumnChanges | None, Field(description="Which columns differ; null when none does")]


class DiffCounts(Model):
    """Lengths of the lists."""

    nodes_added: Annotated[int, Field(description="Length of `nodes_added`")]
    nodes_removed: Annotated[int, Field(description="Length of `nodes_removed`")]
    nodes_changed: Annotated[int, Field(description="Length of `nodes_changed`")]
    edges_added: Annotated[int, Field(description="Length of `edges_added`")]
    edges_removed: Annotated[int, Field(description="Length of `edges_removed`")]


class DiffDocument(Model):
    """The differences between two lineages, complete. Nodes are in order of `unique_id`, edges of `upstream`, then `downstream`."""

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

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    base: Annotated[Side, Field(description="The older lineage")]
    head: Annotated[Side, Field(description="The newer lineage")]
    counts: Annotated[DiffCounts, Field(description="Lengths of the lists")]
    nodes_added: Annotated[list[NodePlace], Field(description="Nodes only at `head`")]
    nodes_removed: Annotated[list[NodePlace], Field(description="Nodes only at `base`")]
    nodes_changed: Annotated[list[ChangedNode], Field(description="Nodes at both that differ")]
    edges_added: Annotated[list[Edge], Field(description="Edges only at `head`")]
    edges_removed: Annotated[list[Edge], Field(description="Edges only at `base`")]
