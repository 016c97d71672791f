"""Columns found in real containers: what is rendered without a warehouse, what is said to be invented, what is reused, what it may cost."""

from __future__ import annotations

import json
from collections.abc import Sequence

import aiodocker
import pytest

from tests.engine.forks import Forks
from tests.integration.column_containers import Node, Written, written
from tests.integration.column_projects import FEATURES, features
from tests.integration.runner_projects import PROJECT

OWN_WORK = ("reused", "cache")
OLDER = "1.7"


@pytest.fixture(scope="module")
def kept() -> dict[str, Written]:
    """What one container has written, for several tests."""
    return {}


async def first(kept: dict[str, Written]) -> Written:
    if "first" not in kept:
        kept["first"] = await written(FEATURES)
    return kept["first"]


def said(nodes: dict[str, Node]) -> dict[str, Node]:
    """The nodes without what only the next container reads."""
    return {name: {key: value for key, value in node.items() if key not in OWN_WORK} for name, node in nodes.items()}


def with_status(found: Written, status: str) -> set[str]:
    return {name for name, node in found.nodes.items() if node["status"] == status}


async def test_all_that_can_be_known_is_exact_and_what_is_invented_is_named(docker: aiodocker.Docker, kept: dict[str, Written]) -> None:
    found = await first(kept)
    assert (found.status, found.rest, found.announced["error"]) == (0, b"", None)
    assert with_status(found, "unknown") == {"model.snake", "model.broken", "model.nothing"}
    reasons = {name.partition(".")[2]: found.nodes[name]["reason"] for name in with_status(found, "approximate")}
    refused = "Compilation Error in model refused (models/refused"
    assert {name: reason.partition(".")[0] for name, reason in reasons.items() if name != "raises"} == {
        "pivoted": "`tools",
        "breaks": "`first_column` reads rows from the warehouse",
        "queried": "`first_column` reads rows from the warehouse",
        "guesses": "The SQL file asks whether `elsewhere",
        "star_of_source": "`tools",
        "renamed_source": "`dbt_utils",
        "valued": "`dbt_utils",
        "all_visits": "`dbt_utils",
        "first_row": "`run_query` reads rows from the warehouse",
        "by_type": "The SQL file decides by the type of the column `status`, which is not known",
        "by_variable": "The SQL file decides by the variable `absent`, which has no value",
        "refused": "It is rendered as for `dbt compile`, because as for `dbt run` it fails: " + refused,
    }
    assert reasons["pivoted"].startswith("`tools.get_column_values` reads rows from the warehouse.")
    assert reasons["star_of_source"].startswith("`tools.star` asks for the columns of `raw.orders`, of which not all are known.")
    assert "no such month" in reasons["raises"]
    assert "the empty result of a query has no element 0" in reasons["first_row"]
    assert reasons["by_variable"].endswith("Set it in `.github/freshet.yml` to see what the SQL makes of it.")
    assert found.nodes["model.raises"]["rendered"] == found.nodes["model.breaks"]["rendered"] == "without_execute"


async def test_macros_get_the_columns_that_were_found_upstream(docker: aiodocker.Docker, kept: dict[str, Written]) -> None:
    found = await first(kept)
    assert '"id", "status"' in found.nodes["model.starred"]["compiled_code"]
    assert found.sources_of("model.starred", "status") == {"model.orders.status"}
    assert found.sources_of("model.united", "id") == {"model.orders.id", "model.countries_copy.id"}
    # It stands for an unknown type in the macro's answer, and is none that the SQL states.
    assert {name: kind for name, kind, _ in found.nodes["model.united"]["columns"]}["status"] is None
    assert found.columns("model.looks") == ["id", "there"]
    assert "'True' as there" in found.nodes["model.looks"]["compiled_code"]
    assert found.columns("model.graphic") == ["id", "status"]
    assert found.columns("model.own") == ["id"], "it is not there yet"
    assert "where id" not in found.nodes["model.grows"]["compiled_code"]


async def test_a_star_over_a_table_with_unknown_columns_passes_all_of_them_on(docker: aiodocker.Docker, kept: dict[str, Written]) -> None:
    found = await first(kept)
    assert found.columns("model.whole_source") == ["one", "id", "page"]
    assert found.sources_of("model.whole_source", "page") == {"source.web.visits.page"}
    assert "v.* EXCLUDE (secret)" in found.nodes["model.whole_source"]["compiled_code"]
    assert found.columns("model.renamed_source") == ["v_id"]
    assert found.columns("model.whole_model") == ["id", "status"]


async def test_macros_are_answered_as_by_dbt_run_and_if_that_fails_as_by_compile(
    docker: aiodocker.Docker, kept: dict[str, Written]
) -> None:
    found = await first(kept)
    assert found.columns("model.commanded") == ["id", "run"]
    assert (found.columns("model.refused"), found.nodes["model.refused"]["rendered"]) == (["id", "status"], "full")
    assert (found.columns("model.valued"), found.nodes["model.valued"]["rendered"]) == (["id"], "full")
    assert found.sources_of("model.all_visits", "id") == {"source.web.visits.id", "source.web.visit_archive.id"}
    code = found.nodes["model.all_visits"]["compiled_code"]
    assert code.index("visit_archive") < code.index("visits"), "in an order that does not follow from that of YAML files"
    assert "lists tables of the warehouse" in found.nodes["model.all_visits"]["reason"]
    assert found.columns("model.direct") == ["id", "status", "one"]


async def test_a_model_that_nobody_can_read_has_the_columns_that_others_read(docker: aiodocker.Docker, kept: dict[str, Written]) -> None:
    found = await first(kept)
    assert found.columns("model.broken") == ["id", "other"]
    assert found.nodes["model.reads_broken"]["status"] == "exact"
    assert found.sources_of("model.reads_broken", "other") == {"model.broken.other"}
    assert all(found.nodes[name]["open"] for name in ("model.broken", "model.all_of_broken"))


async def test_columns_are_followed_through_all_kinds_of_nodes(docker: aiodocker.Docker, kept: dict[str, Written]) -> None:
    found = await first(kept)
    assert found.columns("source.raw.orders") == ["id", "changed_at", "status", "country"], "those of YAML first, then those asked for"
    assert found.sources_of("model.stg_orders", "status") == {"source.raw.orders.status"}
    assert found.sources_of("model.orders", "status") == {"model.stg_orders.status"}
    assert found.sources_of("model.orders", None) == {"model.stg_orders.country"}
    assert found.columns("seed.countries") == ["code", "name"]
    assert found.sources_of("model.reads_ephemeral", "status") == {"model.small.status"}
    assert found.sources_of("model.smaller", "id") == {"model.small.id"}
    assert found.columns("snapshot.old_orders")[2:] == ["dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"]
    assert found.sources_of("snapshot.old_orders", "dbt_valid_from") == {"source.raw.orders.changed_at"}
    assert found.columns("model.reads_version") == ["id"]
    assert found.sources_of("model.reads_special", "id") == {"model.special.id"}
    assert found.columns("model.snake") == ["score", "id"]
    assert (found.columns("model.promised"), found.nodes["model.promised"]["open"]) == (["id", "note"], False)
    assert found.sources_of("model.promised", "note") == {"source.raw.events.note"}
    assert found.nodes["model.hard"]["hard_coded"] == ["legacy.crm.accounts"]
    assert found.sources_of("model.after_pivot", "paid") == {"model.pivoted.paid"}
    assert "model.off" not in found.nodes


async def test_the_manifest_is_the_same_with_and_without_columns(forks: Forks, docker: aiodocker.Docker, kept: dict[str, Written]) -> None:
    found, plain = await first(kept), await written(FEATURES, columns=False, forks=forks)
    assert plain.document == b""
    nodes = [json.loads(one.manifest)["nodes"] for one in (found, plain)]
    assert nodes[0].keys() == nodes[1].keys()
    assert not [name for name, node in nodes[0].items() if node.get("compiled") or node.get("compiled_code")]


async def test_only_what_changed_is_rendered_again_with_the_result_of_a_full_run(
    forks: Forks, docker: aiodocker.Docker, kept: dict[str, Written]
) -> None:
    before = await first(kept)
    files = features(models__orders="select id, upper(status) as status, price from {{ ref('stg_orders') }} where country = 'de'")
    after, full = await written(files, previous=before, forks=forks), await written(files, forks=forks)
    assert after.result["partial"]
    assert said(after.nodes) == said(full.nodes)
    again = {name for name, node in after.nodes.items() if name.startswith("model") and not node["reused"]}
    # What reads its columns, what a macro has asked about them, what looks at the whole graph, what an ephemeral model brings along.
    assert {"model.orders", "model.starred", "model.united", "model.small", "model.graphic"} <= again
    assert again.isdisjoint({"model.stg_orders", "model.countries_copy", "model.after_pivot", "model.reads_version", "model.broken"})
    assert after.columns("model.starred") == ["id", "status", "price"]
    assert after.sources_of("model.stg_orders", "price") == {"source.raw.orders.price"}
    unchanged = await written(files, previous=after, forks=forks)
    assert said(unchanged.nodes) == said(full.nodes)
    assert all(node["reused"] for name, node in unchanged.nodes.items() if name.startswith("model") and node["rendered"])


async def test_a_macro_decides_about_those_that_call_it_or_could(forks: Forks, docker: aiodocker.Docker, kept: dict[str, Written]) -> None:
    before = await first(kept)
    star = "{% macro shop__star(from) %}1 as one{% endmacro %}{% macro duckdb__star(from) %}2 as two{% endmacro %}"
    files = {**FEATURES, "dbt_packages/tools/macros/more.sql": star}
    after, full = await written(files, previous=before, forks=forks), await written(files, forks=forks)
    assert said(after.nodes) == said(full.nodes)
    assert after.columns("model.starred") == ["two"]
    assert after.nodes["model.united"]["reused"]
    assert after.nodes["model.hard"]["reused"]


async def test_a_document_that_is_no_longer_one_is_as_good_as_none(
    forks: Forks, docker: aiodocker.Docker, kept: dict[str, Written]
) -> None:
    before = await first(kept)
    head, *lines = before.document.splitlines()
    odd = [line.replace(b'"macros":[', b'"macros":[99999,', 1) for line in lines]
    torn = b"\n".join([head, *odd])
    found = await written(FEATURES, previous=Written(**{**vars(before), "document": torn}), forks=forks)
    assert said(found.nodes) == said(before.nodes)


HOSTILE = {
    "dbt_project.yml": PROJECT,
    "models/good.sql": "select 1 as id",
    "models/loops.sql": """
        {% if execute %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}
        select id from {{ ref('good') }}""",
    "models/eats.sql": """
        {% set n = namespace(text='a') %}{% if execute %}{% for a in range(60) %}{% set n.text = n.text ~ n.text %}{% endfor %}{% endif %}
        select id from {{ ref('good') }}""",
    "models/recurses.sql": """
        {% macro again() %}{{ again() }}{% endmacro %}{% if execute %}{{ again() }}{% endif %} select id from {{ ref('good') }}""",
    "models/nested.sql": "select " + "(" * 20_000 + "id" + ")" * 20_000 + " as id from {{ ref('good') }}",
    "models/wide.sql": "select " + ", ".join(f"{number} as c{number}" for number in range(12_000)),
    "models/unions.sql": " union all ".join(["select id from {{ ref('good') }}"] * 500),
    "models/refers_to_itself.sql": "select id from {{ ref('b_circle') }}",
    "models/b_circle.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('refers_to_itself') }}",
    "models/last.sql": "select id from {{ ref('loops') }} union all select id from {{ ref('eats') }}",
}


async def test_hostile_texts_cost_their_own_budget_and_nobody_else_s_columns(docker: aiodocker.Docker) -> None:
    found = await written(HOSTILE)
    assert (found.status, found.announced["error"]) == (0, None)
    nodes = found.nodes
    assert nodes["model.good"]["status"] == nodes["model.last"]["status"] == nodes["model.unions"]["status"] == "exact"
    assert nodes["model.loops"]["reason"] == (
        "dbt could not render it in full without a warehouse: Rendering it took too long: more than 5 seconds."
    )
    assert "not enough memory for rendering it" in nodes["model.eats"]["reason"]
    for name in ("loops", "eats", "recurses"):
        assert (nodes[f"model.{name}"]["status"], found.columns(f"model.{name}")) == ("approximate", ["id"])
    assert nodes["model.nested"]["status"] in ("exact", "unknown")
    assert len(found.columns("model.wide")) == 10_000
    assert found.announced["cpu_seconds"] < 20


async def test_with_too_little_memory_for_columns_the_manifest_arrives_all_the_same(docker: aiodocker.Docker) -> None:
    found = await written(HOSTILE, memory="300m")
    assert found.result["ok"]
    assert found.nodes["model.good"]["status"] == "exact"


@pytest.mark.parametrize("minor", [OLDER, "1.10"])
async def test_other_dbt_versions_render_the_same(docker: aiodocker.Docker, kept: dict[str, Written], minor: str) -> None:
    newest, old = await first(kept), await written(FEATURES, image=f"dbt-runner:{minor}")
    same: Sequence[str] = ("status", "open", "columns", "rendered", "hard_coded")
    for name, node in newest.nodes.items():
        assert {key: old.nodes[name][key] for key in same} == {key: node[key] for key in same}, name


async def test_a_warehouse_without_databases_is_read_too(forks: Forks) -> None:
    files = {
        "dbt_project.yml": PROJECT,
        "models/a.sql": "select id from {{ source('raw', 't') }}",
        "models/b.sql": "select id as other from {{ ref('a') }}",
        "models/s.yml": "sources: [{name: raw, tables: [{name: t}]}]",
    }
    found = await written(files, adapter="clickhouse", forks=forks)
    assert found.sources_of("model.a", "id") == {"source.raw.t.id"}
    assert found.sources_of("model.b", "other") == {"model.a.id"}


async def test_functions_of_dbt_are_known_where_they_ask_for_the_version_of_the_warehouse(forks: Forks) -> None:
    days = "select {{ dbt.dateadd('day', 1, 'at') }} as later, {{ dbt.datediff('at', 'until', 'hour') }} as h from raw.t"
    found = await written({"dbt_project.yml": PROJECT, "models/days.sql": days}, adapter="databricks", forks=forks)
    assert (found.nodes["model.days"]["status"], found.columns("model.days")) == ("exact", ["later", "h"])
