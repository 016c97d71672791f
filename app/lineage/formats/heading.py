"""The metadata of an exported lineage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.lineage.organisation.joins import Join


@dataclass(frozen=True, slots=True)
class Heading:
    """The fields of the JSON document above `nodes`, in its order."""

    connection_id: str
    repository: str
    branch: str
    project_dir: str | None
    project_name: str | None
    sha: str
    head_sha: str | None
    state: str | None
    stale: bool
    stale_reason: str | None
    extracted_at: datetime
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    columns_state: str | None = None
    columns_reason: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectHeading:
    """One of the projects of an organisation. `other_branches`: those that other connections of the project follow."""

    connection_id: str
    repository: str
    project_dir: str | None
    project_name: str | None
    branch: str
    sha: str
    extracted_at: datetime
    dbt_version: str
    adapter_type: str | None
    other_branches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOutOfGraph:
    """What limits left out: connections that a token may read, nodes of those that are there, and joins."""

    connections: int = 0
    nodes: bool = False
    joins: int = 0


@dataclass(frozen=True, slots=True)
class OrganisationHeading:
    """The same fields of the document of an owner."""

    owner: str
    connections: tuple[ProjectHeading, ...]
    joins: tuple[Join, ...]
    left_out: LeftOutOfGraph
    notes: tuple[str, ...] = ()


AnyHeading = Heading | OrganisationHeading


def title(heading: AnyHeading) -> str:
    """What the whole is called."""
    return heading.owner if isinstance(heading, OrganisationHeading) else heading.project_name or heading.repository
