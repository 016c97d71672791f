"""Starting, stopping and crashing: no accepted push is lost, and no containers are left."""

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
from tests.engine import EngineDouble
from tests.patience import HANGS_S
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
    """The commands of all processes below `pid`."""
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
    """Wait until the extraction of a repository runs in a container; that extraction."""
    connection = await service.connection(name)
    async with asyncio.timeout(HANGS_S):
        while (extraction := await service.get(f"/connections/{connection['id']}/progress"))["stage"] != "parsing":
            await asyncio.sleep(0.05)
        while not await containers(extraction["id"]):
            await asyncio.sleep(0.05)
    return extraction


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_cleanly_and_the_next_start_finishes_the_work(
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
        run = await github.wait_for_check_run(repository, sha)
        assert run.conclusion == "success", run.summary
        assert len(github.check_runs(repository, sha)) == 1, "one check run, whenever the service was stopped"
        assert (await service.get(f"/connections/{extraction['connection_id']}/lineage"))["sha"] == sha
        quick = await github.push(repository, QUICK)
        assert (await github.wait_for_check_run(repository, quick)).conclusion == "success"


async def test_a_killed_service_leaves_no_containers_and_loses_no_push(github: GitHubDouble, tmp_path: Path) -> None:
    repository = await github.create_repository("octo/killed", {})
    await github.install("octo", [repository])
    async with serving(github, tmp_path) as service:
        sha = await github.push(repository, SLOW)
        extraction = await running(service, repository.full_name)
        below = children(service.process.pid)
        service.process.kill()
        await service.process.wait()
    async with asyncio.timeout(HANGS_S):
        while any(str(tmp_path) in command for command in all_commands()):
            await asyncio.sleep(0.1)
    assert any("postgres" in command for command in below)
    async with serving(github, tmp_path) as service:
        run = await github.wait_for_check_run(repository, sha)
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


async def test_an_external_postgresql_works(github: GitHubDouble, engine: EngineDouble, tmp_path: Path, dsn: str) -> None:
    repository = await github.create_repository("octo/elsewhere", {})
    await github.install("octo", [repository])
    async with serving(github, tmp_path, DATABASE_URL=dsn, DOCKER_HOST=engine.url, FRESHET_WARM_CONTAINERS="0") as service:
        sha = await github.push(repository, QUICK)
        assert (await github.wait_for_check_run(repository, sha)).conclusion == "success"
        assert not any("postgres -D" in command for command in children(service.process.pid))
        assert not (tmp_path / "postgres").exists()


async def test_two_services_share_the_work_of_one_database(github: GitHubDouble, engine: EngineDouble, tmp_path: Path, dsn: str) -> None:
    repositories = [await github.create_repository(f"octo/shared{number}", {}) for number in range(3)]
    await github.install("octo", repositories)
    ours: dict[str, Any] = {"DATABASE_URL": dsn, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0"}
    async with serving(github, tmp_path / "a", **ours) as one, serving(github, tmp_path / "b", **ours) as other:
        shas = [await github.push(repository, QUICK) for repository in repositories]
        for repository, sha in zip(repositories, shas, strict=True):
            assert (await github.wait_for_check_run(repository, sha)).conclusion == "success"
            assert len(github.check_runs(repository, sha)) == 1
        connections = (await one.get("/connections"))["items"]
        assert connections == (await other.get("/connections"))["items"]
        assert len(connections) == 3


async def test_a_second_service_in_the_same_directory_is_refused(github: GitHubDouble, tmp_path: Path) -> None:
    async with serving(github, tmp_path, FRESHET_WARM_CONTAINERS="0"):
        status, output = await start({"FRESHET_DATA_DIR": str(tmp_path), "PORT": str(free_port())})
    assert status == 2
    assert "another Freshet" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FRESHET_TYPO": "1"}, "FRESHET_TYPO"),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "DATABASE_URL"),
        ({"GITHUB_APP_ID": "1", "GITHUB_PRIVATE_KEY": "not a key", "GITHUB_WEBHOOK_SECRET": "x"}, "GITHUB_PRIVATE_KEY"),
        ({"DOCKER_HOST": "gopher://x"}, "DOCKER_HOST"),
    ],
)
async def test_a_start_with_invalid_configuration_fails_with_the_reason(tmp_path: Path, variables: dict[str, str], words: str) -> None:
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
    async with asyncio.timeout(HANGS_S):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.usefixtures("terminal")
async def test_a_closed_terminal_ends_the_demo_with_all_its_processes() -> None:
    command = [sys.executable, "-m", "demo", "--serve", "--port", str(free_port())]
    demo = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=clean_environment(), stdout=asyncio.subprocess.PIPE)
    assert demo.stdout is not None
    try:
        async with asyncio.timeout(HANGS_S):
            while b"Freshet: http" not in (line := await demo.stdout.readline()):
                assert line, "the demo ended by itself"
            started = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and parent(path) == demo.pid]
            demo.send_signal(signal.SIGHUP)
            await demo.communicate()
    finally:
        if demo.returncode is None:
            demo.kill()
    assert started, "the service is a process of its own"
    assert demo.returncode == 128 + signal.SIGHUP
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []


def parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
