"""The engine's double against the engine: what a job gets from a fork is what it gets from a container of its own."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from app.core.errors import ContainerTimedOutError, DbtError
from app.runner.docker.backend import DockerRunner
from tests.integration.runner_fixtures import Make
from tests.integration.runner_projects import PROJECT, held, job, shop, tree

ENDLESS = "{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i + j %}{% endfor %}{% endfor %} select 1 as id"
TALKATIVE = {
    **shop(models__orders="{{ log('hello', info=true) }} select '{{ env_var('REGION') }}'{% for one in var('many') %}{% endfor %} as id"),
    "dbt_project.yml": PROJECT + "models:\n  nothing:\n    +enabled: true\n",
}


async def outcome(runner: DockerRunner, files: dict[str, str], **changed: Any) -> Any:
    """All that a job tells, without times."""
    [image] = await runner.images()
    try:
        parsed = await runner.parse(job(image=image, columns=True, **changed), tree(files), None)
    except DbtError as error:
        return (error.output, error.facts and (without_times(error.facts.log), error.facts.placeholders))
    manifest = json.loads(parsed.manifest, object_hook=lambda value: {key: part for key, part in value.items() if key != "created_at"})
    del manifest["metadata"]
    assert parsed.columns is not None
    document = await parsed.columns.wait()
    columns = b"".join([chunk async for chunk in document.spool.stream()])
    parsed.columns.close()
    return (manifest, columns, without_times(parsed.log), parsed.placeholders, parsed.ignored)


def without_times(log: str) -> str:
    """Also without what Python's tracker of semaphores says when the last process of a container ends: a fork is not the last one."""
    return re.sub(r"\d\d:\d\d:\d\d|\S+resource_tracker\.py:(?s:.*)", "", log)


@pytest.mark.parametrize(
    ("files", "adapter"),
    [(TALKATIVE, "postgres"), (shop(models__orders="select {{ oops( }}"), "duckdb")],
    ids=["good", "broken"],
)
async def test_a_fork_and_a_container_tell_the_same(make: Make, make_forked: Make, files: dict[str, str], adapter: str) -> None:
    forked = await outcome(make_forked(), files, adapter_type=adapter)
    assert forked == await outcome(make(), files, adapter_type=adapter)
    assert "Running with dbt" in str(forked)


async def test_nothing_of_a_stopped_job_reaches_the_next(make_forked: Make) -> None:
    with pytest.raises(ContainerTimedOutError):
        await make_forked(timeout_s=1.0).parse(job(), tree(shop(models__more="select 1", models__orders=ENDLESS)), None)
    runner = make_forked()
    waiting = asyncio.create_task(runner.parse(job(extraction_id="first"), held(shop(models__other="select 1"), asyncio.Event()), None))
    await asyncio.sleep(0.1)
    following = asyncio.create_task(runner.parse(job(extraction_id="second"), tree(), None))
    await asyncio.sleep(0.1)
    assert not following.done(), "one job after the other"
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    nodes = json.loads((await following).manifest)["nodes"]
    assert {name for name in nodes if name.startswith("model.")} == {"model.shop.orders", "model.shop.totals"}
