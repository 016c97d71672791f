from __future__ import annotations

import msgspec
import pytest

from app.lineage.column_document import ColumnContent, FoundColumn
from app.lineage.diff import NodeVersion
from app.lineage.node_history import NodeChange, NodeState, blame, change


def state(
    sql: str = "select 1",
    columns: dict[str, str] | None = None,
    values: dict[str, str] | None = None,
    *,
    digest: str | None = None,
    rows: str | None = None,
) -> NodeState:
    """`columns`: descriptions in YAML; `values`: digests of the SQL's columns."""
    described = [{"name": name, "description": text, "tests": []} for name, text in (columns or {}).items()]
    content = msgspec.json.encode({"unique_id": "model.shop.a", "resource_type": "model", "name": "a", "columns": described})
    found = ColumnContent(columns=tuple(FoundColumn(name, None, value) for name, value in (values or {}).items()), sql=digest, rows=rows)
    version = NodeVersion("model.shop.a", content, (), sql.encode(), b"config")
    return NodeState(version, None if values is None else msgspec.json.encode(found))


def test_nothing_changed() -> None:
    assert change(state(values={"a": "1x"}), state(values={"a": "1x"})) is None
    assert change(NodeState(None), NodeState(None)) is None
    assert change(state(values={"a": "1x"}), state()) is None, "what is not known did not change"


def test_a_node_comes_and_goes() -> None:
    assert change(NodeState(None), state()) == NodeChange("added")
    assert change(state(), NodeState(None)) == NodeChange("removed")


def test_what_the_sql_makes_changes_by_column() -> None:
    before = state(values={"id": "1x", "total": "1y", "gone": "1z"}, rows="1r")
    after = state("select 2", values={"id": "1x", "TOTAL": "1n", "new": "1z"}, rows="1s")
    found = change(before, after)
    assert found == NodeChange("changed", ("sql",), ("new",), ("gone",), ("TOTAL",), rows=True)
    assert found.columns == {"new", "total"}


def test_imprecise_digests_do_not_blame_anybody() -> None:
    assert change(state(values={"id": "~1x"}), state(values={"id": "~1y"})) is None
    assert change(state(values={"id": "1x"}), state(values={"id": "2x"})) is None, "made by other rules"


def test_a_description_changes_its_column() -> None:
    found = change(state(columns={"id": "a", "x": "y"}), state(columns={"id": "b", "x": "y"}))
    assert found is not None
    assert (found.changes, found.columns_changed) == (("columns",), ("id",))


def test_a_column_that_is_described_now_is_not_new() -> None:
    found = change(state(values={"ID": "1x"}), state(columns={"id": "The key."}, values={"ID": "1x"}))
    assert found is not None
    assert (found.columns_added, found.columns_changed) == ((), ("id",))
    back = change(state(columns={"id": "The key."}, values={"ID": "1x"}), state(values={"ID": "1x"}))
    assert back is not None
    assert back.columns_removed == ()


@pytest.mark.parametrize(("digest", "same"), [("1x", True), ("1y", False), ("~1x", False), (None, False)])
def test_other_spelling_of_the_same_sql(digest: str | None, *, same: bool) -> None:
    found = change(state(values={}, digest="1x"), state("SELECT 1", values={}, digest=digest))
    assert found is not None
    assert found.same_data == same


def test_columns_are_blamed_on_the_newest_change_that_they_are_part_of() -> None:
    changes = [
        NodeChange("changed", ("columns",), columns_changed=("total",)),
        None,
        NodeChange("changed", ("sql",), columns_added=("NEW",), columns_changed=("total",)),
    ]
    assert blame(changes, ["id", "total", "new"]) == {"total": 0, "new": 2}
    assert blame([*changes, NodeChange("added")], ["id", "total", "new"]) == {"total": 0, "new": 2, "id": 3}
    assert blame([], ["id"]) == {}
