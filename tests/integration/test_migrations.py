"""Migrations on databases of every earlier schema, with rows from then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from app.core.models.extractions import Problem
from app.lineage.impact.tables import search_key
from app.pipeline import leases
from app.store import Store, migrate, pool
from tests.integration.search_world import catch_up, names
from tests.lineages import nodes_of

ROWS = """
INSERT INTO installations (id, account, account_type) VALUES (3, 'octo', 'User');
INSERT INTO repositories (id, installation_id, full_name, default_branch) VALUES (7, 3, 'octo/shop', 'main');
INSERT INTO connections (id, repository_id, project_dir, head_sha) VALUES ('5f9f2f3e-0000-4000-8000-000000000000', 7, '', 'abc');
INSERT INTO extractions (connection_id, branch, sha, trigger) VALUES ('5f9f2f3e-0000-4000-8000-000000000000', 'main', 'abc', 'push');
INSERT INTO nodes (connection_id, hash, unique_id, resource_type, name, package_name, upstream, content)
  VALUES ('5f9f2f3e-0000-4000-8000-000000000000', '\\x00', 'model.shop.a', 'model', 'a', 'shop', '{}', '{}');
INSERT INTO lineages (connection_id, sha, branch, dbt_version, manifest_schema, node_ids)
  SELECT connection_id, 'abc', 'main', '1.11.16', 'v12', ARRAY[id] FROM nodes;
UPDATE connections SET lineage_id = (SELECT id FROM lineages);
"""

LATER_ROWS = {
    "0008_notifications": """
        INSERT INTO subscriptions (connection_id, kind, address, events)
          SELECT id, 'email', 'ann@example.com', '{failure}' FROM connections;
        INSERT INTO told (subscription_id, connection_id, event, reason, since)
          SELECT id, connection_id, 'failure', 'It broke', now() FROM subscriptions;""",
    "0009_connections": "INSERT INTO keys (name, value) VALUES ('badges', 'a key')",
    "0021_columns": "INSERT INTO node_columns (connection_id, hash, unique_id, status, content) "
    "SELECT connection_id, hash, unique_id, 'exact', '{}' FROM nodes",
    "0031_pull_requests": """
        INSERT INTO pull_requests (repository_id, number, head_sha, branch, base_branch, draft, open, updated_at)
          VALUES (7, 1, 'def', 'side', 'main', false, true, now())""",
    "0032_manifests": "INSERT INTO manifests (connection_id, hash, size_bytes, stored_bytes, content) "
    "SELECT id, '1', 2, 2, '{}' FROM connections",
    "0040_sessions": """
        INSERT INTO sessions (digest, user_id, login, tokens, expires_at)
          VALUES (decode(repeat('0', 64), 'hex'), 1, 'octocat', 'sealed', now() + interval '1 day')""",
}
"""Rows of tables that a migration made."""
SCHEMA = """
SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') AS fact
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT pg_get_constraintdef(oid, true) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
"""


@pytest_asyncio.fixture
async def first_release(postgres: str) -> AsyncIterator[pool.Database]:
    """A database after the first migration, with a row in each table."""
    name = f"old_{uuid4().hex[:8]}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"CREATE DATABASE {name}")
    async with pool.connect(postgres.replace("/freshet?", f"/{name}?"), size=2) as db:
        await db.execute("CREATE TABLE migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())")
        await db.execute(migrate.pending()["0001_initial"])
        await db.execute("INSERT INTO migrations (name) VALUES ('0001_initial')")
        await db.execute(ROWS)
        yield db
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def test_rows_of_the_first_release_are_kept_and_usable(first_release: pool.Database) -> None:
    assert await migrate.migrate(first_release) == [name for name in migrate.pending() if name != "0001_initial"]
    store = Store(first_release)
    found = await store.connections.get("5f9f2f3e-0000-4000-8000-000000000000")
    assert found is not None
    assert (found.lineage_sha, found.stale, found.repository.full_name) == ("abc", False, "octo/shop")
    head = await store.lineages.head(found.id)
    assert head is not None
    assert [node.unique_id for node in await nodes_of(store, head)] == ["model.shop.a"]
    [node] = await first_release.rows("SELECT sql_hash, config_hash FROM nodes")
    assert tuple(node) == (None, None), "what was not stored is not known"
    [queued] = await store.extractions.active(after=None, limit=10)
    assert (queued.forced, queued.siblings) == (False, 1)
    assert await store.connections.page(owner="octo", repository=None, q=None, after=None, limit=5) == [found]
    due = await store.check_runs.claim(leases.CHECK_RUN_LEASE)
    assert due is not None
    assert due.extraction_id == queued.id
    assert await store.installations.claim_survey(leases.SURVEY_LEASE) == (3, False), "it is surveyed at the first start"
    claimed = await store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    assert claimed.id == queued.id
    await store.subscriptions.create(found.id, "email", "ann@example.com", ["failure"], None)
    await store.extractions.finish(claimed.id, "w", "failed", [], problem=Problem("It broke", "Because."))
    async with store.transaction() as tx:
        assert await tx.notifications.claim_watch() == found.id


async def test_stale_since_is_filled_in_for_existing_connections(first_release: pool.Database) -> None:
    await first_release.execute(
        "INSERT INTO extractions (connection_id, branch, sha, trigger, created_at) "
        "SELECT id, 'main', 'def', 'push', now() - interval '3 hours' FROM connections"
    )
    await first_release.execute("UPDATE connections SET head_sha = 'def'")
    await migrate.migrate(first_release)
    found = await Store(first_release).connections.get("5f9f2f3e-0000-4000-8000-000000000000")
    assert found is not None
    assert found.stale
    assert found.lag_s(datetime.now(UTC)) // 3600 == 3
    await first_release.execute("UPDATE connections SET head_sha = 'abc'")
    found = await Store(first_release).connections.get(found.id)
    assert found is not None
    assert (found.stale, found.stale_since, found.lag_s(datetime.now(UTC))) == (False, None, 0.0)


async def test_names_that_were_made_of_constants_become_unknown(first_release: pool.Database) -> None:
    contents = {
        "snowflake": '{"unique_id": "b", "relation_name": "freshet.public_marts.orders", "tags": []}',
        "duckdb": '{"unique_id": "c", "relation_name": "\\"memory\\".\\"main\\".\\"orders\\""}',
        "bigquery": '{"unique_id": "d", "relation_name": "`freshet`.`freshet_marts`.`orders`"}',
        "real": '{"unique_id": "e", "relation_name": "raw.crm.freshets"}',
        "none": '{"unique_id": "f", "relation_name": null}',
    }
    for name, content in contents.items():
        await first_release.execute(
            "INSERT INTO nodes (connection_id, hash, unique_id, resource_type, name, package_name, upstream, content) "
            "SELECT connection_id, $1, $2, 'model', $2, 'shop', '{}', $3::text::json FROM nodes LIMIT 1",
            *(name.encode(), name, content),
        )
    await migrate.migrate(first_release)
    rows = await first_release.rows(
        "SELECT name, content ->> 'relation_name' AS named, content ->> 'relation_name_source' AS source FROM nodes WHERE name <> 'a'"
    )
    assert {row["name"]: (row["named"], row["source"]) for row in rows} == {
        **dict.fromkeys(("snowflake", "duckdb", "bigquery"), (None, "placeholder")),
        "real": ("raw.crm.freshets", None),
        "none": (None, None),
    }


async def test_lineages_of_earlier_releases_have_no_columns_and_nobody_asked_for_them(first_release: pool.Database) -> None:
    await migrate.migrate(first_release)
    store = Store(first_release)
    head = await store.lineages.head("5f9f2f3e-0000-4000-8000-000000000000")
    assert head is not None
    assert (head.columns_state, head.columns_reason) == (None, None)
    assert await store.columns.of(head.id) == []
    assert await store.columns.one(head.id, "model.shop.a") is None


async def test_existing_lineages_are_searched_once_the_service_runs(first_release: pool.Database) -> None:
    await migrate.migrate(first_release)
    store = Store(first_release)
    assert await first_release.value("SELECT count(*) FROM search_updates") == 1
    assert await names(store, "type:model") == []
    assert await catch_up(store) == 1
    assert await names(store, "a") == ["a"]
    assert await first_release.value("SELECT count(*) FROM search_updates") == 0


async def test_sources_of_existing_lineages_are_found_by_their_tables(first_release: pool.Database) -> None:
    content = '{"unique_id": "source.shop.crm.orders", "relation_name": "\\"RAW\\".crm.orders"}'
    await first_release.execute(
        "INSERT INTO nodes (connection_id, hash, unique_id, resource_type, name, package_name, upstream, content) "
        "SELECT connection_id, hash || one::bytea, 'source.shop.crm.' || one, 'source', one, 'shop', '{}', $1::text::json "
        "FROM nodes, unnest(ARRAY['orders', 'old']) AS one",
        content,
    )
    await first_release.execute(
        "UPDATE lineages SET node_ids = node_ids || (SELECT id FROM nodes WHERE unique_id = 'source.shop.crm.orders')"
    )
    await migrate.migrate(first_release)
    [row] = await first_release.rows(
        "SELECT n.unique_id, s.installation_id, s.relation FROM source_relations s JOIN nodes n ON n.id = s.node_id"
    )
    assert tuple(row) == ("source.shop.crm.orders", 3, search_key("raw.crm.orders"))


@pytest_asyncio.fixture(params=migrate.pending())
async def earlier(request: pytest.FixtureRequest, postgres: str) -> AsyncIterator[pool.Database]:
    """A database with the schema of an earlier version, up to one migration, and with rows that were written to that schema."""
    name, last = f"old_{uuid4().hex[:8]}", str(request.param)
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"CREATE DATABASE {name}")
    async with pool.connect(postgres.replace("/freshet?", f"/{name}?"), size=2) as db:
        await db.execute("CREATE TABLE migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())")
        applied = [one for one in migrate.pending() if one <= last]
        for one in applied:
            await db.execute(migrate.pending()[one])
            await db.execute("INSERT INTO migrations (name) VALUES ($1)", one)
        await db.execute(ROWS)
        for one in applied:
            if one in LATER_ROWS:
                await db.execute(LATER_ROWS[one])
        yield db
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def test_rows_of_every_earlier_schema_are_kept_and_usable(earlier: pool.Database, db: pool.Database) -> None:
    before = await _counts(earlier)
    await migrate.migrate(earlier)
    after = await _counts(earlier)
    assert {table: after.get(table) for table in before} == before, "no row is lost"
    assert await _schema(earlier) == await _schema(db), "the same as a new database"
    assert await migrate.migrate(earlier) == []
    store = Store(earlier)
    found = await store.connections.get("5f9f2f3e-0000-4000-8000-000000000000")
    assert found is not None
    assert (found.lineage_sha, found.repository.full_name) == ("abc", "octo/shop")
    head = await store.lineages.head(found.id)
    assert head is not None
    assert [node.unique_id for node in await nodes_of(store, head)] == ["model.shop.a"]
    claimed = await store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    await store.extractions.finish(claimed.id, "w", "failed", [], problem=Problem("It broke", "Because."))


async def _counts(db: pool.Database) -> dict[str, int]:
    """The number of rows of each table that the tests fill."""
    tables = {row["name"] for row in await db.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")}
    filled = {"installations", "repositories", "connections", "extractions", "nodes", "lineages", "subscriptions", "told", "keys"}
    filled |= {"node_columns", "pull_requests", "manifests", "sessions"}
    return {table: int(await db.value(f"SELECT count(*) FROM {table}")) for table in sorted(tables & filled)}  # noqa: S608 - our own names


async def _schema(db: pool.Database) -> list[str]:
    return sorted(str(row["fact"]) for row in await db.rows(SCHEMA))


def test_each_migration_has_a_number_of_its_own() -> None:
    numbers = [name.partition("_")[0] for name in migrate.pending()]
    assert numbers == sorted(set(numbers)), "two with one number depend on their names"
