from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser

import aiohttp_jinja2
import jinja2
import pytest
from aiohttp import web

from app.core.models.annotations import Annotation
from app.core.models.comparisons import Base
from app.core.models.connections import Connection
from app.core.models.extractions import Extraction, Problem
from app.core.models.github import Repository
from app.lineage.impact.model import Impact
from app.project.impact_policy import EffectivePolicy
from app.reports import impact
from app.web.api.schemas.connections import ConnectionView
from app.web.api.schemas.extractions import ExtractionView
from app.web.pages import extraction, frame
from tests.unit import impact_scene
from tests.unit.github_markdown import HOSTILE, UNSEEN
from tests.unit.impact_scene import hostile

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REPOSITORY = Repository(7, "octo/shop", 3, "main")
FAILED = Extraction("e1", 1, "c1", REPOSITORY, "main", "d" * 40, "t", "failed", "push", NOW)
OURS = {"a", "form", "button", "div", "h1", "h2", "h3", "p", "code", "pre", "section", "ul", "li", "table", "tr", "th", "td", "strong"}


class Reader(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@cache
def templates() -> jinja2.Environment:
    web_app = web.Application()
    frame.set_up(web_app)
    return aiohttp_jinja2.get_env(web_app)


def render(found: Extraction) -> str:
    context = extraction._context(found, "https://github.example", extraction.Existing(), may_push=True)
    return templates().get_template("_extraction.html").render(context)


def result(text: str) -> dict[str, object]:
    counts = {"nodes_added": 1, "nodes_removed": 0, "nodes_changed": 0, "edges_added": 0, "edges_removed": 0}
    return {
        "project_name": text,
        "project_dir": text,
        "dbt_version": text,
        "adapter_type": text,
        "counts": {"model": 1},
        "edges": 0,
        "change": {"nodes_added": [text], "nodes_removed": [], "nodes_changed": [], "counts": counts, "total": 1},
        "columns": {
            "state": "ready",
            "counts": {"exact": 2, "approximate": 1, "unknown": 0},
            "not_exact": [{"status": "approximate", "reason": f"`{text}` reads rows.", "count": 5, "unique_ids": [f"model.shop.{text}"]}],
            "reasons": 2,
            "hard_coded": [{"name": text, "count": 1, "unique_ids": [f"model.shop.{text}"]}],
            "tables": 1,
        },
        "notes": [f"the profile `{text}` of {text}"],
        "placeholders": [{"kind": "var", "name": text, "value": text, "path": text, "line": 1}],
        "remarks": [{"level": "notice", "title": text, "message": f"{text}\n{text}", "path": text, "line": 1}],
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_harmless_on_a_page(text: str) -> None:
    remarks = (Annotation("failure", text, text, text, 3), Annotation("notice", text, f"{text}\n\n{text}"))
    problem = Problem(text, f"While `{text}`: {text}", text, text, text, 3, remarks=remarks)
    change, places = hostile(text, f"a{text}b")
    kept = impact.stored(change, Base("nearest", "a" * 40, text, "b" * 40), places, EffectivePolicy(), reason=f"It is {text}.")
    compared = replace(FAILED, status="succeeded", result=result(text) | {"impact": kept})
    for found in (replace(FAILED, problem=problem), replace(FAILED, status="succeeded", result=result(text)), compared):
        read = Reader(render(found))
        assert {tag for tag, _ in read.tags} <= OURS
        assert {name for _, attrs in read.tags for name, _ in attrs} <= {"class", "scope", "href", "rel", "method", "action"}
        links = [value or "" for _, attrs in read.tags for name, value in attrs if name in {"href", "action"}]
        assert links
        assert all(link.startswith(("https://github.example/", "/connections/", "/extractions/")) for link in links)
        assert not UNSEEN.search(read.text)


def test_a_page_shows_notes_and_placeholders() -> None:
    read = Reader(render(replace(FAILED, status="succeeded", result=result("shop"))))
    assert "the profile shop of shop" in read.text
    assert 'vars:\n  shop: "shop"' in read.text
    assert "`" not in read.text


def test_a_page_says_how_far_the_columns_are_known() -> None:
    text = " ".join(Reader(render(replace(FAILED, status="succeeded", result=result("shop")))).text.split())
    assert "2 of 3 models exact, 1 approximate." in text
    for part in ("5 approximate", "shop reads rows.", "shop and 4 more", "1 table that the SQL names and dbt does not know:"):
        assert part in text
    failed = result("shop") | {"columns": {"state": "failed", "reason": "The container needed more than `600 MiB`."}}
    assert (
        "There are no columns. The container needed more than 600 MiB."
        in Reader(render(replace(FAILED, status="succeeded", result=failed))).text
    )


def test_a_page_lists_what_breaks_what_is_reached_and_what_changed() -> None:
    found = impact_scene.extraction()
    read = Reader(render(replace(found, result=result("shop") | {"impact": found.result["impact"]})))
    text = " ".join(read.text.split())
    for part in (
        "Compared with abcdef1, the merge base with main. This branch is 3 commits behind main",
        "What breaks kpis (model, owner finance) in t/models/marts/kpis.sql, line 3: kpis reads amount of orders, which is gone.",
        "What may break weekly_kpis (exposure, owner Ann)",
        "What is reached 2 exposures, 1 metric, 3 marts, 1 test.",
        "in t/models/_exposures.yml, https://bi.example/weekly, through revenue",
        "orders_all (model) in t/models/orders_all.sql: removed (inherited).",
    ):
        assert part in text
    assert "Changes since the previous lineage" not in text
    assert "`" not in text


def test_files_are_linked_at_the_line_and_those_of_removed_nodes_at_the_commit_before() -> None:
    gone, base = "model.shop.gone", impact_scene.MERGE_BASE.sha
    graph = impact_scene.graph((gone, [], {"original_file_path": "models/gone.sql"}))
    changes = (*impact_scene.WHOLE.changes, impact_scene.change(gone, "removed"))
    found = impact_scene.extraction(impact=replace(impact_scene.WHOLE, changes=changes), places=replace(impact_scene.PLACES, base=graph))
    kept = found.result["impact"]
    page = render(replace(found, result=result("shop") | {"impact": kept}))
    assert f'href="https://github.example/octo/shop/blob/{base}/t/models/gone.sql"' in page
    assert f"/nodes/{gone}?sha={base}" in page
    assert page.count(f"/blob/{base}/") == 1
    lines = {one["unique_id"]: (one["path"], one["line"]) for one in kept["annotations"]}
    path, line = lines[impact_scene.KPIS]
    assert f'/blob/{found.sha}/{path}#L{line}"' in page


def test_what_breaks_in_other_projects_leads_to_them_and_hidden_ones_are_counted() -> None:
    other = "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11"
    foreign = impact_scene.breaks(impact_scene.ORDERS, connection_id=other, reason="orders in octo/other reads amount.")
    numbers = {"hidden_nodes": 3, "hidden_repositories": 2, "not_searched": 1}
    kept = impact.stored(
        Impact(breaks=(foreign,), counts={"elsewhere": numbers}), impact_scene.MERGE_BASE, impact_scene.PLACES, EffectivePolicy()
    )
    read = Reader(render(replace(FAILED, status="succeeded", result=result("shop") | {"impact": kept})))
    text = " ".join(read.text.split())
    assert "orders (model) in another project: orders in octo/other reads amount." in text
    assert f"/connections/{other}/nodes/{impact_scene.ORDERS}" in [dict(attrs).get("href") for _, attrs in read.tags]
    assert "In 2 private repositories of this owner that not everybody here may read, 3 nodes may break too." in text
    assert "Not searched for what breaks: 1 project more" in text


def test_a_page_of_a_commit_that_changes_nothing_says_so() -> None:
    kept = impact.stored(Impact(), impact_scene.MERGE_BASE, impact_scene.PLACES, EffectivePolicy())
    text = " ".join(Reader(render(replace(FAILED, status="succeeded", result=result("shop") | {"impact": kept}))).text.split())
    assert "Compared with abcdef1" in text
    assert "No change to data." in text
    assert "What is reached" not in text


def test_a_page_says_each_error_once() -> None:
    both = Annotation("failure", "t", "a is missing\n\nAdd `a`.", "a.sql", 3), Annotation("failure", "t", "b is missing", "b.sql", 1)
    for remarks, times in ((both[:1], 1), (both, 2)):
        problem = Problem("t", "m", "Add `a`.", "a is missing", "a.sql", 3, remarks=(*remarks, Annotation("notice", "n", "a placeholder")))
        read = Reader(render(replace(FAILED, problem=problem)))
        assert read.text.count("a is missing") == times
        assert "a placeholder" in read.text


def test_a_first_lineage_is_called_so_once() -> None:
    kept = impact.without_base("This is the first lineage of the project.", EffectivePolicy())
    first = replace(FAILED, status="succeeded", result=result("shop") | {"impact": kept, "change": None})
    assert Reader(render(first)).text.count("first lineage") == 1


def test_results_of_early_versions_are_still_shown() -> None:
    old = {key: value for key, value in result("shop").items() if key not in ("placeholders", "remarks", "columns")}
    assert "<h2>Lineage</h2>" in render(replace(FAILED, status="succeeded", result=old))


def test_a_stale_message_has_the_reason() -> None:
    connection = Connection("c1", REPOSITORY, "t", None, NOW, head_sha="d" * 40, lineage_sha="a" * 40)
    connection = replace(connection, head_status="failed", head_problem="A YAML file cannot be read")
    words = "The lineage is that of commit `aaaaaaa`; the newest commit is `ddddddd`. A YAML file cannot be read."
    assert extraction.stale_warning(FAILED, connection) == words
    assert extraction.stale_warning(replace(FAILED, branch="other"), connection) is None
    assert extraction.stale_warning(FAILED, replace(connection, lineage_sha="d" * 40)) is None
    assert ConnectionView(**ConnectionView.fields_of(connection)).stale_reason == "A YAML file cannot be read"


def test_the_api_returns_the_annotations_of_a_problem() -> None:
    problem = Problem("t", "m", remarks=(Annotation("failure", "t", "m", "a.sql", 3),))
    shown = ExtractionView.of(replace(FAILED, problem=problem)).model_dump()["error"]
    assert shown["remarks"] == [{"level": "failure", "title": "t", "message": "m", "path": "a.sql", "line": 3}]
