"""What the runner's program makes of YAML equals what dbt makes of it by itself, with a state and without."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from asyncio.subprocess import PIPE

import pytest

from app.runner.profile import stub
from tests.integration.runner_images import RUNNER_IMAGE
from tests.integration.runner_steps import steps
from tests.series.comparing import SECTIONS, manifest

pytestmark = pytest.mark.containers

SCRIPT = "mkdir -p /work/src && cd /work/src && tar x && /opt/dbt/bin/dbt parse --profiles-dir . >&2 && cat target/manifest.json"
MODELS = r"""models:
- name: orders
  description: "{{ doc('about') }}"
  docs: {show: true}
  config:
    tags: ["{{ var('tag') }}", plain, '1', "a }} b", "line\n"]
    meta:
      since: 2020-01-02
      block: |
        two
        lines
      windows: "a\r\nb"
      nested: {deep: [{owner: "{{ var('tag') }}"}, [1, 2.5, true, null, "#} {"]]}
      number: "{{ 1 + 1 }}"
      said: {description: "{{ var('tag') }}\n"}
    pre_hook: "select '{{ this }}'"
  columns:
  - name: id
    description: |
      Of the order, {{ var('tag') }}.

      Second paragraph.
    meta: {unit: "{{ var('tag') }}"}
    data_tests:
    - unique
    - accepted_values: {arguments: {values: ['1', "{{ var('tag') }}"]}, config: {severity: "{{ 'warn' }}"}}
- &shared
  name: money
  description: Money
  config: &config {tags: [x], meta: {a: {b: c}}}
- name: more
  config: *config
  description: "{{ doc('about') }}{{ doc( \"about\" ) }}: {{doc('about')}} }}."
  columns:
  - {name: a, description: "{{ doc('about') }}\n"}
  - {name: b, description: "-\r\n{{ doc('about') }}"}
  - {name: c, description: "  {{- doc('about') -}}  {{ doc('shop', 'about') }}"}
  - {name: d, description: "{{ doc('about') | upper }} {# {{ doc('about') }} #}"}
  - {name: e, description: "\n{{ doc('about') }}\n{{ doc('about') ~ 1 }}"}
"""
SOURCES = """sources:
- name: raw
  database: "{{ var('database') }}"
  schema: "raw_{{ var('tag') }}"
  quoting: {identifier: true}
  tables:
  - name: orders
    identifier: "Orders {{ var('tag') }}"
    description: "Table\\n"
    quoting: {schema: true}
    columns: [{name: id, description: "{{ var('tag') }}", data_tests: [not_null]}]
  - {name: others, quoting: {database: false}}
macros:
- {name: cents, description: "{{ var('tag') }}", arguments: [{name: x, type: string, description: "line\\n"}]}
exposures:
- {name: board, type: dashboard, owner: {email: a@b.c}, depends_on: [ref('orders'), "source('raw', 'orders')"], meta: {n: "{{ 2 }}"}}
"""
PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nvars: {tag: nightly, database: lake}\n"
    "quoting: {database: true}\nmodels:\n  shop: {+materialized: table, +meta: {from: project}}\n",
    "macros/cents.sql": "{% macro cents(x) %}{{ x }}{% endmacro %}",
    "macros/schema.sql": "{% macro generate_schema_name(name, node) %}s_{{ node.name }}{% endmacro %}",
    "models/schema.yml": MODELS,
    "models/sources.yml": SOURCES,
    "models/text.md": "{% docs about %}About {{ 1 }}{% enddocs %}",
    "models/orders.sql": "select {{ cents('id') }} as id from {{ source('raw', 'orders') }}",
    "models/money.sql": "select * from {{ ref('orders') }}",
    "models/more.sql": "select * from {{ ref('money') }}",
    "models/off.sql": "{{ config(enabled=false) }} select 1 as id",
    "seeds/countries.csv": "id\n1\n",
}


async def test_entries_are_rendered_as_by_dbt() -> None:
    changed = {**PROJECT, "models/money.sql": "select 1 as id from {{ ref('orders') }}"}
    theirs = manifest(await _by_dbt(changed))
    async with steps() as ours:
        first = await ours.parse(PROJECT)
        assert first.error is None
        for parsed in (await ours.parse(changed), await ours.parse(changed, first.state)):
            found = manifest(parsed.manifest)
            assert {name: found.get(name) for name in SECTIONS} == {name: theirs.get(name) for name in SECTIONS}
    assert parsed.partial
    orders = theirs["nodes"]["model.shop.orders"]
    assert theirs["nodes"]["model.shop.more"]["description"].count("About 1") == 3
    assert orders["config"]["tags"] == ["nightly", "plain", "1", "a }} b", "line"], "else there is little to compare"


async def _by_dbt(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path, text in {**files, "profiles.yml": json.dumps(stub("shop", "dev", "duckdb"))}.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    options = ("--rm", "--interactive", "--network=none", "--tmpfs=/work:mode=1777", "--tmpfs=/tmp:mode=1777", "--entrypoint=sh")
    process = await asyncio.create_subprocess_exec(
        "docker", "run", *options, RUNNER_IMAGE, "-c", SCRIPT, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    found, log = await process.communicate(content.getvalue())
    assert process.returncode == 0, log.decode()
    return found
