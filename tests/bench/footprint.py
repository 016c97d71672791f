"""What one push costs PostgreSQL: `python -m tests.bench.footprint [--models N] [--pushes N]`.

A real service with real containers extracts pushes of a generated project, and PostgreSQL logs every statement. Printed are processor time,
statements, rows and bytes for one push, without what the service does between pushes. Bytes are those that stay: tables are compacted
before they are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg

from app.store import embedded
from tests.bench import generate
from tests.bench.__main__ import Bench
from tests.bench.changes import change, merge
from tests.double import GitHubDouble
from tests.service import serving

LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]*): ")
IDLE_S = 10.0
TABLES = ("extractions", "check_runs", "lineages", "nodes", "node_columns", "logs", "manifests", "lineage_manifests", "deliveries")


class Footprint:
    """A database, and what is counted in it."""

    def __init__(self, connection: asyncpg.Connection[Any], log: Path) -> None:
        self._connection, self._log = connection, log
        self._read = self._counted = 0

    async def begin(self) -> None:
        """Log statements from now on."""
        await self._connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        await self._connection.execute("SELECT pg_reload_conf()")

    def statements(self) -> int:
        """How many were logged so far. The service empties the log at 8 MiB, after a copy; so this is asked more often than that."""
        size = self._log.stat().st_size
        if size < self._read:
            self._count(self._log.with_name("postgres.log.1"))
            self._read = 0
        self._count(self._log)
        return self._counted

    def _count(self, log: Path) -> None:
        with log.open(errors="replace") as file:
            file.seek(self._read)
            self._counted += len(LOGGED.findall(file.read()))
            self._read = file.tell()

    async def bytes_(self) -> Counter[str]:
        """Of each table with its indexes, compacted."""
        found: Counter[str] = Counter()
        for table in TABLES:
            await self._connection.execute(f"VACUUM FULL {table}")
            found[table] = await self._connection.fetchval("SELECT pg_total_relation_size($1::text::regclass)", table)
        return found

    async def rows(self) -> Counter[str]:
        """Rows that were ever inserted, updated and deleted."""
        await asyncio.sleep(1.5)  # the time after which PostgreSQL has counted everything
        row = await self._connection.fetchrow(
            """SELECT sum(n_tup_ins)::bigint AS inserted, sum(n_tup_upd)::bigint AS updated, sum(n_tup_del)::bigint AS deleted,
                      pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS wal_bytes FROM pg_stat_user_tables"""
        )
        return Counter(dict(row)) if row else Counter()


def cpu_s(pid: int) -> float:
    """Seconds of processors, of a process and of its children; 0 if it has just ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(cpu_s(int(child)) for child in children)


async def measure(models: int, pushes: int, warm: str, others: list[str]) -> None:
    """Push and print, for each kind of push."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        settings: dict[str, Any] = {"DATABASE_URL": dsn, **({"FRESHET_WARM_CONTAINERS": warm} if warm else {})}
        github = await stack.enter_async_context(GitHubDouble(rate_limit=1_000_000))
        await github.install("bench")
        service = await stack.enter_async_context(serving(github, directory / "data", **settings))
        connection = await asyncpg.connect(dsn)
        stack.push_async_callback(connection.close)
        footprint = Footprint(connection, directory / "postgres.log")
        bench, files = Bench(github, service, dsn, directory), generate.generate(models)
        repository = await github.create_repository("bench/footprint", {}, private=False)
        await footprint.begin()
        for kind, number in (("first", 1), ("sql", pushes), ("nothing", pushes), *((kind, 2) for kind in others)):
            await bench.rest()
            began = footprint.statements()
            await asyncio.sleep(IDLE_S)
            idle = (footprint.statements() - began) / IDLE_S
            size, rows = await footprint.bytes_(), await footprint.rows()
            counted, cpu, took, dbt = 0, 0.0, [], []
            for _ in range(number):
                changed: dict[str, str | None] = {**files} if kind == "first" else change(files, kind)
                files = merge(files, changed)
                await bench.rest()
                before, cpu_before = footprint.statements(), cpu_s(service.process.pid)
                sent_s, ended_s, _ = await bench.push(repository, changed)
                counted += footprint.statements() - before
                cpu += cpu_s(service.process.pid) - cpu_before
                took.append(ended_s - sent_s)
                costs = (await service.get(f"/connections/{(await service.connection(repository.full_name))['id']}/stats"))["cpu_seconds"]
                dbt.append(costs["last"] or 0.0)
            counted -= round(idle * sum(took))
            print(f"{kind}: {statistics.median(took):.2f} s, CPU: service {cpu / number:.2f} s, dbt {statistics.median(dbt)} s")
            grown = await footprint.rows()
            grown.subtract(rows)
            print(f"  {counted / number:.0f} statements ({idle:.1f} a second without any push), {_each(grown, number)}", flush=True)
            bigger = await footprint.bytes_()
            bigger.subtract(size)
            print(f"  {sum(bigger.values()) / number:,.0f} bytes: {_each(bigger, number)}", flush=True)


def _each(found: Counter[str], number: int) -> str:
    return ", ".join(f"{name} {value / number:,.0f}" for name, value in found.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.footprint", description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--pushes", type=int, default=12)
    parser.add_argument("--warm", default="", help="FRESHET_WARM_CONTAINERS")
    parser.add_argument("--others", nargs="*", default=["macro", "vars", "package"], help="more kinds of pushes")
    options = parser.parse_args()
    asyncio.run(measure(options.models, options.pushes, options.warm, options.others))
