"""What counts as described, tested, owned and fresh, and the score that follows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.models.quality import DIMENSIONS
from app.lineage.nodes import Lineage
from app.lineage.quality import counts as quality
from app.lineage.quality.counts import Count, NodeQuality, QualityReader
from app.lineage.quality.differences import QualityChange, changes
from tests.unit.test_column_tests import generic
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

SOURCE = "source.shop.raw.orders"
PACKAGES = "model.utils.days"
CHECKED = {"warn_after": {"count": 12, "period": "hour"}, "error_after": {"count": None, "period": None}}
UNCHECKED = {"warn_after": {"count": None, "period": None}, "error_after": {"count": None, "period": None}}


def read(lineage: Lineage) -> dict[str, NodeQuality]:
    reader = QualityReader()
    for node in lineage.nodes:
        reader.add(node.unique_id, node.resource_type, node.package_name, node.content, node.definition, node.upstream)
    return {node.unique_id: node for node in reader.finish()}


def test_a_bare_model_lacks_everything_that_applies_to_it() -> None:
    found = read(build(resource(ORDERS)))[ORDERS]
    assert found.counts == {"descriptions": (0, 1), "tests": (0, 1), "keys": (0, 1), "owners": (0, 1)}


def test_a_model_with_everything_has_a_hundred() -> None:
    columns = {"id": {"name": "id", "description": "The key."}}
    orders = resource(
        ORDERS,
        description="Orders.",
        columns=columns,
        access="public",
        contract={"enforced": True},
        config={"meta": {"owner": "Data"}},
        meta={"owner": "Data"},
    )
    found = build(orders, generic("unique", ORDERS, "id"), generic("not_null", ORDERS, "id"))
    assert {*found.quality.counts} == {"descriptions", "column_descriptions", "tests", "keys", "owners", "contracts"}
    assert quality.score(found.quality.counts) == 100


@pytest.mark.parametrize(
    ("dimension", "more", "expected"),
    [
        ("descriptions", {"description": " \n"}, (0, 1)),
        ("descriptions", {"description": "Orders."}, (1, 1)),
        ("column_descriptions", {"columns": {"a": {"name": "a"}, "b": {"name": "b", "description": "B."}}}, (1, 2)),
        ("column_descriptions", {"columns": {}}, None),
        ("owners", {"meta": {"owner": "Data"}, "config": {"meta": {"owner": "Data"}}}, (1, 1)),
        ("contracts", {"access": "public"}, (0, 1)),
        ("contracts", {"access": "public", "contract": {"enforced": True}}, (1, 1)),
        ("contracts", {"access": "protected", "contract": {"enforced": True}}, None),
    ],
)
def test_what_counts_of_a_model(dimension: Any, more: dict[str, Any], expected: tuple[int, int] | None) -> None:
    assert read(build(resource(ORDERS, **more)))[ORDERS].counts.get(dimension) == expected


@pytest.mark.parametrize(("freshness", "checked"), [(None, 0), (UNCHECKED, 0), (CHECKED, 1), ("hourly", 0)])
def test_a_source_is_checked_if_a_number_says_so(freshness: Any, checked: int) -> None:
    found = read(build(sources={SOURCE: resource(SOURCE, freshness=freshness)}))[SOURCE]
    assert found.counts["freshness"] == (checked, 1)
    assert "keys" not in found.counts


def test_exposures_are_described_and_owned_but_not_tested() -> None:
    board = resource("exposure.shop.board", owner={"name": "Ann"}, description="")
    found = read(build(exposures={"exposure.shop.board": board}))["exposure.shop.board"]
    assert found.counts == {"descriptions": (0, 1), "owners": (1, 1)}


def test_tests_of_rows_models_and_several_columns_count() -> None:
    singular = resource("test.shop.no_negative_total")
    unit = resource("unit_test.shop.customers.empty", model="customers")
    combination = generic("unique_combination_of_columns", SOURCE, None)
    found = read(
        build(
            *(resource(ORDERS), resource(CUSTOMERS), singular, combination),
            sources={SOURCE: resource(SOURCE)},
            unit_tests={"unit_test.shop.customers.empty": unit},
            parents={
                "test.shop.no_negative_total": [ORDERS],
                "unit_test.shop.customers.empty": [CUSTOMERS],
                combination["unique_id"]: [SOURCE],
            },
        )
    )
    assert {unique_id: node.counts["tests"].satisfied for unique_id, node in found.items()} == {ORDERS: 1, CUSTOMERS: 1, SOURCE: 1}


def test_a_key_is_unique_and_not_null_in_one_column() -> None:
    columns = {"a": {"name": "a"}, "b": {"name": "b"}}
    apart = build(resource(ORDERS, columns=columns), generic("unique", ORDERS, "a"), generic("not_null", ORDERS, "b"))
    assert read(apart)[ORDERS].counts["keys"] == (0, 1)
    together = build(resource(ORDERS, columns=columns), generic("unique", ORDERS, "a"), generic("not_null", ORDERS, "a"))
    assert read(together)[ORDERS].counts["keys"] == (1, 1)
    several = build(resource(ORDERS), generic("unique_combination_of_columns", ORDERS, None))
    assert read(several)[ORDERS].counts["keys"] == (1, 1)


def test_nodes_of_packages_do_not_count() -> None:
    found = build(resource(ORDERS, description="Orders."), resource(PACKAGES))
    assert found.quality.counts["descriptions"] == (1, 1)
    assert PACKAGES in read(found), "they are shown all the same"
    assert [node.unique_id for node in quality.own(read(found).values(), "shop")] == [ORDERS]


def test_groups_are_sorted_by_size() -> None:
    paths = {"a": "models/marts/a.sql", "b": "models/marts/b.sql", "c": "models/c.sql"}
    found = read(build(*(resource(f"model.shop.{name}", original_file_path=path, group=None) for name, path in paths.items())))
    assert {name: len(nodes) for name, nodes in quality.grouped(found.values(), "folder").items()} == {"models/marts": 2, "models": 1}
    assert quality.grouped(found.values(), "owner") == {}, "nodes without an owner belong to nobody"


def test_changes_say_where_more_or_less_is_missing() -> None:
    described = {"description": "D.", "columns": {"a": {"name": "a", "description": "A."}}}
    bare = {"columns": {"a": {"name": "a"}, "b": {"name": "b"}}}
    base = read(build(resource(ORDERS, **described), resource(CUSTOMERS)))
    head = read(build(resource(ORDERS, **bare), resource(CUSTOMERS, description="C.")))
    assert changes(base.values(), head.values(), ("shop", "shop")) == [
        QualityChange(ORDERS, "column_descriptions", 2),
        QualityChange(ORDERS, "descriptions", 1),
        QualityChange(CUSTOMERS, "descriptions", -1),
    ]
    assert changes(base.values(), base.values(), ("shop", "shop")) == []


def test_nothing_has_no_score() -> None:
    assert quality.score({}) is None
    assert build().quality.counts == {}


@given(st.dictionaries(st.sampled_from(list(DIMENSIONS)), st.integers(1, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))))
def test_the_score_is_between_the_shares(counts: dict[Any, tuple[int, int]]) -> None:
    found = {name: Count(*pair) for name, pair in counts.items()}
    score = quality.score(found)
    if not found:
        assert score is None
        return
    shares = [100 * one.satisfied / one.total for one in found.values()]
    assert score is not None
    assert min(shares) - 0.05 <= score <= max(shares) + 0.05


def test_the_weights_are_a_hundred_together() -> None:
    assert sum(row.weight for row in DIMENSIONS.values()) == 100


@pytest.mark.parametrize("content", [b"{}", b'{"columns": [1]}', b'{"description": 5}', b'{"description": null}'])
def test_what_was_stored_in_another_way_counts_as_missing(content: bytes) -> None:
    reader = QualityReader()
    reader.add(ORDERS, "model", "shop", content, b'{"freshness": 1, "contract": 2}', ())
    reader.add("test.shop.t", "test", "shop", content, b'{"attached_node": 3}', (ORDERS,))
    [found] = reader.finish()
    assert found.counts == {"descriptions": (0, 1), "tests": (1, 1), "keys": (0, 1), "owners": (0, 1)}
