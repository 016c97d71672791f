"""Statements that run often read a limited number of rows, however long the history. Their cost: `python -m tests.bench.growth`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from app.lineage.impact.tables import search_key
from app.lineage.organisation.join_rules import node_key
from app.store import retention
from app.store.extractions import STEP
from app.store.sql import statements
from tests.bench.growth import fill

LEASE = timedelta(minutes=1)
AGE = timedelta(days=90)
BUSIEST = UUID("6ac6eb56-1edf-ca7e-2d3c-0a9c247ee62a")
"""`md5('connection1')`."""
BIG = {
    "search_nodes",
    "search_words",
    "source_relations",
    "node_results",
    "run_artifacts",
    "made_tables",
    "extractions",
    "check_runs",
    "logs",
    "lineages",
    "nodes",
    "connections",
    "repositories",
    "deliveries",
}
PAGE = 100
ORIGIN = (["7c9e6679"], ["2 seconds"], ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
"""A delivery's id, its age and its trace."""
QUESTIONS: dict[tuple[str, str], tuple[tuple[object, ...], int]] = {
    # What is asked, with what, and how many rows it may look at: a page with what belongs to each of its rows, or much less.
    ("extractions", "claim"): (("w", LEASE, "{}", True), 600),
    ("extractions", "renew"): (("{other}", LEASE), 20),
    ("extractions", "requeue_expired"): ((), 20),
    ("extractions", "supersede"): (([BUSIEST], ["main"], ["f" * 40], [BUSIEST], ["f" * 40]), 25),
    ("extractions", "enqueue"): (([BUSIEST], ["main"], ["f" * 40], ["api"], [False], [False], [False], [False], *ORIGIN), 5),
    ("extractions", "branch_with_head"): ((BUSIEST, "f" * 40, "main"), 5),
    ("extractions", "active_of_commit"): (([BUSIEST], ["main"], ["f" * 40], [True], [True], *ORIGIN), 5),
    ("extractions", "trust"): ((BUSIEST,), 5),
    ("extractions", "newest_of_branch"): (([BUSIEST], ["feature/new"]), 1),
    ("extractions", "fail_queued"): ((BUSIEST, None), 20),
    ("extractions", "active"): ((None, PAGE, None), 8 * PAGE),
    ("extractions", "for_connection"): ((BUSIEST, 6_000, PAGE), 8 * PAGE),
    ("extractions", "find"): ((BUSIEST, 6_000, ["cancelled"], "feature/new", STEP), STEP),
    ("extractions", "find_of_commit"): ((BUSIEST, None, ["failed"], None, STEP, "f" * 40), 20),
    ("extractions", "by_numbers"): ((BUSIEST, list(range(5_900, 6_000))), 8 * PAGE),
    ("extractions", "cancel"): ((BUSIEST,), 5),
    ("extractions", "knows"): (([BUSIEST], ["f" * 40]), 5),
    ("bases", "of_commit"): ((BUSIEST, "main", "f" * 40), 5),
    ("bases", "nearest"): ((BUSIEST, [f"{number:040x}" for number in range(100)], "{anyone}", None), 200),
    ("bases", "commit"): ((BUSIEST, "f" * 40, "{anyone}"), 10),
    ("bases", "queue"): ((BUSIEST, "main", "f" * 40, 20), 40),
    ("bases", "claim_wait"): ((LEASE,), 5),
    ("bases", "show_again"): ((BUSIEST,), 5),
    ("logs", "get"): ((BUSIEST,), 1),
    ("connections", "some"): (([BUSIEST],), 5),
    ("connections", "page"): ((None, None, None, "owner1/repo150", BUSIEST, PAGE, None), 8 * PAGE),
    ("connections", "for_repository"): (([1],), 10),
    ("connections", "branches"): ((1,), 10),
    ("connections", "create"): ((1, "other", "dev", True), 20),
    ("extractions", "stop_connection"): ((BUSIEST,), 20),
    ("installations", "repository_by_name"): (("OWNER1/repo150",), 2),
    ("stats", "backlog"): ((PAGE,), 2 * 1000 + 2 * PAGE),
    ("stats", "resources"): ((BUSIEST,), 3),
    ("stats", "statuses"): ((BUSIEST, PAGE), PAGE),
    ("stats", "stages"): ((BUSIEST, PAGE), PAGE),
    ("stats", "costs"): ((BUSIEST, PAGE), PAGE),
    ("stats", "freshness"): ((BUSIEST, "main", PAGE, "{7,30}", "60 s"), PAGE),
    ("lineages", "find_by_input"): ((BUSIEST, b"nothing like it", "{anyone,unknown}"), 1),
    ("lineages", "forget_input"): ((BUSIEST, b"nothing like it"), 1),
    ("check_runs", "next_turn"): ((0,), 20),
    ("check_runs", "claim"): ((LEASE, 0, 1, 0, LEASE), 20),
    ("check_runs", "seconds_until_due"): ((), PAGE),
    ("installations", "claim_look"): ((LEASE,), 5),
    ("installations", "resume_check_runs"): ((3,), 5),
    ("deliveries", "purge"): ((1000,), 2 * 1000),
    ("lineage_cache", "node_versions"): (("{1,2,3}",), 3),
    ("readers", "owner"): ((BUSIEST, "f" * 40), 5),
    ("readers", "connections"): ((BUSIEST, 1, [search_key("db.prod.t1")], 1, 20, True), PAGE),
    ("foreign_reads", "sources"): ((BUSIEST, [search_key("db.prod.t1")], 20, 1000), 10),
    ("organisations", "page"): ((None, "owner1/", "owner10", 20), 3 * 300),
    ("organisations", "installation"): ((None, "owner1/", "owner10"), 10),
    ("organisations", "some"): ((None, [BUSIEST]), 10),
    ("organisations", "made"): ((None, 1, [search_key("db.prod.t1")], PAGE), 3 * PAGE),
    ("organisations", "read"): ((None, 1, [search_key("db.prod.t1")], PAGE), 3 * PAGE),
    ("organisations", "nodes"): ((None, 1, [node_key("model.p.n1")], PAGE), 9 * PAGE),
    ("search", "count_all"): ((["n"], ["o"], PAGE), PAGE),
    ("search", "count_of"): ((["n"], ["o"], PAGE, [BUSIEST]), 40),
    ("search", "find_of"): ((["corder"], ["corders"], "'corder'", -1, 20, [BUSIEST], PAGE, PAGE, PAGE), 100),
    ("search_index", "claim"): ((LEASE,), 5),
    ("costs", "of_connection"): ((BUSIEST, 24), 24),
    ("costs", "models"): ((BUSIEST, PAGE), 60),
    ("node_results", "note_artifact"): ((BUSIEST, "run_results", "run-2", "2026-11-02"), 5),
    ("node_results", "forget_artifacts"): ((BUSIEST, 10), 60),
    ("node_results", "save"): ((BUSIEST, "2026-11-02", ["model.p.n1"], ["pass"], ["ok"], ["now"], '{"[1,null]"}', 20), 5),
    ("node_results", "of_nodes"): ((BUSIEST, ["model.p.n1", "model.p.n2"]), 5),
    ("node_results", "page"): ((BUSIEST, "model", ["error"], ["pass"], PAGE), 60),
    ("node_results", "failed"): ((BUSIEST, PAGE), PAGE),
    ("node_results", "stale_sources"): ((BUSIEST, AGE, PAGE), PAGE),
    ("node_results", "revision"): ((BUSIEST,), 5),
    ("node_results", "purge"): ((AGE, PAGE), 2 * PAGE),
    ("node_results", "purge_artifacts"): ((AGE, PAGE), 2 * PAGE),
    ("notifications", "claim_watch"): ((), 5),
    ("notifications", "head_state"): ((BUSIEST,), 150),
    ("notifications", "recipients"): ((BUSIEST,), 5),
    ("notifications", "claim"): ((LEASE,), 5),
    ("notifications", "seconds_until_watch"): ((), 5),
    ("notifications", "seconds_until_due"): ((), 5),
    ("retention", "next_connections"): ((retention.FIRST, 50, AGE, retention.KEPT), 50 * (retention.KEPT + 10)),
    ("retention", "delete_history"): ((BUSIEST, AGE, retention.KEPT, 100), 10 * 100),
}


@pytest_asyncio.fixture(scope="module")
async def old(postgres: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A database with 300 connections and 12,000 extractions, 600 of them of one connection, and 1,000 queued of the others."""
    setup = await asyncpg.connect(postgres)
    await setup.execute("CREATE DATABASE old TEMPLATE template")
    dsn = postgres.replace("/freshet?", "/old?")
    await fill(dsn, 300, 12_000)
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()
    await setup.execute("DROP DATABASE old WITH (FORCE)")
    await setup.close()


@pytest.mark.parametrize(("noun", "name"), QUESTIONS)
async def test_frequent_statements_read_few_rows(old: asyncpg.Connection[Any], noun: str, name: str) -> None:
    arguments, most = QUESTIONS[noun, name]
    seen = list(_scans(await _plan(old, statements(noun)[name], arguments)))
    assert not [scan["Relation Name"] for scan in seen if scan["Node Type"] == "Seq Scan" and scan["Relation Name"] in BIG]
    assert sum(_rows_read(scan) for scan in seen if scan["Relation Name"] in BIG) <= most


async def test_claiming_from_a_full_queue_reads_it_once(old: asyncpg.Connection[Any]) -> None:
    """The oldest extraction of each busy installation is found by an index; the queue itself is scanned once."""
    async with _rolled_back(old):
        await old.execute(
            "UPDATE installations SET suspended_at = now() "
            "WHERE id NOT IN (SELECT installation_id FROM extractions WHERE status = 'running')"
        )
        seen = list(_scans(await _plan(old, statements("extractions")["claim"], ("w", LEASE, "{}", True))))
    assert sum(_rows_read(scan) for scan in seen) <= 1_200


async def _plan(connection: asyncpg.Connection[Any], sql: str, arguments: tuple[object, ...]) -> dict[str, Any]:
    """Run a statement with the generic plan that a connection uses after a few executions, and roll it back."""
    async with _rolled_back(connection):
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        values = ", ".join([await connection.fetchval("SELECT quote_nullable($1::text)", _text(value)) for value in arguments])
        await connection.execute(f"PREPARE question AS {sql}")
        try:
            plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE question{f'({values})' if values else ''}")
        except asyncpg.PostgresError:
            await connection.execute("ROLLBACK; DEALLOCATE question; BEGIN")
            raise
        await connection.execute("DEALLOCATE question")
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found


@asynccontextmanager
async def _rolled_back(connection: asyncpg.Connection[Any]) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


def _text(value: object) -> str | None:
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} s"
    if isinstance(value, list):
        return "{" + ",".join(f'"\\\\x{one.hex()}"' if isinstance(one, bytes) else str(one) for one in value) + "}"
    return None if value is None else "\\x" + value.hex() if isinstance(value, bytes) else str(value)


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        yield plan
    for below in plan.get("Plans", []):
        yield from _scans(below)


def _rows_read(scan: dict[str, Any]) -> float:
    """Rows read, including those that a filter removed."""
    removed = scan.get("Rows Removed by Filter", 0) + scan.get("Rows Removed by Index Recheck", 0)
    return float((scan["Actual Rows"] + removed) * scan["Actual Loops"])
