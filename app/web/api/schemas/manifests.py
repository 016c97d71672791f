"""dbt's manifests in requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.web.api.schemas.common import Commit, Query
from app.web.api.schemas.lineages import COMMIT


class ManifestQuery(Query):
    """Which commit's manifest."""

    sha: Annotated[Commit | None, Field(description=f"Of this commit: {COMMIT}; by default of the connection's lineage")] = None
