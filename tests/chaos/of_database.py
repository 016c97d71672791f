"""Faults of PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from tests.chaos.audit import audit
from tests.chaos.fault import NEEDS_ROOT, Outcome, fault
from tests.chaos.of_github import QUICK, REPOSITORIES
from tests.chaos.of_process import installed
from tests.chaos.world import World, opened

TOGETHER = 4
"""So many strikes come before an audit."""


async def struck(seed: int, strikes: int, strike: Callable[[World], Awaitable[None]], *, disk_mib: int | None = None) -> Outcome:
    """Push everywhere, and let a fault of the database strike while that is worked on."""
    async with opened(seed, {**QUICK, "CHAOS_DBT_S": "0.2"}, disk_mib=disk_mib) as world:
        await installed(world, REPOSITORIES)
        outcome = Outcome()
        while outcome.strikes < strikes:
            service = await world.start()
            for _ in range(min(TOGETHER, strikes - outcome.strikes)):
                for repository in world.repositories:
                    await world.push(repository)
                await asyncio.sleep(world.random.uniform(0.0, 1.0))
                await strike(world)
                outcome.strikes += 1
                await asyncio.sleep(world.random.uniform(0.0, 1.0))
            outcome.violations += [f"the service ended with {service.process.returncode}"] if service.process.returncode is not None else []
            outcome.violations += await audit(world, service)
        return outcome


@fault("PostgreSQL is killed, and started again after up to 3 s", strikes=16, share=1)
async def database_killed(seed: int, strikes: int) -> Outcome:
    async def strike(world: World) -> None:
        await world.database.kill()
        await asyncio.sleep(world.random.uniform(0.0, 3.0))
        await world.database.start()

    return await struck(seed, strikes, strike)


@fault("PostgreSQL is stopped, stays away for longer than every lease, and is started again", strikes=4)
async def database_away(seed: int, strikes: int) -> Outcome:
    async def strike(world: World) -> None:
        await world.database.stop()
        await asyncio.sleep(8.0)
        await world.database.start()

    return await struck(seed, strikes, strike)


@fault("a process of PostgreSQL is killed, which ends all connections and repeats its log", strikes=16)
async def database_process_killed(seed: int, strikes: int) -> Outcome:
    return await struck(seed, strikes, lambda world: world.database.kill_one())


@fault("every connection to PostgreSQL is cut", strikes=32, share=0)
async def database_connections_cut(seed: int, strikes: int) -> Outcome:
    return await struck(seed, strikes, lambda world: world.database.cut())


@fault("PostgreSQL answers nothing for longer than every lease (SIGSTOP), and goes on", strikes=4)
async def database_stalled(seed: int, strikes: int) -> Outcome:
    async def strike(world: World) -> None:
        processes = _below(world.database.pid())
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            await asyncio.sleep(8.0 if number == signal.SIGSTOP else 0.0)

    return await struck(seed, strikes, strike)


@fault("the disk of PostgreSQL is full, and has room again", strikes=4, needs=NEEDS_ROOT)
async def database_disk_full(seed: int, strikes: int) -> Outcome:
    async def strike(world: World) -> None:
        filler = world.database.cluster.parent / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        for repository in world.repositories:
            await world.push(repository)
        await asyncio.sleep(4.0)
        filler.unlink()
        with suppress(Exception):
            await world.database.value("SELECT 1")
            return
        await world.database.start()

    return await struck(seed, strikes, strike, disk_mib=192)


def _below(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found
