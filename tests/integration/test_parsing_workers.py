"""Workers that parse nodes ahead change nothing but the time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.runner_steps import Parsed, steps
from tests.integration.test_parsed_nodes import Files

pytestmark = pytest.mark.containers
MODELS = 90
TEXT = "select {{ cents('id') }}, '{{ env_var('PLACE') }}' as place from {{ source('raw', 'TABLE') }}"
PROJECT: Files = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "macros/cents.sql": "{% macro cents(x) %}{{ x }}{% endmacro %}",
    "snapshots/s.sql": "{% snapshot s %}{{ config(unique_key='id', strategy='check', check_cols='all', target_schema='s') }}"
    "select * from {{ ref('m1') }}{% endsnapshot %}",
    **{f"models/m{n}.sql": TEXT.replace("PLACE", f"PLACE_{n % 7}").replace("TABLE", f"t{n}") for n in range(MODELS)},
    **{f"models/m{n}.yml": f"models:\n- {{name: m{n}, columns: [{{name: id, data_tests: [unique, not_null]}}]}}\n" for n in range(MODELS)},
    "models/sources.yml": "sources:\n- name: raw\n  tables:\n"
    + "".join(f"  - {{name: t{n}, columns: [{{name: id, data_tests: [unique]}}]}}\n" for n in range(MODELS)),
}
TIMES = {"created_at", "generated_at", "invocation_id", "invocation_started_at", "run_started_at"}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def told(parsed: Parsed) -> tuple[str | None, str, list[dict[str, Any]]]:
    """Everything, in its order."""
    return parsed.error, json.dumps(without_times(json.loads(parsed.manifest))) if parsed.manifest else "", parsed.placeholders


async def test_the_result_is_that_of_one_process_also_if_workers_fail() -> None:
    async with steps(cpus=1) as alone, steps(cpus=2) as together:
        expected = await alone.parse(PROJECT)
        assert (expected.error, expected.workers) == (None, 0)
        for kind in ("help", "die", "hang", "stop halfway"):
            found = await together.parse(PROJECT, workers=kind)
            assert found.workers == 2, kind  # one for each of the two stages
            assert told(found) == told(expected), kind
        again = await together.parse(PROJECT, found.state)
        assert (again.workers, again.nodes, told(again)) == (0, [], told(expected))


async def test_an_error_in_a_file_is_reported_as_by_one_process() -> None:
    broken = {"models/m80.sql": "select {{ ref('m1' }}", "models/m3.sql": "{{ exceptions.raise_compiler_error('no') }}"}
    async with steps(cpus=1) as alone, steps(cpus=2) as together:
        for path, text in broken.items():
            files = {**PROJECT, path: text}
            expected, found = await alone.parse(files), await together.parse(files)
            assert expected.error
            assert told(found) == told(expected)
