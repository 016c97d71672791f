"""Freshet's command line with the dbt in miniature in place of Docker: `python -m tests.bench.stubbed serve`.

With `BENCH_STUCK`, dbt never ends: what is queued stays queued. With `BENCH_GATE=FILE`, it ends while that file is there. With
`BENCH_FILES=SOFT:HARD`, the service starts with these limits of open files. With `BENCH_CACHE=BYTES`, its cache of lineages is that
small, and soon full.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app import __main__
from app.pipeline.ports import DbtJob, PackageTree, Parsed, Runner, TarStream
from app.runner.parse_state import ParseStates
from app.service import components
from app.service.config import Settings
from app.store.lineage_cache import LineageCache
from tests.dbt_double import DoubleRunner


class Beside(DoubleRunner):
    """Its dbt runs beside the event loop, as a container does."""

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        chunks = [chunk async for chunk in tree]

        async def again() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return await asyncio.to_thread(asyncio.run, super().parse(job, again(), packages))


class Stuck(DoubleRunner):
    """Its containers never end."""

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        await asyncio.Event().wait()
        return await super().parse(job, tree, packages)


class Gated(Beside):
    """Its containers end while a file is there."""

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        parsed = await super().parse(job, tree, packages)
        while not Path(os.environ["BENCH_GATE"]).exists():
            await asyncio.sleep(0.02)
        return parsed


def _kind() -> type[DoubleRunner]:
    if "BENCH_STUCK" in os.environ:
        return Stuck
    return Gated if "BENCH_GATE" in os.environ else Beside


@asynccontextmanager
async def runner(settings: Settings, states: ParseStates, role: str = "service") -> AsyncIterator[Runner]:
    """What `components.runner` gives."""
    del states, role
    yield _kind()(settings.work_dir)


if __name__ == "__main__":
    if "BENCH_FILES" in os.environ:
        soft, hard = map(int, os.environ["BENCH_FILES"].split(":"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if "BENCH_CACHE" in os.environ:
        defaults: Any = LineageCache.__init__.__kwdefaults__
        defaults["kept_bytes"] = int(os.environ["BENCH_CACHE"])
    components.runner = runner
    sys.exit(__main__.run())
