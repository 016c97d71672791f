"""Failures around dbt: misbehaving runners, cancelled containers, unavailable engines, missing images."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import pytest

from app.core.errors import (
    ConfigurationError,
    ContainerTimedOutError,
    DbtError,
    EngineUnavailableError,
    OutputTooBigError,
    RunnerImageError,
)
from app.runner.docker import isolation, lifetime
from app.runner.docker.engine import connect
from app.service import maintenance
from tests.integration.runner_fixtures import Make, containers, running
from tests.integration.runner_images import SPEAKS, build_image, build_runner, named
from tests.integration.runner_projects import SHOP, extraction, held, job, request, tree
from tests.patience import HANGS_S

PROBE = """
import os, socket
def tried(action):
    try:
        return repr(action())
    except OSError as error:
        return error.strerror
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
say(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "capabilities": [status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd")],
    "no_new_privileges": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "connect": tried(lambda: socket.create_connection(("172.17.0.1", 53), 3)),
    "write": [tried(lambda: open(d + "/x", "w").write("x")) for d in ("/", "/opt/freshet/runner", "/etc", "/work", "/tmp")],
    "mode": oct(os.stat("/work").st_mode & 0o777),
    "environment": sorted(os.environ),
}).encode())
"""


async def test_code_in_a_container_has_no_privileges(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "probe", SPEAKS + PROBE)
    found = json.loads((await make(package_hub_url="http://hub").parse(job(image=named(image)), tree(), None)).manifest)
    assert (found["uid"], found["gid"], found["groups"]) == (10001, 10001, [10001])
    assert {int(value, 16) for value in found["capabilities"]} == {0}
    assert (found["no_new_privileges"], found["seccomp"]) == ("1", "2")
    assert found["interfaces"] == ["lo"]
    assert found["connect"] == "Network is unreachable"
    assert found["write"] == [*["Read-only file system"] * 3, "1", "1"]
    assert found["mode"] == "0o700"
    assert "DBT_PACKAGE_HUB_URL" not in found["environment"]


async def test_a_manifest_that_is_not_json_is_returned_unchanged(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "garbage", SPEAKS + r'say(b"\x00\xff not a manifest")')
    assert (await make().parse(job(image=named(image)), tree(), None)).manifest == b"\x00\xff not a manifest"


async def test_a_big_manifest_is_streamed(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "big", SPEAKS + "say(bytes(64 << 20))")
    since_s = time.process_time()
    parsed = await make().parse(job(image=named(image)), tree(), None)
    assert parsed.manifest == bytes(64 << 20)
    assert time.process_time() - since_s < 10, "of this process alone: how busy the machine is does not count"


async def test_an_endless_manifest_is_stopped(make: Make, docker: aiodocker.Docker) -> None:
    endless = "say(b'', bytes=1 << 40)\nwhile True: sys.stdout.buffer.write(bytes(1 << 20))"
    image = await build_runner(docker, "endless", SPEAKS + endless)
    with pytest.raises(OutputTooBigError, match="bigger than 8 MiB"):
        await make(max_manifest_bytes=8 << 20).parse(job(image=named(image)), tree(), None)


async def test_a_flood_of_log_is_limited_and_delays_nothing(make: Make, docker: aiodocker.Docker) -> None:
    flood = "\nfor text in ('first\\n', *['x' * (1 << 20)] * 64, 'last\\n'): sys.stderr.write(text)\nsay(b'{}')"
    image = await build_runner(docker, "flood", SPEAKS + flood)
    parsed = await make().parse(job(image=named(image)), tree(), None)
    assert parsed.manifest == b"{}"
    assert parsed.log.startswith("first\n")
    assert "bytes left out" in parsed.log
    assert parsed.log.endswith("last\n")
    assert len(parsed.log) < 4.2 * (1 << 20)


async def test_a_runner_that_crashes_shows_the_end_of_its_log(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "crash", "import sys; print('out of luck', file=sys.stderr); sys.exit(3)")
    with pytest.raises(DbtError) as caught:
        await make().parse(job(image=named(image)), tree(), None)
    assert "exit status 3" in caught.value.output
    assert "out of luck" in caught.value.output


@pytest.mark.parametrize(
    ("tag", "program"),
    [("silent", ""), ("chatty", "print('hello')"), ("babble", "import sys; sys.stdout.write('x' * (2 << 20))")],
)
async def test_an_image_with_another_protocol_is_an_error(make: Make, docker: aiodocker.Docker, tag: str, program: str) -> None:
    with pytest.raises(RunnerImageError, match="did not answer as expected"):
        await make().parse(job(image=named(await build_runner(docker, tag, program))), tree(), None)


async def test_an_incomplete_result_is_a_temporary_error(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "short", SPEAKS + "say(b'{', bytes=100)")
    with pytest.raises(EngineUnavailableError, match="1 of 100 bytes"):
        await make().parse(job(image=named(image)), tree(), None)


async def test_an_error_while_sending_files_stops_the_container(make: Make) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b""
        raise EngineUnavailableError("reading files", "git went away")

    with pytest.raises(EngineUnavailableError, match="git went away"):
        await make().parse(job(), broken(), None)


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0])
async def test_a_cancelled_job_leaves_no_container(make: Make, after_s: float) -> None:
    runner = make()
    await runner.check()
    parsing = asyncio.create_task(runner.parse(job(), held(SHOP, asyncio.Event()), None))
    await asyncio.sleep(after_s)
    parsing.cancel()
    await asyncio.sleep(0)
    # Cancelling repeatedly changes nothing: the container is deleted at the end, which `make` checks.
    parsing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parsing


async def test_containers_of_earlier_runs_are_deleted(make: Make, docker: aiodocker.Docker) -> None:
    before, now, other = make(), make(), make(instance="test-other")
    names = []
    for number, runner in enumerate((before, now, other)):
        spec = await runner._spec("parse", job(extraction_id=f"sweep{number}"), "testing")
        await docker.containers.create(isolation.config(spec), name=spec.name)
        names.append(spec.name)
    assert await now.sweep() == 1
    assert await containers(docker, f"io.freshet.extraction={extraction('sweep0')}") == []
    assert await now.sweep() == 0
    for name in names[1:]:
        await docker.containers.container(name).show()
        await lifetime.delete(docker, name)


async def test_a_missing_image_says_how_to_build_it(make: Make) -> None:
    with pytest.raises(RunnerImageError) as caught:
        await make(image="freshet-test:nowhere").images()
    assert "freshet-test:nowhere" in caught.value.user_text
    assert "make image" in caught.value.user_text


async def test_a_deleted_image_is_noticed_at_once(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "leaving", "# another one every time\n" + SPEAKS + f"say(b'{time.time()}')")
    runner = make(image=image)
    [found] = await runner.images()
    assert "duckdb" in found.adapters
    await docker.images.delete(image, force=True)
    with pytest.raises(RunnerImageError, match="no image 'freshet-test:leaving'"):
        await runner.parse(job(image=found), tree(), None)
    with pytest.raises(RunnerImageError, match="no image 'freshet-test:leaving'"):
        await runner.images()


async def test_an_image_without_our_label_is_rejected(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_image(docker, "other", "FROM scratch\nCOPY a /\n", {"a": "a"})
    with pytest.raises(RunnerImageError, match=r"label io\.freshet\.runner is missing"):
        await make(image=image).images()


async def test_a_missing_network_names_its_setting(make: Make) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await make(deps_network="nowhere").install(request(SHOP))
    assert "DBT_DEPS_NETWORK" in caught.value.user_text


async def test_the_check_names_the_engine_and_images(make: Make) -> None:
    line = await make().check()
    assert line.startswith("Docker 2")
    assert "dbt-runner:latest: dbt 1.11" in line
    assert "duckdb" in line


async def test_more_cpus_than_the_engine_has_are_no_error(make: Make) -> None:
    assert (await make(cpus=4096.0).parse(job(), tree(), None)).manifest


async def test_an_unavailable_engine_is_reported(make: Make, tmp_path: Path) -> None:
    async with connect(f"unix://{tmp_path}/nobody.sock") as away:
        runner = make(docker=away)
        for call in (runner.check(), runner.images(), runner.sweep(), runner.parse(job(), tree(), None)):
            with pytest.raises(EngineUnavailableError, match="does not answer"):
                await call


async def test_containers_that_an_absence_of_the_engine_cut_off_are_swept_when_it_is_back(
    make: Make, docker: aiodocker.Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "SWEEP_AGAIN_S", 0.1)
    monkeypatch.setattr(maintenance, "SWEEP_EVERY_S", 0.1)
    relay = Relay(tmp_path / "engine.sock")
    async with relay, connect(relay.url) as client:
        runner, other = make(docker=client), make(instance="test-other")
        spec = await other._spec("parse", job(extraction_id="others"), "testing")
        await docker.containers.create(isolation.config(spec), name=spec.name)
        sweeping = asyncio.create_task(maintenance.sweep(runner))
        parsing = asyncio.create_task(runner.parse(job(extraction_id="cut"), held(SHOP, asyncio.Event()), None))
        await running(docker, extraction("cut"))
        await relay.stop()
        with pytest.raises(EngineUnavailableError):
            await parsing
        assert await containers(docker, f"io.freshet.extraction={extraction('cut')}"), "it could not be deleted without the engine"
        await relay.start()
        going_on = asyncio.create_task(runner.parse(job(extraction_id="on"), held(SHOP, asyncio.Event()), None))
        await running(docker, extraction("on"))
        async with asyncio.timeout(HANGS_S):
            while await containers(docker, f"io.freshet.extraction={extraction('cut')}"):
                await asyncio.sleep(0.05)
        assert not sweeping.done()
        for name in ("on", "others"):
            label = f"io.freshet.extraction={extraction(name)}"
            assert await containers(docker, label), "containers in use, and those of other services, stay"
        for task in (going_on, sweeping):
            task.cancel()
            await asyncio.wait([task])
        await lifetime.delete(docker, spec.name)


class Relay:
    """A socket in front of the engine's, which can be stopped and started again."""

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, f"unix://{path}"
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        """Cut all connections, and accept no more."""
        assert self._server is not None
        self._server.close()
        self.path.unlink(missing_ok=True)
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection("/var/run/docker.sock")
        self._writers.extend((writer, engine_writer))
        await asyncio.gather(_copy(reader, engine_writer), _copy(engine_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_container_that_closes_its_streams_and_lives_on_is_deleted(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "hang", "import os, time; os.close(1); os.close(2); time.sleep(3600)")
    with pytest.raises((EngineUnavailableError, ContainerTimedOutError)):
        await make(timeout_s=3.0).parse(job(image=named(image), extraction_id="hang"), held(SHOP, asyncio.Event()), None)
    assert await containers(docker, f"io.freshet.extraction={extraction('hang')}") == []
