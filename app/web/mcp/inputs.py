"""The arguments of the tools. Fields mean what the parameters of the API's operations with these names mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.lineage.graph import Direction
from app.lineage.resource_types import ResourceType
from app.lineage.search.queries import MAX_QUERY
from app.web.api.schemas.common import Commit, Query, Text, Whole
from app.web.api.schemas.lineages import COMMIT, MAX_DEPTH
from app.web.api.schemas.search import WORDS

MAX_NODES, MAX_EDGES, MAX_ROWS, MAX_PATHS, MAX_RESULTS = 300, 500, 500, 10, 50
Node = Annotated[Text, Field(description="A `unique_id` or a name")]
Part = Literal["columns", "code", "compiled_code", "config"]


class ToolInput(Query):
    """Which project. Every tool takes this."""

    connection: Annotated[
        Text | None,
        Field(description="The project: OWNER/NAME on GitHub, or a `connection_id`. May be left out where you can see only one"),
    ] = None
    project_dir: Annotated[
        Text | None, Field(description="Its directory, where a repository has several dbt projects; `.` for the repository's root")
    ] = None
    cursor: Annotated[Text | None, Field(description="`next_cursor` of an answer to the same arguments, for what it left out")] = None


class CommitInput(ToolInput):
    """Which commit of it."""

    sha: Annotated[Commit | None, Field(description=f"At this commit: {COMMIT}; by default the newest that was extracted")] = None


class SearchInput(ToolInput):
    """What to search for."""

    q: Annotated[Text, Field(max_length=MAX_QUERY, description=WORDS)]
    connection: Annotated[Text | None, Field(description="Only in this project: OWNER/NAME, or a `connection_id`")] = None
    limit: Annotated[Whole, Field(ge=1, le=MAX_RESULTS, description="At most this many results")] = 20


class NodeInput(CommitInput):
    """Which node, and what of it."""

    node: Node
    include: Annotated[
        list[Part],
        Field(
            description="Parts: `columns` with their tests, `code` as written, `compiled_code` as dbt runs it, `config` with meta and more"
        ),
    ] = ["columns", "code", "config"]  # noqa: RUF012 - pydantic copies it


class LineageInput(CommitInput):
    """Which part of the lineage."""

    focus: Annotated[Text, Field(description="Begin at this node: a `unique_id` or a name, or with dbt's operators (`2+orders+1`)")]
    direction: Annotated[Direction | None, Field(description="`upstream`: what it depends on; by default `both`")] = None
    depth: Annotated[Whole | None, Field(ge=0, le=MAX_DEPTH, description="At most this many edges away")] = None
    types: Annotated[list[ResourceType], Field(default_factory=list, description="Only nodes of these types; ways may lead through others")]
    columns: Annotated[bool, Field(description="With the names of the nodes' columns")] = False
    limit: Annotated[Whole, Field(ge=1, le=MAX_NODES, description="At most this many nodes, the nearest first")] = 100


class ColumnLineageInput(CommitInput):
    """Of which node or column."""

    node: Node
    column: Annotated[Text | None, Field(description="Only this column of the node; by default all of them")] = None
    direction: Annotated[Direction | None, Field(description="`upstream`: what it is made of; by default `both`")] = None
    depth: Annotated[Whole | None, Field(ge=0, le=MAX_DEPTH, description="At most this many nodes away")] = None
    limit: Annotated[Whole, Field(ge=1, le=MAX_EDGES, description="At most this many edges, the nearest first")] = 100


class PathInput(CommitInput):
    """Between which nodes."""

    node: Annotated[Text, Field(description="The node that depends: a `unique_id` or a name")]
    depends_on: Annotated[Text, Field(description="What it depends on: a `unique_id` or a name")]
    columns: Annotated[bool, Field(description="With the columns that each step of the first way reads")] = False
    limit: Annotated[Whole, Field(ge=1, le=MAX_PATHS, description="At most this many ways, of the shortest")] = 3


class ImpactInput(ToolInput):
    """Between which commits."""

    base: Annotated[
        Commit | None, Field(description=f"The older commit: {COMMIT}; by default what the check run of `head` compared with")
    ] = None
    head: Annotated[Commit | None, Field(description="The newer one, such as a pull request's branch; by default the newest extracted")] = (
        None
    )
    limit: Annotated[Whole, Field(ge=1, le=MAX_ROWS, description="At most this many of each list")] = 100


class DiffInput(ToolInput):
    """Between which commits."""

    base: Annotated[Commit, Field(description=f"The older commit: {COMMIT}")]
    head: Annotated[Commit | None, Field(description="The newer one; by default the newest extracted")] = None
    limit: Annotated[Whole, Field(ge=1, le=MAX_ROWS, description="At most this many of each list")] = 100


class FreshnessInput(ToolInput):
    """Of which project."""

    connection: Annotated[Text | None, Field(description="OWNER/NAME, or a `connection_id`; by default all projects are listed")] = None
