"""Each command of the runbook runs as it is written, beside a running service."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import aiodocker

from tests.double import GitHubDouble
from tests.service import ROOT, TOKEN, environment, free_port, serving

PROJECT = {"dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n", "models/a.sql": "select 1 as id"}
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def test_every_command_of_the_runbook_runs(tmp_path: Path, docker: aiodocker.Docker) -> None:
    settings, *blocks = BLOCK.findall((ROOT / "docs/runbook.md").read_text())
    given = set(re.findall(r"export (\w+)=", settings)) | {"CONNECTION", "EXTRACTION"}
    assert given == {"FRESHET", "TOKEN", "LOG", "CONNECTION", "EXTRACTION"}
    port = free_port()
    async with GitHubDouble() as github:
        repository = await github.create_repository("octo/shop", {})
        async with serving(github, tmp_path, port=port, FRESHET_WARM_CONTAINERS="0", DBT_MEMORY="600m") as service:
            first = await github.push(repository, PROJECT)
            await github.install("octo", [repository])
            await github.wait_for_check_run(repository, first)
            connection = await service.connection("octo/shop")
            sha = await github.push(repository, {"models/a.sql": "select 2 as id"})
            run = await github.wait_for_check_run(repository, sha)
            assert run.conclusion == "success"
            queued = await service.post(f"/connections/{connection['id']}/extract")
            [guid] = {one.guid for one in github.deliveries if one.event == "push"}
            variables = {
                **environment(github, tmp_path, port),
                "FRESHET": service.url,
                "TOKEN": TOKEN,
                "LOG": str(service.log_file),
                "CONNECTION": connection["id"],
                "EXTRACTION": queued["id"],
                "DELIVERY": guid,
            }
            said = {block: await shell(block, variables) for block in blocks}
    found = next(text for block, text in said.items() if "$DELIVERY" in block)
    assert "extraction succeeded" in found
    doctor = next(text for block, text in said.items() if "app doctor" in block)
    assert "ok: database" in doctor
    assert "not ok" not in doctor


async def shell(block: str, variables: dict[str, str]) -> str:
    """Run a block with our Python; each of its commands has to succeed, and to say something where it has no alternative."""
    script = f'set -e -o pipefail\npython() {{ {sys.executable} "$@"; }}\n{block}'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script), cwd=ROOT, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    text = (await process.communicate())[0].decode()
    assert process.returncode == 0, f"{block}\n{text}"
    assert text.strip() or "|| true" in block, block
    ended = "/cancel" in block and "Extraction already ended" in text  # a machine may be too quick to cancel anything
    assert ended or '"status":4' not in text.replace(" ", ""), f"{block}\n{text}"
    return text
