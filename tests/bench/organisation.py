"""The graph of an owner with 1,000 connections, of which each reads tables of another one: `python -m tests.bench.organisation`.

Project number n reads tables of project n / 2, so from any project it is a few steps to the first one. The rows are made in SQL; the lists
of what leads from one project to another are made by the database's own triggers. What is measured comes over HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import asyncpg

from app.core import log
from app.store import Store, embedded, migrate, pool
from tests.bench.search import serving

ROUNDS = 20
FILL = (
    "INSERT INTO installations (id, account, account_type, survey_at) VALUES (1, 'octo', 'Organization', NULL)",
    """INSERT INTO repositories (id, installation_id, full_name, default_branch, looked_at)
       SELECT i, 1, 'octo/p' || i, 'main', now() FROM generate_series(1, $connections) i""",
    """INSERT INTO connections (id, repository_id, project_dir, project_name)
       SELECT md5('p' || i)::uuid, i, '', 'p' || i FROM generate_series(1, $connections) i""",
    # Of ten nodes, one is a source, four are models (one in ten of them reads a source), and the rest are tests.
    """INSERT INTO nodes (connection_id, hash, unique_id, resource_type, name, package_name, upstream, content)
       SELECT md5('p' || p)::uuid, decode(md5(p || 'n' || n), 'hex'), kind || '.p' || p || '.' || name, kind, name, 'p' || p,
              CASE WHEN kind = 'source' THEN '{}'
                   WHEN kind = 'test' THEN ARRAY['model.p' || p || '.m' || n - n % 10 + 1]
                   WHEN n % 10 = 1 THEN ARRAY['source.p' || p || '.raw.m' || n - 1]
                   ELSE ARRAY['model.p' || p || '.m' || n - 1] END,
              json_build_object('unique_id', kind || '.p' || p || '.' || name, 'resource_type', kind, 'name', name,
                'package_name', 'p' || p, 'original_file_path', 'models/' || n || '.sql',
                'materialized', CASE WHEN kind = 'model' THEN 'table' END, 'tags', '{}'::text[],
                'description', repeat('what it is ', 30), 'relation_name', CASE kind
                  WHEN 'source' THEN 'raw.area' || p / 2 || '.m' || n + 4 WHEN 'model' THEN 'raw.area' || p || '.' || name END)
       FROM generate_series(1, $connections) p, generate_series(0, $nodes - 1) n,
            LATERAL (SELECT CASE WHEN n % 10 = 0 THEN 'source' WHEN n % 10 < 5 THEN 'model' ELSE 'test' END AS kind) k,
            LATERAL (SELECT CASE WHEN kind = 'source' THEN 'raw.m' || n ELSE 'm' || n END AS name) t""",
    """INSERT INTO lineages (connection_id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, node_ids)
       SELECT connection_id, repeat('1', 40), 'main', package_name, '1.11.16', 'snowflake', 'v12', array_agg(id ORDER BY unique_id)
       FROM nodes GROUP BY connection_id, package_name""",
    "UPDATE connections c SET lineage_id = l.id FROM lineages l WHERE l.connection_id = c.id",
    "DELETE FROM search_updates",
    "VACUUM ANALYZE",
)


async def measure(connections: int, nodes: int) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-organisation-")))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        db = await stack.enter_async_context(pool.connect(dsn, size=1))
        await migrate.migrate(db)
        began = time.perf_counter()
        filling = await asyncpg.connect(dsn)
        for statement in FILL:
            await filling.execute(statement.replace("$connections", str(connections)).replace("$nodes", str(nodes)))
        await filling.close()
        print(f"{connections * nodes:,} nodes of {connections:,} connections: filled in {time.perf_counter() - began:.0f} s", flush=True)
        size = await db.value("SELECT pg_total_relation_size('made_tables')")
        print(f"made_tables: {size / (connections * nodes):.0f} bytes for a node on disk")
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await db.execute("SELECT list_made_tables(id, lineage_id) FROM connections WHERE repository_id = 1")
            took.append(1000 * (time.perf_counter() - began))
        print(f"a push that changes none of {nodes:,} nodes: {statistics.median(took):.1f} ms")
        await report(Store(db), connections, nodes)


async def report(store: Store, connections: int, nodes: int) -> None:
    """Print what answers take."""
    leaf, last = f"octo/p{connections}:model.p{connections}.m{nodes - 6}", nodes - nodes % 10 - 6
    asked = {
        "upstream of a node, by id": f"graph?owner=octo&focus={leaf}&direction=upstream",
        "two steps around a model, by `unique_id`": f"graph?owner=octo&focus=model.p{connections // 3}.m{last}&depth=2",
        "downstream of a model that reaches most projects": f"graph?owner=octo&focus=octo/p2:model.p2.m{last}&direction=downstream",
        "without `focus`": "graph?owner=octo",
    }
    [second] = await store.connections.for_repository(2)
    asked["the joins of a node"] = f"connections/{second.id}/nodes/model.p2.m{last}/joins"
    async with serving(store, connections) as search, aiohttp.ClientSession() as session:
        print(f"\n| asked | first | p50 | p95 | projects | nodes | joins |\n|{'---|' * 7}")
        for name, path in asked.items():
            times = []
            for _ in range(ROUNDS + 1):
                began = time.perf_counter()
                url = search.removesuffix("search") + path
                async with session.get(url, headers={"Authorization": f"Bearer {connections}"}) as response:
                    body = await response.json()
                    assert response.status == 200, body
                times.append(1000 * (time.perf_counter() - began))
            found = statistics.quantiles(times[1:], n=20, method="inclusive")
            counts = (len(body.get("connections", [])), len(body.get("nodes", [])), len(body.get("joins", body.get("read_by", []))))
            print(
                f"| {name} | {times[0]:.0f} ms | {found[9]:.1f} ms | {found[18]:.1f} ms | {' | '.join(f'{one:,}' for one in counts)} |",
                flush=True,
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.organisation", description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--nodes", type=int, default=500, help="of each connection")
    options = parser.parse_args()
    log.configure()
    asyncio.run(measure(options.connections, options.nodes))


if __name__ == "__main__":
    main()
