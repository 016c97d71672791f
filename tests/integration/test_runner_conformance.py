"""What every runner must do, whatever its engine: always with Docker, and by `make test-kubernetes` in a real cluster too."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiodocker
import pytest
import pytest_asyncio

from app.core import metrics
from app.core.errors import (
    ContainerOutOfMemoryError,
    ContainerTimedOutError,
    DbtError,
    OutputTooBigError,
    RunnerImageError,
)
from app.pipeline.ports import Parsed, StateScope
from app.runner.backend import ContainerRunner
from tests.integration.conformance_worlds import ENGINES, World, world
from tests.integration.hostile_code import RUNS_WHAT_IT_IS_GIVEN, attack
from tests.integration.runner_images import HEARS, SPEAKS
from tests.integration.runner_projects import PROJECT, SHOP, held, job, shop, tree
from tests.integration.test_containers import ENDLESS, GREEDY
from tests.patience import HANGS_S

MAIN = StateScope(1, 2, "c0ffee", own="followed main 1", followed="followed main 1", fresh=False)
KEEPS = (
    HEARS
    + """
import time
told = hear()
answer(taken=True)
archive, earlier = tarfile.open(fileobj=sys.stdin.buffer, mode="r|"), {}
while member := archive.next():
    if member.name in ("state", "columns"):
        earlier[member.name] = archive.extractfile(member).read().decode()
    archive.members = []
def give(content, **line):
    answer(**line)
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
manifest, state = json.dumps(earlier).encode(), str(int(earlier.get("state", "0")) + 1).encode()
give(manifest, ok=True, bytes=len(manifest), dbt_version="1.11.16")
give(state, state_bytes=len(state))
if told["columns"]:
    time.sleep(1)
    give(b"later", columns_bytes=5, seconds=1.0, cpu_seconds=0.5, peak_memory_bytes=1 << 20, error=None)
"""
)
"""A runner whose manifest says what the archive had of an earlier job, and whose state counts."""
ONCE = (
    SPEAKS
    + """
import os
used = os.path.exists("/work/used")
open("/work/used", "w").close()
say(json.dumps({"used": used}).encode())
"""
)
"""A runner whose manifest says whether its container had another job before."""


@pytest_asyncio.fixture(params=ENGINES)
async def engine_world(request: pytest.FixtureRequest, docker: aiodocker.Docker, tmp_path: Path) -> AsyncIterator[World]:
    async with world(request.param, tmp_path) as found:
        yield found


async def parse(runner: ContainerRunner, files: dict[str, Any] | None = None, **changed: Any) -> Parsed:
    [image, *_] = await runner.images()
    return await runner.parse(job(image=image, **changed), tree(files or SHOP), None)


async def test_a_project_is_parsed(engine_world: World) -> None:
    parsed = await parse(engine_world.make())
    manifest = json.loads(parsed.manifest)
    assert manifest["parent_map"]["model.shop.totals"] == ["model.shop.orders"]
    assert "Running with dbt=1.11" in parsed.log
    assert (parsed.usage.cpu_seconds or 0) > 0.1
    assert (parsed.usage.peak_memory_bytes or 0) > 50 << 20
    await engine_world.count(0)


async def test_images_say_what_they_have(engine_world: World) -> None:
    [image] = await engine_world.make().images()
    assert image.dbt_version.startswith("1.11.")
    assert {"duckdb", "postgres", "snowflake", "bigquery"} <= image.adapters
    assert image.gives_columns


async def test_an_error_of_dbt_has_dbts_own_message(engine_world: World) -> None:
    with pytest.raises(DbtError) as caught:
        await parse(engine_world.make(), shop(models__totals="from {{ ref('nope') }}"))
    assert "depends on a node named 'nope'" in caught.value.output
    assert caught.value.facts
    assert "Running with dbt" in caught.value.facts.log


async def test_placeholders_are_reported(engine_world: World) -> None:
    parsed = await parse(engine_world.make(), shop(models__orders="select '{{ env_var(\"REGION\") }}' as id"))
    assert [(one.kind, one.name, one.path) for one in parsed.placeholders] == [("env_var", "REGION", "models/orders.sql")]


async def test_a_job_over_its_time_limit_is_stopped(engine_world: World) -> None:
    with pytest.raises(ContainerTimedOutError, match="after 15 seconds"):
        await parse(engine_world.make(timeout_s=15.0), shop(models__orders=ENDLESS))
    await engine_world.count(0)


async def test_a_job_over_its_memory_limit_is_recognized(engine_world: World) -> None:
    with pytest.raises(ContainerOutOfMemoryError, match="384 MiB"):
        await parse(engine_world.make(memory_bytes=384 << 20), shop(models__orders=GREEDY))


@pytest.mark.parametrize("memory_mib", [256, 512], ids=["killed", "disk full"])
async def test_files_that_do_not_fit_are_out_of_memory(engine_world: World, memory_mib: int) -> None:
    """A killed program leaves input unread: its end must be noticed anyway."""
    files: dict[str, str | bytes] = {**SHOP, **{f"seeds/s{number}.csv": b"1\n" * (10 << 20) for number in range(memory_mib // 25)}}
    with pytest.raises(ContainerOutOfMemoryError, match=f"{memory_mib} MiB"):
        await parse(engine_world.make(memory_bytes=memory_mib << 20), files)


async def test_a_cancelled_job_leaves_no_container(engine_world: World) -> None:
    runner = engine_world.make()
    [image] = await runner.images()
    parsing = asyncio.create_task(runner.parse(job(image=image), held(SHOP, asyncio.Event()), None))
    await engine_world.count(1)
    await asyncio.sleep(1)
    parsing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parsing
    await engine_world.count(0)


async def test_a_cancelled_start_leaves_no_container(engine_world: World) -> None:
    runner = engine_world.make()
    [image] = await runner.images()
    for pause_s in (0.0, 0.02, 0.2):
        parsing = asyncio.create_task(runner.parse(job(image=image), tree(), None))
        await asyncio.sleep(pause_s)
        parsing.cancel()
        await asyncio.wait([parsing])
    await engine_world.count(0)


async def test_output_is_limited(engine_world: World) -> None:
    with pytest.raises(OutputTooBigError, match="dbt's output is bigger than 0 MiB"):
        await parse(engine_world.make(max_manifest_bytes=1000))
    image = await engine_world.build("chatty", SPEAKS + "while True: sys.stderr.write('x' * (1 << 20))\n")
    with pytest.raises(OutputTooBigError, match="log is bigger than 256 MiB"):
        await parse(engine_world.make(image=image))


async def test_a_job_is_isolated(engine_world: World) -> None:
    """As seen from inside, by a program that tries."""
    image = await engine_world.build("conformance", RUNS_WHAT_IT_IS_GIVEN)
    code = """
    import glob
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    say({
        "user": [os.getuid(), os.getgid()],
        "capabilities": {status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16},
        "no new privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "connect": [tried(socket.create_connection, (host, 443), 3) for host in ("10.96.0.1", "10.199.199.1", "192.0.2.1")],
        "root": [tried(open, path, "w") for path in ("/x", "/opt/freshet/runner/__main__.py", "/etc/passwd")],
        "work": tried(open, "/work/x", "w")[:4],
        "mount": tried(call, 165, b"none", b"/work", b"tmpfs", 0, None),
        "unshare": tried(call, 272, 0x10000000),
        "tokens": glob.glob("/var/run/secrets/*/*/*") + glob.glob("/run/secrets/*"),
        "environment": sorted(name for name in os.environ if "TOKEN" in name or "SECRET" in name),
        "hostname": socket.gethostname(),
        "names": open("/etc/resolv.conf").read().split()[:2],
    })
    """
    parsed = await attack(engine_world.make(image=image, memory_bytes=256 << 20), code)
    found = json.loads(parsed.manifest)
    assert found == {
        "user": [10001, 10001],
        "capabilities": True,
        "no new privileges": "1",
        "seccomp": "2",
        "connect": ["ENETUNREACH"] * 3,
        "root": ["EROFS"] * 3,
        "work": "<_io",
        "mount": "EPERM",
        "unshare": "EPERM",
        "tokens": [],
        "environment": [],
        "hostname": "dbt",
        "names": ["nameserver", "127.0.0.1"],
    }


async def test_a_program_that_does_not_speak_the_protocol_is_named(engine_world: World) -> None:
    image = await engine_world.build("babbling", "print('hello', flush=True)\nimport sys\nsys.stdin.read()\n")
    with pytest.raises(RunnerImageError, match="does not fit this version of Freshet"):
        await parse(engine_world.make(image=image))


async def test_a_program_that_dies_says_why(engine_world: World) -> None:
    image = await engine_world.build("dying", "import sys\nsys.stdin.readline()\nsys.exit('no module named dbt')\n")
    with pytest.raises(DbtError) as caught:
        await parse(engine_world.make(image=image))
    assert "exit status 1" in caught.value.output
    assert "no module named dbt" in caught.value.output


async def test_a_missing_image_is_named(engine_world: World) -> None:
    with pytest.raises(RunnerImageError, match="freshet-test:nobody-built-this"):
        await parse(engine_world.make(image="freshet-test:nobody-built-this"))


async def test_leftovers_of_earlier_runs_are_swept(engine_world: World) -> None:
    before, now, other = engine_world.make(), engine_world.make(), engine_world.make(instance="test-other")
    for runner in (before, now, other):
        await runner.images()
        await engine_world.leave(runner)
    await engine_world.count(2)
    assert await now.sweep() == 1
    assert await now.sweep() == 0
    await engine_world.count(1)
    assert await engine_world.make().sweep() == 1
    assert await engine_world.make(instance="test-other").sweep() == 1


async def test_a_state_is_handed_in_and_out(engine_world: World) -> None:
    runner = engine_world.make(image=await engine_world.build("keeping", KEEPS))
    for earlier in ({}, {"state": "1"}, {"state": "2"}):
        parsed = await parse(runner, state=MAIN)
        assert json.loads(parsed.manifest) == earlier
        assert parsed.states_of == ({MAIN.followed} if earlier else frozenset())


async def test_columns_arrive_after_the_manifest(engine_world: World) -> None:
    runner = engine_world.make(image=await engine_world.build("keeping", KEEPS))
    [image] = await runner.images()
    for earlier in ({}, {"state": "1", "columns": "later"}):
        parsed = await runner.parse(job(image=replace(image, gives_columns=True), state=MAIN, columns=True), tree(), None)
        assert json.loads(parsed.manifest) == earlier
        assert parsed.columns is not None
        async with asyncio.timeout(HANGS_S):
            document = await parsed.columns.wait()
        assert document.spool.content() == b"later"
        assert document.usage.cpu_seconds == 0.5
        document.spool.close()
        parsed.columns.close()
        await engine_world.count(0)


async def test_a_warm_container_takes_one_job_and_no_other(engine_world: World) -> None:
    runner = engine_world.make(image=await engine_world.build("once", ONCE), warm=1)
    await runner.images()
    keeping = asyncio.create_task(runner.keep_warm([]))
    try:
        for number in range(3):
            async with asyncio.timeout(HANGS_S):
                while not any(one.ready for one in runner.pool._containers):
                    await asyncio.sleep(0.1)
            before = metrics.CONTAINER_STARTS.labels(kind="warm")._value.get()
            parsed = await parse(runner)
            assert json.loads(parsed.manifest) == {"used": False}, number
            assert metrics.CONTAINER_STARTS.labels(kind="warm")._value.get() == before + 1
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
    await engine_world.count(0)


async def test_the_check_names_the_engine_the_images_and_the_isolation(engine_world: World) -> None:
    line = await engine_world.make().check()
    assert line.startswith(("Docker ", "Kubernetes v"))
    assert "dbt-runner:latest: dbt 1.11." in line
    assert "isolation: " in line
    assert "MISSING" not in line


async def test_jobs_side_by_side_do_not_mix(engine_world: World) -> None:
    runner = engine_world.make()
    names = ["apples", "pears", "plums"]
    files = {name: {**SHOP, "dbt_project.yml": PROJECT, f"models/{name}.sql": "select 1 as id"} for name in names}
    found = await asyncio.gather(*(parse(runner, files[name], extraction_id=f"01{name}") for name in names))
    for name, parsed in zip(names, found, strict=True):
        assert {model.rsplit(".", 1)[1] for model in json.loads(parsed.manifest)["nodes"] if model.startswith("model.")} == {
            "orders",
            "totals",
            name,
        }
