"""Containers that stand ready: quicker, and otherwise as if there were none."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from app import metrics
from app.dbt.docker import DockerRunner
from app.errors import UnavailableError
from app.ports import StateScope
from tests.integration.hostile_code import attack, hostile_runner
from tests.integration.runner_fixtures import Make, containers
from tests.integration.runner_images import HEARS, SPEAKS, build_runner
from tests.integration.runner_projects import SHOP, held, job, tree

WHEN_WARMED = (
    HEARS
    + """
import os, time
told = hear()
if "warm" in told:
    {}
    told = hear()
answer(taken=True)
archive = tarfile.open(fileobj=sys.stdin.buffer, mode="r|")
while archive.next():
    pass
sys.stdout.buffer.write(b'{{"ok": true, "bytes": 2}}\\n{{}}')
"""
)
"""A runner that does something else than it should when it is to get warm, and its job all the same."""
LEAVES_A_STATE = (
    SPEAKS.replace("while archive.next():", "while member := archive.next():\n    if member.name == 'state': sys.exit(3)")
    + """
say(b"{}")
sys.stdout.buffer.write(b'{"state_bytes": 6}\\nopaque')
"""
)
"""A runner that leaves a state, and does not get along with one."""
MAIN = StateScope(1, 2, "c0ffee", "main", followed=True, fresh=False)


@asynccontextmanager
async def warming(runner: DockerRunner, *used: tuple[str, str]) -> AsyncIterator[None]:
    keeping = asyncio.create_task(runner.keep_warm(used))
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(150):
        while not condition():
            await asyncio.sleep(0.02)


async def ready(docker: aiodocker.Docker, runner: DockerRunner) -> str:
    """Return the id of the one container that stands ready: it has its full share of the processors then."""
    async with asyncio.timeout(150):
        while True:
            found = await containers(docker, f"io.freshet.boot={runner.boot_id}")
            if len(found) == 1:
                with contextlib.suppress(aiodocker.DockerError):  # it went meanwhile
                    details = await docker.containers.container(found[0]).show()
                    if details["HostConfig"]["CpuShares"] == 512 and details["Name"].startswith("/freshet-warm-"):
                        return found[0]
            await asyncio.sleep(0.05)


async def parse(runner: DockerRunner, **changed: Any) -> Any:
    [image, *_] = await runner.images()
    return await runner.parse(job(image=image, **changed), tree(), None)


def counted(counter: Any, **labels: str) -> float:
    return float(counter.labels(**labels)._value.get())


def starts() -> dict[str, float]:
    return {kind: counted(metrics.CONTAINER_STARTS, kind=kind) for kind in ("warm", "warming", "cold")}


def there() -> list[str]:
    """Return the states of the containers that have no job yet."""
    return [state for state in ("ready", "warming") for _ in range(int(counted(metrics.WARM_CONTAINERS, state=state)))]


def since(before: dict[str, float]) -> dict[str, float]:
    return {kind: count - before[kind] for kind, count in starts().items() if count != before[kind]}


def meaning(manifest: bytes) -> Any:
    """Return what a manifest says, without when it was said."""
    told = json.loads(manifest, object_hook=lambda value: {key: part for key, part in value.items() if key != "created_at"})
    return {key: part for key, part in told.items() if key != "metadata"}


async def test_warm_with_a_state_with_a_broken_one_and_cold_give_the_same(make: Make, tmp_path: Path) -> None:
    runner = make(warm=1, timeout_s=300.0, patience_s=300.0)
    cold = meaning((await parse(runner, state=MAIN)).manifest)
    states = tmp_path / "work" / "states"
    await until(lambda: bool([*states.glob("*/*/*/f*")]))
    [state] = states.glob("*/*/*/*")
    async with warming(runner):
        await until(lambda: "warming" in there())
        before, partial = starts(), counted(metrics.PARSES, kind="partial")
        warm = await parse(runner, state=MAIN)
        assert meaning(warm.manifest) == cold
        assert "cold" not in since(before)
        assert counted(metrics.PARSES, kind="partial") == partial + 1
        assert "Running with dbt" in warm.log
    state.write_bytes(b"PK\x03\x04 nothing of the kind")
    again = make(timeout_s=300.0)
    assert meaning((await parse(again, state=MAIN)).manifest) == cold


async def test_nothing_of_one_job_is_there_for_the_next(make: Make, docker: aiodocker.Docker) -> None:
    runner = await hostile_runner(make, docker, warm=1)
    look = """
        found = [os.path.join(d, name) for d in ("/work", "/tmp", "/dev/shm") for name in os.listdir(d)]
        say({"found": found, "environment": sorted(os.environ), "processes": [n for n in os.listdir("/proc") if n.isdecimal()]})
    """
    leave = """
        for directory in ("/work", "/tmp", "/dev/shm"):
            tried(lambda: open(directory + "/trace", "w").write("x"))
        os.environ["TRACE"] = "x"
        if os.fork() == 0:
            os.setsid()
            time.sleep(3600)
        say()
    """
    async with warming(runner):
        ids, answers = [], []
        for code in (look, leave, look):
            ids.append(await ready(docker, runner))
            before = starts()
            answers.append((await attack(runner, code)).manifest)
            assert since(before) == {"warm": 1.0}
        assert answers[0] == answers[2]
        assert json.loads(answers[0])["found"] == []
        await ready(docker, runner)
        assert len({*ids}) == 3


async def test_a_container_that_was_killed_is_missed_by_nobody(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "honest", WHEN_WARMED.format("answer(ready=True)")), warm=1)
    async with warming(runner):
        await docker.containers.container(await ready(docker, runner)).kill(signal="SIGKILL")
        assert (await parse(runner)).manifest == b"{}"
        await ready(docker, runner)


async def test_one_that_hangs_costs_a_moment_and_none_of_the_jobs_files(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "honest", WHEN_WARMED.format("answer(ready=True)")), warm=1, patience_s=1.0)
    hung = counted(metrics.CONTAINERS_DISCARDED, reason="hung")
    async with warming(runner):
        await docker.containers.container(await ready(docker, runner)).pause()
        async with asyncio.timeout(30):
            assert (await parse(runner)).manifest == b"{}"
        assert counted(metrics.CONTAINERS_DISCARDED, reason="hung") == hung + 1


@pytest.mark.parametrize(
    ("does", "reason"),
    [("answer(ready=True); answer(hello=1); time.sleep(60)", "babbled"), ("print('hello', flush=True)", "babbled"), ("sys.exit()", "died")],
    ids=["too much", "nonsense", "nothing"],
)
async def test_one_that_is_no_good_is_thrown_away_and_not_made_again_at_once(
    make: Make, docker: aiodocker.Docker, does: str, reason: str
) -> None:
    runner = make(image=await build_runner(docker, "no-good", WHEN_WARMED.format(does)), warm=1)
    discarded = counted(metrics.CONTAINERS_DISCARDED, reason=reason)
    async with warming(runner):
        await until(lambda: counted(metrics.CONTAINERS_DISCARDED, reason=reason) > discarded)
        assert (await parse(runner)).manifest == b"{}"
        assert counted(metrics.CONTAINERS_DISCARDED, reason=reason) <= discarded + 3


async def test_one_that_gets_warm_is_better_than_none(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "slow", WHEN_WARMED.format("time.sleep(3); answer(ready=True)")), warm=1)
    async with warming(runner):
        await until(lambda: "warming" in there())
        [name] = await containers(docker, f"io.freshet.boot={runner.boot_id}")
        await asyncio.sleep(0.5)
        assert (await docker.containers.container(name).show())["HostConfig"]["CpuShares"] == 64
        before = starts()
        release = asyncio.Event()
        [image] = await runner.images()
        parsing = asyncio.create_task(runner.parse(job(image=image, extraction_id="hurry"), held(SHOP, release), None))
        async with asyncio.timeout(20):
            while not (details := await docker.containers.container(name).show())["Name"].startswith("/freshet-hurry-parse-"):
                await asyncio.sleep(0.05)
        assert details["HostConfig"]["CpuShares"] == 512
        assert details["Config"]["Labels"]["io.freshet.role"] == "warm"
        release.set()
        assert (await parsing).manifest == b"{}"
        assert since(before) == {"warming": 1.0}


async def test_an_image_that_is_built_anew_takes_the_place_of_the_old_one(make: Make, docker: aiodocker.Docker) -> None:
    name = await build_runner(docker, "renewed", WHEN_WARMED.format("answer(ready=True)"))
    runner = make(image=name, warm=1)
    async with warming(runner):
        first = await ready(docker, runner)
        await build_runner(docker, "renewed", WHEN_WARMED.format("answer(ready=True, seconds=1.0)"))
        # A job looks at the images again, as the pool does after half a minute.
        runner._images.forget()
        await parse(runner)
        second = await ready(docker, runner)
        assert first != second
        assert (await docker.containers.container(second).show())["Image"] == (await docker.images.inspect(name))["Id"]


async def test_the_end_of_the_service_leaves_none(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "slow", WHEN_WARMED.format("time.sleep(3); answer(ready=True)")), warm=2)
    [image] = await runner.images()
    async with warming(runner, (image.name, "duckdb"), (image.name, "postgres")):
        await until(lambda: there().count("warming") == 2)
    assert await containers(docker, f"io.freshet.boot={runner.boot_id}") == []


async def test_a_state_that_dbt_does_not_survive_is_forgotten_and_the_job_tried_again(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "stateful", LEAVES_A_STATE))
    await parse(runner, state=MAIN)
    with pytest.raises(UnavailableError, match="which is forgotten now") as caught:
        await parse(runner, state=MAIN)
    assert caught.value.retryable
    assert (await parse(runner, state=MAIN)).manifest == b"{}"
