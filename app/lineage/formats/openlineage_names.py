"""How OpenLineage's events name datasets and jobs, so that catalogs join them with the events of others.

Jobs have the names of OpenLineage's own integration for dbt, `dbt-ol`, which names them in three ways. Datasets have the names that the
warehouse stores: its own events have these, and a source of one project has the same one as the model of another project that makes it.
`dbt-ol` writes them as the project does, in whatever case, and takes the name of a source in place of its table's (`identifier`).

https://openlineage.io/docs/spec/naming; integration/common/src/openlineage/common/provider/dbt/processor.py in OpenLineage/OpenLineage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from app.lineage.formats.relation_names import parts_of, quoted_parts, unquoted
from app.lineage.graph import GraphNode
from app.lineage.impact.tables import CASE_INSENSITIVE, CASE_SENSITIVE, LOWER, UPPER

DatasetNames = Literal["warehouse", "dbt", "lower"]
"""As the warehouse has them, as `dbt-ol` has them, or all in lower case."""
JobNames = Literal["run", "build", "unique_id"]
"""As of `dbt-ol run`, of `dbt-ol build`, or of both with `--consume-structured-logs`."""
JOB_NAMESPACE = "dbt"
"""The default of `dbt-ol`."""
SCHEMES = {"athena": "awsathena", "fabric": "fabric-warehouse", "sqlserver": "mssql", "watsonx-presto": "presto"}
"""OpenLineage's schemes for warehouses, where they are not the adapter's name."""
OTHER_SCHEMES = {"glue": "arn"}
"""What a namespace begins with, where it is not the scheme."""
SUFFIXES: dict[JobNames, dict[str, str]] = {
    "run": {"snapshot": ".snapshot"},
    "build": {"model": ".build.run", "snapshot": ".build.snapshot", "seed": ".build.seed"},
}
"""After the names of jobs, by resource type. `dbt-ol` has no events for seeds."""
AS_WRITTEN = frozenset({"duckdb", "fabric", "sqlite", "sqlserver", "synapse"})
"""Warehouses that ignore case and still store it."""
LOWERED = (CASE_INSENSITIVE - AS_WRITTEN) | {"presto", "watsonx_presto"}
"""Those that ignore it and store lower case, with quotes or without."""
_NO_SCHEME = re.compile(r"[^a-z0-9+.-]")


@dataclass(frozen=True, slots=True)
class OpenLineageNames:
    """What the caller knows of the events that the catalog has from others."""

    warehouse: str | None = None
    """The namespace of datasets; None: the scheme of the warehouse, because hosts and accounts are not known here."""
    jobs: str = JOB_NAMESPACE
    """The namespace of jobs."""
    dataset_names: DatasetNames = "warehouse"
    job_names: JobNames = "run"
    several: bool = False
    """Whether there are several projects: `warehouse` is that of those with its scheme then."""

    def namespace(self, adapter_type: str | None) -> str:
        """The namespace of a project's datasets. BigQuery's is no more than the scheme.

        >>> [OpenLineageNames("snowflake://acme-prod", several=True).namespace(one) for one in ("snowflake", "postgres")]
        ['snowflake://acme-prod', 'postgres']
        """
        own = scheme(adapter_type or "")
        if self.warehouse is None or (self.several and self.warehouse.partition(":")[0] != OTHER_SCHEMES.get(own, own)):
            return own
        return self.warehouse

    def dataset(self, node: GraphNode, relation_name: str, adapter_type: str | None) -> str:
        """The name of a node's table.

        >>> orders = GraphNode("source.shop.raw.orders", "source", "orders", "shop", b"")
        >>> [OpenLineageNames(dataset_names=one).dataset(orders, "raw.crm.Orders_V2", "snowflake") for one in ("warehouse", "dbt", "lower")]
        ['RAW.CRM.ORDERS_V2', 'raw.crm.orders', 'raw.crm.orders_v2']
        """
        if self.dataset_names == "dbt":
            parts = parts_of(relation_name)
            return ".".join([*parts[:-1], node.name]) if parts and node.resource_type == "source" else unquoted(relation_name)
        name = (
            ".".join(_stored(text, quoted, (adapter_type or "").lower()) for text, quoted in quoted_parts(relation_name)) or relation_name
        )
        return name.lower() if self.dataset_names == "lower" else name

    def job(self, node: GraphNode, relation_name: str | None) -> str:
        """`database.schema.project.model`, without a database and a schema that are not known."""
        if self.job_names == "unique_id":
            return node.unique_id
        parts = parts_of(relation_name or "")[:-1]
        name = ".".join([*parts, node.unique_id.removeprefix(f"{node.resource_type}.")])
        return name + SUFFIXES[self.job_names].get(node.resource_type, "")


def scheme(adapter_type: str) -> str:
    """The scheme of a warehouse: https://www.rfc-editor.org/rfc/rfc3986#section-3.1."""
    found = _NO_SCHEME.sub("-", adapter_type.lower())
    return SCHEMES.get(found, found) if found[:1].isalpha() else "unknown"


def _stored(text: str, quoted: bool, adapter: str) -> str:  # noqa: FBT001 - of one part
    if adapter in LOWERED:
        return text.lower()
    if quoted or adapter in CASE_SENSITIVE:
        return text
    return text.upper() if adapter in UPPER else text.lower() if adapter in LOWER else text
