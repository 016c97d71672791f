"""A share of `make series`: results with a state equal those of full parses, over random edits. And what the comparison notices."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from tests.series.__main__ import open_pair
from tests.series.comparing import differences, shown
from tests.series.containers import PROGRAM, packed, serving
from tests.series.edits import KINDS, edit
from tests.series.project import Project
from tests.series.running import Difference, Files, generated_job, series

pytestmark = pytest.mark.containers
SEED = int(os.environ.get("FRESHET_SERIES_SEED", "3"))


@pytest.mark.parametrize(("minor", "steps"), [(11, 14), (7, 6)])
async def test_each_result_with_a_state_equals_a_full_parse(minor: int, steps: int) -> None:
    found: list[Difference] = []
    async with AsyncExitStack() as stack:
        pair = await open_pair(stack, generated_job(minor), PROGRAM, PROGRAM)
        counts = await series(pair, Project.new(minor), edit, SEED, steps, found.append)
    said = "\n".join(f"step {one.step.number}, {one.step.kind}: {one.step.said}\n{shown(one.found)}" for one in found)
    assert not found, f"python -m tests.series --dbt {minor} --seed {SEED} --series 1 --steps {steps}\n{said}"
    assert counts.total["partial"]


async def test_what_differs_is_noticed() -> None:
    project = Project.new(11)
    async with AsyncExitStack() as stack:
        pair = await open_pair(stack, generated_job(11), PROGRAM, PROGRAM)
        full, again = await pair.both(Files(project.files(), project.package), None)
        assert full.ok, full.log
        assert differences(full, again) == []
        changes = {b'"alias":"orders"': b'"alias":"other"', b'"tags":["t0","s"]': b'"tags":["s","t0"]', b"About 0": b"About 1"}
        for before, after in changes.items():
            assert before in again.manifest
            assert differences(full, replace(again, manifest=again.manifest.replace(before, after, 1)))
        project.texts["models/broken.sql"] = "select * from {{ ref('nowhere') }}"
        failed, _ = await pair.both(Files(project.files(), project.package), again.state)
        assert not failed.ok
        assert differences(full, failed)
        assert differences(failed, replace(failed, result=None))


async def test_what_macros_log_is_logged_again_by_nodes_of_the_state() -> None:
    says = "{% macro says() %}{% for n in range(2) %}{% do log(n ~ ' of ' ~ model.name, info=true) %}{% endfor %}{% endmacro %}"
    files = {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n", "macros/says.sql": says}
    files |= {f"models/{name}.sql": "{{ says() }}select 1 as id" for name in ("first", "second")}
    async with AsyncExitStack() as stack:
        container = await stack.enter_async_context(serving(generated_job(11).image.name))
        start = await container.parse(generated_job(11), packed(files, {}))
        again = await container.parse(generated_job(11), packed(files, {}), start.state)
    assert "parsed 0 nodes" in again.log
    for answer in (start, again):
        said = sorted(line.split("  ")[-1] for line in answer.log.splitlines() if " of " in line)
        assert said == ["0 of first", "0 of second", "1 of first", "1 of second"]


def test_there_are_edits_of_everything() -> None:
    parts = (
        "model",
        "yaml",
        "doc",
        "snapshot",
        "seed",
        "analysis",
        "singular",
        "macro",
        "project",
        "package",
        "source",
        "exposure",
        "metric",
    )
    assert all(any(kind.startswith(part) for kind in KINDS) for part in parts)
    assert len(KINDS) > 60
