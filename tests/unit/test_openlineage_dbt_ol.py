"""Our events beside those of `dbt-ol`: OpenLineage's own integration for dbt reads the same project, and its code names the same things."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from openlineage.common.provider.dbt.processor import Adapter, DbtArtifactProcessor  # type: ignore[import-untyped]
from openlineage.common.provider.dbt.utils import get_node_unique_id  # type: ignore[import-untyped]

from app.lineage.formats.openlineage import OpenLineageEvents, OpenLineageLinks
from app.lineage.formats.openlineage_names import DatasetNames, JobNames, OpenLineageNames, scheme
from app.lineage.graph import Graph, GraphFilter, GraphNode
from app.lineage.nodes import read_manifest
from tests.unit.test_formats import HEADING
from tests.unit.test_nodes import resource

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/openlineage.md").read_text()
SQL = "select 1 as id"


class Warehouse(NamedTuple):
    """How dbt reaches it and writes names for it."""

    profile: dict[str, Any]
    quotes: str = '""'
    database: str | None = "analytics"

    def relation(self, *parts: str) -> str:
        opening, closing = self.quotes[:1], self.quotes[1:]
        return ".".join(f"{opening}{part}{closing}" for part in ((self.database,) if self.database else ()) + parts)


HOST = {"host": "db.example.com", "port": 5432}
WAREHOUSES = {
    "athena": Warehouse({"region_name": "eu-west-1"}),
    "bigquery": Warehouse({}, "``"),
    "clickhouse": Warehouse(HOST, "``", None),
    "databricks": Warehouse(HOST, "``"),
    "dremio": Warehouse({"software_host": "db.example.com", "port": 5432}),
    "duckdb": Warehouse({"path": "/data/shop.db"}),
    "fabric": Warehouse({"server": "db.example.com"}),
    "glue": Warehouse({"region": "eu-west-1", "account_id": "123"}, "", None),
    "postgres": Warehouse(HOST),
    "presto": Warehouse(HOST),
    "redshift": Warehouse(HOST),
    "snowflake": Warehouse({"account": "acme-prod"}, ""),
    "spark": Warehouse({**HOST, "method": "thrift"}, "", None),
    "sqlserver": Warehouse({"server": "db.example.com", "port": 5432}),
    "trino": Warehouse(HOST),
    "watsonx_presto": Warehouse(HOST),
}
ON_THE_PAGE = {
    "HOST": "db.example.com",
    "SERVER": "db.example.com",
    "PORT": "5432",
    "PATH": "/data/shop.db",
    "REGION": "eu-west-1",
    "ACCOUNT": "123",
    "ORGANIZATION-ACCOUNT": "acme-prod",
}


class DbtOl(DbtArtifactProcessor):  # type: ignore[misc]  # it has no types
    """`dbt-ol` after a run in which every node succeeded."""

    def __init__(self, manifest: dict[str, Any], command: str, profile: dict[str, Any]) -> None:
        super().__init__(producer="https://github.com/OpenLineage/OpenLineage", job_namespace="dbt")
        ran = [{"unique_id": one, "status": "success", "timing": []} for one in manifest["nodes"]]
        self._read = manifest, {"metadata": {}, "args": {"which": command}, "results": ran}, profile, None

    def get_dbt_metadata(self) -> Any:
        return self._read

    def dbt_run_run_facet(self) -> dict[str, Any]:
        return {}


def project(adapter: str) -> dict[str, Any]:
    """A manifest with names in lower case, as dbt writes it for a warehouse."""
    warehouse = WAREHOUSES[adapter]

    def table(unique_id: str, schema: str, name: str, **more: Any) -> dict[str, Any]:
        own = {"database": warehouse.database, "schema": schema, "alias": name, "relation_name": warehouse.relation(schema, name)}
        columns = {"id": {"name": "id", "data_type": "integer", "description": "The key."}}
        kind = unique_id.partition(".")[0]
        built = {"config": {"materialized": "snapshot" if kind == "snapshot" else "table"}, "compiled_code": SQL}
        return resource(unique_id, **own, **(built if kind != "source" else {}), columns=columns, original_file_path="a.sql", **more)

    owned = {"description": "One row for each order.", "meta": {"owner": ["Ann", "Bo"]}, "tags": []}
    nodes = [
        table("model.shop.stg_orders", "staging", "stg_orders"),
        table("model.shop.orders.v2", "prod", "orders_v2", **owned),
        table("snapshot.shop.orders_history", "snapshots", "orders_history"),
    ]
    sources = [table("source.shop.raw.orders", "raw", "orders"), table("source.shop.raw.events", "raw", "events")]
    return {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "dbt_version": "1.11.16",
            "project_name": "shop",
            "adapter_type": adapter,
        },
        "nodes": {one["unique_id"]: one for one in nodes},
        "sources": {one["unique_id"]: one for one in sources},
        "parent_map": {
            "model.shop.stg_orders": ["source.shop.raw.orders", "source.shop.raw.events"],
            "model.shop.orders.v2": ["model.shop.stg_orders"],
            "snapshot.shop.orders_history": ["model.shop.orders.v2"],
        },
    }


def ours(manifest: dict[str, Any], names: OpenLineageNames) -> dict[str, dict[str, Any]]:
    """Our events by job."""
    lineage = read_manifest(json.dumps(manifest).encode(), "octo/shop at 1a2b3c4", "dbt-runner:latest")
    nodes = [GraphNode(one.unique_id, one.resource_type, one.name, one.package_name, one.content) for one in lineage.nodes]
    selection = Graph(nodes, [one.upstream for one in lineage.nodes]).select(GraphFilter())
    heading = replace(HEADING, adapter_type=lineage.adapter_type)
    events = OpenLineageEvents(heading, selection, OpenLineageLinks("https://github.com/octo/shop", names), None)
    made = [json.loads(events.job_event(number, SQL)) for number, _ in events.jobs()]
    return {event["job"]["name"]: event for event in made}


def theirs(manifest: dict[str, Any], command: str, adapter: str) -> dict[str, Any]:
    """The events of `dbt-ol` by job."""
    found = DbtOl(manifest, command, {"type": adapter, **WAREHOUSES[adapter].profile}).parse()
    return {event.job.name: event for event in found.completes}


def named(event: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The datasets of an event of ours, or of theirs, as namespace and name."""
    if isinstance(event, dict):
        inputs, outputs = ([(one["namespace"], one["name"]) for one in event[each]] for each in ("inputs", "outputs"))
    else:
        inputs, outputs = ([(one.namespace, one.name) for one in each] for each in (event.inputs, event.outputs))
    return sorted(inputs), outputs


def test_all_adapters_of_dbt_ol_are_compared() -> None:
    assert WAREHOUSES.keys() == {one.value for one in Adapter}


@pytest.mark.parametrize("command", ["run", "build"])
@pytest.mark.parametrize("adapter", WAREHOUSES)
def test_jobs_and_datasets_have_the_names_of_dbt_ol(adapter: str, command: Literal["run", "build"]) -> None:
    manifest = project(adapter)
    expected = theirs(manifest, command, adapter)
    namespace = next(iter(expected.values())).outputs[0].namespace
    found = ours(manifest, OpenLineageNames(namespace, dataset_names="dbt", job_names=command))
    assert len(expected) == len(manifest["nodes"])
    assert {name: named(event) for name, event in found.items()} == {name: named(event) for name, event in expected.items()}
    assert {event["job"]["namespace"] for event in found.values()} == {event.job.namespace for event in expected.values()}
    for stored, written in zip(ours(manifest, OpenLineageNames(namespace)).values(), found.values(), strict=True):
        upper = adapter == "snowflake"
        assert named(stored) == tuple([(one, name.upper() if upper else name) for one, name in each] for each in named(written))


def test_jobs_have_the_names_of_dbt_ol_with_structured_logs() -> None:
    manifest = project("postgres")
    found = ours(manifest, OpenLineageNames(job_names="unique_id"))
    assert found.keys() == {get_node_unique_id({"data": {"node_info": {"unique_id": one}}}) for one in manifest["nodes"]}


def test_facets_say_what_those_of_dbt_ol_say() -> None:
    manifest = project("postgres")
    expected = theirs(manifest, "run", "postgres")
    for name, event in ours(manifest, OpenLineageNames()).items():
        mine, other = event["job"]["facets"], expected[name].job.facets
        for facet, fields in (("jobType", ("jobType", "integration", "processingType")), ("sql", ("query", "dialect"))):
            assert [mine[facet][one] for one in fields] == [getattr(other[facet], one) for one in fields]
        mine, other = event["outputs"][0]["facets"], expected[name].outputs[0].facets
        columns = [(one.name, one.type, one.description) for one in other["schema"].fields]
        assert [(one["name"], one["type"], one["description"]) for one in mine["schema"]["fields"]] == columns
        assert {"documentation", "ownership"} & mine.keys() == {"documentation", "ownership"} & other.keys()
        if name.endswith(".orders.v2"):
            assert mine["documentation"]["description"] == other["documentation"].description
            assert mine["ownership"]["owners"] == [{"name": one.name} for one in other["ownership"].owners]


def test_the_table_of_a_source_is_named_by_the_warehouse_and_its_name_in_dbt_by_dbt_ol() -> None:
    manifest = project("postgres")
    events = manifest["sources"]["source.shop.raw.events"]
    events |= {"identifier": "events_2026", "relation_name": '"analytics"."raw"."events_2026"'}
    own: dict[DatasetNames, str] = {"warehouse": "analytics.raw.events_2026", "dbt": "analytics.raw.events"}
    for names, name in own.items():
        inputs, _ = named(ours(manifest, OpenLineageNames(dataset_names=names))["analytics.staging.shop.stg_orders"])
        assert ("postgres", name) in inputs
    inputs, _ = named(theirs(manifest, "run", "postgres")["analytics.staging.shop.stg_orders"])
    assert ("postgres://db.example.com:5432", own["dbt"]) in inputs


def test_the_page_has_the_namespaces_of_dbt_ol_and_the_default_is_their_scheme() -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)` \| `([^`]+)`", PAGE.partition("Namespaces of datasets")[2].partition("Names of datasets")[0], re.MULTILINE)
    )
    for adapter in WAREHOUSES:
        [namespace] = {event.outputs[0].namespace for event in theirs(project(adapter), "run", adapter).values()}
        assert re.sub("|".join(ON_THE_PAGE), lambda one: ON_THE_PAGE[one[0]], rows.pop(adapter)) == namespace
        assert scheme(adapter) == namespace.partition(":")[0] or adapter == "glue"
    assert not rows


@pytest.mark.parametrize("names", ["warehouse", "dbt", "lower"])
@pytest.mark.parametrize("jobs", ["run", "build", "unique_id"])
def test_names_that_are_not_known_are_in_no_event(names: DatasetNames, jobs: JobNames) -> None:
    manifest = project("postgres")
    for node in (*manifest["nodes"].values(), *manifest["sources"].values()):
        node["relation_name"] = node["relation_name"].replace("analytics", "freshetunknown_database")
    found = ours(manifest, OpenLineageNames(dataset_names=names, job_names=jobs))
    assert all(named(event) == ([], []) for event in found.values())
    assert "freshetunknown" not in json.dumps(found)
