"""What a check run says of columns: counts, reasons, and tables that dbt does not know."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from app.lineage.column_overview import MAX_LISTED, ColumnsOverview, OverviewBuilder
from app.reports import check_run, column_lineage
from tests.unit.github_markdown import HOSTILE, assert_dead, types_of
from tests.unit.test_check_run import result, succeeded

Node = tuple[str, str, str | None, list[str]]
"""unique_id, status, reason, hard-coded tables."""


def overview(nodes: Iterable[Node]) -> ColumnsOverview:
    builder = OverviewBuilder()
    for unique_id, status, reason, tables in nodes:
        builder.add(unique_id, status, json.dumps({"reason": reason, "columns": [], "hard_coded": tables}).encode())
    return builder.finish()


def stored(counts: dict[str, int], nodes: Iterable[Node] = ()) -> dict[str, Any]:
    """As it is stored with a result."""
    return {"state": "ready", "counts": {"exact": 0, "approximate": 0, "unknown": 0} | counts, **msgspec.to_builtins(overview(nodes))}


def summary(columns: dict[str, Any], **counts: int) -> str:
    of = {**result(None), "counts": {"model": 1, **counts}, "columns": columns}
    text: str = check_run.check_run(replace(succeeded(None), result=of), "u")["output"]["summary"]
    return text


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"exact": 598, "approximate": 12}, "Column lineage: 598 of 610 models exact, 12 approximate."),
        ({"exact": 1_598, "approximate": 12, "unknown": 3}, "Column lineage: 1,598 of 1,613 models exact, 12 approximate, 3 unknown."),
        ({"exact": 610}, "Column lineage: all 610 models exact."),
        ({"exact": 1}, "Column lineage: 1 model exact."),
        ({"unknown": 1}, "Column lineage: 0 of 1 model exact, 1 unknown."),
    ],
)
def test_one_line_says_how_many_models_are_exact(counts: dict[str, int], line: str) -> None:
    assert line in summary(stored(counts)).splitlines()
    assert line.replace("models ", "models and snapshots ").replace("model ", "models and snapshots ") in summary(
        stored(counts), snapshot=1
    )


def test_a_project_without_models_has_no_such_line() -> None:
    assert "Column lineage" not in summary(stored({}))


def test_results_without_columns_have_no_such_line() -> None:
    assert "Column lineage" not in check_run.check_run(succeeded(None), "u")["output"]["summary"]


def test_reasons_are_grouped_and_the_most_frequent_come_first() -> None:
    pivot = "`dbt_utils.get_column_values` asked the warehouse for values."
    nodes: list[Node] = [(f"model.shop.p{number}", "approximate", pivot, []) for number in range(5)]
    nodes += [("model.shop.py", "unknown", "It is a Python model.", []), ("model.shop.orders.v2", "approximate", None, [])]
    text = summary(stored({"exact": 3, "approximate": 6, "unknown": 1}, nodes))
    assert text[text.index("<details>") : text.index("</details>")].splitlines() == [
        "<details><summary>Why 7 are not exact</summary>",
        "",
        "- 5 approximate: `dbt_utils.get_column_values` asked the warehouse for values (`p0`, `p1`, `p2` and 2 more)",
        "- 1 approximate (`orders.v2`)",
        "- 1 unknown: It is a Python model (`py`)",
        "",
    ]


def test_many_reasons_are_counted() -> None:
    nodes: list[Node] = [(f"model.shop.m{number}", "unknown", f"Line {number} is not SQL.", []) for number in range(600)]
    text = summary(stored({"unknown": 600}, nodes))
    assert "- 590 more reasons" in text
    assert text.count("unknown:") == MAX_LISTED


def test_tables_that_dbt_does_not_know_are_listed_also_of_exact_models() -> None:
    nodes: list[Node] = [("model.shop.a", "exact", None, ["raw.crm.accounts", "raw.crm.accounts"]), ("model.shop.b", "exact", None, ["x"])]
    nodes += [("model.shop.c", "exact", None, ["raw.crm.accounts"])]
    text = summary(stored({"exact": 3}, nodes))
    assert text[text.index("<details>") : text.index("</details>")].splitlines() == [
        "<details><summary>2 tables that the SQL names and dbt does not know</summary>",
        "",
        "- `raw.crm.accounts` in `a`, `c`",
        "- `x` in `b`",
        "",
    ]
    many = summary(stored({"exact": 1}, [("model.shop.a", "exact", None, [f"t{number}" for number in range(50)])]))
    assert "- 40 more tables" in many


def test_failed_columns_say_why() -> None:
    text = summary(column_lineage.failed("While tracing the columns of octo/shop at 1a2b3c4: the container needed more than 600 MiB."))
    assert "Column lineage: none. While tracing the columns of `octo/shop` at `1a2b3c4`: the container needed more than 600 MiB." in text


def test_lists_are_rendered_as_lists() -> None:
    nodes: list[Node] = [("model.shop.a", "unknown", "It is a Python model.", ["raw.x"])]
    rendered = types_of(summary(stored({"unknown": 1}, nodes)))
    assert "bullet_list_open" in rendered
    assert "html_block" in rendered


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_text_has_no_effect(text: str) -> None:
    evil = f"zq9{text}zq9".encode(errors="replace").decode()
    nodes: list[Node] = [(f"model.shop.{evil}", "unknown", evil, [evil]), (evil, "approximate", f"{evil} " * 300, [])]
    for columns in (stored({"unknown": 1, "approximate": 1}, nodes), column_lineage.failed(evil)):
        assert_dead(summary(columns), "zq9")
