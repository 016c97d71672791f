"""Projects that ask for values which nobody gave, in real containers."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from app.errors import DbtError
from app.remarks import Placeholder
from app.spool import Spool
from tests.integration.runner_fixtures import Make
from tests.integration.runner_images import RUNNER_IMAGE, build_runner, named
from tests.integration.runner_projects import PROJECT, SHOP, job, request, shop, tree

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
    ("env_var", "HOOK", "hook", "dbt_project.yml", 4),
    ("env_var", "DBT_SCHEMA", "dbt_schema", "dbt_project.yml", 7),
    ("env_var", "SWITCH", "True", "dbt_project.yml", 8),
    ("env_var", "LOOKBACK_DAYS", "1", "dbt_project.yml", 10),
    ("env_var", "TAG", "tag", "selectors.yml", 3),
    ("env_var", "ROWS", "1", "models/orders.sql", 2),
    ("env_var", "ALIASED", "aliased", "models/totals.sql", 2),
    ("env_var", "IN_MACRO", "in_macro", "models/totals.sql", 2),
    ("env_var", "IN_MACRO", "in_macro", "macros/m.sql", 1),
    ("env_var", "BUILT", "built", "models/totals.sql", 2),
    ("env_var", "TEXT", "text", "models/schema.yml", 3),
    ("var", "unit", "unit", "models/schema.yml", 3),
    ("env_var", "RAW_DB", "raw_db", "models/schema.yml", 6),
    ("var", "raw_schema", "raw_schema", "models/schema.yml", 7),
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


async def test_whatever_asks_for_a_missing_name_gets_a_placeholder_and_is_told(make: Make) -> None:
    files = {f"data/{path}": text for path, text in {**EVERYWHERE, "profiles.yml": "{{ env_var('OWN_PROFILE') }}"}.items()}
    parsed = await make().parse(job(project_dir="data"), tree(files), None)
    assert rows(parsed.placeholders) == {(kind, name, value, f"data/{path}", line) for kind, name, value, path, line in EXPECTED}
    manifest = json.loads(parsed.manifest)
    assert manifest["parent_map"]["model.shop.totals"] == ["model.shop.orders"]
    assert manifest["nodes"]["model.shop.orders"]["schema"] == "main_dbt_schema"
    assert manifest["sources"]["source.shop.raw.events"]["relation_name"] == '"raw_db"."raw_schema"."events"'


async def test_given_values_and_defaults_are_what_dbt_gets(make: Make) -> None:
    meta = "{'a': env_var('A'), 'b': env_var('B', 'default'), 'c': var('c'), 'd': var('d', 4), 'e': env_var('E', '')}"
    asks = "{{ config(meta=" + meta + ") }} select 1"
    told: dict[str, Any] = {"variables": {"c": [1, {"x": "it's"}]}, "environment": {"A": "given"}}
    parsed = await make().parse(job(**told), tree(shop(models__orders=asks)), None)
    assert json.loads(parsed.manifest)["nodes"]["model.shop.orders"]["config"]["meta"] == {
        "a": "given",
        "b": "default",
        "c": [1, {"x": "it's"}],
        "d": 4,
        "e": "",
    }
    assert parsed.placeholders == ()


async def test_only_the_places_without_a_default_are_told(make: Make) -> None:
    files = shop(
        models__orders="select '{{ env_var('REGION', 'eu') }}' as region", models__more="select '{{ env_var('REGION') }}' as region"
    )
    parsed = await make().parse(job(), tree(files), None)
    assert rows(parsed.placeholders) == {("env_var", "REGION", "region", "models/more.sql", 1)}


async def test_a_variable_that_dbt_has_nothing_for_stays_nothing_while_that_does(make: Make) -> None:
    asks = "{{ config(meta={'nothing': var('nothing')}) }} {% if var('also') %} {{ ref('nowhere') }} {% endif %} select 1"
    parsed = await make().parse(job(), tree(shop(models__orders=asks)), None)
    assert json.loads(parsed.manifest)["nodes"]["model.shop.orders"]["config"]["meta"] == {"nothing": None}
    assert parsed.placeholders == ()


async def test_variables_that_nothing_will_not_do_for_get_a_value_of_their_kind(make: Make) -> None:
    asks = """{% for country in var('countries') %}{{ country }}{% endfor %}{{ range(var('n')) | list }}{{ var('since') + 'T00' }}
        {% if var('flag') %}{{ ref('nowhere') }}{% endif %}{% for key, value in var('options').items() %}{% endfor %} select 1"""
    parsed = await make().parse(job(), tree(shop(models__orders=asks)), None)
    values = {(each.name, each.value, each.line) for each in parsed.placeholders}
    assert values == {("countries", "[]", 1), ("n", "1", 1), ("since", "since", 1), ("options", "{}", 2)}
    assert {each.kind for each in parsed.placeholders} == {"var"}
    assert "once more, with placeholders" in parsed.log


async def test_what_no_placeholder_helps_is_told_in_the_words_of_the_first_try(make: Make) -> None:
    with pytest.raises(DbtError) as caught:
        await make().parse(job(), tree(shop(models__orders="{{ var('x') }} {{ ref('nowhere') }}")), None)
    assert "depends on a node named 'nowhere'" in caught.value.output
    assert "placeholder" not in caught.value.output
    assert caught.value.placeholders == ()


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        (shop(models__orders="{{ ref(env_var('PARENT')) }}"), "env_var('PARENT') in models/orders.sql, line 1 was 'parent'"),
        (
            shop(
                models__orders="{{ checked() }} select 1",
                macros__m="{% macro checked() %}{% if env_var('STAGE') != 'a' %}{{ exceptions.raise_compiler_error('which?') }}{% endif %}"
                "{% endmacro %}",
            ),
            "env_var('STAGE') in models/orders.sql, line 1 was 'stage'",
        ),
        (
            {**SHOP, "dbt_project.yml": PROJECT + "models:\n  +enabled: \"{{ env_var('KIND') }}\"\n"},
            "env_var('KIND') in dbt_project.yml, line 5 was 'True'",
        ),
    ],
    ids=["value", "macro", "project"],
)
async def test_a_placeholder_that_breaks_the_parse_is_named(make: Make, files: dict[str, str], cause: str) -> None:
    with pytest.raises(DbtError) as caught:
        await make().parse(job(), tree({**files, "models/later.sql": "select '{{ env_var('LATER') }}'"}), None)
    says, _, settings = caught.value.output.partition("\n\nThe cause may be a placeholder that Freshet put where a value is missing:\n  ")
    assert says
    name = cause.split("'")[1]
    assert settings == f"{cause}\nGive the real value in .github/freshet.yml:\nenv:\n  {name}: ..."
    # Together with what dbt did not come to.
    assert {each.name for each in caught.value.placeholders} == {name, "LATER"}


async def test_secrets_in_the_wrong_place_are_dbts_own_matter(make: Make) -> None:
    with pytest.raises(DbtError, match="stopped") as caught:
        await make().parse(job(), tree(shop(models__orders="{{ env_var('DBT_ENV_SECRET_KEY') }}")), None)
    assert "Secret env vars are allowed only in" in caught.value.output
    assert caught.value.placeholders == ()


async def test_packages_may_lack_names_too(make: Make, tmp_path: Path) -> None:
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
    parsed = await make().parse(job(), tree(files), packages)
    packages.close()
    assert rows(parsed.placeholders) == {
        ("env_var", "DBT_ENV_SECRET_TOKEN", "dbt_env_secret_token", "packages.yml", 2),
        ("env_var", "TOOLS_KEY", "tools_key", "models/orders.sql", 1),
        ("env_var", "TOOLS_KEY", "tools_key", "parts/tools/macros/one.sql", 2),
        ("env_var", "TOOLS_LIST", "tools_list", "parts/tools/models/listed.sql", 1),
    }


async def test_dbt_deps_goes_on_too(make: Make) -> None:
    files = {
        **SHOP,
        "dbt_project.yml": PROJECT + "packages-install-path: \"{{ env_var('PACKAGES_DIR') }}\"\n",
        "packages.yml": "packages:\n  - local: \"./{{ env_var('TOOLS') }}\"\n",
        "tools/dbt_project.yml": "name: tools\nversion: '1.0'\n",
    }
    packages = await make().install(request(files))
    data = b"".join([chunk async for chunk in packages.stream()])
    packages.close()
    assert b"src/packages_dir/tools" in data


async def test_ever_so_many_names_are_bounded(make: Make) -> None:
    files = shop(models__orders="{% for n in range(90) %}{{ env_var('N' ~ n) }}{% endfor %}" + "\n{{ env_var('MANY') }}" * 300)
    parsed = await make().parse(job(), tree(files), None)
    assert len(parsed.placeholders) == 200
    assert len({each.name for each in parsed.placeholders}) == 91


async def test_what_lacks_nothing_is_parsed_as_without_us(make: Make, docker: aiodocker.Docker) -> None:
    files = {
        **shop(models__orders="{{ config(meta={'a': env_var('A', 'b'), 'c': var('c'), 'd': var('d', 1)}) }}select {{ one() }} as id"),
        "macros/one.sql": "{% macro one() %}{{ env_var('ONE', '1') }}{% endmacro %}",
        "dbt_project.yml": PROJECT + "vars:\n  c: \"{{ env_var('C', 'x') }}\"\nmodels:\n  +schema: \"{{ env_var('S', 's') }}\"\n",
        "models/s.yml": "sources:\n  - name: raw\n    schema: \"{{ env_var('RAW', 'raw') }}\"\n    tables:\n"
        "      - name: t\n        description: \"{{ var('c') }}\"\n",
    }
    plain = await make().parse(job(image=named(await build_runner(docker, "plain", PLAIN))), tree(files), None)
    ours = await make().parse(job(), tree(files), None)
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
async def test_other_versions_of_dbt_do_the_same(make: Make, docker: aiodocker.Docker, minor: str) -> None:
    image = named(RUNNER_IMAGE.replace("latest", minor), minor)
    parsed = await make().parse(job(image=image), tree(EVERYWHERE), None)
    assert rows(parsed.placeholders) == EXPECTED
    assert f"Running with dbt={minor}" in parsed.log
    asks = "{% for country in var('countries') %}{{ country }}{% endfor %} select 1"
    parsed = await make().parse(job(image=image), tree(shop(models__orders=asks)), None)
    assert rows(parsed.placeholders) == {("var", "countries", "[]", "models/orders.sql", 1)}
