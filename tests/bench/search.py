"""Searching a million nodes of 1,000 connections, for callers who see all, some or two of them: `python -m tests.bench.search`.

Twenty times as many connections as there are different projects: words are as common as in a company with one style. The projects are
stored and indexed as the service does, their copies are made in SQL. What is measured comes over HTTP, from the service's own routes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import asyncpg
import orjson
from aiohttp import web

from app.core import log
from app.core.models.callers import Caller, Right
from app.core.models.github import Repository
from app.lineage.nodes import Lineage, Node
from app.store import Store, embedded, migrate, pool
from app.web import keys, routes
from app.web.http import middleware

CONNECTIONS, NODES, COPIES = 1_000, 1_000, 20
ROUNDS = 30
SUBJECTS = (
    *("order", "orders", "customer", "customers", "payment", "payments", "invoice", "product", "products", "session", "sessions", "event"),
    *("events", "user", "users", "account", "accounts", "subscription", "refund", "shipment", "campaign", "channel", "contract", "ticket"),
    *("employee", "store", "inventory", "supplier", "price", "discount", "coupon", "visit", "page", "email", "lead", "opportunity", "loan"),
)
KINDS = (
    "daily",
    "weekly",
    "monthly",
    "summary",
    "history",
    "snapshot",
    "items",
    "lines",
    "status",
    "type",
    "region",
    "currency",
    "enriched",
)
SYSTEMS = ("salesforce", "stripe", "shopify", "hubspot", "netsuite", "zendesk", "segment", "ga4", "erp", "crm", "jira", "workday", "adyen")
COLUMNS = ("id", "name", "created_at", "updated_at", "status", "amount", "currency", "country", "is_active", "email", "quantity", "total")
TEAMS = ("finance", "growth", "platform", "operations", "sales", "Data Engineering", "people analytics")
TAGS = ("daily", "hourly", "pii", "core", "finance", "nightly", "deprecated")
SENTENCES = (
    "One row per {0}, with the latest state of its {1}.",
    "Joins {0} with {1} and removes what was deleted at the source.",
    "Raw export of {0}, loaded every hour. Use the staging model instead.",
    "The revenue that the board sees: {0} by {1}, net of refunds and taxes.",
)
QUERIES = {
    "one letter": "o",
    "three letters": "ord",
    "a word of many names": "orders",
    "beginnings of two words": "ord cust",
    "a whole name": "fct_orders_daily",
    "the end of a rare name": "warehouse7",
    "a column": "amount",
    "a word of a name and a column": "payments currency",
    "a word of descriptions": "board revenue",
    "filters alone": "type:exposure owner:finance",
    "filters and a word": "type:model tag:pii path:marts cust",
    "common words, seldom together": "salesforce adyen daily",
    "nothing": "orders xylophone",
}


@dataclass(frozen=True)
class Seeing:
    """A caller (`core.models.callers.Caller`) who may read some private repositories; None: a service token."""

    repositories: tuple[int, ...] | None

    @property
    def key(self) -> str:
        return str(self.repositories)

    @property
    def everything(self) -> bool:
        return self.repositories is None

    async def may(self, _right: Right, repository: Repository) -> bool:
        return self.repositories is None or repository.id in self.repositories

    async def listed(self) -> Sequence[int] | None:
        return self.repositories


class Tokens:
    """Callers by how many connections they see (`core.models.callers.Callers`)."""

    def __init__(self, connections: int) -> None:
        self._connections = connections

    async def find(self, token: str) -> Caller | None:
        seen = int(token)
        return Seeing(None if seen >= self._connections else tuple(range(1, self._connections + 1, self._connections // seen))[:seen])


def project(number: int, nodes: int) -> Lineage:
    """A project in one style, with more tests than anything else. The same number gives the same project."""
    random = Random(number)  # noqa: S311 - reproducible, not secret
    found: dict[str, Node] = {}
    while len(found) < nodes:
        for unique_id, content in _model(random, f"project_{number}"):
            kind, package, *_ = unique_id.split(".")
            content |= {"unique_id": unique_id, "resource_type": kind, "package_name": package}
            found[unique_id] = Node(unique_id, kind, content["name"], package, orjson.dumps(content), (), b"")
    return Lineage(f"project_{number}", "1.11.16", "snowflake", "v12", tuple(found[one] for one in sorted(found)[:nodes]))


def _model(random: Random, package: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A model with its tests, sometimes a source or an exposure."""
    subject, other, kind, system = (random.choice(one) for one in (SUBJECTS, SUBJECTS, KINDS, SYSTEMS))
    layer, name = random.choice(
        (
            ("staging", f"stg_{system}__{subject}"),
            ("intermediate", f"int_{subject}_{other}_{kind}"),
            ("marts", f"fct_{subject}_{kind}"),
            ("marts", f"dim_{subject}_{random.choice(('warehouse', 'desk'))}{random.randrange(2000)}"),
        )
    )
    columns = [f"{subject}_id", *random.sample(COLUMNS, random.randrange(3, 9)), f"{other}_{random.choice(COLUMNS)}"]
    described = {"description": random.choice(SENTENCES).format(subject, other), "tags": random.sample(TAGS, random.randrange(3))}
    common = {**described, "owner": random.choice(TEAMS), "columns": [{"name": one, "description": ""} for one in columns]}
    path = f"models/{layer}/{system}/{name}.sql"
    yield f"model.{package}.{name}", {**common, "name": name, "original_file_path": path}
    for column, test in zip(columns, ("unique", "not_null", "accepted_values"), strict=False):
        title = f"{test}_{name}_{column}"
        yield f"test.{package}.{title}.{random.randrange(16**6):06x}", {"name": title, "original_file_path": f"models/{layer}/schema.yml"}
    if layer == "staging":
        yield f"source.{package}.{system}.{subject}", {**common, "name": subject, "original_file_path": f"models/{layer}/sources.yml"}
    if random.random() < 0.03:
        title = f"{kind}_{subject}_dashboard_{random.randrange(100)}"
        yield f"exposure.{package}.{title}", {**common, "name": title, "original_file_path": "models/exposures.yml"}


COPY = (
    """CREATE TEMPORARY TABLE copies AS
       SELECT c.id AS was, gen_random_uuid() AS id, c.repository_id + copy * (SELECT count(*) FROM connections) AS repository_id,
              copy * (SELECT max(id) FROM nodes) AS more, copy
       FROM connections c, generate_series(1, $copies - 1) AS copy""",
    """INSERT INTO repositories (id, installation_id, full_name, default_branch)
       SELECT k.repository_id, r.installation_id, r.full_name || '-' || k.copy, r.default_branch
       FROM copies k JOIN connections c ON c.id = k.was JOIN repositories r ON r.id = c.repository_id""",
    """INSERT INTO connections (id, repository_id, project_dir, project_name)
       SELECT k.id, k.repository_id, c.project_dir, c.project_name FROM copies k JOIN connections c ON c.id = k.was""",
    """INSERT INTO nodes (id, connection_id, hash, unique_id, resource_type, name, package_name, upstream, content) OVERRIDING SYSTEM VALUE
       SELECT n.id + k.more, k.id, n.hash, n.unique_id, n.resource_type, n.name, n.package_name, n.upstream, n.content
       FROM copies k JOIN nodes n ON n.connection_id = k.was""",
    """INSERT INTO lineages (connection_id, sha, branch, dbt_version, manifest_schema, node_ids)
       SELECT k.id, l.sha, l.branch, l.dbt_version, l.manifest_schema, ARRAY(SELECT unnest(l.node_ids) + k.more)
       FROM copies k JOIN lineages l ON l.connection_id = k.was""",
    """UPDATE connections c SET lineage_id = l.id FROM lineages l WHERE l.connection_id = c.id AND c.lineage_id IS NULL""",
    "DELETE FROM search_updates",
    """INSERT INTO search_nodes (connection_id, node_id, hit, words)
       SELECT k.id, n.node_id + k.more, n.hit + k.more, n.words FROM copies k JOIN search_nodes n ON n.connection_id = k.was""",
    """INSERT INTO search_words (connection_id, word, hits)
       SELECT k.id, w.word, ARRAY(SELECT unnest(w.hits) + k.more) FROM copies k JOIN search_words w ON w.connection_id = k.was""",
    "DROP TABLE copies",
    "SELECT setval(pg_get_serial_sequence('nodes', 'id'), max(id)) FROM nodes",
)


async def fill(dsn: str, db: pool.Database, connections: int, nodes: int) -> float:
    """Store and index different projects, and copy them; the seconds that indexing took for one node."""
    store, took = Store(db), 0.0
    for number in range(1, connections // COPIES + 1):
        connection_id = await save(store, number, project(number, nodes))
        began = time.perf_counter()
        while await store.search_index.update(connection_id):
            pass
        took += time.perf_counter() - began
    connection = await asyncpg.connect(dsn)
    for statement in (*COPY, "VACUUM ANALYZE"):
        await connection.execute(statement.replace("$copies", str(COPIES)))
    await connection.close()
    return took / (connections // COPIES * nodes)


async def save(store: Store, number: int, what: Lineage, sha: str = "1" * 40) -> str:
    """Store a lineage as the service does, without indexing it."""
    await store.installations.update_from_push(Repository(number, f"octo/repository-{number}", 3, "main"))
    known = await store.connections.for_repository(number)
    connection = known[0] if known else await store.connections.create(number, "")
    await store.extractions.enqueue(connection.id, "main", sha, "push")
    extraction = await store.extractions.claim("bench", timedelta(minutes=5))
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, what, sha.encode())
        await tx.extractions.finish(extraction.id, "bench", "succeeded", [])
    return connection.id


@asynccontextmanager
async def serving(store: Store, connections: int) -> AsyncIterator[str]:
    """Serve the API for tokens that are numbers of connections; its address."""

    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    web_app = web.Application(middlewares=[middleware.problems])
    web_app[keys.STORE], web_app[keys.CALLERS] = store, Tokens(connections)
    routes.add(web_app, webhook)
    runner = web.AppRunner(web_app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/metadata/search"
    finally:
        await runner.cleanup()


@dataclass
class Asked:
    """Milliseconds of each round, over HTTP and of the database's processor time; what the first page had."""

    times: list[float]
    busy: list[float]
    results: str

    def __str__(self) -> str:
        p50, p95 = cuts(self.times)
        return f"{p50:.1f} ms | {p95:.1f} ms | {statistics.median(self.busy):.1f} ms | {self.results}"


async def ask(session: aiohttp.ClientSession, url: str, seen: int, query: str, backend: int) -> Asked:
    """Ask some rounds, after one that nobody measures. `backend`: the process of the only connection to the database."""
    asked = Asked([], [], "")
    for _ in range(ROUNDS + 1):
        began, busy = time.perf_counter(), busy_ms(backend)
        async with session.get(url, params={"q": query, "limit": "20"}, headers={"Authorization": f"Bearer {seen}"}) as response:
            body = await response.json()
            assert response.status == 200, body
        asked.times.append(1000 * (time.perf_counter() - began))
        asked.busy.append(busy_ms(backend) - busy)
        asked.results = f"{len(body['items'])}{'+' if body['next_cursor'] else ''}"
    return Asked(asked.times[1:], asked.busy[1:], asked.results)


def busy_ms(process: int) -> float:
    """The processor time of a process, which a busy machine does not stretch."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6


async def push(db: pool.Database, number: int, nodes: int, changed: int) -> tuple[float, float]:
    """Milliseconds of storing a lineage of which some nodes changed, and of indexing it afterwards."""
    what = project(number, nodes)
    described = b'"description":"', b'"description":"Since this morning, without the test orders. '
    changes = tuple(
        replace(one, content=one.content.replace(*described), fingerprint=f"{changed}".encode()) if place % (nodes // changed) == 0 else one
        for place, one in enumerate(what.nodes)
    )
    began = time.perf_counter()
    connection_id = await save(Store(db), number, replace(what, nodes=changes), f"{changed:040x}")
    stored = time.perf_counter()
    while await Store(db).search_index.update(connection_id):
        pass
    return 1000 * (stored - began), 1000 * (time.perf_counter() - stored)


async def measure(connections: int, nodes: int) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-search-")))
        dsn = await stack.enter_async_context(embedded.serve(directory))
        db = await stack.enter_async_context(pool.connect(dsn, size=1))
        await migrate.migrate(db)
        began = time.perf_counter()
        per_node_s = await fill(dsn, db, connections, nodes)
        print(f"{connections * nodes:,} nodes of {connections:,} connections: filled in {time.perf_counter() - began:.0f} s", flush=True)
        print(f"indexing a new project: {1e6 * per_node_s:.0f} µs for a node")
        await report(db, connections, nodes)


async def report(db: pool.Database, connections: int, nodes: int) -> None:
    """Print sizes, queries and pushes."""
    for table in ("search_nodes", "search_words", "nodes"):
        size = await db.value("SELECT pg_total_relation_size($1::text::regclass)", table)
        print(f"{table}: {size / (connections * nodes):.0f} bytes for a node on disk")
    backend = await db.value("SELECT pg_backend_pid()")
    async with serving(Store(db), connections) as url, aiohttp.ClientSession() as session:
        for caller, seen in {"all": connections, "a third": connections // 3, "2": 2}.items():
            print(f"\n| a caller who sees {caller} connections: query | p50 | p95 | database busy | results |\n|{'---|' * 5}")
            everything: list[float] = []
            for name, query in QUERIES.items():
                asked = await ask(session, url, seen, query, backend)
                everything += asked.times
                print(f"| {name}: `{query}` | {asked} |", flush=True)
            p50, p95 = cuts(everything)
            print(f"| of all | {p50:.1f} ms | {p95:.1f} ms | | |")
    print("\n| push | stored in | indexed in |\n|---|---|---|")
    for changed in (1, 10, 100):
        stored, indexed = await push(db, 1, nodes, changed)
        print(f"| {changed} nodes of {nodes:,} changed | {stored:.0f} ms | {indexed:.0f} ms |")


def cuts(values: Sequence[float]) -> tuple[float, float]:
    """p50 and p95."""
    found = statistics.quantiles(values, n=20, method="inclusive")
    return found[9], found[18]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search", description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--nodes", type=int, default=NODES, help="of each connection")
    options = parser.parse_args()
    log.configure()
    asyncio.run(measure(options.connections, options.nodes))


if __name__ == "__main__":
    main()
