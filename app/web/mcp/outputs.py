"""The answers of the tools, which these models only describe. Fields without a value are left out, because tokens cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from app.core.models.connections import State
from app.lineage.column_document import ColumnStatus, Subtype
from app.lineage.diff import Change
from app.lineage.impact.model import BreakKind, ChangeClass, Route
from app.web.api.schemas.common import Model
from app.web.api.schemas.lineages import ColumnsState


class CutAnswer(Model):
    """What every answer says."""

    truncated: Annotated[
        dict[str, int],
        Field(description="What this answer leaves out, counted by type; empty: it is complete. Code counts in 1,000 characters"),
    ]
    next_cursor: Annotated[str | None, Field(description="Send it as `cursor` with the same arguments for the rest; null: no more")]
    notes: Annotated[list[str], Field(description="What to know about this answer")]


class ProjectState(Model):
    """A project, and how current what is known of it is."""

    connection_id: str
    repository: str
    project_dir: str | None = None
    project_name: str | None = None
    branch: str | None = None
    sha: Annotated[str | None, Field(description="The commit that this describes")] = None
    age_seconds: Annotated[int | None, Field(description="Since it was extracted")] = None
    head_sha: Annotated[str | None, Field(description="Newest known commit of the followed branch")] = None
    state: State | None = None
    stale: Annotated[bool, Field(description="True: newer commits are missing here")]
    stale_reason: str | None = None


class ProjectAnswer(ProjectState, CutAnswer):
    """Of one project."""


class FoundResult(Model):
    """A node, or one of its columns, that was found."""

    connection_id: str
    unique_id: str
    resource_type: str
    column: str | None = None
    description: str | None = None
    owner: str | None = None
    original_file_path: str | None = None
    matched: str


class SearchAnswer(CutAnswer):
    """Results, the best first, and the projects that they are of."""

    results: list[FoundResult]
    connections: list[ProjectState]


class ColumnFacts(Model):
    """A column."""

    name: str
    data_type: str | None = None
    description: str | None = None
    inherited_description: bool | None = None
    tests: list[str] | None = None


class NodeAnswer(ProjectAnswer):
    """One node."""

    unique_id: str
    resource_type: str
    name: str
    package_name: str
    original_file_path: str | None = None
    relation_name: str | None = None
    materialized: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    owner: str | None = None
    group: str | None = None
    access: str | None = None
    version: Any = None
    columns_state: ColumnsState | None = None
    columns_status: ColumnStatus | None = None
    columns_reason: str | None = None
    compiled_code_reason: str | None = None
    last_result: Annotated[dict[str, Any] | None, Field(description="Of dbt's own last run of it, if the project sends results")] = None
    upstream: Annotated[list[str], Field(description="What it depends on, one edge away")]
    downstream: Annotated[list[str], Field(description="What depends on it, one edge away")]
    columns: list[ColumnFacts]
    config: Annotated[list[dict[str, Any]], Field(description="Everything else that dbt says of it, a field each")]
    raw_code: str | None = None
    compiled_code: str | None = None


class LineageNode(Model):
    """A node of a lineage."""

    unique_id: str
    resource_type: str
    distance: Annotated[int, Field(description="Edges from the focus")]
    materialized: str | None = None
    description: str | None = None
    owner: str | None = None
    columns: list[str] | None = None


class LineageAnswer(ProjectAnswer):
    """Nodes by distance, with the edges between them."""

    nodes: list[LineageNode]
    edges: Annotated[list[list[str]], Field(description="[upstream, downstream]")]


class ColumnsNode(Model):
    """A node whose columns are named in edges."""

    unique_id: str
    status: Annotated[ColumnStatus, Field(description="`exact`: all of its columns and edges are known")]
    reason: str | None = None
    hard_coded: Annotated[list[str] | None, Field(description="Tables that its SQL names and dbt's graph does not have")] = None


class ColumnStep(Model):
    """A column, or all rows of a node, that depend on a column."""

    upstream: str
    upstream_column: str
    downstream: str
    downstream_column: Annotated[str | None, Field(description="Absent: all rows depend on it")] = None
    subtype: Annotated[Subtype, Field(description="OpenLineage's; from JOIN on it decides which values or rows there are")]
    certain: Annotated[bool | None, Field(description="False: possible, but not known")] = None


class ColumnLineageAnswer(ProjectAnswer):
    """Edges between columns, the nearest first."""

    columns_state: ColumnsState | None = None
    columns_reason: str | None = None
    nodes: list[ColumnsNode]
    edges: list[ColumnStep]


class PathAnswer(ProjectAnswer):
    """Whether and how one node depends on another."""

    depends: bool
    reverse: Annotated[bool | None, Field(description="True: it is the other way round")] = None
    edges: Annotated[int | None, Field(description="Length of the shortest ways")] = None
    count: Annotated[int | None, Field(description="How many shortest ways there are")] = None
    paths: Annotated[list[list[str]], Field(description="Each from `depends_on` to `node`")]
    columns: list[ColumnStep]
    common_upstream: Annotated[list[str], Field(description="Where neither depends on the other: what both depend on, the nearest first")]


class ComparedCommit(Model):
    """One of two commits."""

    sha: str
    branch: str
    age_seconds: int


class ChangeFacts(Model):
    """One class of change of one node."""

    unique_id: str
    change_class: Annotated[ChangeClass, Field(alias="class")]
    certain: bool
    columns: list[str] | None = None
    new_columns: list[str] | None = None
    reason: str
    inherited: Annotated[bool | None, Field(description="True: because of what it reads")] = None
    more_columns: int | None = None


class ReachedFacts(Model):
    """A node that depends on a change."""

    unique_id: str
    resource_type: str
    distance: int
    by: Route
    owner: str | None = None
    group: str | None = None
    columns: list[str] | None = None
    more_columns: int | None = None


class BreakFacts(Model):
    """Something that no longer works."""

    unique_id: str
    kind: BreakKind
    certain: bool
    reason: str
    cause: str | None = None
    column: str | None = None
    connection_id: Annotated[str | None, Field(description="Of another project")] = None


class ImpactAnswer(ProjectAnswer):
    """What the changes between two commits do; `sha` is the newer one."""

    base: ComparedCommit
    counts: Annotated[dict[str, dict[str, int]], Field(description="Of everything, listed or not")]
    without_columns: Annotated[list[Literal["base", "head"]] | None, Field(description="Sides known by model only: nothing is certain")] = (
        None
    )
    stale_sources: Annotated[list[str] | None, Field(description="Sources that the changes read, and whose freshness failed today")] = None
    breaks: list[BreakFacts]
    changes: list[ChangeFacts]
    reached: list[ReachedFacts]


class PlaceFacts(Model):
    """A node that is only at one of two commits."""

    unique_id: str
    original_file_path: str | None = None


class ChangedFacts(PlaceFacts):
    """A node that differs."""

    changes: list[Change]
    columns: Annotated[dict[str, list[str]] | None, Field(description="Names by `added`, `removed`, `changed`")] = None


class DiffAnswer(ProjectAnswer):
    """The differences between two commits; `sha` is the newer one."""

    base: ComparedCommit
    counts: dict[str, int]
    nodes_changed: list[ChangedFacts]
    nodes_added: list[PlaceFacts]
    nodes_removed: list[PlaceFacts]
    edges_added: Annotated[list[list[str]], Field(description="[upstream, downstream]")]
    edges_removed: list[list[str]]


class FreshnessAnswer(CutAnswer):
    """The projects, or how far one is behind GitHub."""

    connections: list[ProjectState]
    head: Annotated[dict[str, Any] | None, Field(description="The newest commit on GitHub")] = None
    extracted: Annotated[dict[str, Any] | None, Field(description="The commit of the lineage")] = None
    current: bool | None = None
    stale_reason: str | None = None
    lag_seconds: float | None = None
    objective_seconds: float | None = None
    objectives: Annotated[list[dict[str, Any]] | None, Field(description="As in the API")] = None
