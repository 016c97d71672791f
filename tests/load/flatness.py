"""What many extractions leave in the service: memory, open files, threads, tasks, children, temporary files and containers.

It is read when nothing is queued, running or to be sent. The first quarter fills caches and pools; the second is compared with the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from statistics import median

from tests.load import process
from tests.load.part import Outcome
from tests.load.process import Reading
from tests.load.world import World, opened

KIB_PER_EXTRACTION = 12.0
"""How much of memory an extraction may leave, from the second quarter to the last one."""
CACHE_BYTES = str(64 << 10)
"""Of the cache of lineages, which would take tens of thousands of small ones until it is full."""
WARM_UP = 20
"""Extractions in containers before those that are compared, which are few."""
KIB_IN_CONTAINERS = 200.0
"""The same for the first fifty, which fill the pools of prepared statements."""
SPARE = {"files": 4, "threads": 2, "tasks": 2, "children": 1, "left": 0, "containers": 1}
"""How much more of each there may be in the last quarter: idle connections to GitHub and to the database come and go."""
NAMES = {
    "rss_kib": "memory of the service, KiB",
    "child_rss_kib": "memory of a child, KiB",
    "files": "open files",
    "threads": "threads",
    "tasks": "tasks",
    "children": "child processes",
    "left": "temporary files",
    "containers": "containers",
}


async def stubbed(extractions: int = 1000, repositories: int = 10, *, most_kib: float = KIB_PER_EXTRACTION) -> Outcome:
    """Extractions with a dbt in miniature; everything else is real. A few of them need more memory each (`most_kib`)."""
    async with opened(repositories, BENCH_CACHE=CACHE_BYTES) as world:
        return await _flat(world, extractions, most_kib, engine=False)


async def in_containers(extractions: int = 50, repositories: int = 2, *, most_kib: float = KIB_IN_CONTAINERS) -> Outcome:
    """Extractions in containers of the real engine, after some that warm it up."""
    async with opened(repositories, module="app", FRESHET_WARM_CONTAINERS="2") as world:
        for _ in range(WARM_UP // repositories):
            await world.push_to_all()
            await world.settled()
        return await _flat(world, extractions, most_kib, engine=True)


async def _flat(world: World, extractions: int, most_kib: float, *, engine: bool) -> Outcome:
    before, said, readings = await _succeeded(world), 0, list[Reading]()
    while await _succeeded(world) - before < extractions:
        await world.push_to_all()
        await world.settled()
        readings.append(await process.read(world.service, world.directory, engine=engine))
        if 10 * len(readings) * len(world.repositories) // extractions > said:
            said += 1
            print(f"   {await _succeeded(world) - before} extractions: {readings[-1]}", flush=True)
    outcome, ended = Outcome(), await _succeeded(world) - before
    outcome.row("extractions that succeeded", ended)
    failed = await world.value("SELECT count(*) FROM extractions WHERE status <> 'succeeded'")
    outcome.row("others", failed)
    outcome.check(not failed, f"{failed} extractions did not succeed")
    compare(readings, ended, outcome, most_kib)
    outcome.check('"level": "error"' not in world.service.log, "the log has an error")
    return outcome


def compare(readings: Sequence[Reading], extractions: int, outcome: Outcome, most_kib: float = KIB_PER_EXTRACTION) -> None:
    """Compare the medians of the second and the last quarter."""
    quarter = len(readings) // 4
    second, last = readings[quarter : 2 * quarter], readings[-quarter:]
    between = extractions / 2
    for one in fields(Reading):
        was, now = (median(getattr(reading, one.name) for reading in part) for part in (second, last))
        name = NAMES[one.name]
        if one.name.endswith("_kib"):
            slope = (now - was) / between
            outcome.row(name, f"{was:,.0f} → {now:,.0f} ({slope:+.1f} each)")
            outcome.check(slope < most_kib, f"{name}: {slope:.1f} KiB more with each extraction")
        else:
            outcome.row(name, f"{was:g} → {now:g}")
            outcome.check(now - was <= SPARE[one.name], f"{name}: {was:g} in the second quarter, {now:g} in the last")


async def _succeeded(world: World) -> int:
    return int(await world.value("SELECT count(*) FROM extractions WHERE status = 'succeeded'"))
