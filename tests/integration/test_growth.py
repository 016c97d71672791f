"""A database with a history: what is asked often looks at a bounded part of it. What it costs: `python -m tests.bench.growth`."""

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

from app.store import history
from app.store.extractions import STEP
from app.store.sql import statements
from tests.bench.growth import fill

LEASE = timedelta(minutes=1)
AGE = timedelta(days=90)
BUSIEST = UUID("6ac6eb56-1edf-ca7e-2d3c-0a9c247ee62a")
"""`md5('connection1')`."""
BIG = {"extractions", "check_runs", "logs", "lineages", "nodes", "connections", "repositories", "deliveries"}
PAGE = 100
QUESTIONS: dict[tuple[str, str], tuple[tuple[object, ...], int]] = {
    # What is asked, with what, and how many rows it may look at: a page with what belongs to each of its rows, or much less.
    ("extractions", "claim"): (("w", LEASE), 50),
    ("extractions", "renew"): (("other", LEASE), 20),
    ("extractions", "requeue_expired"): ((), 20),
    ("extractions", "supersede"): ((BUSIEST, "main", "f" * 40), 20),
    ("extractions", "enqueue"): ((BUSIEST, "main", "f" * 40, "api", False, False), 5),
    ("extractions", "newest_of_branch"): ((BUSIEST, "feature/new"), 1),
    ("extractions", "cancel_connection"): ((BUSIEST,), 20),
    ("extractions", "active"): ((None, PAGE, None), 8 * PAGE),
    ("extractions", "of_connection"): ((BUSIEST, 6_000, PAGE), 8 * PAGE),
    ("extractions", "find"): ((BUSIEST, 6_000, ["cancelled"], "feature/new", STEP), STEP),
    ("extractions", "find_of_commit"): ((BUSIEST, None, ["failed"], None, STEP, "f" * 40), 20),
    ("extractions", "numbered"): ((BUSIEST, list(range(5_900, 6_000))), 8 * PAGE),
    ("extractions", "cancel"): ((BUSIEST,), 5),
    ("logs", "of_extraction"): ((BUSIEST,), 1),
    ("connections", "by_id"): ((BUSIEST,), 5),
    ("connections", "page"): ((None, None, None, "owner1/repo150", BUSIEST, PAGE, None), 8 * PAGE),
    ("connections", "of_repository"): ((1,), 10),
    ("connections", "branches"): ((1,), 10),
    ("connections", "create"): ((1, "other", "dev", True), 20),
    ("extractions", "stop_connection"): ((BUSIEST,), 20),
    ("installations", "named"): (("OWNER1/repo150",), 2),
    ("stats", "resources"): ((BUSIEST,), 3),
    ("stats", "statuses"): ((BUSIEST, PAGE), PAGE),
    ("stats", "stages"): ((BUSIEST, PAGE), PAGE),
    ("stats", "costs"): ((BUSIEST, PAGE), PAGE),
    ("stats", "pushes"): ((BUSIEST, "main", PAGE, "{7,30}", "60 s"), PAGE),
    ("lineages", "of_input"): ((BUSIEST, b"nothing like it"), 1),
    ("check_runs", "claim"): ((), 5),
    ("check_runs", "next_due"): ((), PAGE),
    ("installations", "claim_look"): ((), 5),
    ("installations", "resume_check_runs"): ((3,), 5),
    ("deliveries", "purge"): ((1000,), 2 * 1000),
    ("graphs", "versions"): (("{1,2,3}",), 3),
    ("notices", "claim_watch"): ((), 5),
    ("notices", "head"): ((BUSIEST,), 150),
    ("notices", "wanted"): ((BUSIEST,), 5),
    ("notices", "claim"): ((), 5),
    ("notices", "next_watch"): ((), 5),
    ("notices", "next_due"): ((), 5),
    ("history", "next_connections"): ((history.FIRST, 50, AGE, history.KEPT), 50 * (history.KEPT + 10)),
    ("history", "forget"): ((BUSIEST, AGE, history.KEPT, 100), 10 * 100),
}


@pytest_asyncio.fixture(scope="module")
async def old(postgres: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A database with 300 connections and 12,000 extractions, 600 of them of one connection; 1,000 wait, of the other connections."""
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
async def test_what_is_asked_often_looks_at_few_rows(old: asyncpg.Connection[Any], noun: str, name: str) -> None:
    arguments, most = QUESTIONS[noun, name]
    seen = list(_scans(await _plan(old, statements(noun)[name], arguments)))
    assert not [scan["Relation Name"] for scan in seen if scan["Node Type"] == "Seq Scan" and scan["Relation Name"] in BIG]
    assert sum(_looked_at(scan) for scan in seen if scan["Relation Name"] in BIG) <= most


async def test_a_full_queue_of_busy_installations_is_not_joined_row_by_row(old: asyncpg.Connection[Any]) -> None:
    """The oldest of each busy installation is found by an index; the queue itself is looked through once."""
    async with _rolled_back(old):
        await old.execute(
            "UPDATE installations SET suspended_at = now() "
            "WHERE id NOT IN (SELECT installation_id FROM extractions WHERE status = 'running')"
        )
        seen = list(_scans(await _plan(old, statements("extractions")["claim"], ("w", LEASE))))
    assert sum(_looked_at(scan) for scan in seen) <= 1_200


async def _plan(connection: asyncpg.Connection[Any], sql: str, arguments: tuple[object, ...]) -> dict[str, Any]:
    """Run a statement as the service does once it has asked often: planned for whatever values come. Nothing of it stays."""
    async with _rolled_back(connection):
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE question AS {sql}")
        values = ", ".join([await connection.fetchval("SELECT quote_nullable($1::text)", _text(value)) for value in arguments])
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE question{f'({values})' if values else ''}")
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
        return "{" + ",".join(str(one) for one in value) + "}"
    return None if value is None else "\\x" + value.hex() if isinstance(value, bytes) else str(value)


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        yield plan
    for below in plan.get("Plans", []):
        yield from _scans(below)


def _looked_at(scan: dict[str, Any]) -> float:
    """Return rows: also those that were looked at in vain."""
    removed = scan.get("Rows Removed by Filter", 0) + scan.get("Rows Removed by Index Recheck", 0)
    return float((scan["Actual Rows"] + removed) * scan["Actual Loops"])
