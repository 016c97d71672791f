"""How OpenLineage's events name things, in requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from app.lineage.formats.openlineage_names import DatasetNames, JobNames
from app.web.api.schemas.common import Query

Namespace = Annotated[str, StringConstraints(max_length=200, pattern="^[A-Za-z][A-Za-z0-9+.-]*(:[A-Za-z0-9:;=/_.@+-]*)?$")]
"""A data source, `scheme:[//authority]`, in the characters that Marquez accepts: https://openlineage.io/docs/spec/naming."""
JobNamespace = Annotated[str, StringConstraints(max_length=200, pattern="^[A-Za-z0-9:;=/_.@+-]+$")]
"""As in `OPENLINEAGE_NAMESPACE` of OpenLineage's integration for dbt, in the characters that Marquez accepts."""


class OpenLineageQuery(Query):
    """Parameters of the format `openlineage`. With any other format, they are an error."""

    namespace: Annotated[
        Namespace | None,
        Field(
            description="Only with `openlineage`: the namespace of datasets, such as `snowflake://acme-prod`; by default the scheme of the "
            "warehouse, such as `snowflake`"
        ),
    ] = None
    job_namespace: Annotated[JobNamespace | None, Field(description="Only with `openlineage`: the namespace of jobs; by default `dbt`")] = (
        None
    )
    dataset_names: Annotated[
        DatasetNames | None,
        Field(
            description="Only with `openlineage`: names of datasets as the `warehouse` stores them (the default), as `dbt-ol` writes them "
            "(`dbt`), or in `lower` case"
        ),
    ] = None
    job_names: Annotated[
        JobNames | None,
        Field(
            description="Only with `openlineage`: names of jobs as those of `dbt-ol run` (the default), of `dbt-ol build`, or `unique_id`, "
            "as with its option `--consume-structured-logs`"
        ),
    ] = None
