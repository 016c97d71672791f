"""A push is one trace, from the delivery to the check run, also if one process took it and another one extracted it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiodocker

from tests.collector import collecting
from tests.double import GitHubDouble
from tests.service import looked_at, serving

PROJECT = {"dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n", "models/a.sql": "select 1 as id"}


async def test_a_push_is_one_trace_over_processes_and_the_queue(module_dsn: str, tmp_path: Path, docker: aiodocker.Docker) -> None:
    async with collecting() as collector, GitHubDouble() as github:

        def settings(instance: str, **more: str) -> dict[str, Any]:
            otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={instance}"}
            return {"DATABASE_URL": module_dsn, "DBT_MEMORY": "600m", "FRESHET_WARM_CONTAINERS": "0", **otel, **more}

        repository = await github.create_repository("octo/traced", {})
        async with serving(github, tmp_path / "a", **settings("a", DOCKER_HOST="tcp://127.0.0.1:1")) as first:
            await github.install("octo", [repository])
            await looked_at(module_dsn, repository)
            sha = await github.push(repository, PROJECT)
            await github.wait_for_check_run(repository, sha, status="queued")
            assert await first.stop() == 0
        async with serving(github, tmp_path / "b", **settings("b")) as second:
            run = await github.wait_for_check_run(repository, sha)
            assert run.conclusion == "success"
            assert await second.stop() == 0
        [guid] = [one.guid for one in github.deliveries if one.event == "push" and one.payload["after"] == sha]
    [delivery] = [span for span in collector.spans if span.attributes.get("freshet.delivery_id") == guid and span.name == "delivery"]
    trace = [span for span in collector.spans if span.trace == delivery.trace]
    assert (delivery.instance, delivery.parent) == ("a", "")
    of_second = {span.name: span for span in trace if span.instance == "b"}
    assert {"extraction", "cloning", "parsing", "storing", "dbt parse", "check run"} <= set(of_second)
    extraction = of_second["extraction"]
    assert extraction.parent == delivery.id
    assert extraction.attributes["freshet.extraction_id"] == run.external_id
    assert {of_second[name].parent for name in ("cloning", "parsing", "dbt parse")} == {extraction.id}
    assert of_second["check run"].parent == delivery.id
    assert 0 < of_second["parsing"].seconds <= extraction.seconds
