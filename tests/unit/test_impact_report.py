"""What a check run says about a change: its title, conclusion, lists, picture and annotations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.models.comparisons import Base
from app.lineage.impact.model import Impact
from app.project.impact_policy import EffectivePolicy, ImpactPolicy
from app.reports import check_run, impact
from app.reports.impact_places import Places
from app.web.api.schemas.extractions import ExtractionView
from tests.unit.github_markdown import HOSTILE, assert_dead, tokens
from tests.unit.impact_scene import (
    CHURN,
    CUSTOMERS,
    HEAD,
    KPIS,
    MERGE_BASE,
    NOT_NULL,
    ORDERS,
    PLACES,
    WEEKLY,
    WHOLE,
    breaks,
    change,
    extraction,
    graph,
    hostile,
    reached,
)
from tests.unit.test_check_run import QUEUED

SHA = QUEUED.sha
PAGE_URL = "https://freshet.example/extractions/e1"
PAGE = (Path(__file__).parents[2] / "docs/checks.md").read_text()
NEAREST = Base("nearest", "1" * 40, "main", "2" * 40)
FAIL = EffectivePolicy(ImpactPolicy("fail"))


def body(**more: Any) -> dict[str, Any]:
    return check_run.check_run(extraction(**more), PAGE_URL)


def summary(**more: Any) -> str:
    text: str = body(**more)["output"]["summary"]
    return text


def headings(markdown: str) -> list[str]:
    found = list(tokens(markdown))
    return [found[number + 1].content for number, token in enumerate(found) if token.type == "heading_open"]


def only(changes: Any = (), reached: Any = (), broken: Any = (), /, **counts: dict[str, int]) -> Impact:
    return Impact(tuple(changes), tuple(reached), tuple(broken), counts)


@pytest.mark.parametrize(
    ("found", "title"),
    [
        (WHOLE, "1 column removed, 1 column renamed, 1 model and 1 test break, 1 more may break, other values in 1 model"),
        (only(), "No change to data"),
        (only([change(ORDERS, "none")], changes={"none": 1}), "No change to data"),
        (only([change(ORDERS, "added", "a", "b")], changes={"added": 1}, columns={"added": 2}), "2 columns added"),
        (only([change(ORDERS, "added")], changes={"added": 1}), "1 model added"),
        (only([change(ORDERS, "moved")], changes={"moved": 1}), "1 model moved, nothing else reached"),
        (only([change(ORDERS, "rows")], changes={"rows": 1}), "1 model changed, nothing else reached"),
        (
            only([change(ORDERS, "rows")], [reached(WEEKLY), reached(CHURN)], changes={"rows": 1}, reached={"model": 7, "exposure": 2}),
            "1 model changed, 2 exposures reached",
        ),
        (
            only([change(ORDERS, "logic", "a")], [reached(KPIS)], changes={"logic": 1}, reached={"model": 1}),
            "1 model changed, 1 model reached",
        ),
        (
            only([change(ORDERS, "retyped", "a")], [], [breaks(WEEKLY)], changes={"retyped": 1}, columns={"retyped": 1}),
            "1 column retyped, 1 exposure breaks",
        ),
        (
            only([change(ORDERS, "removed")], [], [breaks(WEEKLY, certain=False)], changes={"removed": 1}),
            "1 model removed, 1 exposure may break",
        ),
        (
            only([change(KPIS, "removed"), change(ORDERS, "removed", "a")], changes={"removed": 2}, columns={"removed": 1}),
            "1 model removed, 1 column removed, nothing else reached",
        ),
        (
            only(
                [change(ORDERS, "removed", "a"), change(KPIS, "rows"), change(CUSTOMERS, "rows", inherited=True)],
                [reached(WEEKLY)],
                changes={"removed": 1, "rows": 2},
                columns={"removed": 1},
                reached={"exposure": 1},
            ),
            "1 column removed, other rows in 1 model, 1 exposure reached",
        ),
        (
            only(
                [change(ORDERS, "removed", "a"), change(KPIS, "rows"), change(KPIS, "logic", "b"), change(CUSTOMERS, "logic", "c")],
                [],
                [breaks(WEEKLY)],
                columns={"removed": 1, "logic": 2},
            ),
            "1 column removed, 1 exposure breaks, other rows or values in 2 models",
        ),
        (
            only([], [], [breaks(unique_id) for unique_id in (KPIS, NOT_NULL, WEEKLY, "metric.shop.revenue")]),
            "4 nodes break",
        ),
        (only([change(KPIS, "removed", "a", inherited=True)]), "No change to data"),
    ],
)
def test_a_title_says_what_changes_and_what_it_breaks_or_reaches(found: Impact, title: str) -> None:
    assert body(impact=found)["output"]["title"] == title


def test_the_summary_begins_with_breaks_and_ends_with_totals() -> None:
    text = summary()
    assert headings(text) == ["What breaks", "What may break", "What is reached", "What changed", "How Freshet read the project"]
    order = [
        "Compared with",
        "### What breaks",
        "```mermaid",
        "### How Freshet",
        "<details><summary>Totals and times</summary>",
        "| models | 1 |",
    ]
    assert sorted(order, key=text.index) == order
    assert text.rstrip().endswith("</details>")
    assert "Changes since the previous lineage" not in text


def test_each_break_has_its_kind_owner_file_line_and_cause() -> None:
    file = f"[`t/models/marts/kpis.sql`](https://github.com/octo/shop/blob/{SHA}/t/models/marts/kpis.sql#L3)"
    assert f"- `kpis` (model, owner `finance`) in {file}, line 3: `kpis` reads `amount` of `orders`, which is gone." in summary()


def test_exposures_come_first_with_owner_and_address_then_metrics_and_marts() -> None:
    lines = summary().split("### What is reached\n\n")[1].splitlines()
    assert lines[0] == "2 exposures, 1 metric, 3 marts, 1 test."
    assert [line.split("[")[0] for line in lines[2:6]] == ["- Exposure ", "- Exposure ", "- Metrics: ", "- Marts: "]
    assert lines[2].endswith(": dashboard, owner `Ann`, `https://bi.example/weekly`, through `revenue`")
    assert "By owner: `Ann` 1, `finance` 1. By group: `core` 1." in lines


def test_each_changed_node_says_why_and_inherited_changes_are_short() -> None:
    text = summary()
    assert "  - **removed**: `amount` is no longer a column of `orders`.\n  - **renamed**: `cust` of `orders` is now" in text
    assert "**other values** (possible): `lifetime_value` of `customers` may" in text
    assert f"- [`orders_all`](https://github.com/octo/shop/blob/{SHA}/t/models/orders_all.sql) inherits: removed `amount`\n" in text


@pytest.mark.parametrize(
    ("base", "words"),
    [
        (MERGE_BASE, "the merge base with `main`. This branch is 3 commits behind `main`: what they change is not counted here."),
        (Base("merge_base", "a" * 40, "release", pull_request=7), "`release` ([pull request 7](https://github.com/octo/shop/pull/7))."),
        (Base("previous_head", "a" * 40, "main"), "the previous head of `main`."),
        (NEAREST, "for now, the nearest earlier commit with a lineage. Freshet is extracting [`2222222`]"),
    ],
)
def test_the_summary_begins_with_the_commit_that_it_compares_with(base: Base, words: str) -> None:
    first = summary(base=base).split("\n\n")[0]
    assert first.startswith(f"Compared with [`{(base.sha or '')[:7]}`](https://github.com/octo/shop/commit/{base.sha})")
    assert words in first


def test_a_provisional_comparison_says_so_fails_nothing_and_leaves_no_annotation_behind() -> None:
    found = body(base=NEAREST, policy=FAIL)
    assert found["output"]["title"].endswith("(provisional)")
    assert found["conclusion"] == "neutral"
    assert "annotations" not in found["output"], "GitHub keeps those that a later update no longer has"
    stays = body(base=NEAREST, policy=FAIL, reason="That commit has no dbt project.")
    assert "instead of [`2222222`]" in stays["output"]["summary"]
    assert "That commit has no dbt project." in stays["output"]["summary"]
    assert (stays["conclusion"], len(stays["output"]["annotations"])) == ("neutral", 2)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (impact.waiting(Base("none", wanted_sha="2" * 40, branch="main"), FAIL), "What this commit changes follows: Freshet is extracting"),
        (impact.without_base("The branch has no commit in common with `main`.", FAIL), "The branch has no commit in common with `main`."),
        (
            impact.failed("Freshet stopped with an internal error.", MERGE_BASE, FAIL),
            "What this commit changes is not known. Freshet stopped",
        ),
    ],
)
def test_without_a_comparison_the_title_counts_and_the_summary_says_why(stored: dict[str, Any], words: str) -> None:
    found = body(stored=stored)
    assert found["output"]["title"] == "1 model, 1 seed, 0 edges (~1)"
    assert found["output"]["summary"].startswith(words)
    assert found["conclusion"] == "success"


@pytest.mark.parametrize(
    ("own", "base", "found", "conclusion"),
    [
        ("neutral", None, WHOLE, "neutral"),
        ("neutral", None, only([], [], [breaks(certain=False)]), "neutral"),
        ("neutral", None, only([change()]), "success"),
        ("fail", None, WHOLE, "failure"),
        ("fail", None, only([], [], [breaks(certain=False)]), "neutral"),
        ("fail", None, only([change()]), "success"),
        ("off", None, WHOLE, "success"),
        ("off", "neutral", WHOLE, "neutral"),
        ("off", "fail", WHOLE, "failure"),
        ("neutral", "fail", WHOLE, "failure"),
        ("fail", "off", WHOLE, "failure"),
        ("off", "off", WHOLE, "success"),
    ],
)
def test_the_stricter_policy_and_what_breaks_decide_the_conclusion(own: Any, base: Any, found: Impact, conclusion: str) -> None:
    policy = EffectivePolicy(ImpactPolicy(own), base and ImpactPolicy(base))
    made = body(impact=found, policy=policy)
    assert made["conclusion"] == conclusion
    assert "actions" not in made, "another run would say the same"
    levels = {one["annotation_level"] for one in made["output"].get("annotations", ())}
    assert levels <= {"failure" if conclusion == "failure" else "warning"}
    assert body(impact=found, policy=policy, followed=True)["conclusion"] == conclusion.replace("failure", "neutral")


def test_on_the_followed_branch_nothing_fails_and_the_text_says_so() -> None:
    made = body(policy=FAIL, followed=True, base=Base("previous_head", "a" * 40, "main"))
    assert "On the followed branch, breaks fail nothing." in made["output"]["summary"]
    assert {one["annotation_level"] for one in made["output"]["annotations"]} == {"warning"}


@pytest.mark.parametrize(
    ("policy", "conclusion", "failures"),
    [
        (ImpactPolicy("fail", ("t/models/marts",)), "failure", ["t/models/orders.sql", "t/models/marts/kpis.sql"]),
        (ImpactPolicy("fail", ("models/marts",)), "success", []),
        (ImpactPolicy("fail", ("t/models/staging",)), "success", []),
        (ImpactPolicy("fail", tags=("finance",)), "failure", ["t/models/orders.sql", "t/models/marts/kpis.sql"]),
        (ImpactPolicy("neutral", tags=("finance",)), "neutral", []),
        (ImpactPolicy("neutral", tags=("growth",)), "success", []),
    ],
)
def test_folders_and_tags_choose_whose_breaks_decide(policy: ImpactPolicy, conclusion: str, failures: list[str]) -> None:
    made = body(policy=EffectivePolicy(policy))
    assert made["conclusion"] == conclusion
    assert [one["path"] for one in made["output"]["annotations"] if one["annotation_level"] == "failure"] == failures
    assert "`kpis` (model" in made["output"]["summary"], "others are listed all the same"


def test_what_breaks_in_another_project_is_a_matter_of_what_breaks_it() -> None:
    found = only([], [], [msgspec.structs.replace(breaks("model.bi.revenue"), cause=KPIS, connection_id="c1")], certain={"breaks": 1})
    for folder, conclusion in (("t/models/marts", "failure"), ("t/models/staging", "success")):
        made = body(impact=found, policy=EffectivePolicy(ImpactPolicy("fail", (folder,))))
        assert made["conclusion"] == conclusion
    assert "`revenue` (model) in another project" in made["output"]["summary"]


def test_what_breaks_in_hidden_repositories_is_counted() -> None:
    numbers = {"breaks": 0, "repositories": 0, "hidden_nodes": 3, "hidden_repositories": 2, "not_searched": 1}
    made = body(impact=only([change(ORDERS, "removed", "a")], changes={"removed": 1}, columns={"removed": 1}, elsewhere=numbers))
    assert made["output"]["title"] == "1 column removed, 3 in other repositories may break"
    assert made["conclusion"] == "neutral"
    text = made["output"]["summary"]
    assert headings(text)[0] == "What may break"
    assert "In 2 private repositories of this owner that not everybody here may read, 3 nodes may break too." in text
    assert "Not searched for what breaks: 1 project more of this owner" in text
    assert body(impact=only(elsewhere=numbers), policy=EffectivePolicy(ImpactPolicy("off")))["conclusion"] == "success"


def test_a_failure_names_the_setting_and_the_commit_that_has_it() -> None:
    assert "something breaks: `impact` is `fail` in `.github/freshet.yml`." in summary(policy=FAIL)
    by_base = EffectivePolicy(ImpactPolicy("off"), ImpactPolicy("fail"))
    assert "`impact` is `fail` in `.github/freshet.yml` at [`abcdef1`]" in summary(policy=by_base)


def test_off_shows_nothing_of_what_changes() -> None:
    text = summary(policy=EffectivePolicy(ImpactPolicy("off")))
    assert headings(text) == ["How Freshet read the project"]
    assert "Compared" not in text


def test_the_policy_of_a_commit_is_kept_for_those_that_are_compared_with_it() -> None:
    policy = ImpactPolicy("fail", ("models",), ("finance",))
    for stored in (
        impact.stored(WHOLE, MERGE_BASE, PLACES, EffectivePolicy(policy, ImpactPolicy("off"))),
        impact.without_base("It is the first.", EffectivePolicy(policy)),
    ):
        assert impact.own_policy(json.loads(json.dumps({"impact": stored}))) == policy
    assert impact.own_policy(impact_of_earlier_release()) is None


def impact_of_earlier_release() -> dict[str, Any]:
    return {key: value for key, value in extraction().result.items() if key != "impact"}


def test_annotations_stand_at_the_cause_and_where_it_is_read() -> None:
    found = body()["output"]["annotations"]
    assert [(one["path"], one["start_line"], one["title"]) for one in found] == [
        ("t/models/orders.sql", 3, "The change of amount in orders breaks 2 nodes and may break 1 more"),
        ("t/models/marts/kpis.sql", 3, "kpis breaks"),
    ]
    assert found[0]["message"].splitlines()[2] == "Possibly: `weekly_kpis` depends on `kpis`, which breaks."


def test_annotations_are_only_about_files_of_the_commit() -> None:
    base = graph(("model.shop.old", [], {}), ("model.utils.dates", [], {}))
    places = Places(HEAD, base, project_dir="t", project_name="shop")
    found = only(
        [], [], [breaks(KPIS, cause="model.shop.old"), breaks("model.utils.dates", cause=None), breaks(WEEKLY, connection_id="c2")]
    )
    made = body(impact=found, places=places)
    assert "annotations" not in made["output"]
    assert "(exposure, owner `Ann`) in another project: " in made["output"]["summary"]


def test_the_same_annotation_is_sent_once() -> None:
    again = only([], [], [breaks(), breaks(), breaks(kind="contract")])
    assert len(body(impact=again)["output"]["annotations"]) == 2


def many(number: int, name: str = "m") -> tuple[Impact, Places]:
    """A change that breaks very many models."""
    names = [f"model.shop.{name}{position}" for position in range(number)]
    head = graph((ORDERS, [], {}), *((unique_id, [ORDERS], {"tags": ["x"], "owner": f"{name} {unique_id}"}) for unique_id in names))
    broken = tuple(breaks(unique_id, reason=f"{name} {unique_id} reads `amount`. " * (20 if len(name) > 1 else 2)) for unique_id in names)
    changes = tuple(change(unique_id, "logic", *(f"{name}{column}" for column in range(100))) for unique_id in names)
    counts = {"changes": {"logic": number}, "reached": {"model": number}, "owners": {f"{name} {one}": 1 for one in names}}
    code = dict.fromkeys(names, "select amount")
    found = Impact((change(ORDERS, "removed", "amount"), *changes), tuple(map(reached, names)), broken, counts)
    return found, Places(head, project_name="shop", project_dir="t", head_code=code)


@pytest.mark.parametrize(
    ("number", "name"), [(10_000, "m"), (300, "`|" * 60), (300, "é" * 150), (300, "@octocat #1 https://evil.example " * 10)]
)
def test_very_many_breaks_stay_within_githubs_limits(number: int, name: str) -> None:
    found, places = many(number, name)
    kept = extraction(impact=found, places=places)
    made, stored = check_run.check_run(kept, PAGE_URL), kept.result["impact"]
    assert len(made["output"]["summary"].encode()) <= 65_535
    assert len(made["output"]["annotations"]) == 50 if name == "m" else 0 < len(made["output"]["annotations"]) < 50
    assert made["output"]["title"] == f"{number + 1:,} models changed, {number:,} models break"
    assert len(msgspec.json.encode(stored)) <= impact.MAX_BYTES
    assert len(stored["picture"]["nodes"]) == 30
    text = made["output"]["summary"]
    shown = text.split("### What breaks\n\n")[1].split("\n\n")[0].splitlines()
    assert shown[-1] == f"- [{number - len(shown) + 1:,} more]({PAGE_URL})"
    assert_dead(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_names_have_no_effect_in_what_a_check_run_says_of_a_change(text: str) -> None:
    evil = f"zq9{text}zq9"
    found, places = hostile(text, evil)
    base = Base("nearest", "a" * 40, evil, "b" * 40, 3, 7)
    for made in (
        body(impact=found, places=places, base=base, reason=evil),
        body(impact=found, places=places, base=Base("merge_base", "a" * 40, text, behind_by=1)),
        body(stored=impact.failed(evil, base, FAIL)),
        body(stored=impact.without_base(evil, FAIL)),
    ):
        output = made["output"]
        assert_dead(output["summary"], "zq9")
        assert len(output["summary"].encode()) <= 65_535
        for line in (output["title"], *(one["title"] for one in output.get("annotations", ()))):
            assert line.isprintable()
        msgspec.json.encode(made)


def test_a_comparison_says_what_it_could_not_know() -> None:
    found = replace(WHOLE, without_columns=("base", "head"), left_out={"definitions": 2, "breaks": 7, "changes": 9})
    text = summary(impact=found)
    assert "The columns of the commit that it is compared with and this commit are not known, so everything is compared by model" in text
    assert "2 nodes were too large to search for what breaks." in text
    assert (
        body(impact=found)["output"]["title"]
        == "1 column removed, 1 column renamed, at least 1 model and 1 test break, 1 more may break, other values in at least 1 model"
    )
    more = text.split("### What may break\n\n")[1].split("\n\n")[0].splitlines()
    assert more[-1] == f"- [7 more]({PAGE_URL})"
    rows = replace(only([change(ORDERS, "rows")], changes={"rows": 2_001}), left_out={"changes": 2_000})
    assert body(impact=rows)["output"]["title"].startswith("At least 1 model changed")


def test_a_title_that_is_too_long_ends_with_what_matters_most() -> None:
    kept = extraction(base=NEAREST, reason="")
    many = {"semantic_model": 10**9, "saved_query": 10**9}
    kept.result["impact"]["totals"] |= {"removed": many, "certain": many, "possible": many, "rows": many}
    kept.result["impact"]["counts"]["columns"] = {"removed": 10**9, "renamed": 10**9, "retyped": 10**9}
    title = check_run.check_run(kept, PAGE_URL)["output"]["title"]
    assert title.startswith("1,000,000,000 semantic models and 1,000,000,000 saved queries removed, 1,000,000,000 columns removed, ")
    assert title.endswith("saved queries break (provisional)")
    assert len(title) <= 250


def test_a_node_that_is_gone_links_to_the_commit_that_has_it() -> None:
    places = Places(HEAD, graph(("model.shop.old", [], {})), project_dir="t", project_name="shop")
    text = summary(impact=only([change("model.shop.old", "removed")], changes={"removed": 1}), places=places)
    assert f"[`old`](https://github.com/octo/shop/blob/{MERGE_BASE.sha}/t/models/old.sql)" in text


def test_links_lead_to_the_server_of_the_installation() -> None:
    text = check_run.check_run(extraction(), "u", "https://git.acme.example/")["output"]["summary"]
    assert f"(https://git.acme.example/octo/shop/blob/{SHA}/t/models/orders.sql#L3)" in text
    assert "github.com" not in text


def test_the_example_of_the_page_is_what_a_check_run_shows() -> None:
    shown = summary().split("\n\n### How Freshet read")[0]
    assert "\n".join(f"> {line}".rstrip() for line in shown.splitlines()) in PAGE
    assert f"**{body()['output']['title']}**" in PAGE


def test_results_survive_the_database() -> None:
    found = extraction()
    again = json.loads(json.dumps(found.result))
    assert check_run.check_run(extraction(stored=again["impact"]), "u") == check_run.check_run(found, "u")


def test_the_api_has_the_comparison_in_short() -> None:
    view = ExtractionView.of(extraction(policy=FAIL))
    assert view.result is not None
    assert view.result.impact is not None
    assert view.result.impact.state == "ready"
    assert view.result.impact.base.sha == MERGE_BASE.sha
    assert view.result.impact.counts["reached"] == {"exposure": 2, "metric": 1, "model": 3, "test": 1}
    assert (view.conclusion, view.headline) == ("failure", body(policy=FAIL)["output"]["title"])
