"""The metadata of an exported lineage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
