"""What a long history costs PostgreSQL, in one table and with a table for each month: `python -m tests.bench.history [--rows 1 10]`.

For each size (millions of extractions over 90 days), statements that run for each push and the longest lists are measured in blocks of
8 KiB that they touch, which no other load of the machine changes, and in milliseconds; so is the VACUUM that follows the changes of a share
of a day. Then `deploy/postgres/partition_history.sql` is applied, history is moved, and the same is measured again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from app.store import embedded, migrate, pool, retention
from app.store.sql import statements
from tests.bench import growth

SCRIPT = Path(__file__).parents[2] / "deploy/postgres/partition_history.sql"
CONNECTIONS = 10_000
BUSIEST = UUID("6ac6eb56-1edf-ca7e-2d3c-0a9c247ee62a")
"""`md5('connection1')`, which has a twentieth of all extractions."""
REPEATS = 5
CHURN = 20_000
"""Pushes before the VACUUM: each is a new row, which changes twice."""
ORIGIN = (["7c9e6679"], [timedelta(seconds=2)], ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
QUESTIONS: dict[str, tuple[str, str, tuple[object, ...]]] = {
    "a push is queued": ("extractions", "enqueue", ([BUSIEST], ["main"], ["f" * 40], ["push"], [False], [True], [True], [False], *ORIGIN)),
    "claim, 1,000 wait": ("extractions", "claim", ("w", timedelta(minutes=1), [], True)),
    "heartbeat": ("extractions", "requeue_expired", ()),
    "newest of a branch": ("extractions", "newest_of_branch", ([BUSIEST], ["main"])),
    "history, first page of 100": ("extractions", "for_connection", (BUSIEST, None, 100)),
    "history, page from the middle": ("extractions", "for_connection", (BUSIEST, "{middle}", 100)),
    "search of one step in history": ("extractions", "find", (BUSIEST, None, ["cancelled"], None, 1000)),
    "retention: look at 100 connections": ("retention", "next_connections", (retention.FIRST, 100, growth.AGE, retention.KEPT)),
    "retention: delete 1,000": ("retention", "delete_history", (BUSIEST, timedelta(days=60), retention.KEPT, 1000)),
}
EXTRACTIONS = """INSERT INTO extractions
    (id, connection_id, installation_id, branch, sha, trigger, status, stages, result, created_at, started_at, finished_at, was_head)
  SELECT md5('extraction' || e)::uuid, c.id, r.installation_id, CASE WHEN e % 10 < 7 THEN 'main' ELSE 'feature/' || e % 100 END,
         lpad(md5('commit' || e), 40, '0'), 'push',
         CASE WHEN e % 20 = 3 THEN 'failed' WHEN e % 20 = 4 THEN 'superseded' ELSE 'succeeded' END,
         ('[' || repeat('{"stage":"parsing","started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:01Z"},', 3)
          || '{"stage":"storing","started_at":"2026-01-01T00:00:00Z"}]')::json,
         ('{"nodes": 30, "dbt_version": "1.11.16", "notes": "' || repeat('x', 200) || '"}')::json, at, at, at + interval '5 s', true
  FROM (SELECT e, now() - interval '90 days' * (1 - e::float8 / $2) AS at FROM generate_series(1, $2) e) told
  JOIN connections c ON c.id = md5('connection' || CASE WHEN e % 20 = 0 THEN 1 ELSE 1 + (e::bigint * 7919) % $1 END)::uuid
  JOIN repositories r ON r.id = c.repository_id"""
PUSHED = """WITH pushed AS (
    INSERT INTO extractions (connection_id, installation_id, branch, sha, trigger)
    SELECT md5('connection' || 1 + e % $1)::uuid, 1, 'main', lpad(md5('churn' || e), 40, '0'), 'push' FROM generate_series(1, $2) e
    RETURNING id)
  SELECT count(*) FROM pushed"""
LIVED = (
    """UPDATE extractions SET status = 'running', started_at = now()
       WHERE status = 'queued' AND sha IN (SELECT lpad(md5('churn' || e), 40, '0') FROM generate_series(1, $2) e)""",
    "UPDATE extractions SET status = 'succeeded', finished_at = now() WHERE status = 'running' AND worker IS NULL",
)


async def fill(connection: asyncpg.Connection[Any], rows: int) -> None:
    """Fill the history and 1,000 queued extractions; secondary indexes are built at the end, which is faster."""
    async with connection.transaction():
        for statement in growth.FILL[:4]:
            await connection.execute(_with(statement, rows))
        indexes = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('extractions', 'check_runs') AND indexname NOT LIKE '%pkey'"
        )
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['indexname']}")
        await connection.execute("SET LOCAL synchronous_commit = off")
        await connection.execute(_with(EXTRACTIONS, rows))
        await connection.execute(
            "INSERT INTO check_runs (extraction_id, github_id, revision, sent) SELECT id, number, 5, 5 FROM extractions"
        )
        await connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
        for index in indexes:
            await connection.execute(index["indexdef"])
    async with connection.transaction():
        for statement in growth.QUEUE:
            await connection.execute(statement.replace("$1", f"{CONNECTIONS}").replace("$2", f"{growth.BACKLOG}"))
    await connection.execute("VACUUM ANALYZE")


def _with(statement: str, rows: int) -> str:
    return statement.replace("$1", f"{CONNECTIONS}").replace("$2", f"{rows}")


async def measure(connection: asyncpg.Connection[Any]) -> dict[str, tuple[float, float]]:
    """Blocks and milliseconds of each statement, and of the VACUUM."""
    middle = await connection.fetchval(
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY number) FROM extractions WHERE connection_id = $1", BUSIEST
    )
    found = {}
    for name, (noun, statement, arguments) in QUESTIONS.items():
        values = [middle if one == "{middle}" else one for one in arguments]
        found[name] = await _explain(connection, statements(noun)[statement], values)
    found["VACUUM after 20,000 pushes"] = await _vacuum(connection)
    return found


async def _explain(connection: asyncpg.Connection[Any], statement: str, values: Sequence[object]) -> tuple[float, float]:
    blocks, took = [], []
    for _ in range(REPEATS):
        transaction = connection.transaction()
        await transaction.start()
        answer = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values)
        await transaction.rollback()
        told = json.loads(answer)[0]
        blocks.append(told["Plan"]["Shared Hit Blocks"] + told["Plan"]["Shared Read Blocks"])
        took.append(told["Execution Time"] + told["Planning Time"])
    return min(blocks), statistics.median(took)


async def _vacuum(connection: asyncpg.Connection[Any]) -> tuple[float, float]:
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for statement in (PUSHED, *LIVED):
            await connection.execute(statement.replace("$1", f"{CONNECTIONS}").replace("$2", f"{CHURN}"))
    told: list[str] = []
    connection.add_log_listener(lambda _, message: told.append(str(message)))
    began = time.perf_counter()
    await connection.execute("VACUUM (VERBOSE, INDEX_CLEANUP ON) extractions")
    took = time.perf_counter() - began
    await asyncio.sleep(0)
    used = [int(number) for usage in re.findall(r"buffer usage: (\d+) hits, (\d+) misses", "\n".join(told)) for number in usage]
    return sum(used), took * 1000


async def sizes(connection: asyncpg.Connection[Any]) -> tuple[float, float]:
    """Bytes of a row of `extractions` with its check run, without and with indexes, over all months."""
    row = await connection.fetchrow(
        """SELECT sum(pg_table_size(oid))::float8 AS rows, sum(pg_total_relation_size(oid))::float8 AS everything
           FROM pg_class WHERE relname ~ '^extractions(_\\d{4}_\\d\\d)?$|^check_runs$' AND relkind = 'r'"""
    )
    count = await connection.fetchval("SELECT count(*) FROM extractions")
    assert row is not None
    return row["rows"] / count, row["everything"] / count


async def main(millions: Sequence[float], *, plain: bool) -> None:
    """Measure each size, before and after, and print the table."""
    columns: dict[str, dict[str, tuple[float, float]]] = {}
    for size in millions:
        async with AsyncExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-history-")))
            dsn = await stack.enter_async_context(embedded.serve(directory, durable=False))
            async with pool.connect(dsn, size=1) as db:
                await migrate.migrate(db)
            connection = await asyncpg.connect(dsn)
            stack.push_async_callback(connection.close)
            began = time.perf_counter()
            await fill(connection, round(size * 1_000_000))
            bare, everything = await sizes(connection)
            print(
                f"{size:g} million: filled in {time.perf_counter() - began:.0f} s, {bare:.0f} bytes a row, {everything:.0f} with indexes",
                flush=True,
            )
            columns[f"{size:g} million, one table"] = await measure(connection)
            _print(columns)
            if plain:
                continue
            began = time.perf_counter()
            await connection.execute(SCRIPT.read_text())
            await connection.execute("CALL move_history()")
            await connection.execute("VACUUM FULL extractions")
            await connection.execute("VACUUM ANALYZE")
            print(f"moved in {time.perf_counter() - began:.0f} s", flush=True)
            columns[f"{size:g} million, months"] = await measure(connection)
            _print(columns)


def _print(columns: dict[str, dict[str, tuple[float, float]]]) -> None:
    print(f"\n| blocks, ms | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for name in next(iter(columns.values())):
        print(f"| {name} | {' | '.join(f'{column[name][0]:,.0f}, {column[name][1]:,.1f}' for column in columns.values())} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history", description=__doc__)
    parser.add_argument("--rows", type=float, nargs="+", default=[1, 10], metavar="MILLIONS")
    parser.add_argument("--plain", action="store_true", help="one table only")
    options = parser.parse_args()
    asyncio.run(main(options.rows, plain=options.plain))
