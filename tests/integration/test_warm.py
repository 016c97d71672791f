"""Warm containers: faster than cold ones, and otherwise the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from app.core import metrics
from app.core.errors import EngineUnavailableError, UnavailableError
from app.pipeline.ports import StateScope
from app.runner import acceptance
from app.runner.docker.backend import DockerRunner
from app.runner.docker.container import AttachedContainer
from app.runner.warm_demand import fitting
from tests.integration.hostile_code import attack, hostile_runner
from tests.integration.runner_fixtures import Make, containers
from tests.integration.runner_images import HEARS, SPEAKS, build_runner
from tests.integration.runner_projects import SHOP, extraction, held, job, tree
from tests.patience import HANGS_S

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
"""A runner that misbehaves when it is asked to get warm, and still does its job."""
ANSWERS_LATE = (
    HEARS
    + """
import time
warm = "warm" in hear()
if warm:
    answer(ready=True)
    hear()
time.sleep(3 if warm else 3600)
answer(taken=True)
archive = tarfile.open(fileobj=sys.stdin.buffer, mode="r|")
while archive.next():
    pass
sys.stdout.buffer.write(b'{"ok": true, "bytes": 2}\\n{}')
"""
)
"""A runner that accepts its job late, and never if it was not warmed."""
LEAVES_A_STATE = (
    SPEAKS.replace("while archive.next():", "while member := archive.next():\n    if member.name == 'state': sys.exit(3)")
    + """
say(b"{}")
sys.stdout.buffer.write(b'{"state_bytes": 6}\\nopaque')
"""
)
"""A runner that leaves a state, and fails when it gets one."""
MAIN = StateScope(1, 2, "c0ffee", own="followed main 1", followed="followed main 1", fresh=False)


@asynccontextmanager
async def warming(runner: DockerRunner, *used: tuple[str, str]) -> AsyncIterator[None]:
    keeping = asyncio.create_task(runner.keep_warm([(*one, 0.0) for one in used]))
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANGS_S):
        while not condition():
            await asyncio.sleep(0.02)


async def ready(docker: aiodocker.Docker, runner: DockerRunner) -> str:
    """Wait for the warm container, with its CPU share raised, and return its id."""
    async with asyncio.timeout(HANGS_S):
        while True:
            found = await containers(docker, f"io.freshet.boot={runner.boot_id}")
            if len(found) == 1:
                with contextlib.suppress(aiodocker.DockerError):  # it was deleted in the meantime
                    details = await docker.containers.container(found[0]).show()
                    if details["HostConfig"]["CpuShares"] == 512 and details["Name"].startswith("/freshet-warm-"):
                        return found[0]
            await asyncio.sleep(0.05)


async def parse(runner: DockerRunner, **changed: Any) -> Any:
    [image, *_] = await runner.images()
    return await runner.parse(job(image=image, **changed), tree(), None)


def counted(counter: Any, **labels: str) -> float:
    return float(counter.labels(**labels)._value.get())


def counted_limit() -> int:
    return int(metrics.WARM_LIMIT._value.get())


def starts() -> dict[str, float]:
    return {kind: counted(metrics.CONTAINER_STARTS, kind=kind) for kind in ("warm", "warming", "cold")}


def there() -> list[str]:
    """The states of the containers without a job."""
    return [state for state in ("ready", "warming") for _ in range(int(counted(metrics.WARM_CONTAINERS, state=state)))]


def warming_up(runner: DockerRunner) -> int:
    """How many containers have been started and are not ready: a job can wait for these."""
    return sum(not one.ready for one in runner.pool._containers)


def since(before: dict[str, float]) -> dict[str, float]:
    return {kind: count - before[kind] for kind, count in starts().items() if count != before[kind]}


def meaning(manifest: bytes) -> Any:
    """A manifest without its timestamps."""
    told = json.loads(manifest, object_hook=lambda value: {key: part for key, part in value.items() if key != "created_at"})
    return {key: part for key, part in told.items() if key != "metadata"}


async def test_warm_and_cold_containers_with_and_without_a_state_give_the_same_manifest(make: Make, tmp_path: Path) -> None:
    runner = make(warm=1, timeout_s=300.0, patience_s=300.0)
    cold = meaning((await parse(runner, state=MAIN)).manifest)
    states = tmp_path / "work" / "states"
    await until(lambda: bool([*states.glob("*/*/*/f*")]))
    [state] = states.glob("*/*/*/*")
    async with warming(runner):
        await until(lambda: warming_up(runner) == 1)
        before, partial = starts(), counted(metrics.PARSES, kind="partial")
        warm = await parse(runner, state=MAIN)
        assert meaning(warm.manifest) == cold
        assert "cold" not in since(before)
        assert counted(metrics.PARSES, kind="partial") == partial + 1
        assert "Running with dbt" in warm.log
    state.write_bytes(b"PK\x03\x04 nothing of the kind")
    again = make(timeout_s=300.0)
    assert meaning((await parse(again, state=MAIN)).manifest) == cold


async def test_nothing_of_one_job_is_visible_to_the_next(make: Make, docker: aiodocker.Docker) -> None:
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


async def test_a_killed_warm_container_is_replaced_without_an_error(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "honest", WHEN_WARMED.format("answer(ready=True)")), warm=1)
    async with warming(runner):
        await docker.containers.container(await ready(docker, runner)).kill(signal="SIGKILL")
        assert (await parse(runner)).manifest == b"{}"
        await ready(docker, runner)


async def test_a_hanging_warm_container_is_replaced_before_it_gets_files(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "honest", WHEN_WARMED.format("answer(ready=True)")), warm=1, patience_s=1.0)
    hung = counted(metrics.CONTAINERS_DISCARDED, reason="hung")
    async with warming(runner):
        await docker.containers.container(await ready(docker, runner)).pause()
        async with asyncio.timeout(HANGS_S):
            assert (await parse(runner)).manifest == b"{}"
        assert counted(metrics.CONTAINERS_DISCARDED, reason="hung") == hung + 1


async def test_after_one_hanging_warm_container_the_job_gets_a_cold_one(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "honest", WHEN_WARMED.format("answer(ready=True)")), warm=2, patience_s=1.0)
    hung, before = counted(metrics.CONTAINERS_DISCARDED, reason="hung"), starts()
    [image] = await runner.images()
    async with warming(runner, (image.name, "duckdb"), (image.name, "postgres")):
        await until(lambda: there().count("ready") == 2)
        for name in await containers(docker, f"io.freshet.boot={runner.boot_id}"):
            await docker.containers.container(name).pause()
        assert (await parse(runner)).manifest == b"{}"
        assert since(before) == {"cold": 1.0}
        assert counted(metrics.CONTAINERS_DISCARDED, reason="hung") == hung + 1


async def test_a_job_waits_for_one_slow_container_at_most_and_throws_nothing_away(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "slower", WHEN_WARMED.format("time.sleep(5); answer(ready=True)"))
    runner = make(image=image, warm=2, warming_patience_s=0.5)
    [found] = await runner.images()
    discarded, before = counted(metrics.CONTAINERS_DISCARDED, reason="hung"), starts()
    async with warming(runner, (found.name, "duckdb"), (found.name, "postgres")):
        await until(lambda: warming_up(runner) == 2)
        names = {*await containers(docker, f"io.freshet.boot={runner.boot_id}")}
        assert (await parse(runner)).manifest == b"{}"
        assert since(before) == {"cold": 1.0}
        await until(lambda: there().count("ready") == 2)
        assert names <= {*await containers(docker, f"io.freshet.boot={runner.boot_id}")}
        assert (await parse(runner)).manifest == b"{}"
        assert since(before) == {"cold": 1.0, "warm": 1.0}
        assert counted(metrics.CONTAINERS_DISCARDED, reason="hung") == discarded


async def test_getting_a_container_has_one_limit(make: Make, docker: aiodocker.Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    image = await build_runner(docker, "stuck", WHEN_WARMED.format("time.sleep(3600)"))
    runner = make(image=image, warm=1)
    async with warming(runner):
        await until(lambda: warming_up(runner) == 1)
        monkeypatch.setattr(acceptance, "DEADLINE_S", 0.5)
        with pytest.raises(EngineUnavailableError, match=r"no container accepted the job within 0\.5 seconds"):
            await parse(runner)


async def test_warm_and_cold_containers_that_do_not_answer_have_one_limit(
    make: Make, docker: aiodocker.Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await build_runner(docker, "deaf", HEARS + "import time\nif 'warm' in hear():\n    answer(ready=True)\ntime.sleep(3600)")
    runner = make(image=image, warm=1, patience_s=0.2)
    async with warming(runner):
        await ready(docker, runner)
        monkeypatch.setattr(acceptance, "DEADLINE_S", 3.0)
        with pytest.raises(EngineUnavailableError, match="no container accepted the job within 3 seconds"):
            await parse(runner)
        await until(lambda: "ready" in there())


async def test_a_container_that_is_stuck_in_warming_costs_one_cold_start(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "stuck", WHEN_WARMED.format("time.sleep(3600)"))
    runner, before = make(image=image, warm=1, warming_patience_s=0.5), starts()
    async with warming(runner):
        await until(lambda: warming_up(runner) == 1)
        assert (await parse(runner)).manifest == b"{}"
        assert since(before) == {"cold": 1.0}
        # The next job does not wait for it at all.
        async with asyncio.timeout(HANGS_S):
            assert (await parse(runner)).manifest == b"{}"
        assert since(before) == {"cold": 2.0}


@pytest.mark.parametrize("engine_fails", [False, True])
async def test_a_slow_warm_container_is_not_taken_for_a_dead_one(
    make: Make, docker: aiodocker.Docker, monkeypatch: pytest.MonkeyPatch, *, engine_fails: bool
) -> None:
    """The cold one is even slower, or the engine does not start it."""
    image = await build_runner(docker, "late", ANSWERS_LATE)
    runner, before = make(image=image, warm=1, patience_s=0.5), starts()
    hung = counted(metrics.CONTAINERS_DISCARDED, reason="hung")
    async with warming(runner):
        await ready(docker, runner)
        if engine_fails:

            async def fail(*_: Any) -> Any:
                raise EngineUnavailableError("starting a container", "the engine is busy")

            monkeypatch.setattr(AttachedContainer, "open", fail)
        assert (await parse(runner)).manifest == b"{}"
        assert since(before) == {"warm": 1.0}
        assert counted(metrics.CONTAINERS_DISCARDED, reason="hung") == hung


async def test_a_crowd_finds_as_many_containers_the_next_time_within_a_share_of_memory(make: Make, docker: aiodocker.Docker) -> None:
    image = await build_runner(docker, "honest", WHEN_WARMED.format("answer(ready=True, memory_bytes=150 << 20)"))
    runner = make(image=image, warm=None)
    memory_bytes = (await docker.system.info())["MemTotal"]
    async with warming(runner):
        for _ in range(3):
            await parse(runner)
        await until(lambda: there() == ["ready"] * 3)
        assert counted_limit() == fitting(memory_bytes, 150 << 20)
        before = starts()
        await asyncio.gather(*(parse(runner, extraction_id=f"one-{number}") for number in range(3)))
        assert since(before) == {"warm": 3.0}


@pytest.mark.parametrize(
    ("does", "reason"),
    [("answer(ready=True); answer(hello=1); time.sleep(60)", "babbled"), ("print('hello', flush=True)", "babbled"), ("sys.exit()", "died")],
    ids=["too much", "nonsense", "nothing"],
)
async def test_a_failed_warm_container_is_deleted_and_not_restarted_at_once(
    make: Make, docker: aiodocker.Docker, does: str, reason: str
) -> None:
    runner = make(image=await build_runner(docker, "no-good", WHEN_WARMED.format(does)), warm=1)
    discarded = counted(metrics.CONTAINERS_DISCARDED, reason=reason)
    async with warming(runner):
        await until(lambda: counted(metrics.CONTAINERS_DISCARDED, reason=reason) > discarded)
        assert (await parse(runner)).manifest == b"{}"
        assert counted(metrics.CONTAINERS_DISCARDED, reason=reason) <= discarded + 3


async def test_a_container_that_is_still_warming_can_be_used(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "slow", WHEN_WARMED.format("time.sleep(3); answer(ready=True)")), warm=1)
    async with warming(runner):
        await until(lambda: warming_up(runner) == 1)
        [name] = await containers(docker, f"io.freshet.boot={runner.boot_id}")
        await asyncio.sleep(0.5)
        assert (await docker.containers.container(name).show())["HostConfig"]["CpuShares"] == 64
        before = starts()
        release = asyncio.Event()
        [image] = await runner.images()
        parsing = asyncio.create_task(runner.parse(job(image=image, extraction_id="hurry"), held(SHOP, release), None))
        async with asyncio.timeout(HANGS_S):
            while not (details := await docker.containers.container(name).show())["Name"].startswith(
                f"/freshet-{extraction('hurry')}-parse-"
            ):
                await asyncio.sleep(0.05)
        assert details["HostConfig"]["CpuShares"] == 512
        assert details["Config"]["Labels"]["io.freshet.role"] == "warm"
        release.set()
        assert (await parsing).manifest == b"{}"
        assert since(before) == {"warming": 1.0}


async def test_warm_containers_of_a_rebuilt_image_are_replaced(make: Make, docker: aiodocker.Docker) -> None:
    name = await build_runner(docker, "renewed", WHEN_WARMED.format("answer(ready=True)"))
    runner = make(image=name, warm=1)
    async with warming(runner):
        first = await ready(docker, runner)
        await build_runner(docker, "renewed", WHEN_WARMED.format("answer(ready=True, seconds=1.0)"))
        # A job looks up the images again, as the pool does after half a minute.
        runner._images.forget()
        await parse(runner)
        second = await ready(docker, runner)
        assert first != second
        assert (await docker.containers.container(second).show())["Image"] == (await docker.images.inspect(name))["Id"]


async def test_closing_the_runner_deletes_warm_containers(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "slow", WHEN_WARMED.format("time.sleep(3); answer(ready=True)")), warm=2)
    [image] = await runner.images()
    async with warming(runner, (image.name, "duckdb"), (image.name, "postgres")):
        await until(lambda: warming_up(runner) == 2)
    assert await containers(docker, f"io.freshet.boot={runner.boot_id}") == []


async def test_a_state_with_which_dbt_crashes_is_discarded_and_the_job_retried(make: Make, docker: aiodocker.Docker) -> None:
    runner = make(image=await build_runner(docker, "stateful", LEAVES_A_STATE))
    await parse(runner, state=MAIN)
    with pytest.raises(UnavailableError, match="which is discarded now") as caught:
        await parse(runner, state=MAIN)
    assert caught.value.retryable
    assert (await parse(runner, state=MAIN)).manifest == b"{}"


async def shares(docker: aiodocker.Docker, names: Iterable[str]) -> set[int]:
    """The CPU shares of containers, but for those that are just being removed: the engine still lists them."""
    found = set[int]()
    for name in names:
        with contextlib.suppress(aiodocker.DockerError):
            found.add((await docker.containers.container(name).show())["HostConfig"]["CpuShares"])
    return found


async def test_a_job_that_nobody_waits_for_leaves_warm_containers_and_processor_time_to_others(
    make: Make, docker: aiodocker.Docker
) -> None:
    runner, before = make(warm=1), starts()
    async with warming(runner):
        warm = await ready(docker, runner)
        parsing = asyncio.create_task(parse(runner, unhurried=True))
        async with asyncio.timeout(HANGS_S):
            while 64 not in await shares(docker, {*await containers(docker, f"io.freshet.boot={runner.boot_id}")} - {warm}):
                await asyncio.sleep(0.02)
        parsed = await parsing
        assert json.loads(parsed.manifest)["nodes"]
        parsed.spool.close()
        assert since(before) == {"cold": 1}
        assert there() == ["ready"]
