"""One search for a delivery's id in the log finds everything that it led to, in every part of the service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiodocker

from tests.double import GitHubDouble
from tests.patience import HANGS_S
from tests.service import Service, looked_at, serving

PROJECT = {
    "dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "models/a.sql": "select 1 as id",
}


async def test_the_delivery_id_leads_from_the_webhook_to_the_check_run(module_dsn: str, tmp_path: Path, docker: aiodocker.Docker) -> None:
    async with GitHubDouble() as github:
        repository = await github.create_repository("octo/traced", {})
        async with serving(github, tmp_path, DATABASE_URL=module_dsn, DBT_MEMORY="600m", FRESHET_WARM_CONTAINERS="0") as service:
            await github.install("octo", [repository])
            await looked_at(module_dsn, repository)
            sha = await github.push(repository, PROJECT)
            run = await github.wait_for_check_run(repository, sha)
            assert run.conclusion == "success"
            await logged(service, '"conclusion": "success"')  # the double has the request before the service has its answer
            await service.stop()
        [guid] = [one.guid for one in github.deliveries if one.event == "push"]
        lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    found = [line for line in lines if guid in json.dumps(line)]
    assert story(found) >= {
        ("request", None),
        ("extraction started", None),
        ("container has the job", None),
        ("dbt ended", None),
        ("extraction succeeded", None),
        ("check run sent", "success"),
    }, service.log
    extractions = {line["extraction_id"] for line in found if "extraction_id" in line}
    assert extractions == {run.external_id}
    without = [line for line in lines if line.get("extraction_id") == run.external_id and line.get("delivery_id") != guid]
    assert not without, "every line of the extraction has it"


async def logged(service: Service, text: str) -> None:
    async with asyncio.timeout(HANGS_S):
        while text not in service.log:
            await asyncio.sleep(0.05)


def story(lines: list[dict[str, Any]]) -> set[tuple[str, str | None]]:
    return {(line["event"], line.get("conclusion")) for line in lines}
