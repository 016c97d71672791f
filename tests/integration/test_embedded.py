"""The embedded PostgreSQL when something goes wrong: it dies, its owner died, its directory is in use, its log grows."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

import aiohttp
import asyncpg
import pytest
import structlog

from app.core.errors import DatabaseUnavailableError, FreshetError, UnavailableError
from app.service import components, server
from app.service.config import Settings
from app.store import embedded, pool, postmaster
from tests.patience import HANGS_S
from tests.service import ROOT, clean_environment, free_port


async def answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(HANGS_S):
        while not await condition():
            await asyncio.sleep(0.05)


def kill(data_dir: Path) -> int:
    """Kill the server as the kernel does when memory is short; its pid."""
    pid = int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    return pid


async def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    async with embedded.serve(tmp_path, durable=False) as dsn:
        for _ in range(2):
            pid = kill(tmp_path)
            await until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
            await until(lambda: answers(dsn))
    assert not await answers(dsn), "it ends with its owner"


async def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_a_server_that_cannot_be_started_again_is_reported_with_its_own_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "GIVE_UP_S", 0.5)
    failed: asyncio.Future[FreshetError] = asyncio.get_running_loop().create_future()
    async with embedded.serve(tmp_path, durable=False, on_failure=failed.set_result):
        (tmp_path / "postgres" / "global" / "pg_control").unlink()
        kill(tmp_path)
        async with asyncio.timeout(HANGS_S):
            error = await failed
    assert "pg_control" in error.reason


async def test_a_service_whose_database_cannot_be_started_again_ends_with_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "GIVE_UP_S", 0.5)
    settings = Settings(freshet_data_dir=tmp_path, port=0, docker_host="tcp://127.0.0.1:1", freshet_warm_containers=0)
    with structlog.testing.capture_logs() as lines:
        serving = asyncio.create_task(server.serve(settings))
        async with asyncio.timeout(HANGS_S):
            while not any(line["event"] == "listening" for line in lines):
                await asyncio.sleep(0.05)
            (tmp_path / "postgres" / "PG_VERSION").unlink()
            kill(tmp_path)
            assert await serving == 1
    [line] = [line for line in lines if line["event"].startswith("the service ends")]
    assert "is not a valid data directory" in line["reason"]


async def test_doctor_uses_the_server_of_a_running_service_which_survives_its_end(tmp_path: Path) -> None:
    environment = {**clean_environment(), "FRESHET_DATA_DIR": str(tmp_path), "PORT": str(free_port()), "DOCKER_HOST": "tcp://127.0.0.1:1"}

    async def app(command: str, output: int | IO[bytes]) -> asyncio.subprocess.Process:
        python = (sys.executable, "-W", "error", "-m", "app", command)
        return await asyncio.create_subprocess_exec(*python, cwd=ROOT, env=environment, stdout=output, stderr=output)

    with (tmp_path / "service.log").open("wb") as output:
        service = await app("serve", output)

    def lines() -> list[dict[str, str]]:
        return [json.loads(line) for line in (tmp_path / "service.log").read_text().splitlines()]

    async def has(event: str) -> bool:
        return any(event in line["event"] for line in lines())

    await until(lambda: has("listening"))
    doctor = await app("doctor", asyncio.subprocess.PIPE)
    report = (await doctor.communicate())[0].decode()
    assert f"in use by the running service (process {service.pid})" in report.splitlines()[0]
    assert report.startswith("ok: database: PostgreSQL")
    # While the service cannot start it again, doctor says whose it is.
    service.send_signal(signal.SIGSTOP)
    kill(tmp_path)
    doctor = await app("doctor", asyncio.subprocess.PIPE)
    report = (await doctor.communicate())[0].decode()
    assert report.startswith("not ok: database: ")
    assert f"The running service (process {service.pid}) starts it again" in report.splitlines()[0]
    assert str(tmp_path / "postgres.log") in report.splitlines()[0]
    service.send_signal(signal.SIGCONT)
    await until(lambda: has("is up again"))
    readiness = ""
    async with aiohttp.ClientSession() as session, asyncio.timeout(HANGS_S):
        while not readiness.startswith("ok: database"):
            async with session.get(f"http://127.0.0.1:{environment['PORT']}/readyz") as response:
                readiness = await response.text()
    service.terminate()
    assert await service.wait() == 0
    assert not [line for line in lines() if "exception" in line]


async def test_a_command_beside_a_service_that_is_starting_says_so(tmp_path: Path) -> None:
    with (tmp_path / "postgres.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        settings = Settings(freshet_data_dir=tmp_path)
        with pytest.raises(UnavailableError, match="is starting it right now") as raised:
            async with components.connected(settings):
                pass
    assert "again" in raised.value.next_step


async def test_an_absence_of_the_database_is_two_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "FIRST_PAUSE_S", 0.5)
    async with embedded.serve(tmp_path, durable=False) as dsn, pool.connect(dsn) as db:
        with structlog.testing.capture_logs() as lines:
            kill(tmp_path)

            async def works() -> bool:
                with contextlib.suppress(DatabaseUnavailableError):
                    return bool(await db.value("SELECT true"))
                return False

            async with asyncio.timeout(HANGS_S):
                while await works():
                    await asyncio.sleep(0.01)
            await until(works)
    said = [line["event"] for line in lines if "database" in line["event"]]
    assert said == ["the database does not answer", "the database answers again"]


async def test_a_directory_in_use_is_an_error_that_names_the_process(tmp_path: Path) -> None:
    async with embedded.serve(tmp_path, durable=False) as dsn:
        with pytest.raises(embedded.InUseError, match=rf"FRESHET_DATA_DIR: another Freshet \(process {os.getpid()}\) uses") as caught:
            async with embedded.serve(tmp_path):
                pass
        assert caught.value.dsn == dsn
        assert await answers(dsn)


async def test_a_relative_directory_is_that_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with embedded.serve(Path("data"), durable=False) as dsn:
        assert await answers(dsn)
    assert (tmp_path / "data" / "postgres" / "PG_VERSION").exists()


async def test_files_that_a_killed_server_left_are_no_obstacle(tmp_path: Path) -> None:
    async with embedded.serve(tmp_path, durable=False):
        pass
    # The pid belongs to another process now, as after a restart of a container.
    left = f"{os.getpid()}\n{tmp_path}/postgres\n1\n5432\n{tmp_path}/socket\n"
    (tmp_path / "postgres" / "postmaster.pid").write_text(left)
    if (tmp_path / "socket").exists():  # where its path is short enough for a socket
        (tmp_path / "socket" / ".s.PGSQL.5432.lock").write_text(left)
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("16")
    async with embedded.serve(tmp_path, durable=False) as dsn:
        assert await answers(dsn)


async def test_the_server_of_a_killed_process_is_waited_for(tmp_path: Path) -> None:
    code = """
import asyncio, pathlib, sys
from app.store import embedded
async def main():
    async with embedded.serve(pathlib.Path(sys.argv[1]), durable=False):
        print("up", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(HANGS_S):
        while not (await process.stdout.readline()).startswith(b"up"):
            pass
        process.kill()
        await process.wait()
    async with embedded.serve(tmp_path, durable=False) as dsn:
        assert await answers(dsn)


async def test_the_servers_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postmaster, "MAX_LOG_BYTES", 2000)
    monkeypatch.setattr(embedded, "BOUND_LOG_S", 0.02)
    async with embedded.serve(tmp_path, durable=False) as dsn:
        connection = await asyncpg.connect(dsn)
        for number in range(100):
            with pytest.raises(asyncpg.UndefinedColumnError):
                await connection.fetch(f"SELECT complaint_number_{number}")
            await asyncio.sleep(0.005)
        await connection.close()
        assert (tmp_path / "postgres.log.1").exists()
        async with asyncio.timeout(HANGS_S):
            while sum(path.stat().st_size for path in tmp_path.glob("postgres.log*")) > 12_000:
                await asyncio.sleep(0.02)
    assert "complaint_number_99" in "".join(path.read_text() for path in tmp_path.glob("postgres.log*"))


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnavailableError, match=f"FRESHET_DATA_DIR: {tmp_path}/file"):
        async with embedded.serve(tmp_path / "file"):
            pass
