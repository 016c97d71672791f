"""Projects that ask for values which nobody gave, in real containers."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from app.core.errors import DbtError
from app.core.models.annotations import Placeholder
from app.core.spool import Spool
from tests.integration.runner_fixtures import Make
from tests.integration.runner_images import RUNNER_IMAGE, build_runner, named
from tests.integration.runner_projects import PROJECT, SHOP, job, request, shop, tree
from tests.integration.runner_steps import steps

EVERYWHERE = {
    "dbt_project.yml": f"""{PROJECT}on-run-start: "{{{{ env_var('HOOK') }}}}"
models:
  shop:
    +schema: "{{{{ env_var('DBT_SCHEMA') }}}}"
    +enabled: "{{{{ env_var('SWITCH') | as_bool }}}}"
vars:
  back: "{{{{ env_var('LOOKBACK_DAYS') }}}}"
""",
    "packages.yml": "packages: []\n# {{ env_var('REMARK') }}\n",
    "selectors.yml": "selectors:\n  - name: some\n    definition: \"tag:{{ env_var('TAG') }}\"\n",
    "models/orders.sql": "{# env_var('REMARK') #}\n"
    "select {{ env_var('ROWS') | int + 1 }} as id, '{{ env_var('REGION', 'eu') }}', {{ var('back') }}",
    "models/totals.sql": "{% set e = env_var %}select\n{{ e('ALIASED') }} from {{ ref('orders') }} {{ m() }} {{ env_var('BUI' ~ 'LT') }}",
    "models/schema.yml": """models:
  - name: orders
    description: "{{ env_var('TEXT') }} of {{ var('unit') }}"
sources:
  - name: raw
    database: "{{ env_var('RAW_DB') }}"
    schema: "{{ var('raw_schema') }}"
    tables:
      - name: events
        freshness: {warn_after: {count: "{{ env_var('AGE') | as_number }}", period: day}}
        loaded_at_field: at
""",
    "macros/m.sql": "{% macro m() %}{{ env_var('IN_MACRO') }}{% endmacro %}\n{% macro n() %}{{ env_var('NEVER') }}{% endmacro %}",
}
EXPECTED = {
    ("env_var", "HOOK", "freshetunknown_hook", "dbt_project.yml", 4),
    ("env_var", "DBT_SCHEMA", "freshetunknown_dbt_schema", "dbt_project.yml", 7),
    ("env_var", "SWITCH", "True", "dbt_project.yml", 8),
    ("env_var", "LOOKBACK_DAYS", "1", "dbt_project.yml", 10),
    ("env_var", "TAG", "freshetunknown_tag", "selectors.yml", 3),
    ("env_var", "ROWS", "1", "models/orders.sql", 2),
    ("env_var", "ALIASED", "freshetunknown_aliased", "models/totals.sql", 2),
    ("env_var", "IN_MACRO", "freshetunknown_in_macro", "models/totals.sql", 2),
    ("env_var", "IN_MACRO", "freshetunknown_in_macro", "macros/m.sql", 1),
    ("env_var", "BUILT", "freshetunknown_built", "models/totals.sql", 2),
    ("env_var", "TEXT", "freshetunknown_text", "models/schema.yml", 3),
    ("var", "unit", "freshetunknown_unit", "models/schema.yml", 3),
    ("env_var", "RAW_DB", "freshetunknown_raw_db", "models/schema.yml", 6),
    ("var", "raw_schema", "freshetunknown_raw_schema", "models/schema.yml", 7),
    ("env_var", "AGE", "1", "models/schema.yml", 10),
}
PLAIN = """
import json, os, subprocess, sys, tarfile
job = json.loads(sys.stdin.buffer.readline())
print('{"taken": true}', flush=True)
archive = tarfile.open(fileobj=sys.stdin.buffer, mode="r|")
for member in iter(archive.next, None):
    os.makedirs(os.path.dirname("/work/" + member.name), exist_ok=True)
    open("/work/" + member.name, "wb").write(archive.extractfile(member).read())
os.makedirs("/work/profiles")
json.dump(job["profiles"], open("/work/profiles/profiles.yml", "w"))
done = subprocess.run(
    ["/opt/dbt/bin/dbt", "--no-use-colors", "--no-send-anonymous-usage-stats", "--no-partial-parse", "--log-level-file", "none",
     "--log-path", "/work/logs", "parse", "--project-dir", "/work/src", "--profiles-dir", "/work/profiles", "--profile", "shop",
     "--target", "dev", "--target-path", "/work/target"], cwd="/work/src", stdout=sys.stderr)
manifest = open("/work/target/manifest.json", "rb").read()
sys.stdout.buffer.write(json.dumps({"ok": True, "bytes": len(manifest)}).encode() + b"\\n" + manifest)
"""
"""A runner that has the command line do it, without any of ours."""


def rows(found: Iterable[Placeholder]) -> set[tuple[str, str, str, str | None, int | None]]:
    return {(each.kind, each.name, each.value, each.path, each.line) for each in found}


async def test_every_missing_value_gets_a_placeholder_and_is_reported(make_forked: Make) -> None:
    files = {f"data/{path}": text for path, text in {**EVERYWHERE, "profiles.yml": "{{ env_var('OWN_PROFILE') }}"}.items()}
    parsed = await make_forked().parse(job(project_dir="data"), tree(files), None)
    assert rows(parsed.placeholders) == {(kind, name, value, f"data/{path}", line) for kind, name, value, path, line in EXPECTED}
    manifest = json.loads(parsed.manifest)
    assert manifest["parent_map"]["model.shop.totals"] == ["model.shop.orders"]
    assert manifest["nodes"]["model.shop.orders"]["schema"] == "freshetunknown_schema_freshetunknown_dbt_schema"
    assert manifest["sources"]["source.shop.raw.events"]["relation_name"] == '"freshetunknown_raw_db"."freshetunknown_raw_schema"."events"'


async def test_given_values_and_defaults_are_used(make_forked: Make) -> None:
    meta = "{'a': env_var('A'), 'b': env_var('B', 'default'), 'c': var('c'), 'd': var('d', 4), 'e': env_var('E', '')}"
    asks = "{{ config(meta=" + meta + ") }} select 1"
    told: dict[str, Any] = {"variables": {"c": [1, {"x": "it's"}]}, "environment": {"A": "given"}}
    parsed = await make_forked().parse(job(**told), tree(shop(models__orders=asks)), None)
    assert json.loads(parsed.manifest)["nodes"]["model.shop.orders"]["config"]["meta"] == {
        "a": "given",
        "b": "default",
        "c": [1, {"x": "it's"}],
        "d": 4,
        "e": "",
    }
    assert parsed.placeholders == ()


async def test_only_places_without_a_default_are_reported(make_forked: Make) -> None:
    files = shop(
        models__orders="select '{{ env_var('REGION', 'eu') }}' as region", models__more="select '{{ env_var('REGION') }}' as region"
    )
    parsed = await make_forked().parse(job(), tree(files), None)
    assert rows(parsed.placeholders) == {("env_var", "REGION", "freshetunknown_region", "models/more.sql", 1)}


async def test_a_variable_without_a_value_stays_none_while_the_parse_succeeds(make_forked: Make) -> None:
    asks = "{{ config(meta={'nothing': var('nothing')}) }} {% if var('also') %} {{ ref('nowhere') }} {% endif %} select 1"
    parsed = await make_forked().parse(job(), tree(shop(models__orders=asks)), None)
    assert json.loads(parsed.manifest)["nodes"]["model.shop.orders"]["config"]["meta"] == {"nothing": None}
    assert parsed.placeholders == ()


async def test_variables_for_which_none_fails_get_a_placeholder_of_their_type(make_forked: Make) -> None:
    asks = """{% for country in var('countries') %}{{ country }}{% endfor %}{{ range(var('n')) | list }}{{ var('since') + 'T00' }}
        {% if var('flag') %}{{ ref('nowhere') }}{% endif %}{% for key, value in var('options').items() %}{% endfor %} select 1"""
    parsed = await make_forked().parse(job(), tree(shop(models__orders=asks)), None)
    values = {(each.name, each.value, each.line) for each in parsed.placeholders}
    assert values == {("countries", "[]", 1), ("n", "1", 1), ("since", "freshetunknown_since", 1), ("options", "{}", 2)}
    assert {each.kind for each in parsed.placeholders} == {"var"}
    assert "parsing again, with placeholders" in parsed.log


NESTED = {
    "dbt_project.yml": PROJECT + "models:\n  shop:\n    +schema: \"{{ var('layout')['staging'] }}\"\n",
    "models/orders.sql": "select * from {{ var('tables')['orders'] }}",
    "models/totals.sql": "{% for each in var('countries').europe %}{{ ref(each) }}{% endfor %}select 1 from {{ ref('orders') }}",
    "models/switched.yml": "models:\n  - name: totals\n    config:\n      enabled: \"{{ var('switches')['on'] }}\"\n",
}
HARMLESS = {
    "undefined default": {"models/s.yml": "sources:\n- {name: raw, schema: \"{{ var('x', nobody) }}\", tables: [{name: t}]}\n"},
    "undefined default of env_var": {
        "models/s.yml": "sources:\n- {name: raw, schema: \"{{ env_var('x', nobody) }}\", tables: [{name: t}]}\n"
    },
    "handed to a macro": {"models/m.sql": "{{ m(var('x')) }}", "macros/m.sql": "{% macro m(c) %}{{ c['k'].z }}{% endmacro %}"},
}


@pytest.mark.containers
async def test_variables_of_which_entries_are_read_are_mappings() -> None:
    guarded = {**SHOP, "models/totals.sql": "{% if var('x') %}{{ ref(var('x')['t']) }}{% endif %} select 1 from {{ ref('orders') }}"}
    optional = {**SHOP, "models/totals.sql": "{% set c = var('x', none) %}{% if c %}{{ ref(c['t']) }}{% endif %}{{ ref('orders') }}"}
    async with steps() as runner:
        nested = await runner.parse(NESTED)
        assert {found["name"]: json.loads(found["value"]) for found in nested.placeholders} == {
            "layout": {"staging": "freshetunknown_staging"},
            "tables": {"orders": "freshetunknown_orders"},
            "countries": {"europe": []},
            "switches": {"on": True},
        }
        assert json.loads(nested.manifest)["parent_map"]["model.shop.totals"] == ["model.shop.orders"]
        for files in (guarded, optional):
            parsed = await runner.parse(files)
            assert json.loads(parsed.manifest)["parent_map"]["model.shop.totals"] == ["model.shop.orders"], parsed.error
        for files in HARMLESS.values():
            parsed = await runner.parse({**SHOP, **files})
            assert parsed.error is None
            assert [found["name"] for found in parsed.placeholders] == ["x"]


async def test_if_placeholders_do_not_help_the_first_error_is_reported(make_forked: Make) -> None:
    with pytest.raises(DbtError) as caught:
        await make_forked().parse(job(), tree(shop(models__orders="{{ var('x') }} {{ ref('nowhere') }}")), None)
    assert "depends on a node named 'nowhere'" in caught.value.output
    assert "placeholder" not in caught.value.output
    assert caught.value.facts
    assert caught.value.facts.placeholders == ()


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        (shop(models__orders="{{ ref(env_var('PARENT')) }}"), "env_var('PARENT') in models/orders.sql, line 1 was 'freshetunknown_parent'"),
        (
            shop(
                models__orders="{{ checked() }} select 1",
                macros__m="{% macro checked() %}{% if env_var('STAGE') != 'a' %}{{ exceptions.raise_compiler_error('which?') }}{% endif %}"
                "{% endmacro %}",
            ),
            "env_var('STAGE') in models/orders.sql, line 1 was 'freshetunknown_stage'",
        ),
        (
            {**SHOP, "dbt_project.yml": PROJECT + "models:\n  +enabled: \"{{ env_var('KIND') }}\"\n"},
            "env_var('KIND') in dbt_project.yml, line 5 was 'True'",
        ),
    ],
    ids=["value", "macro", "project"],
)
async def test_a_placeholder_that_breaks_the_parse_is_named(make_forked: Make, files: dict[str, str], cause: str) -> None:
    with pytest.raises(DbtError) as caught:
        await make_forked().parse(job(), tree({**files, "models/later.sql": "select '{{ env_var('LATER') }}'"}), None)
    message, _, settings = caught.value.output.partition("\n\nThe cause may be a placeholder that Freshet used for a missing value:\n  ")
    assert message
    name = cause.split("'")[1]
    assert settings == f"{cause}\nSet the real value in .github/freshet.yml:\nenv:\n  {name}: ..."
    # Together with those that dbt did not reach.
    assert caught.value.facts
    assert {each.name for each in caught.value.facts.placeholders} == {name, "LATER"}


async def test_secrets_in_the_wrong_place_are_left_to_dbt(make_forked: Make) -> None:
    with pytest.raises(DbtError, match="dbt reported an error") as caught:
        await make_forked().parse(job(), tree(shop(models__orders="{{ env_var('DBT_ENV_SECRET_KEY') }}")), None)
    assert "Secret env vars are allowed only in" in caught.value.output
    assert caught.value.facts
    assert caught.value.facts.placeholders == ()


async def test_packages_get_placeholders_too(make_forked: Make, tmp_path: Path) -> None:
    files = {
        **shop(models__orders="select {{ tools.one() }} as id"),
        "packages.yml": "packages:\n  - git: \"https://{{ env_var('DBT_ENV_SECRET_TOKEN') }}@example.com/tools.git\"\n    revision: main\n",
        "parts/tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
        "parts/tools/macros/one.sql": "{% macro one() %}\n'{{ env_var('TOOLS_KEY') }}'{% endmacro %}",
        "parts/tools/models/listed.sql": "select '{{ env_var('TOOLS' ~ '_LIST') }}'",
        "parts/tools/integration_tests/models/no.sql": "select '{{ env_var('TOOLS_KEY') }}'",
    }
    link = tarfile.TarInfo("src/dbt_packages/tools")
    link.type, link.linkname = tarfile.SYMTYPE, "/work/src/parts/tools"
    packages = Spool(tmp_path)
    await packages.write(link.tobuf(tarfile.PAX_FORMAT) + bytes(2 * tarfile.BLOCKSIZE))
    await packages.flush()
    parsed = await make_forked().parse(job(), tree(files), packages)
    packages.close()
    assert rows(parsed.placeholders) == {
        ("env_var", "DBT_ENV_SECRET_TOKEN", "freshetunknown_dbt_env_secret_token", "packages.yml", 2),
        ("env_var", "TOOLS_KEY", "freshetunknown_tools_key", "models/orders.sql", 1),
        ("env_var", "TOOLS_KEY", "freshetunknown_tools_key", "parts/tools/macros/one.sql", 2),
        ("env_var", "TOOLS_LIST", "freshetunknown_tools_list", "parts/tools/models/listed.sql", 1),
    }


async def test_dbt_deps_gets_placeholders_too(make_forked: Make) -> None:
    files = {
        **SHOP,
        "dbt_project.yml": PROJECT + "packages-install-path: \"{{ env_var('PACKAGES_DIR') }}\"\n",
        "packages.yml": "packages:\n  - local: \"./{{ env_var('TOOLS') }}\"\n",
        "freshetunknown_tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
    }
    packages = await make_forked().install(request(files))
    data = b"".join([chunk async for chunk in packages.stream()])
    packages.close()
    assert b"src/freshetunknown_packages_dir/tools" in data


async def test_the_number_of_placeholders_is_limited(make_forked: Make) -> None:
    files = shop(models__orders="{% for n in range(90) %}{{ env_var('N' ~ n) }}{% endfor %}" + "\n{{ env_var('MANY') }}" * 300)
    parsed = await make_forked().parse(job(), tree(files), None)
    assert len(parsed.placeholders) == 200
    assert len({each.name for each in parsed.placeholders}) == 91


async def test_a_project_without_missing_values_is_parsed_as_by_dbt_alone(make_forked: Make, docker: aiodocker.Docker) -> None:
    files = {
        **shop(models__orders="{{ config(meta={'a': env_var('A', 'b'), 'c': var('c'), 'd': var('d', 1)}) }}select {{ one() }} as id"),
        "macros/one.sql": "{% macro one() %}{{ env_var('ONE', '1') }}{% endmacro %}",
        "dbt_project.yml": PROJECT + "vars:\n  c: \"{{ env_var('C', 'x') }}\"\nmodels:\n  +schema: \"{{ env_var('S', 's') }}\"\n",
        "models/s.yml": "sources:\n  - name: raw\n    schema: \"{{ env_var('RAW', 'raw') }}\"\n    tables:\n"
        "      - name: t\n        description: \"{{ var('c') }}\"\n",
    }
    plain = await make_forked().parse(job(image=named(await build_runner(docker, "plain", PLAIN))), tree(files), None)
    ours = await make_forked().parse(job(), tree(files), None)
    assert comparable(ours.manifest) == comparable(plain.manifest)
    assert ours.placeholders == ()


def comparable(manifest: bytes) -> str:
    """Return a manifest's text without its times and the ids of its run. The order of its keys counts."""
    content = json.loads(manifest)
    for key in ("generated_at", "invocation_id", "invocation_started_at", "run_started_at"):
        content["metadata"].pop(key, None)
    return json.dumps(_untimed(content))


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untimed(each) for key, each in value.items() if key != "created_at"}
    return [_untimed(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("minor", ["1.7", "1.10"])
async def test_other_dbt_versions_get_placeholders_too(make_forked: Make, docker: aiodocker.Docker, minor: str) -> None:
    image = named(RUNNER_IMAGE.replace("latest", minor), minor)
    parsed = await make_forked().parse(job(image=image), tree(EVERYWHERE), None)
    assert rows(parsed.placeholders) == EXPECTED
    assert f"Running with dbt={minor}" in parsed.log
    asks = "{% for country in var('countries') %}{{ country }}{% endfor %} select 1"
    parsed = await make_forked().parse(job(image=image), tree(shop(models__orders=asks)), None)
    assert rows(parsed.placeholders) == {("var", "countries", "[]", "models/orders.sql", 1)}


@pytest.mark.parametrize("where", ["{{ env_var('HOME_OF_PACKAGES') }}/x", "/opt/packages", "{{ target.name ~ '_packages' }}"])
async def test_packages_are_found_although_only_their_author_knows_where_they_go(make_forked: Make, where: str) -> None:
    files = {
        "t/dbt_project.yml": f'{PROJECT}packages-install-path: "{where}"\n',
        "t/packages.yml": 'packages: [{git: "https://github.com/octo/y.git", revision: main}]\n',
        "t/models/a.sql": "select {{ y.one() }} as id",
        "t/dbt_packages/y/dbt_project.yml": "name: y\nversion: '1.0'\n",
        "t/dbt_packages/y/macros/one.sql": "{% macro one() %}1{% endmacro %}",
    }
    parsed = await make_forked().parse(job(project_dir="t", install_dir="t/dbt_packages"), tree(files), None)
    assert "macro.y.one" in json.loads(parsed.manifest)["macros"]
