"""Columns in OpenLineage's events, as JSON and as CSV. The facet is loaded into the classes of OpenLineage's client."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from openlineage.client.facet_v2 import column_lineage_dataset
from openlineage.client.serde import Serde

from app.lineage.column_graph import ColumnGraph, ColumnSelection
from app.lineage.formats import column_facets, columns_csv, columns_json, openlineage
from app.lineage.formats.openlineage import OpenLineageLinks
from app.lineage.graph import GraphNode, Selection
from tests.unit.test_column_graph import MART, ORDERS, RAW, STG, graph_of, line, shop, yaml
from tests.unit.test_formats import HEADING, NAMES
from tests.unit.test_openlineage import table

LINKS = OpenLineageLinks("https://github.com/octo/shop")
BASE = "model.shop.base"


def node(unique_id: str, **more: Any) -> GraphNode:
    content = table(unique_id, **more)
    return GraphNode(unique_id, content["resource_type"], content["name"], content["package_name"], orjson.dumps(content))


def outputs(columns: ColumnGraph, part: ColumnSelection | None = None) -> dict[str, dict[str, Any]]:
    """The facets of the outputs by dataset."""
    chosen = part or columns.whole()
    selection = Selection(columns.graph, range(len(columns.graph.nodes)) if part is None else part.nodes)
    events = json.loads(b"".join(openlineage.render(HEADING, selection, LINKS, chosen)))
    told = [one for event in events for one in [*event.get("outputs", []), *filter(None, [event.get("dataset")])]]
    assert all("facets" not in one for event in events for one in event.get("inputs", []))
    return {one["name"]: one["facets"] for one in told}


def typed(raw: dict[str, Any]) -> Any:
    """The facet as the client writes it."""

    def field(one: dict[str, Any]) -> column_lineage_dataset.InputField:
        steps = [column_lineage_dataset.Transformation(**step) for step in one["transformations"]]
        return column_lineage_dataset.InputField(**{**one, "transformations": steps})

    facet = column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={name: column_lineage_dataset.Fields(list(map(field, one["inputFields"]))) for name, one in raw["fields"].items()},
        dataset=list(map(field, raw.get("dataset", []))),
        producer=raw["_producer"],
    )
    return json.loads(Serde.to_json(facet))


def source(name: str, column: str, *transformations: tuple[str, str]) -> dict[str, Any]:
    steps = [{"type": kind, "subtype": subtype} for kind, subtype in transformations]
    return {"namespace": "snowflake", "name": name, "field": column, "transformations": steps}


def two_models(*edges: Any, **more: Any) -> ColumnGraph:
    nodes = [node(ORDERS), node(RAW, relation_name="raw.orders"), node(STG)]
    return graph_of(nodes, [line(ORDERS, ["id", "n"], edges, **more), line(RAW, ["id"], open=True), line(STG, ["id", "x"])])


IDENTITY, FILTER = ("DIRECT", "IDENTITY"), ("INDIRECT", "FILTER")


def test_the_facet_has_the_columns_and_what_decides_on_rows_and_matches_the_published_schema() -> None:
    found = outputs(
        two_models(
            (RAW, "id", "id", "IDENTITY", True),
            (RAW, "id", "n", "AGGREGATION", True),
            (RAW, "id", "n", "WINDOW", False),
            (STG, "x", None, "FILTER", True),
            (STG, "x", None, "JOIN", True),
        )
    )
    facet = found["db.main.orders"]["columnLineage"]
    assert facet["_schemaURL"] == "https://openlineage.io/spec/facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet"
    uncertain = source("RAW.ORDERS", "id", ("DIRECT", "AGGREGATION"), ("INDIRECT", "WINDOW"))
    uncertain["transformations"][1]["description"] = "not certain"
    assert facet["fields"] == {"id": {"inputFields": [source("RAW.ORDERS", "id", IDENTITY)]}, "n": {"inputFields": [uncertain]}}
    assert facet["dataset"] == [source("db.main.stg_orders", "x", ("INDIRECT", "JOIN"), FILTER)]
    assert typed(facet) == facet
    assert "columnLineage" not in found["db.main.stg_orders"], "nothing is known to lead to it"


def test_the_schema_has_columns_of_the_sql_and_descriptions_that_are_inherited() -> None:
    nodes = [node(ORDERS, columns=[yaml("ID", data_type="int")]), node(RAW, columns=[yaml("id", "The key.")])]
    columns = graph_of(nodes, [line(ORDERS, ["id", ("n", "text")], [(RAW, "id", "id", "IDENTITY", True)]), line(RAW, ["id"])])
    assert outputs(columns)["db.main.orders"]["schema"]["fields"] == [
        {"name": "id", "type": "int", "description": "The key."},
        {"name": "n", "type": "text"},
    ]


def ephemeral(*edges: Any, mine: Any) -> dict[str, Any]:
    """The facet of a model that reads an ephemeral one with these edges."""
    nodes = [node(BASE, materialized="ephemeral", relation_name=None), node(ORDERS), node(RAW, relation_name="raw.orders")]
    columns = graph_of(nodes, [line(BASE, ["x"], edges), line(ORDERS, ["y"], [mine]), line(RAW, ["a", "b"], open=True)])
    found: dict[str, Any] = outputs(columns)["db.main.orders"]["columnLineage"]
    return found


@pytest.mark.parametrize(
    ("near", "far", "both"),
    [
        ("IDENTITY", "IDENTITY", IDENTITY),
        ("IDENTITY", "TRANSFORMATION", ("DIRECT", "TRANSFORMATION")),
        ("AGGREGATION", "TRANSFORMATION", ("DIRECT", "AGGREGATION")),
        ("TRANSFORMATION", "CONDITIONAL", ("INDIRECT", "CONDITIONAL")),
        ("WINDOW", "AGGREGATION", ("INDIRECT", "WINDOW")),
        ("WINDOW", "CONDITIONAL", ("INDIRECT", "WINDOW")),
    ],
)
def test_columns_of_ephemeral_models_are_passed_through(near: str, far: str, both: tuple[str, str]) -> None:
    facet = ephemeral((RAW, "a", "x", far, True), (RAW, "b", None, "FILTER", True), mine=(BASE, "x", "y", near, True))
    assert facet["fields"] == {"y": {"inputFields": [source("RAW.ORDERS", "a", both)]}}
    assert facet["dataset"] == [source("RAW.ORDERS", "b", FILTER)], "its rows are the rows of its readers"
    assert typed(facet) == facet


def test_rows_that_depend_on_a_column_of_an_ephemeral_model_depend_on_what_it_is_made_of() -> None:
    facet = ephemeral((RAW, "a", "x", "AGGREGATION", True), mine=(BASE, "x", None, "FILTER", True))
    assert (facet["fields"], facet["dataset"]) == ({}, [source("RAW.ORDERS", "a", FILTER)])


def test_what_is_no_dataset_of_the_export_is_left_out() -> None:
    unnamed = graph_of(
        [node(ORDERS), node(STG, relation_name=None, relation_name_source="placeholder")],
        [line(ORDERS, ["id"], [(STG, "id", "id", "IDENTITY", True)]), line(STG, ["id"])],
    )
    assert "columnLineage" not in outputs(unnamed)["db.main.orders"]
    columns = two_models((RAW, "id", "id", "IDENTITY", True), (STG, "x", "n", "IDENTITY", True))
    part = outputs(columns, columns.between([0, 1]))
    assert part["db.main.orders"]["columnLineage"]["fields"].keys() == {"id"}


def test_a_facet_that_is_too_big_is_left_out_and_the_event_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_facets, "MAX_INPUTS", 1)
    found = outputs(two_models((RAW, "id", "id", "IDENTITY", True), (STG, "x", "n", "IDENTITY", True)))
    assert "columnLineage" not in found["db.main.orders"]
    with pytest.raises(KeyError):
        ephemeral((RAW, "a", "x", "IDENTITY", True), (RAW, "b", "x", "IDENTITY", True), mine=(BASE, "x", "y", "IDENTITY", True))


@given(NAMES, NAMES)
def test_the_facet_matches_the_schema_for_all_names(name: str, other: str) -> None:
    columns = two_models((RAW, name, other, "IDENTITY", True), (RAW, name, None, "FILTER", False))
    facet = outputs(columns)["db.main.orders"]["columnLineage"]
    assert typed(facet) == facet


def test_json_has_nodes_columns_and_edges() -> None:
    found = json.loads(b"".join(columns_json.render({"columns_state": "ready"}, shop().whole())))
    assert found["columns_state"] == "ready"
    [orders] = [one for one in found["nodes"] if one["unique_id"] == ORDERS]
    assert orders == {
        "unique_id": ORDERS,
        "status": "exact",
        "reason": None,
        "open": False,
        "hard_coded": [],
        "columns": [
            {
                "name": "id",
                "data_type": None,
                "description": "The key.",
                "documented": False,
                "inherited_from": {"unique_id": RAW, "column": "id"},
                "in_sql": True,
            },
            {"name": "amount", "data_type": "numeric", "description": "", "documented": False, "inherited_from": None, "in_sql": True},
            {
                "name": "status",
                "data_type": None,
                "description": "How far it is.",
                "documented": True,
                "inherited_from": None,
                "in_sql": True,
            },
        ],
    }
    assert {
        "upstream": {"unique_id": STG, "column": "deleted"},
        "downstream": {"unique_id": ORDERS, "column": None},
        "type": "INDIRECT",
        "subtype": "FILTER",
        "certain": True,
    } in found["edges"]
    assert len(found["edges"]) == 10
    assert json.loads(b"".join(columns_json.render({"reason": "Why"}, None))) == {"reason": "Why", "nodes": [], "edges": []}


def test_csv_has_one_line_an_edge_and_no_formulas() -> None:
    columns = two_models((RAW, "=1+1", 'a"b', "TRANSFORMATION", False), (RAW, "id", None, "FILTER", True))
    text = b"".join(columns_csv.render(columns.whole())).decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["upstream_unique_id", "upstream_column", "downstream_unique_id", "downstream_column", "type", "subtype", "certain"]
    assert rows == [
        [RAW, "'=1+1", ORDERS, 'a"b', "DIRECT", "TRANSFORMATION", "false"],
        [RAW, "id", ORDERS, "", "INDIRECT", "FILTER", "true"],
    ]
    assert len(b"".join(columns_csv.render(None)).splitlines()) == 1
    assert MART not in text
