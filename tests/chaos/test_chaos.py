"""A share of `make chaos`: some strikes of the faults that need neither root nor minutes. And what the audit notices."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.__main__ import MODULES
from tests.chaos.audit import check_runs, deliveries, left_behind, remaining
from tests.chaos.fault import FAULTS, NEEDS_DOCKER, Fault
from tests.chaos.of_process import installed
from tests.chaos.world import MARK, MINIATURE, opened

SEED = 1


def shares() -> list[object]:
    assert MODULES, "they list their faults"
    chosen = [one for one in FAULTS.values() if one.share]
    return [pytest.param(one, id=one.name, marks=pytest.mark.containers if one.needs == NEEDS_DOCKER else ()) for one in chosen]


@pytest.mark.parametrize("one", shares())
async def test_after_the_fault_everything_is_as_it_should_be(one: Fault) -> None:
    outcome = await one.run(SEED, one.share)
    again = f"python -m tests.chaos --only {one.name} --seed {SEED} --strikes {one.share}"
    assert not outcome.violations, "\n".join([again, *outcome.violations])
    assert outcome.strikes, f"{again}: it never struck"


async def test_the_audit_notices_what_is_wrong() -> None:
    async with opened(SEED, MINIATURE) as world:
        await installed(world, 1)
        service, [repository] = await world.start(), world.repositories
        assert (await remaining(world, service), deliveries(world), check_runs(world, neutral=False)) == ([], [], [])
        [run] = world.github.check_runs(repository)
        world.github.state.check_runs[1] = run
        assert "2 check runs" in deliveries(world)[0]
        del world.github.state.check_runs[1]
        run.conclusion = "neutral"
        assert "is neutral" in check_runs(world, neutral=False)[0]
        run.history.append(run.history[0])
        assert "went" in check_runs(world, neutral=True)[0]
        await service.stop()
        (world.directory / "service0" / "work" / "spool-x").touch()
        left = await asyncio.create_subprocess_exec("sleep", "60", env={MARK: world.name})
        assert {one.split(":")[0] for one in left_behind(world)} == {"a process is left", "a file is left"}
        left.kill()
        await left.wait()
