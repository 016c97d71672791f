"""Starting, stopping and dying: nothing that was accepted is lost, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.double import GitHubDouble
from tests.service import ROOT, Service, clean_environment, free_port, serving

SLOW = {
    "dbt_project.yml": "name: slow\nversion: '1.0'\nprofile: slow\n",
    "models/a.sql": "{% for i in range(100000) %}{% for j in range(40) %}{% set x = j %}{% endfor %}{% endfor %} select 1",
}
QUICK = {**SLOW, "models/a.sql": "select 1"}


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


async def containers(extraction_id: str) -> list[str]:
    command = ["docker", "ps", "-a", "--filter", f"name={extraction_id}", "--format", "{{.Names}}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().split()


def children(pid: int) -> list[str]:
    """Return the commands of all processes below `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if int(stat[1]) == pid:
                found += [command, *children(int(entry.name))]
    return found


async def running(service: Service, name: str) -> Any:
    """Wait until the extraction of a repository is in a container, and return it."""
    connection = await service.connection(name)
    async with asyncio.timeout(60):
        while (extraction := await service.get(f"/connections/{connection['id']}/progress"))["stage"] != "parsing":
            await asyncio.sleep(0.05)
        while not await containers(extraction["id"]):
            await asyncio.sleep(0.05)
    return extraction


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_in_order_and_what_ran_is_done_by_the_next_start(
    github: GitHubDouble, tmp_path: Path, how: signal.Signals
) -> None:
    repository = await github.create_repository(f"octo/{how.name.lower()}", {})
    await github.install("octo", [repository])
    async with serving(github, tmp_path) as service:
        sha = await github.push(repository, SLOW)
        extraction = await running(service, repository.full_name)
        assert any("postgres" in command for command in children(service.process.pid))
        assert await service.stop(how) == 0
        assert await containers(extraction["id"]) == []
        assert children(service.process.pid) == []
    assert "extraction handed back" in service.log
    [run] = github.check_runs(repository, sha)
    assert run.status != "completed"
    async with serving(github, tmp_path) as service:
        run = await github.wait_for_check_run(repository, sha, timeout_s=120)
        assert run.conclusion == "success", run.summary
        assert len(github.check_runs(repository, sha)) == 1, "one check run, whatever was stopped when"
        assert (await service.get(f"/connections/{extraction['connection_id']}/lineage"))["sha"] == sha
        quick = await github.push(repository, QUICK)
        assert (await github.wait_for_check_run(repository, quick, timeout_s=60)).conclusion == "success"


async def test_a_killed_service_leaves_nothing_running_and_loses_nothing(github: GitHubDouble, tmp_path: Path) -> None:
    repository = await github.create_repository("octo/killed", {})
    await github.install("octo", [repository])
    async with serving(github, tmp_path) as service:
        sha = await github.push(repository, SLOW)
        extraction = await running(service, repository.full_name)
        below = children(service.process.pid)
        service.process.kill()
        await service.process.wait()
    async with asyncio.timeout(30):
        while any(str(tmp_path) in command for command in all_commands()):
            await asyncio.sleep(0.1)
    assert any("postgres" in command for command in below)
    async with serving(github, tmp_path) as service:
        run = await github.wait_for_check_run(repository, sha, timeout_s=150)
        assert run.conclusion == "success", run.summary
    assert await containers(extraction["id"]) == []


def all_commands() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return [command for command in found if "postgres" in command]


async def test_any_postgresql_will_do(github: GitHubDouble, tmp_path: Path, dsn: str) -> None:
    repository = await github.create_repository("octo/elsewhere", {})
    await github.install("octo", [repository])
    async with serving(github, tmp_path, DATABASE_URL=dsn) as service:
        sha = await github.push(repository, QUICK)
        assert (await github.wait_for_check_run(repository, sha, timeout_s=60)).conclusion == "success"
        assert not any("postgres -D" in command for command in children(service.process.pid))
        assert not (tmp_path / "postgres").exists()


async def test_two_services_share_the_work_of_one_database(github: GitHubDouble, tmp_path: Path, dsn: str) -> None:
    repositories = [await github.create_repository(f"octo/shared{number}", {}) for number in range(3)]
    await github.install("octo", repositories)
    async with serving(github, tmp_path / "a", DATABASE_URL=dsn) as one, serving(github, tmp_path / "b", DATABASE_URL=dsn) as other:
        shas = [await github.push(repository, QUICK) for repository in repositories]
        for repository, sha in zip(repositories, shas, strict=True):
            assert (await github.wait_for_check_run(repository, sha, timeout_s=60)).conclusion == "success"
            assert len(github.check_runs(repository, sha)) == 1
        connections = (await one.get("/connections"))["items"]
        assert connections == (await other.get("/connections"))["items"]
        assert len(connections) == 3


async def test_a_second_service_on_the_same_directory_is_refused_in_one_sentence(github: GitHubDouble, tmp_path: Path) -> None:
    async with serving(github, tmp_path):
        status, output = await start({"FRESHET_DATA_DIR": str(tmp_path), "PORT": str(free_port())})
    assert status == 2
    assert "another Freshet uses" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PORT": "eighty"}, "PORT"),
        ({"GITHUB_WEBHOOK_SECRET": ""}, "GITHUB_WEBHOOK_SECRET"),
        ({"FRESHET_TYPO": "1"}, "FRESHET_TYPO"),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "DATABASE_URL"),
        ({"GITHUB_APP_ID": "1", "GITHUB_PRIVATE_KEY": "not a key", "GITHUB_WEBHOOK_SECRET": "x"}, "GITHUB_PRIVATE_KEY"),
        ({"DOCKER_HOST": "gopher://x"}, "DOCKER_HOST"),
    ],
)
async def test_a_start_that_cannot_work_says_why_and_ends(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    status, output = await start({"FRESHET_DATA_DIR": str(tmp_path), "PORT": str(free_port()), **variables})
    assert status == 2
    assert words in output
    assert "Traceback" not in output


async def start(variables: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "serve"),
        cwd=ROOT,
        env={**clean_environment(), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()
