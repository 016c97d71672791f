"""What stands above the nodes of a lineage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Heading:
    """Whose lineage it is, and of which commit; the fields of the document, in its order."""

    connection_id: str
    repository: str
    branch: str
    project_dir: str | None
    project_name: str | None
    sha: str
    head_sha: str | None
    stale: bool
    stale_reason: str | None
    extracted_at: datetime
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
