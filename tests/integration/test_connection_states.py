"""The connections that `/metrics` counts by state: each as its own page shows it, at a cost that is bounded."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta

from app.core.models.github import Repository
from app.store import Store, stats
from app.store.pool import Database

OLD = timedelta(hours=3)
INSERT = """
WITH connection AS (
  INSERT INTO connections (repository_id, project_dir, head_sha) VALUES (7, $1::text, $2::text) RETURNING id
), lineage AS (
  INSERT INTO lineages (connection_id, sha, branch, dbt_version, manifest_schema, node_ids)
  SELECT id, $3::text, $4::text, '1.11', 'v12', '{}' FROM connection WHERE $3::text IS NOT NULL RETURNING id
), extraction AS (
  INSERT INTO extractions (connection_id, branch, sha, status, trigger)
  SELECT id, 'main', $2::text, $5::text, 'push' FROM connection WHERE $5::text IS NOT NULL
)
SELECT connection.id, lineage.id AS lineage_id FROM connection LEFT JOIN lineage ON true
"""


async def repository(store: Store) -> None:
    await store.installations.update_from_push(Repository(7, "octo/shop", 70, "main"))


async def connect(db: Database, number: int, lineage_sha: str | None, branch: str, status: str | None, age: timedelta) -> str:
    row = await db.row(INSERT, f"p{number}", "b" * 40, lineage_sha, branch, status)
    assert row is not None
    await db.execute("UPDATE connections SET lineage_id = $2 WHERE id = $1", row["id"], row["lineage_id"])
    await db.execute("UPDATE connections SET stale_since = now() - $2::interval WHERE id = $1 AND stale_since IS NOT NULL", row["id"], age)
    return str(row["id"])


async def test_each_state_is_counted_as_the_connection_shows_it(store: Store, db: Database) -> None:
    await repository(store)
    lineages = [None, "a" * 40, "b" * 40]
    statuses = [None, "queued", "running", "failed", "succeeded", "cancelled"]
    variants = itertools.product(lineages, ["main", "old"], statuses, [timedelta(0), OLD])
    ids = [await connect(db, number, *one) for number, one in enumerate(variants)]
    expected: Counter[str] = Counter()
    for one in ids:
        connection = await store.connections.get(one)
        assert connection is not None
        expected[connection.state()] += 1
    found = await store.statistics.connection_states()
    assert {state: count for state, count in found.counts.items() if count} == expected
    assert set(expected) == set(found.counts), "there is one of each"
    assert OLD.total_seconds() <= found.oldest_stale_s < 2 * OLD.total_seconds()


async def test_what_is_hidden_or_failed_by_its_project_is_not_stale(store: Store, db: Database) -> None:
    await repository(store)
    hidden = await connect(db, 1, "a" * 40, "main", None, OLD)
    await connect(db, 2, "a" * 40, "main", "failed", OLD)
    await store.connections.remove(hidden)
    found = await store.statistics.connection_states()
    assert (found.counts["stale"], found.counts["failed"], found.oldest_stale_s) == (0, 1, 0.0)


async def test_no_connection_at_all_counts_zero_in_every_state(store: Store) -> None:
    found = await store.statistics.connection_states()
    assert set(found.counts.values()) == {0}


async def test_counting_reads_a_limited_number_of_connections(store: Store, db: Database) -> None:
    await repository(store)
    await db.execute(
        "INSERT INTO connections (repository_id, project_dir, head_sha) SELECT 7, 'p' || n, repeat('b', 40) FROM generate_series(1, 500) n"
    )
    rows = await db.rows(f"EXPLAIN (ANALYZE, TIMING OFF) {stats.SQL['connection_states']}", 100, timedelta(minutes=10))
    plan = "\n".join(row[0] for row in rows)
    assert "rows=500" not in plan, plan
