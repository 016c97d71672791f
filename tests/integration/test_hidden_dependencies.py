"""Nodes that depend on what no call shows: what dbt's objects know, what all nodes share, computed names, the time."""

from __future__ import annotations

import pytest

from tests.integration.runner_steps import Steps, steps, told
from tests.integration.test_parsed_nodes import Files, added, replaced

pytestmark = pytest.mark.containers


def named(expression: str) -> str:
    """A model whose alias is what an expression in Jinja gives."""
    return "{{ config(alias=model.name ~ (" + expression + ")) }} select 1 as id"


PROJECT: Files = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nvars:\n  parts: [a]\n  more: {b: 1}\n"
    "  day: '{{ run_started_at.microsecond }}'\n  price: \"{{ cents('1') | trim }}\"\n",
    "dbt_packages/tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
    "dbt_packages/tools/macros/tool.sql": "{% macro tool() %}1{% endmacro %}",
    "dbt_packages/tools/models/asks.sql": "select '{{ env_var('ASKED' ~ '_FOR') }}' as id",
    "macros/cents.sql": "{% macro cents(x) %}{{ x }}{% endmacro %}",
    "models/plain.sql": "select 1 as id",
    "models/honest.sql": named("var('parts') | length ~ target.schema ~ adapter.quote('a') | length ~ api.Column.string_type(3) | length")
    + "{% set found = [] %}{% do found.append(modules.datetime.datetime(2020, 1, 1).year) %}{{ this.include(database=false) }}",
}
MACRO = replaced("macros/cents.sql", "{{ x }}", "{{ x }}{{ x }}")
CHANGES = {
    "a macro": (
        MACRO,
        {
            "called": "cents.call_macro('q') | trim",
            "text": "cents.macro.macro_sql | length",
            "attribute": "(cents | attr('mac' ~ 'ro')).macro_sql | length",
            "in_variable": "var('price')",
        },
    ),
    "the project's version": (
        replaced("dbt_project.yml", "'1.0'", "'2.0'"),
        {
            "of_ref": "ref.config.version | replace('.', '_')",
            "of_variable": "var.packages_for_node() | map(attribute='version') | join | replace('.', '_')",
        },
    ),
    "a new macro": (
        added("dbt_packages/tools/macros/more.sql", "{% macro more_tools() %}{% endmacro %}"),
        {
            "manifest": "ref.manifest.macros | length",
            "package": "{\n'a':\ntools}['a'] | length",
            "found": "\ncontext['more' ~ '_tools'] is defined",
        },
    ),
    "a flag of the adapter": (
        replaced("dbt_project.yml", "vars:", "flags: {enable_truthy_nulls_equals_macro: true}\nvars:"),
        {"flag": "adapter.behavior.enable_truthy_nulls_equals_macro.no_warn | string"},
    ),
}
"""What changes, and the expressions that show it."""
SHARED = {
    "var('parts') | length": "{% do var('parts').append('z') %} select 1 as id",
    "var('more') | length": "{% do dict.update(var('more'), {'z': 1}) %} select 1 as id",
    "var('parts') | join('_')": "{{ config(tags=var('parts')) }} {{ config(tags=['z']) }} select 1 as id",
    "graph | length": "{% do graph.update({'z': 1}) %} select 1 as id",
    "this | string | length": "{% do adapter.config.quoting.update({'identifier': false}) %} select 1 as id",
    "api.Column.TYPE_LABELS | length": "{% do api.Column.TYPE_LABELS.update({'z': 'z'}) %} select 1 as id",
}
"""What one model reads, and a model before it that changes it."""
OF_A_RUN = (
    "\nrun_started_at.microsecond",
    "\trun_started_at.microsecond",
    "var('day')",
    "lipsum() | length",
    "context['run_started' ~ '_at'].microsecond",
    "modules.datetime.datetime['no' ~ 'w']().microsecond",
    "render('{{ run_' ~ 'started_at.microsecond }}')",
    "modules.datetime.datetime.now().microsecond",
    "(modules.datetime.datetime | attr('today'))().microsecond",
    "([modules.datetime.datetime] | map(attribute='utcnow') | first)().microsecond",
    "modules.datetime.datetime.now(modules.pytz.utc).microsecond",
    "clock() | trim",
)
OF_THE_CLOCK = """
models:
- name: plain
  columns:
  - name: id
    data_tests: [{not_null: {config: {where: "id > {{ modules.datetime.datetime.now().microsecond }}"}}}, unique]
"""


async def check(runner: Steps, files: Files, state: bytes | None) -> set[str]:
    """Parse with and without a state: the results are the same. Returns the nodes that were parsed."""
    full, incremental = await runner.parse(files), await runner.parse(files, state)
    assert told(incremental) == told(full)
    return {*incremental.nodes}


async def test_a_node_is_parsed_again_whatever_shows_it_what_has_changed() -> None:
    async with steps() as runner:
        for what, (change, expressions) in CHANGES.items():
            project = PROJECT | {f"models/{name}.sql": named(expression) for name, expression in expressions.items()}
            start = await runner.parse(project)
            assert start.error is None, (what, start.error)
            assert {*expressions} <= await check(runner, change(project), start.state), what
        start = await runner.parse(PROJECT)
        assert not await check(runner, PROJECT, start.state)


async def test_what_a_template_changes_for_all_nodes_is_seen_by_all() -> None:
    async with steps() as runner:
        for expression, text in SHARED.items():
            project = PROJECT | {"models/reads.sql": named(expression)}
            start = await runner.parse(project)
            assert start.error is None, (text, start.error)
            assert "reads" in await check(runner, project | {"models/a_writer.sql": text}, start.state), text


async def test_what_differs_between_runs_is_parsed_each_time() -> None:
    project = PROJECT | {f"models/run_{number}.sql": named(expression) for number, expression in enumerate(OF_A_RUN)}
    project["macros/clock.sql"] = "{% macro clock(now=true) %}{{ modules.datetime.datetime.now().microsecond if now }}{% endmacro %}"
    project |= {"models/schema.yml": OF_THE_CLOCK, "models/no_clock.sql": named("clock(false) | trim")}
    async with steps() as runner:
        start = await runner.parse(project)
        assert start.error is None, start.error
        again = {*(await runner.parse(project, start.state)).nodes}
        assert again == {*(f"run_{number}" for number in range(len(OF_A_RUN))), "not_null_plain_id"}


async def test_the_limit_of_placeholders_is_that_of_a_full_parse() -> None:
    async with steps() as runner:
        project = PROJECT | {"models/user.sql": "select '{{ env_var('LAST_NAME') }}' as id"}
        start = await runner.parse(project)
        for count in (98, 99, 100):
            asking = "\n".join("select '{{ env_var('NAME_" + str(number) + "') }}'" for number in range(count))
            await check(runner, project | {"models/a_first.sql": asking}, start.state)


async def test_a_placeholder_is_reported_where_a_full_parse_would() -> None:
    async with steps() as runner:
        start = await runner.parse(PROJECT)
        await check(runner, PROJECT | {"models/asks.sql": "{{ config(alias='other') }} select 1 as id"}, start.state)
