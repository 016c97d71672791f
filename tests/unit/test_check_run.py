from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import (
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
from app.core.models.annotations import Annotation, IgnoredCheck, Placeholder
from app.core.models.extractions import ContainerFacts, Extraction, LeftOut, Problem, StageTime, Usage
from app.core.models.github import Repository
from app.lineage.nodes import MAX_LISTED, ChangeSummary, Lineage, Node
from app.project.adapter_choice import AdapterChoice
from app.project.discovery import DiscoveredProjects
from app.project.layout import ProjectLayout
from app.project.read_files import Member
from app.project.repository_settings import Complaint, RepositorySettings, read
from app.project.runner_images import RequestedVersion
from app.reports import check_run, results
from app.reports.placeholders import settings_snippet
from tests.unit.github_markdown import HOSTILE, UNSEEN, assert_dead, code_in

LAYOUT = ProjectLayout(
    project_dir="t",
    project_name="shop",
    profile="shop",
    adapter=AdapterChoice("duckdb", "dev", "the profile `shop` in `t/profiles.yml`"),
    dbt=RequestedVersion((">=1.7.0", "<2.0.0"), None, "`require-dbt-version` in `t/dbt_project.yml`"),
    settings=RepositorySettings(),
    discovered=DiscoveredProjects(("t",), (), 10),
    needs_packages=False,
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


def result(change: ChangeSummary | None, layout: ProjectLayout = LAYOUT, **more: Any) -> dict[str, Any]:
    found = Lineage("shop", "1.11.16", "duckdb", "v12", (node("model.shop.a"), node("seed.shop.b")))
    return results.success(results.Run(layout, "duckdb", "dbt-runner:latest", {"seconds": 2.5}, **more), found, change)


def succeeded(change: ChangeSummary | None, layout: ProjectLayout = LAYOUT, **more: Any) -> Extraction:
    stages = (StageTime("cloning", NOW, NOW + timedelta(seconds=0.3)), StageTime("parsing", NOW, NOW + timedelta(seconds=2.1)))
    return replace(QUEUED, status="succeeded", started_at=NOW, finished_at=NOW, stages=stages, result=result(change, layout, **more))


def failed(problem: Problem) -> Extraction:
    return replace(QUEUED, status="failed", started_at=NOW, finished_at=NOW, problem=problem)


def no_nulls(value: object) -> bool:
    if isinstance(value, dict):
        return all(no_nulls(item) for item in value.values())
    return all(no_nulls(item) for item in value) if isinstance(value, list) else value is not None


def test_a_title_counts_in_english() -> None:
    found = {**result(None), "counts": {"analysis": 2, "unit_test": 1, "saved_query": 5}, "edges": 1}
    title = check_run.headline(replace(succeeded(None), result=found))
    assert title == "2 analyses, 1 unit test, 5 saved queries, 1 edge"


def test_a_success_lists_changes_counts_and_stages() -> None:
    change = ChangeSummary(nodes_added=("model.shop.a",), nodes_removed=("model.shop.z",), edges_added=(("seed.shop.b", "model.shop.a"),))
    body = check_run.check_run(succeeded(change), "https://freshet.example/extractions/e1")
    assert (body["status"], body["conclusion"], body["external_id"]) == ("completed", "success", "e1")
    assert body["output"]["title"] == "1 model, 1 seed, 0 edges (+1 \N{MINUS SIGN}1)"
    summary = body["output"]["summary"]
    for words in (
        "added `model.shop.a`",
        "removed `model.shop.z`",
        "added 1 edge",
        "| models | 1 |",
        "| Parse with dbt | 2.1 s |",
        "project `shop` in `t`, parsed with dbt `1.11.16` for duckdb.",
    ):
        assert words in summary
    assert no_nulls(body)


@pytest.mark.parametrize(("change", "words"), [(None, "the project's first lineage"), (ChangeSummary(), "has not changed")])
def test_a_success_without_changes_says_so(change: ChangeSummary | None, words: str) -> None:
    assert words in check_run.check_run(succeeded(change), "u")["output"]["summary"]


@pytest.mark.parametrize(
    ("status", "github", "conclusion"),
    [
        ("queued", "queued", None),
        ("running", "in_progress", None),
        ("superseded", "completed", "skipped"),
        ("cancelled", "completed", "cancelled"),
    ],
)
def test_each_status_maps_to_one_of_github(status: Any, github: str, conclusion: str | None) -> None:
    body = check_run.check_run(replace(QUEUED, status=status), "u")
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
def test_the_error_decides_the_conclusion(error: Any, conclusion: str) -> None:
    body = check_run.check_run(failed(results.problem(error)), "u")
    assert body["conclusion"] == conclusion
    assert isinstance(error, DbtError) or error.reason in body["output"]["summary"]


def test_dbts_message_and_its_location_are_shown_and_annotated() -> None:
    error = DbtError("parsing octo/shop at 1a2b3c4", "Compilation Error in model orders (models/orders.sql)\n  line 5")
    error.place = ("t/models/orders.sql", 5)
    body = check_run.check_run(failed(results.problem(error)), "u")
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
    assert body["output"]["summary"].startswith("dbt could not parse `octo/shop` at `1a2b3c4`:\n\n")


def test_several_errors_are_listed_with_their_locations() -> None:
    annotations = (
        Annotation("failure", "ref() points to a model that does not exist", "m", "t/models/orders.sql"),
        Annotation("failure", "YAML syntax error", "m", "t/models/schema.yml", 7),
    )
    error = DbtError("parsing octo/shop at 1a2b3c4", "Compilation Error\nParsing Error", annotations=annotations)
    summary = check_run.check_run(failed(results.problem(error)), "u")["output"]["summary"]
    assert (
        "- `ref()` points to a model that does not exist: `t/models/orders.sql`\n- YAML syntax error: `t/models/schema.yml`, line 7"
        in summary
    )
    assert "Each annotation says what to do." in summary


def test_a_container_that_stopped_is_shown_with_the_end_of_the_log() -> None:
    error = ContainerTimedOutError("parsing octo/shop at 1a2b3c4", "dbt was stopped after 600 seconds", "Raise `DBT_TIMEOUT`.")
    error.carry(ContainerFacts(Usage(600.0), log="12:00 Running with dbt"))
    summary = check_run.check_run(failed(results.problem(error)), "u")["output"]["summary"]
    assert summary == (
        "While parsing `octo/shop` at `1a2b3c4`: dbt was stopped after 600 seconds.\n\nRaise `DBT_TIMEOUT`.\n\n"
        "The end of dbt's log:\n\n```\n12:00 Running with dbt\n```"
    )


def test_output_that_the_summary_shortens_follows_in_full() -> None:
    short, long = (check_run.check_run(failed(Problem("t", "m.", output="line\n" * lines)), "u")["output"] for lines in (40, 41))
    assert "text" not in short
    assert "… 1 more line" in long["summary"]
    assert long["text"].count("line") == 41


@given(st.text(max_size=2000), st.integers(1, 60))
def test_texts_stay_within_githubs_bytes_and_output_stays_fenced(text: str, times: int) -> None:
    body = check_run.check_run(failed(Problem("t", "m", output=text * times * 20)), "u")
    assert len(body["output"]["summary"].encode()) <= 65_535
    assert len(body["output"].get("text", "").encode()) <= 65_535


def test_a_fence_in_dbts_message_does_not_end_the_block() -> None:
    body = check_run.check_run(failed(Problem("t", "m", output="a\n```\n# heading\n```")), "u")
    assert "````\na\n```\n# heading\n```\n````" in body["output"]["summary"]


@pytest.mark.parametrize(("conclusion", "offered"), [("neutral", True), ("timed_out", True), ("failure", False)])
def test_another_attempt_is_offered_where_it_may_help(conclusion: Any, offered: bool) -> None:  # noqa: FBT001
    body = check_run.check_run(failed(Problem("t", "m", conclusion=conclusion)), "u")
    assert [action["identifier"] for action in body.get("actions", [])] == (["extract"] if offered else [])


def test_a_check_run_is_named_after_its_project_if_there_are_several() -> None:
    assert check_run.check_run(QUEUED, "u")["name"] == "dbt lineage"
    assert check_run.check_run(replace(QUEUED, siblings=2), "u")["name"] == "dbt lineage (t)"


def test_a_reused_lineage_names_its_commit() -> None:
    of = results.carried_forward(result(None), "f" * 40, ChangeSummary())
    body = check_run.check_run(replace(succeeded(None), result=of), "u")
    assert "identical to commit `fffffff`, so Freshet reused its lineage and dbt did not run" in body["output"]["summary"]


def test_many_changes_are_counted_not_listed() -> None:
    change = ChangeSummary(nodes_added=tuple(f"model.shop.m{number}" for number in range(500)))
    summary = check_run.check_run(succeeded(change), "u")["output"]["summary"]
    assert summary.count("- added `") == MAX_LISTED
    assert "added 450 more nodes" in summary


def test_the_title_classifies_dbts_message_and_the_summary_says_what_to_do() -> None:
    error = DbtError("parsing octo/shop", "Compilation Error in model orders (models/orders.sql)\n  'cents' is undefined")
    output = check_run.check_run(failed(results.problem(error)), "u")["output"]
    assert output["title"] == "A macro or variable is not defined"
    assert "'cents' is undefined" in output["summary"]
    assert "`packages.yml`" in output["summary"]


def test_notes_say_what_was_inferred_and_why() -> None:
    reasons = tuple(LeftOut(f"x{number}", "is inside `integration_tests`") for number in range(12))
    layout = replace(LAYOUT, discovered=DiscoveredProjects(("", "t", "u`@bob"), reasons, 10))
    summary = check_run.check_run(succeeded(None, layout), "u")["output"]["summary"]
    for words in (
        "Parsed for duckdb with target `dev`: the profile `shop` in `t/profiles.yml`.",
        "from image `dbt-runner:latest`: `require-dbt-version` in `t/dbt_project.yml` requires `>=1.7.0`, `<2.0.0`.",
        "each with its own check run: the repository root, `u'@bob`.",
        "`x0` is inside `integration_tests`; `x1`",
        "and 2 more",
    ):
        assert words in summary
    assert "x10" not in summary
    assert_dead(summary)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (RequestedVersion(), "the project requires no version"),
        (RequestedVersion((), "1.7.4", "the lock file `uv.lock`"), "the lock file `uv.lock` pins `1.7.4`"),
    ],
)
def test_notes_say_why_this_dbt_version_was_used(wish: RequestedVersion, words: str) -> None:
    assert words in check_run.check_run(succeeded(None, replace(LAYOUT, dbt=wish)), "u")["output"]["summary"]


PLACEHOLDERS = (
    Placeholder("env_var", "SHOP_SCHEMA", "freshet", "t/models/orders.sql", 3),
    Placeholder("env_var", "SHOP_PASSWORD", "freshet", "t/profiles.yml"),
    Placeholder("var", "days", "1", "t/macros/cents.sql", 9),
    Placeholder("var", "start date", "x: #1", None, None),
)


def test_all_placeholders_are_listed_with_the_lines_that_set_them() -> None:
    summary = check_run.check_run(succeeded(None, placeholders=PLACEHOLDERS), "u")["output"]["summary"]
    assert "**4 variables have no value or default**, so Freshet used placeholders. Set only those that affect the lineage." in summary
    assert "| `SHOP_SCHEMA` | env_var | `freshet` | `t/models/orders.sql`, line 3 |" in summary
    assert "| `start date` | var | `x: #1` |  |" in summary
    assert "`SHOP_PASSWORD` looks like a secret." in summary
    [pasted] = [text for text in code_in(summary) if text.startswith("env:")]
    assert yaml.safe_load(pasted) == {"env": {"SHOP_SCHEMA": "freshet"}, "vars": {"days": 1, "start date": "x: #1"}}


@given(
    st.sampled_from(["env_var", "var"]),
    st.one_of(st.text(min_size=1, max_size=20), st.from_regex(r"\A[A-Z_]{1,20}\Z")),
    st.text(max_size=20),
)
@settings(max_examples=80, deadline=None)
def test_the_settings_snippet_is_valid_for_all_names(kind: str, name: str, value: str) -> None:
    pasted = settings_snippet([{"kind": kind, "name": name, "value": value}])
    assert read(pasted.encode()).complaints == ()


def test_a_placeholder_that_may_have_caused_the_error_is_annotated() -> None:
    output = "Compilation Error in model orders (models/orders.sql)\n  invalid literal for int()"
    error = DbtError(
        "parsing", output, place=("t/models/orders.sql", None), facts=ContainerFacts(Usage(1.0), placeholders=PLACEHOLDERS[:1])
    )
    output = check_run.check_run(failed(results.problem(error)), "u")["output"]
    assert [(one["annotation_level"], one["path"], one["start_line"]) for one in output["annotations"]] == [
        ("failure", "t/models/orders.sql", 1),
        ("notice", "t/models/orders.sql", 3),
    ]
    assert "`SHOP_SCHEMA` has no value or default, so Freshet used the placeholder `freshet`." in output["summary"]


def test_a_mistake_in_the_settings_file_is_annotated_at_its_line() -> None:
    broken = replace(LAYOUT, settings=RepositorySettings(complaints=(Complaint("`trget` is not a key of this file", 4),)))
    [annotation] = check_run.check_run(succeeded(None, broken), "u")["output"]["annotations"]
    assert (annotation["path"], annotation["start_line"], annotation["annotation_level"]) == (".github/freshet.yml", 4, "warning")
    assert annotation["title"] == ".github/freshet.yml is ignored"
    assert "`trget` is not a key" in annotation["message"]


def test_every_package_that_cannot_be_installed_is_annotated() -> None:
    annotations = (
        Annotation("failure", "A package is private", "`octo/secret`: give the App access to it.", "t/packages.yml", 3),
        Annotation(
            "failure",
            "Package x/y cannot be installed",
            "Package `x/y` was not found (requested in `t/packages.yml`, line 5).",
            "t/packages.yml",
            5,
        ),
    )
    error = PackagesError("installing the packages of octo/shop", "2 of 3 packages cannot be used", "See each.", annotations=annotations)
    output = check_run.check_run(failed(results.problem(error)), "u")["output"]
    assert [(one["path"], one["start_line"]) for one in output["annotations"]] == [("t/packages.yml", 3), ("t/packages.yml", 5)]
    assert "- A package is private (`t/packages.yml`, line 3): `octo/secret`: give the App access to it." in output["summary"]
    assert "- Package `x/y` was not found (requested in `t/packages.yml`, line 5)." in output["summary"]


def test_a_remark_about_an_installed_package_is_listed_not_annotated() -> None:
    remarks = (
        Annotation("warning", "Old", "It is old", "t/dbt_packages/utils/macros/a.sql", 3),
        Annotation("notice", "New", "x", "t/models/orders.sql", 0),
    )
    output = check_run.check_run(succeeded(None, remarks=remarks), "u")["output"]
    assert [(one["path"], one["start_line"]) for one in output["annotations"]] == [("t/models/orders.sql", 1)]
    assert "- Old: It is old (in `t/dbt_packages/utils/macros/a.sql`)" in output["summary"]


def test_the_most_severe_annotations_are_sent_up_to_githubs_limit() -> None:
    remarks = (
        *(Annotation("notice", "n", "m", f"t/{number}.sql", 1) for number in range(70)),
        Annotation("failure", "f", "m", "t/f.sql", 1),
    )
    output = check_run.check_run(failed(Problem("t", "m", remarks=remarks)), "u")["output"]
    assert len(output["annotations"]) == 50
    assert output["annotations"][0]["path"] == "t/f.sql"
    assert "21 more annotations cannot be shown" in output["summary"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.sql", "a//b", ".git/config", "a\nb.sql"])
def test_a_path_outside_the_repository_is_not_annotated(path: str) -> None:
    assert (
        "annotations" not in check_run.check_run(failed(Problem("t", "m", remarks=(Annotation("failure", "t", "m", path),))), "u")["output"]
    )


def test_results_of_earlier_releases_are_still_shown() -> None:
    old = result(None)
    for key in ("evidence", "placeholders", "remarks"):
        del old[key]
    old["notes"] = ["Parsed for duckdb with the target `dev`: the default."]
    output = check_run.check_run(replace(succeeded(None), result=old), "u")["output"]
    assert "- Parsed for duckdb with the target `dev`: the default." in output["summary"]
    assert msgspec.json.decode(b'{"title": "t", "message": "m", "conclusion": "neutral"}', type=Problem).remarks == ()


def test_remarks_are_stored_and_read_again() -> None:
    of = Problem("t", "m", remarks=(Annotation("failure", "t", "m", "a.sql", 3),))
    assert msgspec.json.decode(msgspec.json.encode(of), type=Problem) == of


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_text_has_no_effect_in_a_check_run(text: str) -> None:
    evil = f"zq9{text}zq9"
    placeholders = (Placeholder("env_var", evil, evil, evil, 1), Placeholder("var", text, text, text))
    remarks = (Annotation("warning", evil, evil, "a.sql", 1), Annotation("notice", text or "x", text, text, 2))
    layout = replace(
        LAYOUT,
        project_dir=evil,
        adapter=AdapterChoice("duckdb", evil, f"the profile `{evil}` in {evil}"),
        dbt=RequestedVersion((evil,), None, evil),
        settings=RepositorySettings(complaints=(Complaint(evil, 1),)),
        discovered=DiscoveredProjects((evil, text), (LeftOut(evil, evil), LeftOut(text, text)), 2),
    )
    graph = Lineage(evil, evil, evil, "v12", (node("model.shop.a"),))
    change = ChangeSummary(nodes_added=(evil, text), nodes_removed=(evil,))
    stored = results.success(results.Run(layout, evil, evil, {}, placeholders, remarks), graph, change)
    facts = ContainerFacts(Usage(1.0), evil, placeholders)
    output = f"{evil}\n{text}\nCompilation Error in model {evil}"
    error = DbtError(f"parsing {evil}", output, facts=facts, place=(evil, 1), annotations=remarks)
    msgspec.json.encode([stored, results.problem(error)])
    other = NoProjectError(f"looking in {evil}", f"no `{evil}` {text}", evil)
    bodies = [
        check_run.check_run(replace(succeeded(None), result=stored, siblings=2, project_dir=evil), "u"),
        *(check_run.check_run(failed(results.problem(one)), "u") for one in (error, other)),
        check_run.check_run(failed(Problem(evil, evil, evil, evil, evil, 1, remarks=remarks)), "u"),
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


def test_checks_that_dbt_did_not_make_are_reported() -> None:
    ignored = (IgnoredCheck("version", "dbt_utils", ">=0.20.0, <1.0.0"), IgnoredCheck("warn_error", "warn_error_options"))
    package, warnings = results.ignored_checks(ignored, "1.11.16")
    assert package.message == (
        "`dbt_utils` requires dbt `>=0.20.0, <1.0.0`. It was parsed with dbt 1.11.16 all the same, as with dbt's own `--no-version-check`."
    )
    assert "`warn_error_options`" in warnings.message
    error = DbtError("parsing octo/shop", "Compilation Error\n  'x' is undefined", facts=ContainerFacts(Usage(1.0), ignored=ignored))
    assert [remark.title for remark in results.problem(error).remarks] == [package.title, warnings.title]
