"""Connections as they are shown."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.jobs import Connection
from app.web.models.common import Model, Paged, Text, Time, example
from app.web.models.extractions import EXTRACTION, ExtractionView

CONNECTION: dict[str, Any] = {
    "id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "repository_id": "1296269",
    "private": True,
    "project_dir": "transform",
    "project_name": "shop",
    "branch": "main",
    "created_at": "2026-11-02T09:00:00Z",
    "head_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "lineage_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "extracted_at": "2026-11-02T09:00:09Z",
    "stale": False,
    "stale_reason": None,
}


class ConnectionsQuery(Paged):
    """Which connections."""

    owner: Annotated[Text | None, Field(description="The account on GitHub, whatever its case")] = None
    repository: Annotated[Text | None, Field(description="`owner/name`")] = None
    q: Annotated[Text | None, Field(description="Words in the names of repository and project, and in the project's directory")] = None


class ConnectionView(Model):
    """One connection as it stands in lists."""

    model_config = example(**CONNECTION)

    id: str
    repository: str
    repository_id: str
    private: bool
    project_dir: Annotated[str | None, Field(description="Null until the first extraction has found it; empty for the repository's root")]
    project_name: str | None
    branch: Annotated[str | None, Field(description="The branch that is followed")]
    created_at: Time
    head_sha: Annotated[str | None, Field(description="The newest commit of the branch that is known")]
    lineage_sha: Annotated[str | None, Field(description="The commit that the lineage is of")]
    extracted_at: Time | None
    stale: bool
    stale_reason: Annotated[str | None, Field(description="Why the lineage is not of the newest commit")]

    @classmethod
    def fields_of(cls, connection: Connection) -> dict[str, Any]:
        """Return the values of the fields."""
        return {
            "id": connection.id,
            "repository": connection.repository.full_name,
            "repository_id": str(connection.repository.id),
            "private": connection.repository.private,
            "project_dir": connection.project_dir,
            "project_name": connection.project_name,
            "branch": connection.followed_branch,
            "created_at": connection.created_at,
            "head_sha": connection.head_sha,
            "lineage_sha": connection.lineage_sha,
            "extracted_at": connection.extracted_at,
            "stale": connection.stale,
            "stale_reason": connection.stale_reason,
        }


class ConnectionDetail(ConnectionView):
    """One connection with its last extraction."""

    model_config = example(**CONNECTION, last_extraction=EXTRACTION)

    last_extraction: ExtractionView | None
