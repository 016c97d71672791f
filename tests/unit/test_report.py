from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import (
    BranchLeftOutError,
    ContainerOutOfMemoryError,
    ContainerTimedOutError,
    DbtError,
    EngineUnavailableError,
    NoImageError,
    NoProjectError,
    PackagesError,
    RejectedAddressError,
)
from app.images import Wish
from app.inference.discovery import Found
from app.inference.project import Layout, Member
from app.inference.warehouse import Warehouse
from app.jobs import Extraction, LeftOut, Problem, Repository, StageTime
from app.lineage import LISTED, Difference, Lineage, Node
from app.remarks import Placeholder, Remark
from app.settings import Complaint, Settings, read
from app.wording import report
from app.wording.summary import lines_to_paste
from tests.unit.github_markdown import HOSTILE, UNSEEN, assert_dead, code_in

LAYOUT = Layout(
    project_dir="t",
    project_name="shop",
    profile="shop",
    warehouse=Warehouse("duckdb", "dev", "the profile `shop` in `t/profiles.yml`"),
    dbt=Wish((">=1.7.0", "<2.0.0"), None, "`require-dbt-version` in `t/dbt_project.yml`"),
    settings=Settings(),
    found=Found(("t",), (), 10),
    packages=False,
    install_dir="t/dbt_packages",
    package_texts={},
    members=(Member("t/models/orders.sql", "0" * 40, 1),),
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
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


def result(change: Difference | None, layout: Layout = LAYOUT, **more: Any) -> dict[str, Any]:
    found = Lineage("shop", "1.11.16", "duckdb", "v12", (node("model.shop.a"), node("seed.shop.b")))
    return report.result(report.Run(layout, "duckdb", "dbt-runner:latest", {"seconds": 2.5}, **more), found, change)


def succeeded(change: Difference | None, layout: Layout = LAYOUT, **more: Any) -> Extraction:
    stages = (StageTime("cloning", NOW, NOW + timedelta(seconds=0.3)), StageTime("parsing", NOW, NOW + timedelta(seconds=2.1)))
    return replace(QUEUED, status="succeeded", started_at=NOW, finished_at=NOW, stages=stages, result=result(change, layout, **more))


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
        (NoImageError("choosing", "nothing fits", "Run `python -m app images build 1.7`."), "neutral"),
        (BranchLeftOutError("extracting", "left out"), "skipped"),
        (PackagesError("installing", "not there"), "failure"),
        (RejectedAddressError("installing", "not allowed"), "failure"),
    ],
)
def test_how_an_extraction_stopped_decides_the_conclusion(error: Any, conclusion: str) -> None:
    body = report.check_run(failed(report.problem(error)), "u")
    assert body["conclusion"] == conclusion
    assert error.reason in body["output"]["summary"]


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
    assert "dbt could not parse the project" in body["output"]["title"]


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
    assert summary.count("- added `") == LISTED
    assert "added: 450 more" in summary


def test_the_title_says_what_dbts_message_means_and_the_summary_what_to_do() -> None:
    error = DbtError("parsing octo/shop", "Compilation Error in model orders (models/orders.sql)\n  'cents' is undefined")
    output = report.check_run(failed(report.problem(error)), "u")["output"]
    assert output["title"] == "A macro or variable is not defined"
    assert "'cents' is undefined" in output["summary"]
    assert "`packages.yml`" in output["summary"]


def test_what_was_inferred_is_told_with_where_from() -> None:
    reasons = tuple(LeftOut(f"x{number}", "is below `integration_tests`") for number in range(12))
    layout = replace(LAYOUT, found=Found(("", "t", "u`@bob"), reasons, 10))
    summary = report.check_run(succeeded(None, layout), "u")["output"]["summary"]
    for words in (
        "Parsed for duckdb with the target `dev`: the profile `shop` in `t/profiles.yml`.",
        "in the image `dbt-runner:latest`: `require-dbt-version` in `t/dbt_project.yml` asks for `>=1.7.0`, `<2.0.0`.",
        "each with a check run of its own: the root, `u'@bob`.",
        "`x0` is below `integration_tests`; `x1`",
        "and 2 more",
    ):
        assert words in summary
    assert "x10" not in summary
    assert_dead(summary)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(), "the project asks for no version"),
        (Wish((), "1.7.4", "the lock file `uv.lock`"), "the lock file `uv.lock` names `1.7.4`"),
    ],
)
def test_why_this_dbt(wish: Wish, words: str) -> None:
    assert words in report.check_run(succeeded(None, replace(LAYOUT, dbt=wish)), "u")["output"]["summary"]


INVENTED = (
    Placeholder("env_var", "SHOP_SCHEMA", "freshet", "t/models/orders.sql", 3),
    Placeholder("env_var", "SHOP_PASSWORD", "freshet", "t/profiles.yml"),
    Placeholder("var", "days", "1", "t/macros/cents.sql", 9),
    Placeholder("var", "start date", "x: #1", None, None),
)


def test_every_invented_value_is_listed_at_once_with_the_lines_that_set_it() -> None:
    summary = report.check_run(succeeded(None, placeholders=INVENTED), "u")["output"]["summary"]
    assert "**Values were invented for 4 names**" in summary
    assert "| `SHOP_SCHEMA` | env_var | `freshet` | `t/models/orders.sql`, line 3 |" in summary
    assert "| `start date` | var | `x: #1` |  |" in summary
    assert "`SHOP_PASSWORD`: parsing needs no real secret" in summary
    [pasted] = [text for text in code_in(summary) if text.startswith("env:")]
    assert yaml.safe_load(pasted) == {"env": {"SHOP_SCHEMA": "freshet"}, "vars": {"days": 1, "start date": "x: #1"}}


@given(
    st.sampled_from(["env_var", "var"]),
    st.one_of(st.text(min_size=1, max_size=20), st.from_regex(r"\A[A-Z_]{1,20}\Z")),
    st.text(max_size=20),
)
@settings(max_examples=80, deadline=None)
def test_the_lines_to_paste_are_taken_whatever_the_names_are(kind: str, name: str, value: str) -> None:
    pasted = lines_to_paste([{"kind": kind, "name": name, "value": value}])
    assert read(pasted.encode()).complaints == ()


def test_a_placeholder_that_may_have_broken_the_parse_is_told_at_its_place() -> None:
    error = DbtError("parsing", "Compilation Error in model orders (models/orders.sql)\n  invalid literal for int()")
    error.place, error.placeholders = ("t/models/orders.sql", None), INVENTED[:1]
    output = report.check_run(failed(report.problem(error)), "u")["output"]
    assert [(one["annotation_level"], one["path"], one["start_line"]) for one in output["annotations"]] == [
        ("failure", "t/models/orders.sql", 1),
        ("notice", "t/models/orders.sql", 3),
    ]
    assert "`SHOP_SCHEMA` has no value and no default, so `freshet` was used" in output["summary"]


def test_a_settings_file_that_is_not_used_is_told_at_its_line() -> None:
    broken = replace(LAYOUT, settings=Settings(complaints=(Complaint("`trget` is not a key of this file", 4),)))
    [annotation] = report.check_run(succeeded(None, broken), "u")["output"]["annotations"]
    assert (annotation["path"], annotation["start_line"], annotation["annotation_level"]) == (".github/freshet.yml", 4, "warning")
    assert annotation["title"] == ".github/freshet.yml was not used"
    assert "`trget` is not a key" in annotation["message"]


def test_packages_that_cannot_be_had_are_told_one_by_one() -> None:
    error = PackagesError("installing the packages of octo/shop", "2 of 3 packages cannot be had", "See each.")
    error.remarks = (
        Remark("failure", "A package is private", "`octo/secret`: give the App access to it.", "t/packages.yml", 3),
        Remark("failure", "A package is gone", "`octo/gone` is not on the hub", None, None),
    )
    output = report.check_run(failed(report.problem(error)), "u")["output"]
    assert [(one["path"], one["start_line"]) for one in output["annotations"]] == [("t/packages.yml", 3)]
    assert "- A package is private (`t/packages.yml`, line 3): `octo/secret`: give the App access to it." in output["summary"]
    assert "- A package is gone: `octo/gone` is not on the hub" in output["summary"]


def test_a_remark_on_an_installed_package_is_in_the_text_not_at_a_file() -> None:
    remarks = (
        Remark("warning", "Old", "It is old", "t/dbt_packages/utils/macros/a.sql", 3),
        Remark("notice", "New", "x", "t/models/orders.sql", 0),
    )
    output = report.check_run(succeeded(None, remarks=remarks), "u")["output"]
    assert [(one["path"], one["start_line"]) for one in output["annotations"]] == [("t/models/orders.sql", 1)]
    assert "- Old: It is old (in `t/dbt_packages/utils/macros/a.sql`)" in output["summary"]


def test_annotations_are_as_many_as_github_takes_the_worst_first() -> None:
    remarks = (*(Remark("notice", "n", "m", f"t/{number}.sql", 1) for number in range(70)), Remark("failure", "f", "m", "t/f.sql", 1))
    output = report.check_run(failed(Problem("t", "m", remarks=remarks)), "u")["output"]
    assert len(output["annotations"]) == 50
    assert output["annotations"][0]["path"] == "t/f.sql"
    assert "21 more places" in output["summary"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.sql", "a//b", ".git/config", "a\nb.sql"])
def test_a_path_that_is_none_of_a_repository_is_not_annotated(path: str) -> None:
    assert "annotations" not in report.check_run(failed(Problem("t", "m", remarks=(Remark("failure", "t", "m", path),))), "u")["output"]


def test_results_of_before_are_still_shown() -> None:
    old = result(None)
    for key in ("evidence", "placeholders", "remarks"):
        del old[key]
    old["notes"] = ["Parsed for duckdb with the target `dev`: the default."]
    output = report.check_run(replace(succeeded(None), result=old), "u")["output"]
    assert "> Parsed for duckdb with the target `dev`: the default." in output["summary"]
    assert msgspec.json.decode(b'{"title": "t", "message": "m", "conclusion": "neutral"}', type=Problem).remarks == ()


def test_what_is_said_place_by_place_is_stored_and_read_again() -> None:
    of = Problem("t", "m", remarks=(Remark("failure", "t", "m", "a.sql", 3),))
    assert msgspec.json.decode(msgspec.json.encode(of), type=Problem) == of


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_stranger_named_works_in_a_check_run(text: str) -> None:
    evil = f"zq9{text}zq9"
    placeholders = (Placeholder("env_var", evil, evil, evil, 1), Placeholder("var", text, text, text))
    remarks = (Remark("warning", evil, evil, "a.sql", 1), Remark("notice", text or "x", text, text, 2))
    layout = replace(
        LAYOUT,
        project_dir=evil,
        warehouse=Warehouse("duckdb", evil, f"the profile `{evil}` in {evil}"),
        dbt=Wish((evil,), None, evil),
        settings=Settings(complaints=(Complaint(evil, 1),)),
        found=Found((evil, text), (LeftOut(evil, evil), LeftOut(text, text)), 2),
    )
    graph = Lineage(evil, evil, evil, "v12", (node("model.shop.a"),))
    change = Difference(nodes_added=(evil, text), nodes_removed=(evil,))
    stored = report.result(report.Run(layout, evil, evil, {}, placeholders, remarks), graph, change)
    error = DbtError(f"parsing {evil}", f"{evil}\n{text}\nCompilation Error in model {evil}")
    error.place, error.placeholders, error.remarks = (evil, 1), placeholders, remarks
    msgspec.json.encode([stored, report.problem(error)])
    other = NoProjectError(f"looking in {evil}", f"no `{evil}` {text}", evil)
    bodies = [
        report.check_run(replace(succeeded(None), result=stored, siblings=2, project_dir=evil), "u"),
        *(report.check_run(failed(report.problem(one)), "u") for one in (error, other)),
        report.check_run(failed(Problem(evil, evil, evil, evil, evil, 1, remarks=remarks)), "u"),
    ]
    for body in bodies:
        output = body["output"]
        assert_dead(output["summary"], "zq9")
        assert_dead(output.get("text", ""), "zq9")
        assert len(output["summary"].encode()) <= 65_535
        for line in (body["name"], output["title"], *(one["title"] for one in output.get("annotations", ()))):
            assert not UNSEEN.search(line)
            assert "\n" not in line
        for one in output.get("annotations", ()):
            assert one["message"]
            assert not UNSEEN.search(one["message"])
        assert no_nulls(body)
        msgspec.json.encode(body)
