"""Our events are loaded into the classes of OpenLineage's client, which are generated from the published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from openlineage.client import event_v2
from openlineage.client.facet_v2 import (
    datasource_dataset,
    documentation_dataset,
    documentation_job,
    job_type_job,
    processing_engine_run,
    schema_dataset,
    source_code_location_job,
)
from openlineage.client.serde import Serde

from app.lineage.formats import openlineage
from app.lineage.formats.openlineage import MAX_PASSED_THROUGH, OpenLineageLinks
from app.lineage.graph import Graph, GraphFilter, GraphNode
from tests.unit.test_formats import HEADING, NAMES

LINKS = OpenLineageLinks("https://github.com/octo/shop")
COLUMN = {"name": "id", "data_type": "integer", "description": "The key.", "tests": []}
FACETS: dict[tuple[str, str], type] = {
    ("run", "processing_engine"): processing_engine_run.ProcessingEngineRunFacet,
    ("job", "jobType"): job_type_job.JobTypeJobFacet,
    ("job", "documentation"): documentation_job.DocumentationJobFacet,
    ("job", "sourceCodeLocation"): source_code_location_job.SourceCodeLocationJobFacet,
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
        "relation_name": f'"db"."main"."{rest[-1]}"',
        "materialized": "table",
        "description": "",
        "columns": [],
    }
    return content | more


def events(
    contents: list[dict[str, Any]], upstream: dict[str, list[str]], *, warehouse: str | None = None, **above: Any
) -> list[dict[str, Any]]:
    shown = [GraphNode(one["unique_id"], one["resource_type"], one["name"], one["package_name"], orjson.dumps(one)) for one in contents]
    selection = Graph(shown, [upstream.get(one.unique_id, []) for one in shown]).select(GraphFilter())
    text = b"".join(openlineage.render(replace(HEADING, **above), selection, replace(LINKS, warehouse=warehouse)))
    found: list[dict[str, Any]] = json.loads(text)
    return found


def facets(of: str, given: dict[str, Any]) -> dict[str, Any]:
    return {name: facet(FACETS[of, name], raw) for name, raw in given.items()}


def facet(kind: type, raw: dict[str, Any]) -> Any:
    fields = {name: value for name, value in raw.items() if not name.startswith("_")}
    if "fields" in fields:
        fields["fields"] = [schema_dataset.SchemaDatasetFacetFields(**one) for one in fields["fields"]]
    return kind(**fields, producer=raw["_producer"])  # the client names the schema itself


def dataset(kind: type, raw: dict[str, Any]) -> Any:
    return kind(namespace=raw["namespace"], name=raw["name"], facets=facets("dataset", raw["facets"]))


def round_trip(event: dict[str, Any]) -> Any:
    """The event as the client writes it, from typed parts."""
    run, job = event["run"], event["job"]
    typed = event_v2.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=event_v2.RunState[event["eventType"]],
        run=event_v2.Run(runId=run["runId"], facets=facets("run", run["facets"])),
        job=event_v2.Job(namespace=job["namespace"], name=job["name"], facets=facets("job", job["facets"])),
        inputs=[dataset(event_v2.InputDataset, one) for one in event["inputs"]],
        outputs=[dataset(event_v2.OutputDataset, one) for one in event["outputs"]],
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
    table("model.shop.orders", description="One row for each order.", columns=[COLUMN]),
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


def test_each_table_that_dbt_builds_is_a_job_with_its_inputs() -> None:
    def names(datasets: list[dict[str, Any]]) -> list[str]:
        return [one["name"] for one in datasets]

    found = {event["job"]["name"]: event for event in events(SHOP, UPSTREAM)}
    assert {
        name: ([one["name"] for one in event["inputs"]], [one["name"] for one in event["outputs"]]) for name, event in found.items()
    } == {
        "db.main.shop.rates": ([], ["db.main.rates"]),
        "db.main.shop.orders": (["db.main.orders", "db.main.rates", "db.main.days"], ["db.main.orders"]),
        "db.main.shop.orders_history.snapshot": (["db.main.orders"], ["db.main.orders_history"]),
        "db.main.utils.days": ([], ["db.main.days"]),
    }
    orders = found["db.main.shop.orders"]
    assert (orders["eventType"], orders["eventTime"]) == ("COMPLETE", "2026-11-02T09:00:09.120000Z")
    assert orders["job"]["namespace"] == "dbt"
    assert orders["producer"] == orders["job"]["facets"]["jobType"]["_producer"] == "pkg:generic/freshet"
    where = orders["job"]["facets"]["sourceCodeLocation"]
    assert where["url"] == f"https://github.com/octo/shop/blob/{HEADING.sha}/transform/models/orders.sql"
    assert "sourceCodeLocation" not in found["db.main.utils.days"]["job"]["facets"], "a package's files are not in the repository"
    assert orders["outputs"][0]["facets"]["schema"]["fields"] == [{"name": "id", "type": "integer", "description": "The key."}]
    assert orders["inputs"][0]["facets"]["schema"]["fields"] == [{"name": "id"}]
    assert orders["outputs"][0]["facets"]["documentation"]["description"] == "One row for each order."


def test_run_ids_are_stable_and_differ_between_jobs() -> None:
    once, again = events(SHOP, UPSTREAM), events(SHOP, UPSTREAM)
    runs = [UUID(event["run"]["runId"]) for event in once]
    assert len(set(runs)) == len(runs)
    assert [event["run"]["runId"] for event in again] == [str(run) for run in runs]
    assert not {event["run"]["runId"] for event in events(SHOP, UPSTREAM, sha="0" * 40)} & set(map(str, runs))


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
    for event in events(SHOP, UPSTREAM, adapter_type=adapter_type):
        for one in [*event["inputs"], *event["outputs"]]:
            assert one["namespace"] == one["facets"]["dataSource"]["name"] == namespace
            assert "uri" not in one["facets"]["dataSource"]


def test_the_caller_can_set_the_namespace_of_datasets() -> None:
    for event in events(SHOP, UPSTREAM, warehouse="snowflake://acme-prod"):
        [one] = event["outputs"]
        source = one["facets"]["dataSource"]
        assert (one["namespace"], source["name"], source["uri"]) == ("snowflake://acme-prod",) * 3


def test_tables_without_a_known_name_are_jobs_but_no_datasets() -> None:
    unknown = {"relation_name": None, "relation_name_source": "placeholder"}
    contents = [table("source.shop.raw.orders"), table("model.shop.base", **unknown), table("model.shop.orders")]
    upstream = {"model.shop.base": ["source.shop.raw.orders"], "model.shop.orders": ["model.shop.base"]}
    found = events([*contents, table("model.shop.more", **unknown)], {**upstream, "model.shop.more": ["model.shop.orders"]})
    assert {
        event["job"]["name"]: ([one["name"] for one in event["inputs"]], [one["name"] for one in event["outputs"]]) for event in found
    } == {
        "shop.base": (["db.main.orders"], []),
        "db.main.shop.orders": ([], ["db.main.orders"]),
        "shop.more": (["db.main.orders"], []),
    }


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
