"""What could be built better in a project: each rule finds what it says, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.models.quality import RULES, QualitySettings, Rule
from app.lineage.column_merge import column_graph
from app.lineage.graph import Graph, GraphNode
from app.lineage.quality import layers
from app.lineage.quality.findings import MAX_BYTES, MAX_ITEMS, MAX_NODES, NEEDS_COLUMNS, QualityFinding, find
from app.lineage.quality.folder_cycles import cycles

RAW, REFUNDS = "source.shop.raw.orders", "source.shop.raw.refunds"
STG, INT, FCT, MART = "model.shop.stg_orders", "model.shop.int_orders", "model.shop.fct_orders", "model.shop.revenue"
BOARD = "exposure.shop.board"
PATHS = {
    STG: "models/staging/stg_orders.sql",
    INT: "models/intermediate/int_orders.sql",
    FCT: "models/marts/fct_orders.sql",
    MART: "models/marts/revenue.sql",
}
WELL: Mapping[str, tuple[str, ...]] = {RAW: (), STG: (RAW,), INT: (STG,), FCT: (INT,), MART: (FCT,), BOARD: (FCT,)}
"""A project in which nothing is found."""


def graph(upstream: Mapping[str, tuple[str, ...]] = WELL, **more: Mapping[str, Any]) -> Graph:
    """`more`: fields of nodes by their names."""
    nodes = []
    for unique_id in sorted(upstream):
        kind, package, *_, name = unique_id.split(".")
        fields = {"original_file_path": PATHS.get(unique_id, f"models/{name}.sql"), "owner": "Ann", **more.get(name, {})}
        nodes.append(GraphNode(unique_id, kind, name, package, orjson.dumps(fields)))
    return Graph(nodes, [upstream[node.unique_id] for node in nodes])


def found(rule: Rule, of: Graph) -> dict[str, tuple[str, ...]]:
    return {item.subject: item.nodes for item in find(of, "shop").rules[rule].items}


def test_nothing_is_found_in_a_well_built_project() -> None:
    rules = find(graph(), "shop").rules
    assert rules == dict.fromkeys((name for name in RULES if name not in NEEDS_COLUMNS), QualityFinding(0))


@pytest.mark.parametrize("above", [INT, FCT, MART])
def test_a_mart_or_an_intermediate_model_that_reads_a_source(above: str) -> None:
    assert found("marts_or_intermediate_dependent_on_source", graph({**WELL, above: (*WELL[above], RAW)})) == {above: (RAW,)}


def test_a_source_that_several_models_read() -> None:
    other = "model.shop.stg_refunds"
    assert found("source_fanout", graph({**WELL, other: (RAW,)})) == {RAW: (STG, other)}
    versions = {**WELL, "model.shop.stg_orders.v1": (RAW,)}
    nodes = graph(versions).nodes
    renamed = [
        GraphNode(one.unique_id, one.resource_type, "stg_orders" if "stg" in one.unique_id else one.name, "shop", b"{}") for one in nodes
    ]
    of = Graph(renamed, [versions[one.unique_id] for one in renamed])
    assert found("source_fanout", of) == {}, "versions of one model are one reader"


@pytest.mark.parametrize(
    ("unread", "fields", "is_found"),
    [
        ("stg_refunds", {"original_file_path": "models/staging/stg_refunds.sql"}, True),
        ("int_refunds", {}, True),
        ("refunds", {"original_file_path": "models/util/refunds.sql"}, True),
        ("refunds", {"original_file_path": "models/marts/refunds.sql"}, False),
        ("fct_refunds", {}, False),
        ("stg_refunds", {"access": "public"}, False),
        ("all_days_time_spine", {}, False),
    ],
)
def test_a_model_that_nothing_reads(unread: str, fields: dict[str, Any], is_found: bool) -> None:  # noqa: FBT001 - a parameter
    unique_id = f"model.shop.{unread}"
    tested = {**WELL, unique_id: (), f"test.shop.not_null_{unread}": (unique_id,)}
    assert found("unused_models", graph(tested, **{unread: fields})) == ({unique_id: ()} if is_found else {})


def test_without_any_mart_the_models_at_the_end_are_what_the_project_is_for() -> None:
    upstream = {RAW: (), "model.shop.a": (RAW,), "model.shop.b": ("model.shop.a",), STG: (RAW,)}
    assert found("unused_models", graph(upstream)) == {STG: ()}


def test_a_source_that_only_tests_read() -> None:
    assert found("unused_sources", graph({**WELL, REFUNDS: (), "test.shop.t": (REFUNDS,)})) == {REFUNDS: ()}


def test_folders_that_read_each_other() -> None:
    crossing = {**WELL, "model.shop.a": (FCT,), "model.shop.b": ("model.shop.a",), "model.shop.c": ("model.shop.b",)}
    paths = {name: {"original_file_path": f"models/marts/{folder}/{name}.sql"} for name, folder in zip("abc", "xyx", strict=True)}
    assert found("folder_cycles", graph(crossing, **paths)) == {"models/marts/x": ("model.shop.c",), "models/marts/y": ("model.shop.b",)}


@pytest.mark.parametrize(
    ("name", "folder", "rule"),
    [
        ("orders", "models/staging/shop", "model_naming_conventions"),
        ("rpt_orders", "models/intermediate", "model_naming_conventions"),
        ("base_orders", "models/staging/shop/base", None),
        ("base_orders", "models/staging/shop", None),
        ("stg_orders2", "models/marts", "model_directories"),
        ("fct_orders2", "models/staging", "model_directories"),
        ("orders", "models/marts/staging/finance", "model_naming_conventions"),
        ("orders", "models/marts", None),
        ("dim_orders", "models/finance", None),
        ("orders", "models/Staging", "model_naming_conventions"),
    ],
)
def test_names_and_folders_agree(name: str, folder: str, rule: str | None) -> None:
    unique_id = f"model.shop.{name}"
    of = graph({**WELL, unique_id: (STG,), BOARD: (FCT, unique_id)}, **{name: {"original_file_path": f"{folder}/{name}.sql"}})
    rules = find(of, "shop").rules
    assert [key for key in ("model_naming_conventions", "model_directories") if rules[key].count] == ([rule] if rule else [])


def test_an_exposure_without_an_owner() -> None:
    assert found("exposures_without_owner", graph(board={"owner": None})) == {BOARD: ()}


def test_what_only_the_sql_shows() -> None:
    upstream = {**WELL, "model.shop.stg_all": (RAW,), "model.shop.int_all": ("model.shop.stg_all",)}
    of = graph(upstream, orders={"columns": [{"name": "id", "description": "The key."}]})
    lines = {
        RAW: {"columns": [["id"]], "open": True},
        "model.shop.stg_all": {"columns": [["id"]], "open": True, "edges": [[RAW, "id", "id", "IDENTITY", True]]},
        "model.shop.int_all": {"open": True},
        STG: {"hard_coded": ["raw.orders", "raw.orders"]},
        INT: {"hard_coded": ["raw.orders", "raw.days"]},
    }
    columns = column_graph(of, ((unique_id, "exact", orjson.dumps(line)) for unique_id, line in lines.items()))
    looked = find(of, "shop", columns)
    stars, tables = looked.rules["select_star_from_source"], looked.rules["hard_coded_references"]
    assert [(item.subject, item.nodes) for item in stars.items] == [("model.shop.stg_all", (RAW,))], "not who reads that"
    assert [(item.subject, item.nodes) for item in tables.items] == [("raw.days", (INT,)), ("raw.orders", (INT, STG))]
    assert looked.inherited_descriptions == 1
    assert find(of, "shop").inherited_descriptions is None


def test_tests_of_relationships_are_counted_by_column() -> None:
    tests = [{"name": "relationships"}, {"name": "relationships"}, {"name": "unique"}]
    of = graph(stg_orders={"columns": [{"name": "id", "tests": tests}, {"name": "at", "tests": [{"name": "not_null"}]}]})
    assert find(of, "shop").relationships == 1


def test_packages_ignored_folders_and_rules_that_are_off_are_left_out() -> None:
    of = graph(
        {**WELL, REFUNDS: (), "model.utils.stg_days": (), "model.shop.stg_old": ()},
        stg_old={"original_file_path": "models/old/x/stg_old.sql"},
    )
    assert {*found("unused_models", of)} == {"model.shop.stg_old"}
    settings = QualitySettings(findings_off=frozenset({"unused_sources"}), ignored_folders=("models/old",))
    rules = find(of, "shop", None, settings).rules
    assert "unused_sources" not in rules
    assert rules["unused_models"].count == 0
    assert find(of, None).rules["unused_models"].count == 2, "of all packages, while the project has no name"


def test_lists_end_and_counts_do_not() -> None:
    readers = {f"model.shop.stg_{number}": (RAW, REFUNDS) for number in range(100)}
    long = {f"source.shop.raw.{number:03}{'n' * 1000}": () for number in range(50)}
    rules = find(graph({RAW: (), REFUNDS: (), **readers, **long}), "shop").rules
    fanout = rules["source_fanout"]
    assert (fanout.count, [(len(item.nodes), item.more) for item in fanout.items]) == (2, [(MAX_NODES, 100 - MAX_NODES)] * 2)
    assert (rules["unused_models"].count, len(rules["unused_models"].items)) == (100, MAX_ITEMS)
    assert rules["unused_sources"].count == 50
    assert sum(len(item.subject) for item in rules["unused_sources"].items) <= MAX_BYTES


@pytest.mark.parametrize("content", [b"{}", b'{"columns": [1]}', b'{"original_file_path": null}'])
def test_what_was_stored_in_another_way_is_no_finding(content: bytes) -> None:
    assert find(Graph([GraphNode(FCT, "model", "fct_orders", "shop", content)], [()]), "shop").rules["unused_models"].count == 0


def test_a_chain_of_folders_of_any_length_is_followed() -> None:
    chain = {str(number): [str(number + 1)] for number in range(50_000)} | {"50000": ["0"]}
    assert len(cycles(chain)) == 50_001
    chain["50000"] = []
    assert cycles(chain) == {}


@given(st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), unique=True)))
def test_folders_are_in_one_cycle_if_they_reach_each_other(drawn: dict[int, list[int]]) -> None:
    reads = {str(one): [str(other) for other in drawn.get(one, ())] for one in range(8)}

    def reach(start: str) -> set[str]:
        reached, rest = set(), [start]
        while rest:
            new = [one for one in reads[rest.pop()] if one not in reached]
            reached |= {*new}
            rest += new
        return reached

    reached = {one: reach(one) for one in reads}
    together = cycles(reads)
    for one in reads:
        for other in reads:
            mutual = one != other and other in reached[one] and one in reached[other]
            assert (one != other and one in together and together[one] == together.get(other)) == mutual


def test_prefixes_and_folders_name_the_same_layers() -> None:
    assert {*layers.PREFIXES.values()} == {*layers.FOLDERS.values()}
