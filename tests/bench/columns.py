"""`python -m tests.bench.columns`: what columns add to a push of a generated project of 1,000 models, in time, memory and database.

    python -m tests.bench.columns [--models N] [--rounds N] [--write]

Each round makes a new project's first parse, one with a changed SQL file and one with a changed macro, twice each: with columns and without
them, alternating which comes first. A parse with columns takes until their document is there. The containers are warm, as the service keeps
them.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast

import aiodocker

from app.core.models.github import Repository
from app.core.models.warehouse import UNKNOWN
from app.lineage.column_document import StorableColumns
from app.pipeline.decoding import pool as decoding
from app.pipeline.decoding.pool import Decoders
from app.pipeline.ports import ColumnsDocument, DbtJob, Parsed, StateScope
from app.project.runner_images import RunnerImage
from app.runner.docker.backend import DockerRunner
from app.store import Store, embedded, migrate, pool
from app.store.pool import Database
from tests.bench import generate
from tests.bench.generate import EditKind, Files
from tests.bench.realistic import realistic
from tests.integration.runner_fixtures import runners
from tests.integration.runner_projects import tree
from tests.patience import HANGS_S
from tests.service import ROOT

PUSHES = {"first": "first extraction", "sql": "one SQL file changed", "macro": "a macro changed"}
TARGETS_S = {"first": 10.0, "sql": 0.3}
"""CPU seconds of the stage for 1,000 models."""
MEMORY_BYTES = 2 << 30
REST_S = 0.2
PAGE = ROOT / "docs/internals/performance.md"
BEGIN, END = "<!-- columns: made by `python -m tests.bench.columns` -->", "<!-- columns: end -->"
TABLES = ("nodes", "node_columns")


@dataclass
class Measured:
    """All rounds of one push. Seconds; `cpu_s` and `memory_bytes` are those of the stage and of the whole container."""

    with_s: list[float] = field(default_factory=list)
    without_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    reused: list[int] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)
    memory_without_bytes: list[int] = field(default_factory=list)


@dataclass
class Bench:
    """Where parses run, and what they took."""

    runner: DockerRunner
    image: RunnerImage
    measured: dict[str, Measured] = field(default_factory=lambda: {push: Measured() for push in PUSHES})

    async def round(self, number: int, files: Files) -> tuple[Parsed, ColumnsDocument]:
        """Make each push with and without columns, and return what the first one with columns gave."""
        first = None
        for push in PUSHES:
            files = files if push == "first" else files | generate.edit(files, cast("EditKind", push))
            for columns in (True, False) if number % 2 else (False, True):
                parsed, document = await self._parse(files, number, push, columns=columns)
                if push == "first" and document is not None:
                    first = (parsed, document)
                    continue
                parsed.spool.close()
                if document is not None:
                    document.spool.close()
        assert first is not None
        return first

    async def _parse(self, files: Files, number: int, push: str, *, columns: bool) -> tuple[Parsed, ColumnsDocument | None]:
        await self._warm()
        measured, since = self.measured[push], time.monotonic()
        parsed = await self.runner.parse(self._job(number, columns=columns), tree(files), None)
        if parsed.columns is None:
            measured.without_s.append(time.monotonic() - since)
            measured.memory_without_bytes.append(parsed.usage.peak_memory_bytes or 0)
            return parsed, None
        document = await parsed.columns.wait()
        measured.with_s.append(time.monotonic() - since)
        parsed.columns.close()
        measured.cpu_s.append(document.usage.cpu_seconds or 0.0)
        measured.memory_bytes.append(document.usage.peak_memory_bytes or 0)
        measured.reused.append(document.spool.content().count(b'"reused":true'))
        return parsed, document

    async def _warm(self) -> None:
        """Wait for a container that has everything imported."""
        async with asyncio.timeout(HANGS_S):
            while not any(one.ready and one.quick for one in self.runner.pool._containers):
                await asyncio.sleep(REST_S)

    def _job(self, number: int, *, columns: bool) -> DbtJob:
        branch = "refs/heads/main 1"
        state = StateScope(1, 1, f"bench-{number}-{columns}", own=branch, followed=branch, fresh=False)
        label = "octo/shop at 1a2b3c4"
        return DbtJob(f"bench-{number}", label, "", "realistic", "dev", "duckdb", image=self.image, state=state, columns=columns)


async def stored(db: Database, decoders: Decoders, parsed: Parsed, document: ColumnsDocument) -> dict[str, int]:
    """Store one lineage and its columns; return the bytes of each table with its indexes, and the number of models that are exact."""
    store = Store(db)
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    await store.connections.create(7, "")
    (project,) = await store.connections.for_repository(7)
    await store.extractions.enqueue(project.id, "main", "a" * 40, "push")
    extraction = await store.extractions.claim("bench", timedelta(hours=1))
    assert extraction is not None
    lineage = await decoders.lineage(parsed.spool, UNKNOWN, "octo/shop", "dbt-runner")
    found: StorableColumns = await decoders.columns(document.spool, lineage, "octo/shop", "dbt-runner")
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, lineage, b"")
    async with store.transaction() as tx:
        await tx.columns.save(extraction, found, b"")
    sizes = {table: int(await db.value("SELECT pg_total_relation_size($1::regclass)", table)) for table in TABLES}
    return {**sizes, "exact": found.counts["exact"]}


def page(measured: dict[str, Measured], sizes: dict[str, int], models: int) -> str:
    """The results in Markdown."""
    lines = [
        "| push | without columns | with columns | ratio of each round, median (spread) | CPU of the columns | reused | container memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for push, name in PUSHES.items():
        lines.append(_row(name, measured[push], TARGETS_S.get(push)))
    per_thousand = {table: sizes[table] * 1000 / models / 2**20 for table in TABLES}
    lines += ["", f"{sizes['exact']:,} of {models:,} models are exact. In the database, 1,000 models take "]
    return (
        "\n".join(lines) + f"{per_thousand['nodes']:.1f} MiB for nodes and {per_thousand['node_columns']:.1f} MiB more for their columns."
    )


def _row(name: str, found: Measured, target_s: float | None) -> str:
    ratios = [mine / theirs for mine, theirs in zip(found.with_s, found.without_s, strict=True)]
    cpu_s = statistics.median(found.cpu_s)
    reached = "" if target_s is None else f" (target {target_s:g} s: {'reached' if cpu_s <= target_s else 'not reached'})"
    memory = f"{_mib(found.memory_without_bytes)} → {_mib(found.memory_bytes)}"
    cells = [name, f"{statistics.median(found.without_s):.2f} s", f"{statistics.median(found.with_s):.2f} s"]
    cells += [f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f})", f"{cpu_s:.2f} s{reached}"]
    return "| " + " | ".join([*cells, f"{statistics.median(found.reused):,.0f}", memory]) + " |"


def _mib(sizes: Sequence[int]) -> str:
    return f"{max(sizes) / 2**20:.0f} MiB"


async def measure(models: int, rounds: int, image_name: str, say: Callable[[str], None]) -> str:
    """Measure everything and return the results in Markdown."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        docker = await stack.enter_async_context(aiodocker.Docker())
        make = await stack.enter_async_context(runners(docker, directory))
        runner = make(image=image_name, memory_bytes=MEMORY_BYTES, timeout_s=1200.0, warm=1)
        keeping = asyncio.create_task(runner.keep_warm([(image_name, "duckdb", 0.0)]))
        stack.callback(keeping.cancel)
        bench = Bench(runner, next(image for image in await runner.images() if image.name == image_name))
        given = None
        for number in range(rounds):
            if given is not None:
                given[0].spool.close()
                given[1].spool.close()
            given = await bench.round(number, realistic(models, seed=number))
            say(f"round {number + 1}: " + ", ".join(f"{push} {found.cpu_s[-1]:.2f} s" for push, found in bench.measured.items()))
        assert given is not None
        dsn = await stack.enter_async_context(embedded.serve(directory / "data"))
        db = await stack.enter_async_context(pool.connect(dsn))
        await migrate.migrate(db)
        decoders = await stack.enter_async_context(decoding.serve(directory, 1))
        return page(bench.measured, await stored(db, decoders, *given), models)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.columns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", default="dbt-runner:latest")
    parser.add_argument("--write", action="store_true", help=f"write the results to {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    found = asyncio.run(measure(options.models, options.rounds, options.image, lambda text: print(text, flush=True)))
    print(f"\n{found}")
    if options.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{found}\n\n{END}{re.split(re.escape(END), rest, maxsplit=1)[-1]}")


if __name__ == "__main__":
    main()
