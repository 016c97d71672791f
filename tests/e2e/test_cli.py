"""The command line, with real projects and real containers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiodocker
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.runner.docker.backend import HOST_LABEL
from app.service import components
from app.service.config import Settings
from tests.double import GitHubDouble
from tests.double.state import Clock, system_clock
from tests.patience import HANGS_S
from tests.service import ROOT, clean_environment

PROJECT = ROOT / "demo" / "project"


async def started(*arguments: str, data_dir: Path, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "app", *arguments),
        cwd=ROOT,
        env={**clean_environment(), "FRESHET_DATA_DIR": str(data_dir), "COLUMNS": "160", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def freshet(*arguments: str, data_dir: Path, **variables: str) -> tuple[int, str, str]:
    process = await started(*arguments, data_dir=data_dir, **variables)
    async with asyncio.timeout(HANGS_S):
        output, errors = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode, output.decode(), errors.decode()


async def test_extract_from_a_directory_prints_a_summary_and_writes_json(tmp_path: Path) -> None:
    target = tmp_path / "lineage.json"
    status, output, progress = await freshet("extract", str(PROJECT), "--json", str(target), data_dir=tmp_path / "data")
    assert status == 0, progress
    assert "Parse with dbt" in progress
    lineage = json.loads(target.read_bytes())
    assert ("Trace columns" in progress, "Columns:" in output, "columns" in lineage) == (False, False, False), "nobody asked for them"
    models = [node for node in lineage["nodes"] if node["resource_type"] == "model"]
    assert re.search(rf"model +│ {len(models)} ", output)
    assert (lineage["project_name"], lineage["adapter_type"]) == ("kingfisher", "duckdb")
    ids = {node["unique_id"] for node in lineage["nodes"]}
    assert all({edge["upstream"], edge["downstream"]} <= ids for edge in lineage["edges"])


async def test_extract_from_a_git_url_with_a_project_directory(tmp_path: Path) -> None:
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


async def test_extract_prints_dbts_message_file_and_line(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: tiny\nversion: '1.0'\nprofile: tiny\n")
    (project / "models" / "a.sql").write_text("select\n{{ ref('b' }}")
    status, _, errors = await freshet("extract", str(project), data_dir=tmp_path / "data")
    assert status == 1
    assert "Compilation Error in model a (models/a.sql)" in errors
    assert "in models/a.sql, line 2" in errors

    assert errors.index("Jinja syntax error.") < errors.index("Compilation Error in model a"), "what happened comes first"


def committed(project: Path) -> None:
    """Make a git work tree of a copy of the demo's project."""
    shutil.copytree(PROJECT, project)
    who = ("-c", "user.name=m", "-c", "user.email=m@example.com")
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], cwd=project, check=True)


async def test_extract_of_uncommitted_changes_says_so_and_shows_what_they_change(tmp_path: Path) -> None:
    committed(tmp_path / "shop")
    (tmp_path / "shop" / "models" / "new_mart.sql").write_text("select * from {{ ref('fct_rentals') }}")
    # By default, the data directory is relative too.
    data_dir = Path(os.path.relpath(tmp_path / "data", ROOT))
    options = ("--base", "main", "--select", "new_mart", "1+new_mart")
    status, output, progress = await freshet("extract", str(tmp_path / "shop"), *options, data_dir=data_dir)
    assert status == 0, progress
    assert "1 file not committed" in progress
    assert "models/new_mart.sql" in progress
    assert "2 nodes selected" in output
    changes = output[output.index("Changes since shop at") :].splitlines()
    assert changes[1].startswith("1 model added")
    assert any(line.startswith("+ new_mart added: ") for line in changes)
    assert changes[-1] == "edges: 1 added, 0 removed"


async def test_extract_prints_the_selected_part_in_a_format_and_nothing_else(tmp_path: Path) -> None:
    options = ("--format", "csv", "--select", "+fct_rentals", "--quiet")
    status, output, errors = await freshet("extract", str(PROJECT), *options, data_dir=tmp_path)
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0] == '"upstream","downstream"'
    assert all(line.split(",")[1].startswith('"model.kingfisher.') for line in lines[1:])
    assert any(line.endswith(',"model.kingfisher.fct_rentals"') for line in lines)


@pytest.mark.usefixtures("terminal")
async def test_extract_leaves_no_container_behind_when_its_terminal_is_closed(docker: aiodocker.Docker, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    settings = Settings(freshet_data_dir=tmp_path / "data")
    ours = {"label": [f"{HOST_LABEL}={components.instance(settings, 'cli')}"]}
    project = tmp_path / "slow"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: slow\nversion: '1.0'\nprofile: slow\n")
    (project / "models" / "a.sql").write_text("{% for _ in range(100000) %}{% for _ in range(100000) %}{% endfor %}{% endfor %}select 1")
    process = await started("extract", str(project), data_dir=tmp_path / "data")
    try:
        async with asyncio.timeout(HANGS_S):
            while not await docker.containers.list(filters=ours):
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGHUP)
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, b"Traceback" in errors) == (128 + signal.SIGHUP, False), errors.decode()
    assert not await docker.containers.list(all=True, filters=ours)


async def test_the_version(tmp_path: Path) -> None:
    status, output, _ = await freshet("--version", data_dir=tmp_path)
    assert (status, output.startswith("freshet ")) == (0, True)


async def test_a_base_without_git_is_refused_before_dbt_runs(tmp_path: Path) -> None:
    shutil.copytree(PROJECT, tmp_path / "shop")
    status, _, errors = await freshet("extract", str(tmp_path / "shop"), "--base", "main", data_dir=tmp_path / "data")
    assert (status, "Parse with dbt" in errors) == (2, False)
    assert "--base" in errors


async def test_extract_from_a_missing_directory_names_it(tmp_path: Path) -> None:
    status, _, errors = await freshet("extract", str(tmp_path / "missing"), data_dir=tmp_path / "data")
    assert status != 0
    assert "missing" in errors


async def test_migrate_applies_each_migration_once(tmp_path: Path) -> None:
    names = sorted(path.stem for path in (ROOT / "app" / "store" / "migrations").glob("*.sql"))
    assert (await freshet("migrate", data_dir=tmp_path))[:2] == (0, "".join(f"applied {name}\n" for name in names))
    assert (await freshet("migrate", data_dir=tmp_path))[:2] == (0, "The database is up to date.\n")


LINES = (
    *("database", "Docker", "runner images", "GitHub App", "webhook secret"),
    *("permissions", "events", "webhook URL", "webhook reachability", "sign-in"),
)


async def doctor(github: GitHubDouble, data_dir: Path, **variables: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status of `doctor`, and its lines by name: (`ok` or `not ok`, text)."""
    app = {
        "GITHUB_APP_ID": str(github.app.id),
        "GITHUB_PRIVATE_KEY": github.app.private_key_pem,
        "GITHUB_WEBHOOK_SECRET": github.app.webhook_secret or "s",
        "GITHUB_CLIENT_ID": github.app.client_id,
        "GITHUB_CLIENT_SECRET": github.app.client_secret,
        "GITHUB_API_URL": github.api_url,
        "BACKEND_URL": "https://freshet.example",
    }
    status, output, _ = await freshet("doctor", data_dir=data_dir, **{**app, **variables})
    lines = [line.split(": ", 2) for line in output.splitlines()]
    return status, {name: (well, text) for well, name, text in lines}


@asynccontextmanager
async def github_with_webhook(clock: Clock = system_clock) -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble(clock=clock, webhook_url="https://freshet.example/api/webhooks/github") as github:
        yield github


async def test_doctor_prints_a_line_for_each_check(tmp_path: Path) -> None:
    async with github_with_webhook() as github:
        status, lines = await doctor(github, tmp_path)
        assert (status, tuple(lines), {well for well, _ in lines.values()}) == (0, LINES, {"ok"})
        assert "nothing" in lines["webhook reachability"][1]
        assert github.violations == []
        wrong = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        status, lines = await doctor(github, tmp_path, **wrong)
        assert status == 1
        assert [name for name, (well, _) in lines.items() if well == "not ok"] == ["database", "Docker", "runner images"]
        assert "DATABASE_URL" in lines["database"][1]
        assert lines["database"][1].endswith(" See docs/runbook.md#doctor-database")
        assert "DOCKER_HOST" in lines["runner images"][1]
        assert lines["runner images"][1].endswith(" See docs/runbook.md#doctor-runner-images")


async def test_doctor_without_an_app_prints_the_setup_link(tmp_path: Path) -> None:
    status, output, _ = await freshet("doctor", data_dir=tmp_path)
    assert status == 1
    assert "not ok: GitHub App: none is configured. Open http://127.0.0.1:3001/setup" in output


async def test_doctor_tells_a_wrong_id_key_and_clock_apart(tmp_path: Path) -> None:
    async with github_with_webhook() as github:
        _, lines = await doctor(github, tmp_path, GITHUB_APP_ID="1")
        assert ("not ok", "GITHUB_APP_ID" in lines["GitHub App"][1]) == (lines["GitHub App"][0], True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
        status, lines = await doctor(github, tmp_path, GITHUB_PRIVATE_KEY=pem)
        assert (status, "the private key does not belong to this App" in lines["GitHub App"][1]) == (1, True)
        status, lines = await doctor(github, tmp_path, GITHUB_PRIVATE_KEY="no key")
        assert (status, "PEM" in lines["GitHub App"][1]) == (1, True)
        status, lines = await doctor(github, tmp_path, GITHUB_API_URL="http://127.0.0.1:1")
        assert (status, "127.0.0.1" in lines["GitHub App"][1]) == (1, True)
        assert "GITHUB_API_URL" in lines["GitHub App"][1]
    async with github_with_webhook(lambda: datetime.now(UTC) - timedelta(hours=1)) as github:
        status, lines = await doctor(github, tmp_path)
        assert (status, "clock" in lines["GitHub App"][1]) == (1, True)


async def test_doctor_compares_the_app_with_its_manifest(tmp_path: Path) -> None:
    async with github_with_webhook() as github:
        github.app.permissions = {"contents": "read", "checks": "read", "metadata": "read", "issues": "write"}
        github.app.events = ("push",)
        github.app.webhook_url = "https://old.example/hook"
        github.app.webhook_secret = ""
        status, lines = await doctor(github, tmp_path)
        assert status == 1
        wrong = {name: text for name, (well, text) in lines.items() if well == "not ok"}
        assert set(wrong) == {"webhook secret", "permissions", "events", "webhook URL"}
        assert "missing checks: write; not needed: issues: write" in wrong["permissions"]
        assert "missing repository" in wrong["events"]
        assert "https://old.example/hook" in wrong["webhook URL"]


async def test_doctor_reports_failed_deliveries(tmp_path: Path) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=401)

    listener = web.Application()
    listener.router.add_post("/api/webhooks/github", refuse)
    async with TestServer(listener) as server, github_with_webhook() as github:
        backend_url = f"http://127.0.0.1:{server.port}"
        github.app.webhook_url = f"{backend_url}/api/webhooks/github"
        await github.ping()
        status, lines = await doctor(github, tmp_path, BACKEND_URL=backend_url)
        assert status == 1
        assert [name for name, (well, _) in lines.items() if well == "not ok"] == ["webhook secret", "webhook reachability"]
        await server.close()
        await github.ping()
        status, lines = await doctor(github, tmp_path, BACKEND_URL=backend_url)
        assert [name for name, (well, _) in lines.items() if well == "not ok"] == ["webhook reachability"]
        assert "could not connect" in lines["webhook reachability"][1]
