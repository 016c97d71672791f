"""When the warm pool starts containers, and how many: with containers that only pretend."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from app.project.runner_images import RunnerImage
from app.runner.docker.capabilities import Engine
from app.runner.job_protocol import Ready
from app.runner.warm_demand import MOST, WarmKind
from app.runner.warm_pool import AT_ONCE, WarmPool

IMAGE = RunnerImage("dbt-runner:latest", "sha256:1", "1.11.16", frozenset({"duckdb", "postgres"}))
DUCKDB, POSTGRES = WarmKind(IMAGE.name, "duckdb"), WarmKind(IMAGE.name, "postgres")
GIB = 1 << 30


class Pretended:
    """A container that gets warm when `get_warm` is called."""

    def __init__(self) -> None:
        self.answers = SimpleNamespace(warmth=None)
        self.streams = SimpleNamespace(reading=asyncio.get_running_loop().create_future())
        self.ended = False
        self.priorities: list[bool] = []
        self._warm = asyncio.Event()

    async def warm(self, _line: bytes) -> None:
        await self._warm.wait()
        self.answers.warmth = Ready(ready=True, memory_bytes=100 << 20)

    def get_warm(self) -> None:
        self._warm.set()

    async def give_priority(self, *, working: bool) -> None:
        self.priorities.append(working)

    async def close(self) -> None:
        self.streams.reading.cancel()


@dataclass
class Host:
    """An engine's host with its containers."""

    cpus: float = 2.0
    memory_bytes: int = 24 * GIB
    started: list[Pretended] = field(default_factory=list)

    async def engine(self) -> Engine:
        return Engine(self.cpus, self.memory_bytes, (), ())

    async def images(self) -> list[RunnerImage]:
        return [IMAGE]

    async def open(self, _image: RunnerImage) -> Any:
        self.started.append(Pretended())
        return self.started[-1]

    def pool(self, limit: int | None = None) -> WarmPool:
        return WarmPool(limit, self.open, self.images, self.engine)


@asynccontextmanager
async def kept(pool: WarmPool) -> AsyncIterator[None]:
    keeping = asyncio.create_task(pool.run())
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(50):
        await asyncio.sleep(0)


async def warm_all(host: Host) -> None:
    """Let all containers that are started, and then those that follow, get warm."""
    done = 0
    while done < len(host.started):
        host.started[done].get_warm()
        done += 1
        await settle()


def crowd(pool: WarmPool, kind: WarmKind, jobs: int) -> None:
    for _ in range(jobs):
        pool.begin(kind)
        pool.end(kind)


async def test_as_many_get_warm_at_once_as_there_are_processors_until_the_crowd_has_its_containers() -> None:
    host = Host()
    pool = host.pool()
    crowd(pool, DUCKDB, 10)
    async with kept(pool):
        await settle()
        assert len(host.started) == 2
        await warm_all(host)
        assert len(host.started) == 10


async def test_after_a_restart_the_crowds_before_it_count() -> None:
    host = Host()
    pool = host.pool()
    ages_s = [*range(7200, 7206), 100_000.0, 100_000.0, 60.0]
    pool.expect([(DUCKDB, float(age_s)) for age_s in ages_s])
    async with kept(pool):
        await settle()
        await warm_all(host)
        assert len(host.started) == 6


async def test_the_limit_is_a_share_of_the_memory_of_the_host_unless_it_is_set() -> None:
    for memory_bytes, limit, expected in ((2 * GIB, None, 4), (512 * GIB, None, MOST), (0, None, 1), (2 * GIB, 7, 7), (24 * GIB, 3, 3)):
        host = Host(memory_bytes=memory_bytes)
        pool = host.pool(limit)
        crowd(pool, DUCKDB, 200)
        async with kept(pool):
            await settle()
            await warm_all(host)
            assert len(host.started) == expected


async def test_containers_are_only_started_on_processors_that_no_job_uses() -> None:
    host = Host(cpus=4.0)
    pool = host.pool()
    crowd(pool, DUCKDB, 10)
    for _ in range(3):
        pool.begin(DUCKDB)
    async with kept(pool):
        await settle()
        assert len(host.started) == 1
        pool.end(DUCKDB)
        await settle()
        assert len(host.started) == 2
        pool.end(DUCKDB)
        pool.end(DUCKDB)
        await settle()
        assert len(host.started) == 4


async def test_a_job_that_waits_for_a_container_uses_no_processor() -> None:
    host = Host()
    pool = host.pool()
    crowd(pool, DUCKDB, 10)
    pool.begin(DUCKDB)
    async with kept(pool):
        await settle()
        assert len(host.started) == 1
        assert pool.reserve(IMAGE, "duckdb") is not None
        await settle()
        assert len(host.started) == 2


async def test_while_all_processors_are_busy_each_kind_has_one_container_at_most() -> None:
    host = Host()
    pool = host.pool()
    crowd(pool, POSTGRES, 5)
    crowd(pool, DUCKDB, 5)
    for _ in range(4):
        pool.begin(DUCKDB)
    async with kept(pool):
        await settle()
        assert len(host.started) == 2
        await warm_all(host)
        assert len(host.started) == 2
        one = pool.reserve(IMAGE, "duckdb")
        assert one is not None
        assert one.kind == DUCKDB
        await settle()
        assert len(host.started) == 3


async def test_big_hosts_do_not_start_everything_at_once() -> None:
    host = Host(cpus=64.0, memory_bytes=512 * GIB)
    pool = host.pool()
    crowd(pool, DUCKDB, 40)
    for _ in range(20):
        pool.begin(DUCKDB)
    async with kept(pool):
        await settle()
        assert len(host.started) == AT_ONCE


async def test_a_ready_container_is_reserved_before_one_that_is_getting_warm() -> None:
    host = Host()
    pool = host.pool()
    crowd(pool, DUCKDB, 2)
    async with kept(pool):
        await settle()
        assert len(host.started) == 2
        host.started[1].get_warm()
        await settle()
        first, second, third = (pool.reserve(IMAGE, "duckdb") for _ in range(3))
        assert first is not None
        assert second is not None
        assert third is None
        assert first.ready
        assert not second.ready
        assert pool.patience_s(second) > pool.patience_s(first)
        waiting = asyncio.create_task(pool.prepared(second))
        await settle()
        assert host.started[0].priorities == [True]
        host.started[0].get_warm()
        assert await waiting


async def test_a_container_that_a_job_no_longer_waits_for_is_used_once_it_is_ready() -> None:
    host = Host()
    pool = host.pool(1)
    pool.expect([(DUCKDB, 0.0)])
    async with kept(pool):
        await settle()
        one = pool.reserve(IMAGE, "duckdb")
        assert one is not None
        waiting = asyncio.create_task(pool.prepared(one))
        await settle()
        waiting.cancel()
        await settle()
        assert host.started[0].priorities == [True, False]
        assert pool.reserve(IMAGE, "duckdb") is None
        host.started[0].get_warm()
        await settle()
        assert pool.reserve(IMAGE, "duckdb") is one


async def test_containers_that_are_stuck_keep_no_others_from_getting_warm() -> None:
    host = Host(cpus=1.0)
    pool = host.pool()
    pool.expect([(DUCKDB, 1.0), (POSTGRES, 0.0)])
    async with kept(pool):
        await settle()
        assert len(host.started) == 1
        one = pool.reserve(IMAGE, "postgres")
        assert one is not None
        waiting = asyncio.create_task(pool.prepared(one))
        await settle()
        waiting.cancel()
        pool.begin(POSTGRES)
        pool.end(POSTGRES)
        await settle()
        assert len(host.started) == 2
        host.started[1].get_warm()
        await settle()
        assert pool.reserve(IMAGE, "postgres") is not None
