"""Which nodes are parsed again after a change: those that it can reach, and no others. Each result equals that of a full parse."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.integration.runner_steps import Parsed, Steps, steps, told

pytestmark = pytest.mark.containers
Files = dict[str, str]

PROJECT: Files = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodels:\n  shop:\n    marts: {+materialized: table}\n"
    "vars:\n  currency: eur\n  other: 1\n",
    "dbt_packages/tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
    "dbt_packages/tools/macros/tool.sql": "{% macro tool() %}{{ return(adapter.dispatch('tool', 'tools')()) }}{% endmacro %}\n"
    "{% macro default__tool() %}1{% endmacro %}\n{% macro unused() %}{% endmacro %}",
    "macros/cents.sql": "{% macro cents(x) %}{{ round_it(x) }}{% endmacro %}",
    "macros/round_it.sql": "{% macro round_it(x) %}{{ x }}{% endmacro %}",
    "macros/positive.sql": "{% test positive(model, column_name) %}select 1 from {{ model }} where {{ column_name }} < 0{% endtest %}",
    "models/staging/orders.sql": "select {{ cents('id') }} as id from {{ source('raw', 'orders') }}",
    "models/staging/by_name.sql": "select {{ context['cents']('id') }} as id from {{ ref('orders') }}",
    "models/staging/money.sql": "select '{{ var('currency') }}' as c from {{ ref('orders') }}",
    "models/staging/user.sql": "select '{{ env_var('USER_NAME') }}' as c",
    "models/staging/tooled.sql": "select {{ tools.tool() }} as id",
    "models/staging/late.sql": "{{ config(alias='late_' ~ run_started_at.year) }} select 1 as id",
    "models/staging/maybe.sql": "{% if extra is defined %}{{ config(tags=['extra']) }}{% endif %}select 1 as id",
    "models/marts/sales.sql": "select * from {{ ref('orders') }} join {{ ref('money') }} using (id)",
    "models/marts/plain.sql": "select 1 as id",
    "models/schema.yml": "models:\n- name: orders\n  description: \"{{ doc('about') }}\"\n"
    "  columns:\n  - {name: id, data_tests: [unique, positive]}\n"
    "sources:\n- {name: raw, tables: [{name: orders, columns: [{name: id, data_tests: [not_null]}]}]}\n"
    "exposures:\n- {name: board, type: dashboard, owner: {email: a@b.c}, depends_on: [ref('sales')]}\n",
    "models/text.md": "{% docs about %}About{% enddocs %}",
    "tests/none_negative.sql": "select * from {{ ref('sales') }} where id < 0",
    "analyses/look.sql": "select * from {{ ref('sales') }}",
    "seeds/countries.csv": "id\n1\n",
    "snapshots/history.sql": "{% snapshot history %}{{ config(unique_key='id', strategy='check', check_cols='all', target_schema='s') }}"
    "select * from {{ ref('orders') }}{% endsnapshot %}",
}
ALWAYS = {"late"}
"""Nodes whose text names the time of the run."""
UNIQUE, POSITIVE, NOT_NULL = "unique_orders_id", "positive_orders_id", "source_not_null_raw_orders_id"


def replaced(path: str, old: str, new: str) -> Callable[[Files], Files]:
    return lambda files: {**files, path: files[path].replace(old, new)}


def added(path: str, text: str) -> Callable[[Files], Files]:
    return lambda files: {**files, path: text}


def moved(path: str, to: str) -> Callable[[Files], Files]:
    return lambda files: {**{name: text for name, text in files.items() if name != path}, to: files[path]}


def removed(*paths: str) -> Callable[[Files], Files]:
    return lambda files: {name: text for name, text in files.items() if name not in paths}


CHANGES: dict[str, tuple[Callable[[Files], Files], set[str]]] = {
    "nothing": (lambda files: files, set()),
    "a model": (replaced("models/marts/plain.sql", "1", "2"), {"plain"}),
    "a new model": (added("models/marts/new.sql", "select * from {{ ref('sales') }}"), {"new"}),
    "a model that takes the place of a package's": (added("models/tools_model.sql", "select 1"), {"tools_model"}),
    "a removed model": (removed("analyses/look.sql"), set()),
    "a renamed model": (moved("models/marts/plain.sql", "models/marts/simple.sql"), {"simple"}),
    "a model in another folder": (moved("models/marts/plain.sql", "models/staging/plain.sql"), {"plain"}),
    "a description": (replaced("models/schema.yml", "type: dashboard", "description: New, type: dashboard"), set()),
    "a documentation block": (replaced("models/text.md", "About", "About it"), set()),
    "a new test": (replaced("models/schema.yml", "[unique, positive]", "[unique, positive, not_null]"), {"not_null_orders_id"}),
    "an entry in another file": (
        lambda files: {
            **files,
            "models/schema.yml": files["models/schema.yml"].partition("exposures:")[0],
            "models/marts/exposures.yml": "exposures:" + files["models/schema.yml"].partition("exposures:")[2],
        },
        set(),
    ),
    "tests in another file": (
        lambda files: {**removed("models/schema.yml")(files), "models/staging/all.yml": files["models/schema.yml"]},
        {UNIQUE, POSITIVE, NOT_NULL},
    ),
    "a macro that is called": (replaced("macros/cents.sql", "round_it(x)", "round_it(x) ~ ''"), {"orders", "by_name"}),
    "a macro that is called by another": (replaced("macros/round_it.sql", "{{ x }}", "{{ x }} "), {"orders", "by_name"}),
    "a macro that a package finds by dispatch": (
        added("macros/own_tool.sql", "{% macro duckdb__tool() %}2{% endmacro %}"),
        {"tooled", "by_name"},
    ),
    "a macro that nobody calls": (added("macros/nobody.sql", "{% macro nobody_calls_it() %}{% endmacro %}"), {"by_name"}),
    "a macro that somebody looks for": (added("macros/extra.sql", "{% macro extra() %}{% endmacro %}"), {"maybe", "by_name"}),
    "a macro in another file": (moved("macros/cents.sql", "macros/money/cents.sql"), set()),
    "a generic test": (replaced("macros/positive.sql", "< 0", "<= 0"), {POSITIVE}),
    "a macro that takes the place of dbt's": (
        added("macros/unique.sql", "{% test unique(model, column_name) %}select 1{% endtest %}"),
        {UNIQUE, "by_name"},
    ),
    "a variable that is read": (replaced("dbt_project.yml", "currency: eur", "currency: usd"), {"money"}),
    "a variable that is not": (replaced("dbt_project.yml", "other: 1", "other: 2"), set()),
    "a folder's configuration": (replaced("dbt_project.yml", "+materialized: table", "+materialized: view"), {"sales", "plain"}),
    "the project's version": (replaced("dbt_project.yml", "version: '1.0'", "version: '2.0'"), set()),
    "a placeholder that is asked for again": (replaced("models/marts/plain.sql", "1", "'{{ env_var('USER_NAME') }}'"), {"plain"}),
    "a package": (replaced("dbt_packages/tools/macros/tool.sql", "%}1{%", "%}3{%"), {"tooled"}),
    "a package's version": (replaced("dbt_packages/tools/dbt_project.yml", "1.0", "1.1"), set()),
    "a snapshot": (replaced("snapshots/history.sql", "select *", "select id"), {"history"}),
    "a seed": (replaced("seeds/countries.csv", "1", "2"), {"countries"}),
    "a test": (replaced("tests/none_negative.sql", "< 0", "< 1"), {"none_negative"}),
}


def same(files: Files) -> Files:
    return files


async def check(runner: Steps, files: Files, state: bytes) -> Parsed:
    full, incremental = await runner.parse(files), await runner.parse(files, state)
    assert told(incremental) == told(full)
    return incremental


async def test_a_change_parses_the_nodes_that_it_can_reach() -> None:
    async with steps() as runner:
        start = await runner.parse(PROJECT)
        assert start.error is None, start.error
        assert start.state is not None
        found = {}
        for what, (change, _) in CHANGES.items():
            parsed = await check(runner, change(PROJECT), start.state)
            found[what] = {*parsed.nodes} - ALWAYS
        assert found == {what: nodes for what, (_, nodes) in CHANGES.items()}


async def test_what_decides_about_all_nodes_parses_all() -> None:
    changes = {
        "a macro that dbt calls for every node": added(
            "macros/names.sql", "{% macro generate_alias_name(a, n) %}{{ n.name }}{% endmacro %}"
        ),
        "quoting": replaced("dbt_project.yml", "profile: shop\n", "profile: shop\nquoting: {identifier: true}\n"),
        "a flag": replaced(
            "dbt_project.yml", "profile: shop\n", "profile: shop\nflags: {require_generic_test_arguments_property: false}\n"
        ),
        "a package more": added("dbt_packages/more/dbt_project.yml", "name: more\nversion: '1.0'\n"),
    }
    async with steps() as runner:
        start = await runner.parse(PROJECT)
        assert start.state is not None
        for what, change in changes.items():
            assert not (await check(runner, change(PROJECT), start.state)).partial, what


async def test_a_failure_keeps_the_state_and_a_repair_is_fast() -> None:
    async with steps() as runner:
        start = await runner.parse(PROJECT)
        assert start.state is not None
        for path, text in {
            "models/marts/plain.sql": "select {{ ref('nowhere') }}",
            "models/marts/sales.sql": "{% if %}",
            "models/schema.yml": "models: [{name: orders, columns: 1}]",
            "models/other/orders.sql": "select 1",
        }.items():
            failed = await check(runner, {**PROJECT, path: text}, start.state)
            assert failed.error is not None, path
        assert {*(await check(runner, PROJECT, start.state)).nodes} == ALWAYS


async def test_values_that_were_missing_and_are_given_now_parse_again() -> None:
    async with steps() as runner:
        start = await runner.parse(PROJECT)
        assert start.state is not None
        for environment, nodes in (({"USER_NAME": "ann"}, {"user"}), ({"OTHER_NAME": "ann"}, set())):
            full = await runner.parse(PROJECT, None, environment)
            incremental = await runner.parse(PROJECT, start.state, environment)
            assert told(incremental) == told(full)
            assert {*incremental.nodes} - ALWAYS == nodes


async def test_the_same_files_give_the_same_manifest_in_the_same_order() -> None:
    files = dict(PROJECT)
    for name in "abcdef":
        files[f"models/{name}/{name}.sql"] = "select 1 as id"
        files[f"models/{name}/{name}.yml"] = f"models:\n- {{name: {name}, columns: [{{name: id, data_tests: [unique]}}]}}\n"
    files |= {"seeds/seeds.yml": "seeds:\n- {name: countries, columns: [{name: id, data_tests: [unique]}]}\n"}
    orders = []
    for _ in range(3):
        async with steps() as runner:
            manifest = json.loads((await runner.parse(files)).manifest)
            orders.append({section: list(manifest[section]) for section in ("nodes", "sources", "macros", "child_map")})
    assert orders[0] == orders[1] == orders[2]
