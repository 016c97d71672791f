"""Our events are loaded into the classes of OpenLineage's client, which are generated from the published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from openlineage.client import event_v2
from openlineage.client.facet_v2 import (
    datasource_dataset,
    documentation_dataset,
    documentation_job,
    job_type_job,
    ownership_dataset,
    ownership_job,
    schema_dataset,
    source_code_location_job,
    sql_job,
)
from openlineage.client.serde import Serde

from app.lineage.formats import openlineage
from app.lineage.formats.openlineage import MAX_PASSED_THROUGH, OpenLineageEvents, OpenLineageKnown, OpenLineageLinks
from app.lineage.formats.openlineage_names import DatasetNames, JobNames, OpenLineageNames
from app.lineage.graph import Graph, GraphFilter, GraphNode
from tests.unit.test_formats import HEADING, NAMES

LINKS = OpenLineageLinks("https://github.com/octo/shop")
COLUMN = {"name": "id", "data_type": "integer", "description": "The key.", "tests": []}
FACETS: dict[tuple[str, str], type] = {
    ("job", "jobType"): job_type_job.JobTypeJobFacet,
    ("job", "documentation"): documentation_job.DocumentationJobFacet,
    ("job", "sourceCodeLocation"): source_code_location_job.SourceCodeLocationJobFacet,
    ("job", "ownership"): ownership_job.OwnershipJobFacet,
    ("job", "sql"): sql_job.SQLJobFacet,
    ("dataset", "ownership"): ownership_dataset.OwnershipDatasetFacet,
    ("dataset", "dataSource"): datasource_dataset.DatasourceDatasetFacet,
    ("dataset", "documentation"): documentation_dataset.DocumentationDatasetFacet,
    ("dataset", "schema"): schema_dataset.SchemaDatasetFacet,
}


def table(unique_id: str, **more: Any) -> dict[str, Any]:
    kind, package, *rest = unique_id.split(".")
    content: dict[str, Any] = {
        "unique_id": unique_id,
        "resource_type": kind,
        "name": rest[-1],
        "package_name": package,
        "original_file_path": f"models/{rest[-1]}.sql",
        "relation_name": f'"db"."{"raw" if kind == "source" else "main"}"."{rest[-1]}"',
        "materialized": "table",
        "description": "",
        "columns": [],
    }
    return content | more


def events(
    contents: list[dict[str, Any]], upstream: dict[str, list[str]], names: OpenLineageNames | None = None, **above: Any
) -> list[dict[str, Any]]:
    shown = [GraphNode(one["unique_id"], one["resource_type"], one["name"], one["package_name"], orjson.dumps(one)) for one in contents]
    selection = Graph(shown, [upstream.get(one.unique_id, []) for one in shown]).select(GraphFilter())
    links = replace(LINKS, names=names or OpenLineageNames())
    text = b"".join(openlineage.render(replace(HEADING, **above), selection, links))
    found: list[dict[str, Any]] = json.loads(text)
    return found


def jobs(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in found if "job" in event]


def datasets(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All that events say of datasets, by name."""
    told = [one for event in found for one in [*event.get("outputs", []), *filter(None, [event.get("dataset")])]]
    assert len({one["name"] for one in told}) == len(told), "each is described once"
    return {one["name"]: one for one in told}


def facets(of: str, given: dict[str, Any]) -> dict[str, Any]:
    return {name: facet(FACETS[of, name], raw) for name, raw in given.items()}


def facet(kind: type, raw: dict[str, Any]) -> Any:
    fields = {name: value for name, value in raw.items() if not name.startswith("_")}
    if "owners" in fields:
        owner = ownership_job.Owner if kind is ownership_job.OwnershipJobFacet else ownership_dataset.Owner
        fields["owners"] = [owner(**one) for one in fields["owners"]]
    if "fields" in fields:
        fields["fields"] = [schema_dataset.SchemaDatasetFacetFields(**one) for one in fields["fields"]]
    return kind(**fields, producer=raw["_producer"])  # the client names the schema itself


def dataset(kind: type, raw: dict[str, Any]) -> Any:
    return kind(namespace=raw["namespace"], name=raw["name"], facets=facets("dataset", raw.get("facets", {})))


def round_trip(event: dict[str, Any]) -> Any:
    """The event as the client writes it, from typed parts."""
    above = {"eventTime": event["eventTime"], "producer": event["producer"]}
    if "dataset" in event:
        return json.loads(Serde.to_json(event_v2.DatasetEvent(dataset=dataset(event_v2.StaticDataset, event["dataset"]), **above)))
    job = event["job"]
    typed = event_v2.JobEvent(
        job=event_v2.Job(namespace=job["namespace"], name=job["name"], facets=facets("job", job["facets"])),
        inputs=[dataset(event_v2.InputDataset, one) for one in event["inputs"]],
        outputs=[dataset(event_v2.OutputDataset, one) for one in event["outputs"]],
        **above,
    )
    return json.loads(Serde.to_json(typed))


def bare(value: Any) -> Any:
    """Without empty values: the client writes lists and mappings that were not set."""
    if isinstance(value, list):
        return [bare(one) for one in value]
    return {name: bare(one) for name, one in value.items() if one not in ({}, [])} if isinstance(value, dict) else value


SHOP = [
    table("source.shop.raw.orders", materialized=None, columns=[COLUMN | {"data_type": None, "description": ""}]),
    table("seed.shop.rates", materialized="seed"),
    table("model.shop.base", materialized="ephemeral", relation_name=None),
    table("model.shop.orders", description="One row for each order.", columns=[COLUMN], owner="Finance"),
    table("snapshot.shop.orders_history", materialized="snapshot"),
    table("model.utils.days"),
    table("test.shop.not_null", materialized="test"),
    table("exposure.shop.board", materialized=None, relation_name=None),
]
UPSTREAM = {
    "model.shop.base": ["source.shop.raw.orders", "seed.shop.rates"],
    "model.shop.orders": ["model.shop.base", "model.utils.days"],
    "snapshot.shop.orders_history": ["model.shop.orders"],
    "test.shop.not_null": ["model.shop.orders"],
    "exposure.shop.board": ["model.shop.orders"],
}


def test_every_event_matches_the_published_schema() -> None:
    found = events(SHOP, UPSTREAM)
    assert found
    for event in found:
        assert bare(round_trip(event)) == bare(event)


def test_no_event_is_of_a_run() -> None:
    for event in events(SHOP, UPSTREAM):
        assert "run" not in event
        assert "eventType" not in event
        kind = "JobEvent" if "job" in event else "DatasetEvent"
        assert event["schemaURL"] == f"https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/{kind}"


def test_each_table_that_dbt_builds_is_a_job_with_its_inputs() -> None:
    def names(datasets: list[dict[str, Any]]) -> list[str]:
        return [one["name"] for one in datasets]

    all_events = events(SHOP, UPSTREAM, adapter_type="postgres")
    found = {event["job"]["name"]: event for event in jobs(all_events)}
    assert {name: (names(event["inputs"]), names(event["outputs"])) for name, event in found.items()} == {
        "db.main.shop.rates": ([], ["db.main.rates"]),
        "db.main.shop.orders": (["db.raw.orders", "db.main.rates", "db.main.days"], ["db.main.orders"]),
        "db.main.shop.orders_history.snapshot": (["db.main.orders"], ["db.main.orders_history"]),
        "db.main.utils.days": ([], ["db.main.days"]),
    }
    orders = found["db.main.shop.orders"]
    assert orders["eventTime"] == "2026-11-02T09:00:09.120000Z"
    assert orders["job"]["namespace"] == "dbt"
    assert orders["producer"] == orders["job"]["facets"]["jobType"]["_producer"] == "pkg:generic/freshet"
    where = orders["job"]["facets"]["sourceCodeLocation"]
    assert where["url"] == f"https://github.com/octo/shop/blob/{HEADING.sha}/transform/models/orders.sql"
    assert (where["type"], where["version"], where["path"]) == ("git", HEADING.sha, "transform/models/orders.sql")
    assert "sourceCodeLocation" not in found["db.main.utils.days"]["job"]["facets"], "a package's files are not in the repository"
    assert orders["job"]["facets"]["ownership"]["owners"] == [{"name": "Finance"}]


def test_what_is_known_of_a_dataset_is_said_once_where_it_is_made_or_in_its_own_event() -> None:
    found = events(SHOP, UPSTREAM, adapter_type="postgres")
    assert all(one.keys() == {"namespace", "name"} for event in jobs(found) for one in event["inputs"])
    told = datasets(found)
    assert told.keys() == {"db.main.rates", "db.main.orders", "db.main.orders_history", "db.main.days", "db.raw.orders"}
    assert [event["dataset"]["name"] for event in found if "dataset" in event] == ["db.raw.orders"]
    orders = told["db.main.orders"]["facets"]
    assert orders["schema"]["fields"] == [{"name": "id", "type": "integer", "description": "The key."}]
    assert orders["documentation"]["description"] == "One row for each order."
    assert orders["ownership"]["owners"] == [{"name": "Finance"}]
    assert told["db.raw.orders"]["facets"]["schema"]["fields"] == [{"name": "id"}]


def test_a_source_that_is_a_table_of_the_project_is_the_same_dataset() -> None:
    contents = [
        table("source.shop.own.orders", relation_name="db.main.ORDERS", description="As read back."),
        table("model.shop.orders", relation_name="DB.main.orders", description="One row for each order."),
        table("model.shop.board", relation_name="db.main.board"),
    ]
    found = events(contents, {"model.shop.board": ["model.shop.orders", "source.shop.own.orders"]}, adapter_type="snowflake")
    assert datasets(found)["DB.MAIN.ORDERS"]["facets"]["documentation"]["description"] == "One row for each order."
    board = next(event for event in jobs(found) if event["job"]["name"] == "db.main.shop.board")
    assert [one["name"] for one in board["inputs"]] == ["DB.MAIN.ORDERS"]
    assert not [event for event in found if "dataset" in event]


def test_what_several_projects_have_is_told_once_by_the_one_whose_it_is() -> None:
    known, found = OpenLineageKnown(), []
    selections = {}
    for name, contents in (
        ("bi", [table("model.shop.orders"), table("source.bi.shop.orders", relation_name="db.main.Orders")]),
        ("shop", [table("model.shop.orders", description="One row for each order.")]),
    ):
        nodes = [GraphNode(one["unique_id"], one["resource_type"], one["name"], one["package_name"], orjson.dumps(one)) for one in contents]
        selections[name] = Graph(nodes, [[] for _ in nodes]).select(GraphFilter())
    for own in (True, False):
        for name, selection in selections.items():
            made = OpenLineageEvents(replace(HEADING, project_name=name, adapter_type="redshift"), selection, LINKS, None, known)
            found += [json.loads(made.job_event(number)) for number, _ in made.jobs(own=own)]
    for name, selection in selections.items():
        made = OpenLineageEvents(replace(HEADING, project_name=name, adapter_type="redshift"), selection, LINKS, None, known)
        found += [json.loads(one) for one in made.dataset_events()]
    [event] = found
    assert event["job"]["name"] == "db.main.shop.orders"
    assert event["job"]["facets"]["sourceCodeLocation"]["path"] == "transform/models/orders.sql"
    assert datasets(found)["db.main.orders"]["facets"]["documentation"]["description"] == "One row for each order."


@pytest.mark.parametrize(
    ("owner", "meta", "expected"),
    [
        ("Ann, bo@example.com", {"owner": ["Ann", {"email": "bo@example.com"}]}, ["Ann", "bo@example.com"]),
        ("Data, Inc.", {"owner": "Data, Inc."}, ["Data, Inc."]),
        ("@acme/data, @ann", {}, ["@acme/data", "@ann"]),
        (None, {"owner": []}, []),
        (None, None, []),
    ],
)
def test_each_owner_is_named(owner: str | None, meta: dict[str, Any] | None, expected: list[str]) -> None:
    [event] = events([table("model.shop.orders", owner=owner, meta=meta)], {})
    for of in (event["job"], event["outputs"][0]):
        assert [one["name"] for one in of["facets"].get("ownership", {"owners": []})["owners"]] == expected


def test_the_sql_of_a_job_is_what_the_caller_knows_with_the_dialect() -> None:
    node = table("model.shop.orders")
    shown = [GraphNode(node["unique_id"], "model", "orders", "shop", orjson.dumps(node))]
    made = OpenLineageEvents(HEADING, Graph(shown, [[]]).select(GraphFilter()), LINKS, None)
    event = json.loads(made.job_event(0, "select 1 as id"))
    assert bare(round_trip(event)) == bare(event)
    sql = event["job"]["facets"]["sql"]
    assert (sql["query"], sql["dialect"]) == ("select 1 as id", "snowflake")
    assert "sql" not in json.loads(made.job_event(0))["job"]["facets"]


@pytest.mark.parametrize(
    ("adapter_type", "namespace"),
    [
        ("bigquery", "bigquery"),
        ("Snowflake", "snowflake"),
        ("athena", "awsathena"),
        ("sqlserver", "mssql"),
        ("my adapter", "my-adapter"),
        (None, "unknown"),
        ('"; x', "unknown"),
    ],
)
def test_the_namespace_of_datasets_is_the_scheme_without_an_invented_host(adapter_type: str | None, namespace: str) -> None:
    for one in datasets(events(SHOP, UPSTREAM, adapter_type=adapter_type)).values():
        assert one["namespace"] == one["facets"]["dataSource"]["name"] == namespace
        assert "uri" not in one["facets"]["dataSource"]


def test_the_caller_can_set_the_namespace_of_datasets() -> None:
    for one in datasets(events(SHOP, UPSTREAM, OpenLineageNames("snowflake://acme-prod"))).values():
        source = one["facets"]["dataSource"]
        assert (one["namespace"], source["name"], source["uri"]) == ("snowflake://acme-prod",) * 3


@pytest.mark.parametrize(
    ("adapter_type", "written", "warehouse", "dbt", "lower"),
    [
        ("snowflake", "analytics.Prod.orders", "ANALYTICS.PROD.ORDERS", "analytics.Prod.orders", "analytics.prod.orders"),
        ("snowflake", 'analytics.prod."Orders"', "ANALYTICS.PROD.Orders", "analytics.prod.Orders", "analytics.prod.orders"),
        ("postgres", '"Db".prod.Orders', "Db.prod.orders", "Db.prod.Orders", "db.prod.orders"),
        ("redshift", '"db"."Prod"."Orders"', "db.prod.orders", "db.Prod.Orders", "db.prod.orders"),
        ("databricks", "`Main`.`Prod`.`Orders`", "main.prod.orders", "Main.Prod.Orders", "main.prod.orders"),
        (
            "athena",
            '"awsdatacatalog"."prod"."Orders"',
            "awsdatacatalog.prod.orders",
            "awsdatacatalog.prod.Orders",
            "awsdatacatalog.prod.orders",
        ),
        ("trino", '"Hive"."prod"."orders"', "hive.prod.orders", "Hive.prod.orders", "hive.prod.orders"),
        ("spark", "prod.Orders", "prod.orders", "prod.Orders", "prod.orders"),
        ("bigquery", "`acme-data`.`prod`.`Orders`", "acme-data.prod.Orders", "acme-data.prod.Orders", "acme-data.prod.orders"),
        ("duckdb", '"shop"."main"."Orders"', "shop.main.Orders", "shop.main.Orders", "shop.main.orders"),
        ("sqlserver", "[db].[dbo].[Orders]", "db.dbo.Orders", "db.dbo.Orders", "db.dbo.orders"),
        (None, "Prod.orders", "Prod.orders", "Prod.orders", "prod.orders"),
    ],
)
def test_datasets_are_named_as_the_warehouse_stores_them_or_as_the_caller_asks(
    adapter_type: str | None, written: str, warehouse: str, dbt: str, lower: str
) -> None:
    wanted: dict[DatasetNames, str] = {"warehouse": warehouse, "dbt": dbt, "lower": lower}
    contents = [table("model.shop.orders", relation_name=written)]
    for how, name in wanted.items():
        [event] = events(contents, {}, OpenLineageNames(dataset_names=how), adapter_type=adapter_type)
        assert event["outputs"][0]["name"] == name
        assert not event["job"]["name"].isupper(), "jobs have dbt-ol's names in any case"


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ("run", ["db.main.shop.orders", "db.main.shop.rates", "db.main.shop.history.snapshot"]),
        ("build", ["db.main.shop.orders.build.run", "db.main.shop.rates.build.seed", "db.main.shop.history.build.snapshot"]),
        ("unique_id", ["model.shop.orders", "seed.shop.rates", "snapshot.shop.history"]),
    ],
)
def test_jobs_are_named_by_how_dbt_ol_is_called(how: JobNames, names: list[str]) -> None:
    contents = [table(one) for one in ("model.shop.orders", "seed.shop.rates", "snapshot.shop.history")]
    assert [event["job"]["name"] for event in events(contents, {}, OpenLineageNames(job_names=how))] == names


def test_tables_without_a_known_name_are_jobs_but_no_datasets() -> None:
    unknown = {"relation_name": None, "relation_name_source": "placeholder"}
    contents = [table("source.shop.raw.orders"), table("source.shop.raw.lost", **unknown), table("model.shop.base", **unknown)]
    upstream = {"model.shop.base": ["source.shop.raw.orders", "source.shop.raw.lost"], "model.shop.orders": ["model.shop.base"]}
    contents += [table("model.shop.orders"), table("model.shop.more", **unknown)]
    found = events(contents, {**upstream, "model.shop.more": ["model.shop.orders"]}, adapter_type="postgres")
    assert {
        event["job"]["name"]: ([one["name"] for one in event["inputs"]], [one["name"] for one in event["outputs"]]) for event in jobs(found)
    } == {
        "shop.base": (["db.raw.orders"], []),
        "db.main.shop.orders": ([], ["db.main.orders"]),
        "shop.more": (["db.main.orders"], []),
    }
    assert datasets(found).keys() == {"db.raw.orders", "db.main.orders"}


def test_a_project_without_name_and_directory_has_events() -> None:
    [event] = events([table("model.shop.a")], {}, project_name=None, project_dir="", stale=True)
    assert (event["job"]["namespace"], event["job"]["name"]) == ("dbt", "db.main.shop.a")


@given(NAMES, NAMES)
def test_events_match_the_schema_for_all_names(name: str, text: str) -> None:
    own = {"original_file_path": name, "description": text, "columns": [COLUMN | {"name": name, "description": text}]}
    [event] = events([table("model.shop.a", **own, relation_name=name or "a")], {}, project_dir=name)
    assert bare(round_trip(event)) == bare(event)
    where = event["job"]["facets"].get("sourceCodeLocation", {"url": "https://x"})["url"]
    assert where.isascii()
    assert " " not in where


def test_passing_through_nodes_without_a_table_is_bounded() -> None:
    ids = [f"model.shop.m{number:05}" for number in range(2 * MAX_PASSED_THROUGH)]
    contents = [table(one, relation_name=None) for one in ids[:-1]] + [table(ids[-1])]
    [event] = events(contents, {down: [up] for up, down in pairwise(ids)})
    assert event["inputs"] == []
