"""The time of frequent database calls as the database grows: `python -m tests.bench.growth [--connections N] [--extractions N]`.

A real PostgreSQL is filled to several sizes, and frequent calls of the service are measured through the store's own methods. Changes are
rolled back. The ratio to the smallest size matters.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from app.lineage.impact.tables import search_key
from app.store import Store, embedded, migrate, pool, retention
from app.store.sql import statements

SIZES = [(100, 10_000), (1_000, 100_000), (10_000, 1_000_000)]
"""Connections and extractions."""
BACKLOG = 1_000
LEASE = timedelta(minutes=1)
AGE = timedelta(days=90)
REPEATS = 25
PRIVATE_TOO = (True,)
FILL = (
    "SET LOCAL session_replication_role = replica",
    # Installations of very different sizes: the first one has about half of the connections.
    """INSERT INTO installations (id, account, account_type, survey_at)
       SELECT i, 'owner' || i, 'Organization', NULL FROM generate_series(1, greatest($1 / 20, 4)) i""",
    """INSERT INTO repositories (id, installation_id, full_name, default_branch, looked_at)
       SELECT i, home, 'owner' || home || '/repo' || i, 'main', now()
       FROM (SELECT i, 1 + floor(greatest($1 / 20, 4) * power(hashint4(i)::bigint::float8 / 4294967296 + 0.5, 6))::bigint AS home
             FROM generate_series(1, 2 * $1) i) repository""",
    """INSERT INTO connections (id, repository_id, project_dir, project_name, head_sha)
       SELECT md5('connection' || i)::uuid, i, 'transform', 'project' || i, lpad(md5('head' || i), 40, '0')
       FROM generate_series(1, $1) i""",
    """INSERT INTO nodes (connection_id, hash, unique_id, resource_type, name, package_name, upstream, content)
       SELECT md5('connection' || i)::uuid, decode(md5(i || 'node' || n), 'hex'), 'model.p.n' || n, 'model', 'n' || n, 'p', '{}',
              ('{"unique_id": "model.p.n' || n || '", "description": "' || repeat('what it is ', 20) || '"}')::json
       FROM generate_series(1, $1) i, generate_series(1, 30) n""",
    # Every twentieth extraction is of one connection, the others are spread over all; the last 120 days.
    """INSERT INTO extractions
         (id, connection_id, installation_id, branch, sha, trigger, status, stages, result, problem, created_at, started_at, finished_at)
       SELECT md5('extraction' || e)::uuid, c.id, r.installation_id,
              CASE WHEN e % 10 < 7 THEN 'main' ELSE 'feature/' || e % 100 END, lpad(md5('commit' || e), 40, '0'), 'push',
              CASE WHEN e % 20 = 3 THEN 'failed' WHEN e % 20 = 4 THEN 'superseded' ELSE 'succeeded' END,
              ('[' || repeat('{"stage":"parsing","started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:01Z"},', 3)
               || '{"stage":"storing","started_at":"2026-01-01T00:00:00Z"}]')::json,
              ('{"nodes": 30, "dbt_version": "1.11.16", "notes": "' || repeat('x', 200) || '"}')::json, NULL, at, at, at + interval '5 s'
       FROM (SELECT e, now() - interval '120 days' * (1 - e::float8 / $2) AS at FROM generate_series(1, $2) e) told
       JOIN connections c ON c.id = md5('connection' || CASE WHEN e % 20 = 0 THEN 1 ELSE 1 + (e::bigint * 7919) % $1 END)::uuid
       JOIN repositories r ON r.id = c.repository_id""",
    "INSERT INTO check_runs (extraction_id, github_id, revision, sent) SELECT id, number, 5, 5 FROM extractions",
    """INSERT INTO logs (extraction_id, try, size_bytes, content)
       SELECT id, 1, 2000, decode(repeat(md5(id::text), 15), 'hex') FROM extractions""",
    """INSERT INTO lineages (connection_id, extraction_id, sha, branch, dbt_version, manifest_schema, node_ids, input, trust, extracted_at)
       SELECT e.connection_id, e.id, e.sha, e.branch, '1.11.16', 'v12', n.ids,
              decode(md5('input' || e.number / 50), 'hex'), 'anyone', e.finished_at
       FROM extractions e JOIN (SELECT connection_id, array_agg(id) AS ids FROM nodes GROUP BY 1) n USING (connection_id)
       WHERE e.status = 'succeeded'""",
    """UPDATE connections c SET lineage_id = l.id, head_sha = CASE WHEN c.repository_id % 2 = 0 THEN l.sha ELSE c.head_sha END
       FROM (SELECT connection_id, max(id) AS id FROM lineages GROUP BY 1) newest JOIN lineages l USING (id)
       WHERE newest.connection_id = c.id""",
    # Each connection reads thirty of five thousand tables.
    """INSERT INTO source_relations (connection_id, node_id, installation_id, relation)
       SELECT n.connection_id, n.id, r.installation_id, relation_key('db.prod.t' || hashint8(n.id) % 5000)
       FROM nodes n JOIN connections c ON c.id = n.connection_id JOIN repositories r ON r.id = c.repository_id""",
    # Each makes thirty of twenty thousand.
    """INSERT INTO made_tables (connection_id, node_id, installation_id, node, relation)
       SELECT n.connection_id, n.id, r.installation_id, node_key(n.unique_id), relation_key('db.prod.t' || hashint8(n.id) % 20000)
       FROM nodes n JOIN connections c ON c.id = n.connection_id JOIN repositories r ON r.id = c.repository_id""",
    # Each connection has a word that all have, and one of its own, for each node.
    """INSERT INTO search_nodes (connection_id, node_id, hit, words)
       SELECT connection_id, id, id, array_to_tsvector(ARRAY['n' || name, 'corder', '=' || name || '_' || id]) FROM nodes""",
    """INSERT INTO search_words (connection_id, word, hits)
       SELECT connection_id, word, array_agg(hit ORDER BY hit) FROM search_nodes, unnest(tsvector_to_array(words)) AS word GROUP BY 1, 2""",
    """INSERT INTO node_results (connection_id, unique_id, at, status, history)
       SELECT connection_id, unique_id, now() - interval '60 days' * random(), 'pass',
              ('[' || repeat('[1761984000000,"pass",0.5,0,null,null],', 19) || '[1,"pass",0.5,0,null,null]]')::jsonb FROM nodes""",
    """INSERT INTO run_artifacts (connection_id, kind, invocation_id, generated_at)
       SELECT id, 'run_results', 'run-' || i, now() FROM connections, generate_series(1, 20) i""",
    """INSERT INTO deliveries (id, event, received_at)
       SELECT 'd' || i, 'push', now() - interval '10 days' * i / $2 FROM generate_series(1, $2) i""",
    "SET LOCAL session_replication_role = origin",
)
QUEUE = (
    """INSERT INTO extractions (connection_id, branch, sha, trigger, forced)
       SELECT md5('connection' || 1 + q % $1)::uuid, 'main', lpad(md5('queued' || q), 40, '0'), 'push', true
       FROM generate_series(1, $2) q""",
    "UPDATE check_runs SET sent = revision WHERE github_id IS NULL",
    """UPDATE extractions SET status = 'running', worker = 'other', lease_until = now() + interval '1 hour', started_at = now()
       WHERE id IN (SELECT DISTINCT ON (connection_id) id FROM extractions WHERE status = 'queued' LIMIT 8)""",
)
LATER = {
    "claim, all who wait have some running": """UPDATE installations SET suspended_at = now()
      WHERE id NOT IN (SELECT installation_id FROM extractions WHERE status = 'running')""",
    "claim, none waits": "UPDATE extractions SET status = 'cancelled', finished_at = now() WHERE status = 'queued'",
}
"""Changes after which the claim is measured again."""
Ask = Callable[[Store], Awaitable[object]]


class RolledBackError(Exception):
    """Rolls back a measured call."""


@dataclass(frozen=True)
class Known:
    """The subjects of the calls: the connection with the longest history, and its data."""

    connection: str
    other: str
    running: str
    middle: int
    input_hash: bytes
    name: tuple[str, str]


async def fill(dsn: str, connections: int, extractions: int) -> float:
    """Fill an empty database, and return its size in GiB."""
    connection = await asyncpg.connect(dsn)
    try:
        for statements_, second in ((FILL, extractions), (QUEUE, BACKLOG)):
            async with connection.transaction():
                for statement in statements_:
                    await connection.execute(statement.replace("$1", f"{connections}").replace("$2", f"{second}"))
        await connection.execute("VACUUM ANALYZE")
        return float(await connection.fetchval("SELECT pg_database_size(current_database())::float8")) / (1 << 30)
    finally:
        await connection.close()


async def known(db: pool.Database) -> Known:
    """Find the subjects of the calls."""
    busiest = await db.value("SELECT md5('connection1')::uuid")
    middle = await db.value(
        "SELECT number FROM extractions WHERE connection_id = $1 ORDER BY number LIMIT 1 OFFSET "
        "(SELECT count(*) / 2 FROM extractions WHERE connection_id = $1)",
        busiest,
    )
    running = await db.value("SELECT id FROM extractions WHERE status = 'running' LIMIT 1")
    other = await db.value("SELECT md5('connection7')::uuid")
    row = await db.row(
        "SELECT r.full_name, c.id FROM connections c JOIN repositories r ON r.id = c.repository_id ORDER BY lower(r.full_name) "
        "LIMIT 1 OFFSET (SELECT count(*) * 3 / 4 FROM connections)"
    )
    input_hash = await db.value("SELECT input FROM lineages WHERE connection_id = $1 ORDER BY id LIMIT 1", busiest)
    assert row is not None
    return Known(str(busiest), str(other), str(running), middle, input_hash, (row["full_name"], str(row["id"])))


def questions(of: Known) -> dict[str, Ask]:
    """The service's calls by description."""
    retention_sql = statements("retention")

    async def push(store: Store) -> None:
        await store.extractions.newest_of_branch(of.connection, "main")
        await store.extractions.enqueue(of.connection, "main", "f" * 40, "push")

    async def page(store: Store, **wanted: str) -> None:
        filters: dict[str, Any] = {"owner": None, "repository": None, "q": None} | wanted
        await store.connections.page(after=None, limit=100, **filters)

    return {
        f"claim, {BACKLOG:,} wait": lambda store: store.extractions.claim("w", LEASE),
        "heartbeat: renew": lambda store: store.extractions.renew(["other"], LEASE),
        "heartbeat: requeue": lambda store: store.extractions.requeue_expired(),
        "a stage begins": lambda store: store.extractions.enter_stage(of.running, "other", "parsing", []),
        "an extraction ends": lambda store: store.extractions.finish(of.running, "other", "succeeded", []),
        "a push is queued": push,
        "newest of a new branch": lambda store: store.extractions.newest_of_branch(of.connection, "feature/new"),
        "an old commit again": lambda store: store.extractions.enqueue(of.connection, "main", "e" * 40, "api", newest=False),
        "one extraction": lambda store: store.extractions.get(of.running),
        "progress of a connection": lambda store: store.extractions.for_connection(of.connection, limit=1),
        "history, first page": lambda store: store.extractions.for_connection(of.connection, limit=100),
        "history, from the middle": lambda store: store.extractions.for_connection(of.connection, before=of.middle, limit=100),
        "active, first page": lambda store: store.extractions.active(after=None, limit=100),
        "one connection, how stale": lambda store: store.connections.get(of.connection),
        "connections, first page": page,
        "connections, from three quarters": lambda store: store.connections.page(
            owner=None, repository=None, q=None, after=of.name, limit=100
        ),
        "connections of an owner": lambda store: page(store, owner="owner3"),
        "one repository": lambda store: page(store, repository="owner1/repo1"),
        "connections by words, none": lambda store: page(store, q="nowhere"),
        "lineage of an input": lambda store: store.lineages.find_by_input(of.connection, of.input_hash, ["anyone"]),
        "who reads a table": lambda store: _db(store).rows(
            statements("readers")["connections"], *(UUID(of.connection), 1, [search_key("db.prod.t1")], 1, 20), *PRIVATE_TOO
        ),
        "next check run": lambda store: store.check_runs.claim(LEASE),
        "when the next is due": lambda store: store.check_runs.seconds_until_due(),
        "resume after a suspension": lambda store: store.installations.resume_check_runs(3),
        "next look": lambda store: store.installations.claim_look(LEASE),
        "a delivery": lambda store: store.deliveries.record("new", "push"),
        "history: look at 100 connections": lambda store: _db(store).rows(
            retention_sql["next_connections"], retention.FIRST, 100, AGE, retention.KEPT
        ),
        "history: delete up to 1,000": lambda store: _db(store).value(
            retention_sql["delete_history"], UUID(of.connection), AGE, retention.KEPT, retention.ROWS_AT_ONCE
        ),
        "history: nodes of a usual connection": lambda store: store.retention.find_unreferenced(UUID(of.other)),
    }


def _db(store: Store) -> pool.Database:
    return store._db


async def ask(store: Store, question: Ask) -> float:
    """The median time of a call in milliseconds. Changes are rolled back."""
    took = []
    for _ in range(REPEATS):
        with suppress(RolledBackError):
            async with store.transaction() as tx:
                began = time.perf_counter()
                await question(tx)
                took.append(time.perf_counter() - began)
                raise RolledBackError
    return statistics.median(took[5:]) * 1000


async def measure(sizes: list[tuple[int, int]]) -> None:
    """Fill and measure each size, and print the table."""
    results: dict[str, list[float]] = {}
    disk = []
    for connections, extractions in sizes:
        async with AsyncExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-growth-")))
            dsn = await stack.enter_async_context(embedded.serve(directory))
            db = await stack.enter_async_context(pool.connect(dsn, size=2))
            await migrate.migrate(db)
            began = time.perf_counter()
            disk.append(await fill(dsn, connections, extractions))
            print(f"{connections:,} connections: filled in {time.perf_counter() - began:.0f} s", flush=True)
            for name, question in questions(await known(db)).items():
                results.setdefault(name, []).append(await ask(Store(db), question))
            for name, change in LATER.items():
                await db.execute(change)
                results.setdefault(name, []).append(await ask(Store(db), lambda store: store.extractions.claim("w", LEASE)))
    print(f"\n|  | {' | '.join(f'{c:,} connections, {e:,} extractions' for c, e in sizes)} | ratio |\n|---|{'---|' * (len(sizes) + 1)}")
    for name, times in results.items():
        print(f"| {name} | {' | '.join(f'{ms:.2f} ms' for ms in times)} | {times[-1] / times[0]:.1f} |")
    print(f"| on disk | {' | '.join(f'{gib:.2f} GiB' for gib in disk)} | {disk[-1] / disk[0]:.0f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--connections", type=int, default=SIZES[-1][0], help="of the largest size")
    parser.add_argument("--extractions", type=int, default=SIZES[-1][1], help="of the largest size")
    options = parser.parse_args()
    sizes = [(options.connections // part, options.extractions // part) for part in (100, 10, 1)]
    asyncio.run(measure(sizes))


if __name__ == "__main__":
    main()
