"""Faults of the service's process: killed, or stopped for longer than its lease."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.chaos.audit import audit, remaining, settled
from tests.chaos.fault import Outcome, fault
from tests.chaos.world import MINIATURE, World, opened, until
from tests.service import Service

BUSY = {**MINIATURE, "EXTRACTION_CONCURRENCY": "4", "CHAOS_DBT_S": "0.3"}
REACHED_S = 20.0
HOLDING = ("before commit", "after extractions.lock_claims")
"""In the middle of a transaction: of any, and of the one for which all claims wait."""
TOGETHER = 2
"""So many strikes come before an audit: an extraction that is killed three times ends, and says so."""


async def installed(world: World, count: int) -> None:
    """Repositories whose first extraction has ended."""
    for number in range(count):
        await world.repository(f"shop{number}")
    service = await world.start()
    world.installation = await world.github.install("octo")
    left = await settled(world, service)
    assert not left, left
    await world.stop()


async def points(seed: int) -> list[str]:
    """The points that a push passes, first those that nothing else does. What is before one is after another."""
    async with opened(seed, MINIATURE) as world:
        await installed(world, 1)
        trace = world.directory / "trace"
        service = await world.start(CHAOS_TRACE=str(trace))
        await asyncio.sleep(1.0)
        before = set(trace.read_text().splitlines())
        await world.push(world.repositories[0])
        await settled(world, service)
        found = [point for point in dict.fromkeys(trace.read_text().splitlines()) if not point.startswith("before")]
        return [*(point for point in found if point not in before), *(point for point in found if point in before)]


@fault("SIGKILL after each statement, commit and request that a push needs, each followed by a start", strikes=10_000, share=1)
async def killed_at_every_boundary(seed: int, strikes: int) -> Outcome:
    chosen, outcome = await points(seed), Outcome()
    if strikes < len(chosen):
        chosen = Random(seed).sample(chosen, strikes)
    async with opened(seed, MINIATURE) as world:
        await installed(world, 3)
        for start in range(0, len(chosen), TOGETHER):
            for point in chosen[start : start + TOGETHER]:
                await _killed_at(world, point)
                outcome.strikes += 1
            found = await audit(world, await world.start())
            outcome.violations += [f"one of {chosen[start : start + TOGETHER]}: {text}" for text in found]
    return outcome


async def _killed_at(world: World, point: str) -> None:
    with suppress(RuntimeError):  # killed before it was ready
        armed = await world.start(CHAOS_DIE_AT=point)
        for repository in world.repositories:
            await world.push(repository)
        with suppress(TimeoutError):
            async with asyncio.timeout(REACHED_S):
                await armed.process.wait()
        await world.kill(armed)


@fault("SIGKILL at random moments of 20 queued extractions, each followed by a start", strikes=100, share=2)
async def killed_at_random_moments(seed: int, strikes: int) -> Outcome:
    async def kill(world: World, service: Service) -> list[str]:
        await world.kill(service)
        return []

    return await _ended_at_random_moments(seed, strikes, kill)


@fault("SIGTERM at random moments of 20 queued extractions, each followed by a start", strikes=30)
async def stopped_at_random_moments(seed: int, strikes: int) -> Outcome:
    async def stop(_: World, service: Service) -> list[str]:
        status = await service.stop()
        return [] if status == 0 else [f"it ended with status {status} after SIGTERM"]

    return await _ended_at_random_moments(seed, strikes, stop)


async def _ended_at_random_moments(seed: int, strikes: int, end: Callable[[World, Service], Awaitable[list[str]]]) -> Outcome:
    async with opened(seed, BUSY) as world:
        await installed(world, 20)
        outcome = Outcome()
        while outcome.strikes < strikes:
            service = await world.start()
            for repository in world.repositories:
                await world.push(repository)
            for _ in range(min(5, strikes - outcome.strikes)):
                await asyncio.sleep(world.random.uniform(0.0, 2.5))
                outcome.violations += await end(world, service)
                outcome.strikes += 1
                service = await world.start()
            outcome.violations += await audit(world, service)
        return outcome


@fault("SIGSTOP for longer than every lease while another process takes over, then SIGCONT", strikes=8, share=1)
async def asleep_past_its_lease(seed: int, strikes: int) -> Outcome:
    """Ten times the lease of an extraction and more than that of the outbox: 6 s here are 60 s of the product."""
    async with opened(seed, BUSY) as world:
        await installed(world, 6)
        outcome = Outcome()
        while outcome.strikes < strikes:
            sleeper, other = await world.start(0), await world.start(1)
            for repository in world.repositories:
                await world.push(repository)
            await asyncio.sleep(world.random.uniform(0.0, 0.8))
            sleeper.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(6.0)

            async def taken_over(other: object = other) -> bool:
                return not await remaining(world, other)  # type: ignore[arg-type]

            # Webhooks go to the one that sleeps, so what it accepted is all there is to do.
            if not await until(taken_over, 30.0):
                outcome.violations += [f"not taken over: {one}" for one in await remaining(world, other)]
            sleeper.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(2.0)
            outcome.violations += await audit(world, other)
            outcome.strikes += 1
        return outcome


@fault("SIGSTOP in the middle of a transaction, or of another step; another process takes over, then SIGCONT", strikes=24, share=0)
async def asleep_at_a_boundary(seed: int, strikes: int) -> Outcome:
    passed = await points(seed)
    chosen = [*HOLDING, *Random(seed).sample(passed, min(len(passed), max(strikes - len(HOLDING), 0)))][:strikes]
    async with opened(seed, BUSY) as world:
        await installed(world, 4)
        outcome = Outcome()
        for point in chosen:
            sleeper, other = await world.start(0, CHAOS_STOP_AT=point), await world.start(1)
            pushes = [asyncio.create_task(world.push(repository)) for repository in world.repositories]

            async def stopped(pid: int = sleeper.process.pid) -> bool:
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

            outcome.strikes += await until(stopped, REACHED_S)
            world.github.app.webhook_url = f"{other.url}/api/webhooks/github"
            await asyncio.gather(*pushes)  # GitHub waits ten seconds for each answer
            found = await settled(world, other)
            sleeper.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(2.0)
            found += await audit(world, other)
            world.github.app.webhook_url = f"{sleeper.url}/api/webhooks/github"
            outcome.violations += [f"{point}: {text}" for text in found]
        return outcome
