"""Projects that switch off or divert what Freshet needs from dbt."""

from __future__ import annotations

import json

import pytest

from tests.integration.runner_fixtures import Make
from tests.integration.runner_images import RUNNER_IMAGE
from tests.integration.runner_projects import PROJECT, SHOP, job, tree
from tests.integration.runner_steps import steps

pytestmark = pytest.mark.containers
UNUSED = "models:\n  nothing:\n    +enabled: true\n"
"""Makes dbt warn."""
FLAGS = {
    "write_json": "false",
    "quiet": "true",
    "debug": "true",
    "log_level": "none",
    "log_format": "json",
    "partial_parse": "true",
    "static_parser": "false",
    "fail_fast": "true",
    "version_check": "true",
    "printer_width": "20",
}
ENVIRONMENT = {
    "DBT_WRITE_JSON": "false",
    "DBT_WARN_ERROR": "true",
    "DBT_TARGET_PATH": "elsewhere",
    "DBT_LOG_LEVEL": "nonsense",
    "DBT_PROJECT_DIR": "/nowhere",
    "DBT_PARTIAL_PARSE_FILE_PATH": "nowhere.msgpack",
    "DBT_RECORDER_MODE": "replay",
}
OLD_PACKAGE = {
    "packages.yml": "packages:\n  - local: tools\n",
    "dbt_packages/tools/dbt_project.yml": "name: tools\nversion: '1.0'\nrequire-dbt-version: ['>=0.20.0', '<1.0.0']\n",
    "dbt_packages/tools/models/days.sql": "select 1 as day",
}
NEWER = {**SHOP, "dbt_project.yml": PROJECT + "require-dbt-version: '>=99.0.0'\n"}
EDGES = ["model.shop.orders"]


@pytest.mark.parametrize("minor", ["latest", "1.7"])
async def test_no_flag_stops_or_diverts_a_parse(minor: str) -> None:
    async with steps(RUNNER_IMAGE.replace("latest", minor)) as runner:
        flags = "flags:\n" + "".join(f"  {name}: {value}\n" for name, value in FLAGS.items())
        paths = "target-path: elsewhere\nlog-path: elsewhere\n"
        quiet = await runner.parse({**SHOP, "dbt_project.yml": PROJECT + flags + paths})
        assert json.loads(quiet.manifest)["parent_map"]["model.shop.totals"] == EDGES
        assert quiet.ignored == []
        strict = await runner.parse({**SHOP, "dbt_project.yml": PROJECT + UNUSED + "flags:\n  warn_error: true\n"})
        assert json.loads(strict.manifest)["parent_map"]["model.shop.totals"] == EDGES
        assert strict.ignored == [{"kind": "warn_error", "name": "warn_error", "value": ""}]
        diverted = await runner.parse({**SHOP, "dbt_project.yml": PROJECT + UNUSED}, environment=ENVIRONMENT)
        assert json.loads(diverted.manifest)["parent_map"]["model.shop.totals"] == EDGES
        read = {**SHOP, "models/orders.sql": "{{ config(alias=env_var('DBT_TARGET_PATH')) }} select 1"}
        named = await runner.parse(read, environment=ENVIRONMENT)
        assert json.loads(named.manifest)["nodes"]["model.shop.orders"]["alias"] == "elsewhere", "env_var() still sees them"


@pytest.mark.parametrize("minor", ["latest", "1.7"])
async def test_a_package_for_another_dbt_is_parsed_and_reported(minor: str) -> None:
    async with steps(RUNNER_IMAGE.replace("latest", minor)) as runner:
        parsed = await runner.parse({**SHOP, **OLD_PACKAGE})
    assert "model.tools.days" in json.loads(parsed.manifest)["nodes"]
    assert parsed.ignored == [{"kind": "version", "name": "tools", "value": ">=0.20.0, <1.0.0"}]


async def test_a_version_that_somebody_chose_is_not_checked_against_what_the_project_requires(make: Make) -> None:
    parsed = await make().parse(job(any_version=True), tree(NEWER), None)
    assert [(check.kind, check.name, check.value) for check in parsed.ignored] == [("version", "shop", ">=99.0.0")]
