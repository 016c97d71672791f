"""The impact of the changes between two commits, in requests and responses. Response models only describe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.lineage.impact.model import BreakKind, ChangeClass, Route
from app.lineage.resource_types import ResourceType
from app.web.api.schemas.common import Commit, Model, Query, example
from app.web.api.schemas.diffs import BASE, Side
from app.web.api.schemas.lineages import COLUMNS_STATE, COMMIT, HEAD, ColumnsState


class ImpactQuery(Query):
    """Two commits whose lineages are stored."""

    base: Annotated[
        Commit | None,
        Field(description=f"The commit to compare with: {COMMIT}; by default the one that the check run of `head` was compared with"),
    ] = None
    head: Annotated[Commit | None, Field(description=f"The commit with the changes: {COMMIT}; by default the connection's lineage")] = None


class ComparedSide(Side):
    """One of the two lineages."""

    columns_state: Annotated[ColumnsState | None, Field(description=COLUMNS_STATE)]


class NodeChange(Model):
    """One class of change of one node."""

    unique_id: Annotated[str, Field(description="dbt's id; of what is removed, at `base`")]
    change_class: Annotated[
        ChangeClass,
        Field(
            alias="class",
            description="`removed`, `renamed`, `added`: columns, or the whole node if `columns` is empty. `retyped`: another data type. "
            "`rows`: which rows there are. `logic`: how values are computed. `moved`: another table or order of columns. `none`: the "
            "data is the same, but access, contract, version or the like is not",
        ),
    ]
    certain: Annotated[bool, Field(description="False: possible, but not known")]
    columns: Annotated[list[str], Field(description="The columns, in the order of the SQL; at most 100. Empty: the whole node")]
    new_columns: Annotated[list[str], Field(description="Of `renamed`: their new names, in the same order")]
    reason: Annotated[str, Field(description="In a sentence")]
    inherited: Annotated[bool, Field(description="True: its own SQL is the same; it changes because of what it reads, as by `select *`")]
    more_columns: Annotated[int, Field(description="Columns that are not listed")]


class ReachedNode(Model):
    """A node that depends on a change."""

    unique_id: Annotated[str, Field(description="dbt's id")]
    resource_type: Annotated[ResourceType, Field(description="dbt's type of the resource")]
    distance: Annotated[int, Field(description="Edges from the nearest changed node")]
    by: Annotated[
        Route,
        Field(
            description="`rows`: all of its rows depend on the change. `column`: only the listed columns do. `model`: it depends on a "
            "changed or reached node, and it is not known what it reads of it"
        ),
    ]
    owner: Annotated[str | None, Field(description="Its owner: see the lineage")]
    group: Annotated[str | None, Field(description="dbt's group")]
    columns: Annotated[list[str], Field(description="If `by` is `column`: its columns that depend on the change, sorted; at most 50")]
    more_columns: Annotated[int, Field(description="Columns that are not listed")]


class BrokenNode(Model):
    """Something that no longer works."""

    unique_id: Annotated[str, Field(description="The node that breaks")]
    kind: Annotated[BreakKind, Field(description="What breaks, or why")]
    certain: Annotated[bool, Field(description="False: possible, but not known")]
    reason: Annotated[str, Field(description="In a sentence, with the cause")]
    cause: Annotated[str | None, Field(description="`unique_id` of the changed node; null: not known")]
    column: Annotated[str | None, Field(description="The column that it needs, by its name at `base`; null: several, or another reason")]
    connection_id: Annotated[str | None, Field(description="UUID of the connection that the node is in; null: this one")]


class LeftOut(Model):
    """Numbers of items that are not listed."""

    changes: Annotated[int, Field(description="Changes beyond the first 2,000")]
    reached: Annotated[int, Field(description="Reached nodes beyond the first 5,000")]
    breaks: Annotated[int, Field(description="Breaks beyond the first 1,000")]
    definitions: Annotated[
        int, Field(description="Tests and other nodes that were not searched for what breaks, because there are too many")
    ]


class ImpactDocument(Model):
    """What the changes between two commits do: classes of change, whom they reach, what they break. The most important items come first."""

    model_config = example(
        base={"sha": BASE, "branch": "main", "extracted_at": "2026-11-01T16:20:00Z", "columns_state": "ready"},
        head={"sha": HEAD, "branch": "main", "extracted_at": "2026-11-02T09:00:09Z", "columns_state": "ready"},
        changes=[
            {
                "unique_id": "model.shop.stg_orders",
                "class": "removed",
                "certain": True,
                "columns": ["amount"],
                "new_columns": [],
                "reason": "`amount` is no longer a column of `stg_orders`.",
                "inherited": False,
                "more_columns": 0,
            }
        ],
        reached=[
            {
                "unique_id": "exposure.shop.board",
                "resource_type": "exposure",
                "distance": 2,
                "by": "rows",
                "owner": "Ann",
                "group": None,
                "columns": [],
                "more_columns": 0,
            }
        ],
        breaks=[
            {
                "unique_id": "model.shop.orders",
                "kind": "column_removed",
                "certain": True,
                "reason": "`orders` reads `amount` of `stg_orders`, which no longer has it.",
                "cause": "model.shop.stg_orders",
                "column": "amount",
                "connection_id": None,
            }
        ],
        counts={
            "changes": {"removed": 1},
            "columns": {"removed": 1},
            "reached": {"model": 1, "test": 3, "exposure": 1},
            "by": {"rows": 2},
            "owners": {"Ann": 1},
            "groups": {},
            "breaks": {"column_removed": 1},
            "certain": {"changes": 1, "breaks": 1},
        },
        connection_id="0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
        left_out={"changes": 0, "reached": 0, "breaks": 0, "definitions": 0},
        without_columns=[],
        stale_sources=["source.shop.raw.orders"],
    )

    base: Annotated[ComparedSide, Field(description="What is compared with")]
    head: Annotated[ComparedSide, Field(description="The lineage with the changes")]
    changes: Annotated[list[NodeChange], Field(description="Own changes of nodes first, then inherited ones, each by severity")]
    reached: Annotated[
        list[ReachedNode],
        Field(description="Exposures first, then the semantic layer, marts, and the rest by distance; without tests, which `counts` has"),
    ]
    breaks: Annotated[list[BrokenNode], Field(description="Certain ones first")]
    counts: Annotated[
        dict[str, dict[str, int]],
        Field(
            description="Of everything, listed or not: `changes` by class (nodes), `columns` by class (own changes), `reached` by resource "
            "type (with tests), `by` by route, `owners` and `groups` (nodes reached, at most 100 each), `breaks` by kind, `certain`. "
            "`elsewhere`, if something breaks in other connections of the owner: `breaks` that are listed, of `repositories`; "
            "`hidden_nodes` in `hidden_repositories` that the caller may not read; connections `not_searched`"
        ),
    ]
    connection_id: Annotated[str, Field(description="UUID of the connection")]
    left_out: Annotated[LeftOut, Field(description="What the lists leave out")]
    without_columns: Annotated[
        list[Literal["base", "head"]],
        Field(description="Sides whose columns are not known. If there is one, everything is known by model only, and nothing is certain"),
    ]
    stale_sources: Annotated[
        list[str],
        Field(description="Sources that changed nodes read, and whose freshness failed in dbt's own runs within the last day"),
    ]
