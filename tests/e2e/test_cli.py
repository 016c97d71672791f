"""The command line, on real projects and real containers."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

from tests.double import GitHubDouble
from tests.service import ROOT, clean_environment

PROJECT = ROOT / "demo" / "project"


async def freshet(*arguments: str, data_dir: Path, **variables: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "app", *arguments),
        cwd=ROOT,
        env={**clean_environment(), "FRESHET_DATA_DIR": str(data_dir), "COLUMNS": "160", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        output, errors = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode, output.decode(), errors.decode()


async def test_extract_of_a_directory_prints_what_it_found_and_writes_json(tmp_path: Path) -> None:
    target = tmp_path / "lineage.json"
    status, output, progress = await freshet("extract", str(PROJECT), "--json", str(target), data_dir=tmp_path / "data")
    assert status == 0, progress
    assert "Parse with dbt" in progress
    lineage = json.loads(target.read_bytes())
    models = [node for node in lineage["nodes"] if node["resource_type"] == "model"]
    assert re.search(rf"model +│ {len(models)} ", output)
    assert (lineage["project_name"], lineage["adapter_type"]) == ("kingfisher", "duckdb")
    ids = {node["unique_id"] for node in lineage["nodes"]}
    assert all({edge["upstream"], edge["downstream"]} <= ids for edge in lineage["edges"])


async def test_extract_of_a_git_url_with_a_project_directory(tmp_path: Path) -> None:
    async with GitHubDouble() as github:
        files = {f"warehouse/{path.relative_to(PROJECT)}": path.read_bytes() for path in PROJECT.rglob("*") if path.is_file()}
        await github.create_repository("octo/open", {**files, "other/dbt_project.yml": "name: other"}, private=False)
        url = f"{github.server_url}/octo/open.git"
        status, output, errors = await freshet("extract", url, "--project-dir", "./warehouse/", "--json", "-", data_dir=tmp_path)
        assert status == 0, errors
        lineage = json.loads(output)
        assert (lineage["repository"], lineage["project_dir"], lineage["project_name"]) == ("octo/open", "warehouse", "kingfisher")
        status, _, errors = await freshet("extract", url, "--project-dir", "nowhere", data_dir=tmp_path)
        assert status == 1
        assert "`nowhere`" in errors


async def test_extract_shows_dbts_words_and_the_place(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: tiny\nversion: '1.0'\nprofile: tiny\n")
    (project / "models" / "a.sql").write_text("select\n{{ ref('b' }}")
    status, _, errors = await freshet("extract", str(project), data_dir=tmp_path / "data")
    assert status == 1
    assert "Compilation Error in model a (models/a.sql)" in errors
    assert "in models/a.sql, line 2" in errors


async def test_extract_of_nothing_says_so(tmp_path: Path) -> None:
    status, _, errors = await freshet("extract", str(tmp_path / "missing"), data_dir=tmp_path / "data")
    assert status != 0
    assert "missing" in errors


async def test_migrate_twice(tmp_path: Path) -> None:
    assert (await freshet("migrate", data_dir=tmp_path))[:2] == (0, "applied 0001_initial\n")
    assert (await freshet("migrate", data_dir=tmp_path))[:2] == (0, "The database is up to date.\n")


async def test_doctor_has_a_line_for_each_dependency(tmp_path: Path) -> None:
    async with GitHubDouble() as github:
        app = {"GITHUB_APP_ID": str(github.app.id), "GITHUB_PRIVATE_KEY": github.app.private_key_pem, "GITHUB_WEBHOOK_SECRET": "s"}
        status, output, _ = await freshet("doctor", data_dir=tmp_path, GITHUB_API_URL=github.api_url, **app)
        assert (status, [line.split(":")[0] for line in output.splitlines()]) == (0, ["ok"] * 3)
        wrong = {"GITHUB_APP_ID": "1", "DOCKER_HOST": "tcp://127.0.0.1:1", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        status, output, _ = await freshet("doctor", data_dir=tmp_path, GITHUB_API_URL=github.api_url, **(app | wrong))
        assert (status, [line.split(":")[0] for line in output.splitlines()]) == (1, ["not ok"] * 3)
        assert "DATABASE_URL" in output
