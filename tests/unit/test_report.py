from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import report
from app.errors import ContainerOutOfMemoryError, ContainerTimedOutError, DbtError, EngineUnavailableError, NoProjectError
from app.jobs import Extraction, Problem, Repository, StageTime
from app.lineage import Difference, Lineage, Node
from app.place import place
from app.project import Layout, Member
from app.warehouse import Warehouse

LAYOUT = Layout("t", "shop", "shop", Warehouse("duckdb", "dev", "the default"), "none", ())
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATHS = ["t/models/orders.sql", "t/models/staging/schema.yml", "t/macros/cents.sql", "shared/models/base.sql"]
QUEUED = Extraction(
    id="e1",
    number=1,
    connection_id="c1",
    repository=Repository(7, "octo/shop", 3),
    branch="main",
    sha="1a2b3c4" + "0" * 33,
    project_dir="t",
    status="queued",
    trigger="push",
    created_at=NOW,
)


def node(unique_id: str) -> Node:
    kind, package, name = unique_id.split(".")
    return Node(unique_id, kind, name, package, b"{}", (), b"")


def result(change: Difference | None, adapter_type: str = "duckdb") -> dict[str, Any]:
    found = Lineage("shop", "1.11.16", adapter_type, "v12", (node("model.shop.a"), node("seed.shop.b")))
    return report.result(LAYOUT, found, adapter_type, change, image="dbt-runner:latest", usage={"seconds": 2.5})


def succeeded(change: Difference | None) -> Extraction:
    stages = (StageTime("cloning", NOW, NOW + timedelta(seconds=0.3)), StageTime("parsing", NOW, NOW + timedelta(seconds=2.1)))
    return replace(QUEUED, status="succeeded", started_at=NOW, finished_at=NOW, stages=stages, result=result(change))


def failed(problem: Problem) -> Extraction:
    return replace(QUEUED, status="failed", started_at=NOW, finished_at=NOW, problem=problem)


def no_nulls(value: object) -> bool:
    if isinstance(value, dict):
        return all(no_nulls(item) for item in value.values())
    return all(no_nulls(item) for item in value) if isinstance(value, list) else value is not None


def test_the_first_screen_of_a_success() -> None:
    change = Difference(nodes_added=("model.shop.a",), nodes_removed=("model.shop.z",), edges_added=(("seed.shop.b", "model.shop.a"),))
    body = report.check_run(succeeded(change), "https://freshet.example/extractions/e1")
    assert (body["status"], body["conclusion"], body["external_id"]) == ("completed", "success", "e1")
    assert body["output"]["title"] == "1 model, 1 seed, 0 edges (+1 \N{MINUS SIGN}1)"
    summary = body["output"]["summary"]
    for words in (
        "added `model.shop.a`",
        "removed `model.shop.z`",
        "edges: 1 added, 0 removed",
        "| Parse with dbt | 2.1 s |",
        "dbt 1.11.16",
        "in `t`",
    ):
        assert words in summary
    assert no_nulls(body)


@pytest.mark.parametrize(("change", "words"), [(None, "first lineage"), (Difference(), "Nothing changed")])
def test_a_success_says_so_when_there_is_nothing_to_compare(change: Difference | None, words: str) -> None:
    assert words in report.check_run(succeeded(change), "u")["output"]["summary"]


@pytest.mark.parametrize(
    ("status", "github", "conclusion"),
    [
        ("queued", "queued", None),
        ("running", "in_progress", None),
        ("superseded", "completed", "skipped"),
        ("cancelled", "completed", "cancelled"),
    ],
)
def test_each_status_is_one_of_githubs(status: Any, github: str, conclusion: str | None) -> None:
    body = report.check_run(replace(QUEUED, status=status), "u")
    assert (body["status"], body.get("conclusion")) == (github, conclusion)
    assert body["output"]["title"]
    assert body["output"]["summary"]
    assert no_nulls(body)


@pytest.mark.parametrize(
    ("error", "conclusion"),
    [
        (DbtError("parsing", "Compilation Error"), "failure"),
        (NoProjectError("looking", "nothing there"), "failure"),
        (ContainerOutOfMemoryError("parsing", "over 2 GiB"), "failure"),
        (ContainerTimedOutError("parsing", "over 600 s"), "timed_out"),
        (EngineUnavailableError("parsing", "no answer"), "neutral"),
    ],
)
def test_how_an_extraction_stopped_decides_the_conclusion(error: Any, conclusion: str) -> None:
    body = report.check_run(failed(report.problem(error)), "u")
    assert body["conclusion"] == conclusion
    assert error.reason in body["output"]["summary"]


@pytest.mark.parametrize(
    ("output", "where"),
    [
        (
            "Compilation Error in model orders (models/orders.sql)\n  unexpected '}'\n    line 5\n      {{ ref('a') }",
            ("t/models/orders.sql", 5),
        ),
        (
            "Compilation Error\n  Model 'model.shop.orders' (models/orders.sql) depends on a node named 'nope' which was not found",
            ("t/models/orders.sql", None),
        ),
        (
            "Parsing Error\n  Error reading shop: staging/schema.yml - Runtime Error\n    Syntax error near line 3",
            ("t/models/staging/schema.yml", 3),
        ),
        ("Compilation Error in model base (../shared/models/base.sql)\n  line 2", ("shared/models/base.sql", 2)),
        ("Runtime Error\n  at path []: Additional properties in t/dbt_project.yml", ("t/dbt_project.yml", None)),
        ("Compilation Error in macro x (macros/generic/x.sql)", None),
        ("Database Error: nothing to do with files", None),
    ],
)
def test_dbts_message_leads_to_file_and_line(output: str, where: tuple[str, int | None] | None) -> None:
    members = tuple(Member(path, "0" * 40, 1) for path in PATHS)
    assert place(output, replace(LAYOUT, members=members)) == where


def test_a_file_that_dbt_stops_over_without_naming_it_is_found_all_the_same() -> None:
    layout = replace(LAYOUT, unreadable=("t/dbt_project.yml",))
    assert place("Runtime Error\n  Syntax error near line 4\n", layout) == ("t/dbt_project.yml", 4)


def test_dbts_own_words_and_the_place_are_shown_and_annotated() -> None:
    error = DbtError("parsing octo/shop at 1a2b3c4", "Compilation Error in model orders (models/orders.sql)\n  line 5")
    error.place = ("t/models/orders.sql", 5)
    body = report.check_run(failed(report.problem(error)), "u")
    [annotation] = body["output"]["annotations"]
    assert (annotation["path"], annotation["start_line"], annotation["end_line"], annotation["annotation_level"]) == (
        "t/models/orders.sql",
        5,
        5,
        "failure",
    )
    assert "Compilation Error in model orders" in body["output"]["summary"]
    assert "t/models/orders.sql`, line 5" in body["output"]["summary"]
    assert "Mend it" in body["output"]["summary"]


@given(st.text(max_size=2000), st.integers(1, 60))
def test_texts_stay_within_githubs_bytes_and_output_stays_fenced(text: str, times: int) -> None:
    body = report.check_run(failed(Problem("t", "m", output=text * times * 20)), "u")
    assert len(body["output"]["summary"].encode()) <= 65_535
    assert len(body["output"].get("text", "").encode()) <= 65_535


def test_a_fence_in_dbts_message_does_not_end_ours() -> None:
    body = report.check_run(failed(Problem("t", "m", output="a\n```\n# heading\n```")), "u")
    assert "````\na\n```\n# heading\n```\n````" in body["output"]["summary"]


@pytest.mark.parametrize(("conclusion", "offered"), [("neutral", True), ("timed_out", True), ("failure", False)])
def test_doing_it_again_is_offered_where_it_may_end_otherwise(conclusion: Any, offered: bool) -> None:  # noqa: FBT001
    body = report.check_run(failed(Problem("t", "m", conclusion=conclusion)), "u")
    assert [action["identifier"] for action in body.get("actions", [])] == (["extract"] if offered else [])


def test_a_check_run_names_its_project_where_there_are_several() -> None:
    assert report.check_run(QUEUED, "u")["name"] == "dbt lineage"
    assert report.check_run(replace(QUEUED, siblings=2), "u")["name"] == "dbt lineage (t)"


def test_a_carried_lineage_says_whose_it_is() -> None:
    of = report.carried(result(None), "f" * 40, Difference())
    body = report.check_run(replace(succeeded(None), result=of), "u")
    assert "the lineage of `fffffff` still holds, and dbt did not run" in body["output"]["summary"]


def test_many_changes_are_counted_not_listed() -> None:
    change = Difference(nodes_added=tuple(f"model.shop.m{number}" for number in range(500)))
    summary = report.check_run(succeeded(change), "u")["output"]["summary"]
    assert summary.count("- added `") == report.LISTED
    assert "added: 450 more" in summary


def test_a_stand_in_warehouse_is_confessed() -> None:
    layout = Layout("", "shop", "shop", Warehouse("snowflake", "prod", "the profile `shop` in `profiles.yml`"), "none", ())
    notes = report.result(layout, Lineage("shop", "1.11.16", "duckdb", "v12", ()), "duckdb", None, image="i", usage={})["notes"]
    assert any("snowflake, which this runner image does not hold" in note for note in notes)
