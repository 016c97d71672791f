"""`python -m tests.bench.manifest`: storing a big manifest, next to an HTTP server in the same event loop.

    python -m tests.bench.manifest [--mib N]

The manifest is made (seeded, proportions of `generate.py`, a node as dbt 1.11 writes it), then goes as in the service: spool, process,
COPY into an embedded PostgreSQL; then a second one with one node changed. Another process asks the server all the time and looks at how
much memory the service and its decoder take together, over what they took before.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from app.core import log
from app.core.models.github import Repository
from app.core.models.warehouse import UNKNOWN
from app.core.spool import Spool
from app.pipeline.decoding import pool as decoding
from app.pipeline.decoding.pool import Decoders
from app.store import Store, embedded, migrate, pool

PERIOD_S = 0.01
PIECE = 1 << 16
"""About the size of a chunk from a container."""
METADATA = {
    "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
    "dbt_version": "1.11.16",
    "project_name": "generated",
    "adapter_type": "duckdb",
}
WORDS = ("amount", "of", "an", "order", "in", "the", "currency", "its", "customer", "as", "was", "known", "when", "row", "nightly", "load")
KINDS = ("mart", "not_null", "unique", "accepted_values")
CONFIG = """{"enabled": true, "alias": null, "schema": null, "database": null, "tags": ["nightly"], "meta": {"owner": "finance"},
"group": null, "materialized": "view", "incremental_strategy": null, "batch_size": null, "lookback": 1, "begin": null, "persist_docs": {},
"post-hook": [], "pre-hook": [], "quoting": {}, "column_types": {}, "full_refresh": null, "unique_key": null, "grants": {}, "packages": [],
"on_schema_change": "ignore", "on_configuration_change": "apply", "docs": {"show": true, "node_color": null}, "access": "protected",
"contract": {"enforced": false, "alias_types": true}, "event_time": null, "concurrent_batches": null, "freshness": null}"""
REST = """{"database": "generated", "schema": "main", "tags": ["nightly"], "meta": {}, "group": null, "compiled_path": null,
"functions": [], "patch_path": "generated://models/marts/schema.yml", "build_path": null, "unrendered_config": {"materialized": "view"},
"language": "sql", "docs": {"show": true, "node_color": null}, "created_at": 1700000000.123456, "sources": [], "metrics": [],
"access": "protected", "contract": {"enforced": false, "alias_types": true, "checksum": null}, "deprecation_date": null}"""
COLUMN = """{"meta": {}, "data_type": "numeric", "constraints": [], "quote": null, "config": {"meta": {}, "tags": []}, "tags": []}"""


@dataclass(frozen=True)
class Seen:
    """The measurements of the other process: seconds of each answer, and memory in bytes before and at the peak."""

    latencies_s: list[float]
    before_bytes: int
    peak_bytes: int


def node(number: int, kind: int, chance: Random) -> tuple[str, dict[str, Any]]:
    """A model (kind 0) or a test of it, as in dbt's manifest."""
    name, upstream = f"{KINDS[kind]}_{number:06}", number if kind else number // 2
    key = f"{'test' if kind else 'model'}.generated.{name}"
    measures = [] if kind else [f"measure_{place}" for place in range(chance.randint(6, 12))]
    own = {
        "unique_id": key,
        "resource_type": "test" if kind else "model",
        "name": name,
        "package_name": "generated",
        "path": f"marts/{name}.sql",
        "original_file_path": f"models/marts/{name}.sql",
        "fqn": ["generated", "marts", name],
        "checksum": {"name": "sha256", "checksum": f"{chance.getrandbits(256):064x}"},
        "config": json.loads(CONFIG),
        "description": words(chance, 20),
        "columns": {column: {"name": column, "description": words(chance, 12), **json.loads(COLUMN)} for column in measures},
        "relation_name": f'"generated"."main"."{name}"',
        "raw_code": "{{ config(materialized='view') }} " + words(chance, 60),
        "refs": [{"name": f"mart_{upstream:06}", "package": None, "version": None}],
        "depends_on": {"macros": [], "nodes": [f"model.generated.mart_{upstream:06}"]},
    }
    if kind:
        at = {"attached_node": f"model.generated.mart_{upstream:06}", "column_name": f"measure_{chance.randint(0, 5)}"}
        own |= {
            **at,
            "file_key_name": f"models.mart_{upstream:06}",
            "test_metadata": {"name": KINDS[kind], "kwargs": {}, "namespace": None},
        }
    return key, {**own, **json.loads(REST)}


def words(chance: Random, most: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(3, most)))


def pieces(size_bytes: int, changed: int = -1) -> Iterator[bytes]:
    """A manifest of about that number of bytes, with five tests for two models. The SQL of model number `changed` is different."""
    chance, made = Random(0), 0  # noqa: S311 - nothing secret
    keys: list[str] = []
    yield b'{"metadata":%s,"nodes":{' % json.dumps(METADATA).encode()
    while made < size_bytes * 0.9:  # the maps and macros are the rest
        number, test = divmod(len(keys) * 2, 7)
        key, value = node(number, test // 2, chance)
        if number == changed and test < 2:
            value["raw_code"] += " -- changed"
        text = b"%s%s:%s" % (b"," if keys else b"", json.dumps(key).encode(), json.dumps(value).encode())
        keys.append(key)
        made += len(text)
        yield text
    parents = {key: [f"model.generated.mart_{int(key[-6:]) // (1 if key.startswith('test') else 2):06}"] for key in keys}
    macros = {f"macro.dbt.{place}": {"unique_id": f"macro.dbt.{place}", "macro_sql": words(chance, 200)} for place in range(400)}
    rest = {"macros": macros, "sources": {}, "exposures": {}, "docs": {}, "parent_map": parents, "child_map": {key: [] for key in keys}}
    yield b"}," + json.dumps(rest).encode()[1:]


def write(path: Path, size_bytes: int, changed: int = -1) -> int:
    with path.open("wb") as file:
        for piece in pieces(size_bytes, changed):
            file.write(piece)
    return path.stat().st_size


def watch(port: int, service: int, told: Connection) -> None:
    """Send requests and watch the memory until stopped; each run returns one `Seen`."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while told.recv():
        latencies, before, peak = [], memory(service), 0
        told.send(None)
        while not told.poll():
            began = time.perf_counter()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            latencies.append(time.perf_counter() - began)
            peak = max(peak, memory(service))
            time.sleep(PERIOD_S)
        told.recv()
        told.send(Seen(latencies, before, peak))


def memory(service: int) -> int:
    """Resident memory of the service and its decoders, in bytes."""
    pids = [service]
    with suppress(FileNotFoundError):
        pids += [int(pid) for pid in Path(f"/proc/{service}/task/{service}/children").read_text().split()]
    return sum(resident(pid) for pid in pids if pid == service or b"app.decoding" in command_line(pid))


def resident(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def command_line(pid: int) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Lags:
    """The lag of the event loop: seconds by which short sleeps were too long."""

    def __init__(self) -> None:
        self.found: list[float] = []

    async def run(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(PERIOD_S / 2)
            self.found.append(time.perf_counter() - began - PERIOD_S / 2)


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """A minimal server like `/livez`, on its own port."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    web_app = web.Application()
    web_app.router.add_get("/livez", answer)
    runner = web.AppRunner(web_app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def take(store: Store, decoders: Decoders, path: Path, work_dir: Path, sha: str) -> dict[str, float]:
    """Store a manifest as the service does, and return the seconds of each step."""
    began, times, spool = time.perf_counter(), dict[str, float](), Spool(work_dir)

    def ended(step: str) -> None:
        times[step] = time.perf_counter() - began - sum(times.values())

    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            await spool.write(piece)
    await spool.flush()
    ended("spool")
    lineage = await decoders.lineage(spool, UNKNOWN, "octo/shop", "dbt-runner:latest")
    spool.close()
    ended("decode")
    (project,) = await store.connections.for_repository(7)
    await store.extractions.enqueue(project.id, "main", sha, "push")
    extraction = await store.extractions.claim("w", timedelta(hours=1))
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, lineage, b"")
        await tx.extractions.finish(extraction.id, "w", "succeeded", [])
    lineage.close()
    ended("store")
    return times


async def run(mib: int) -> None:
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as name:
        root = Path(name)
        paths = [root / "first.json", root / "second.json"]
        sizes = [write(path, mib << 20, changed) for path, changed in zip(paths, (-1, 7), strict=True)]
        async with (
            embedded.serve(root / "data") as dsn,
            pool.connect(dsn) as db,
            decoding.serve(root, 1) as decoders,
            served() as port,
        ):
            await migrate.migrate(db)
            store, lags = Store(db), Lags()
            await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
            await store.connections.create(7, "")
            ours, its = multiprocessing.get_context("spawn").Pipe()
            watcher = multiprocessing.get_context("spawn").Process(target=watch, args=(port, os.getpid(), its), daemon=True)
            watcher.start()
            measuring = asyncio.create_task(lags.run())
            print("| manifest | nodes | rows written | spool, decode, store, s | longest lag, ms | answers p50, p95, max, ms | memory |")
            print("|---|---|---|---|---|---|---|")
            rows = 0
            for place, (path, size) in enumerate(zip(paths, sizes, strict=True)):
                ours.send("go")
                await asyncio.to_thread(ours.recv)
                await asyncio.sleep(1)
                lags.found.clear()
                times = await take(store, decoders, path, root, f"{place:040x}")
                longest = max(lags.found)
                ours.send("")
                seen: Seen = await asyncio.to_thread(ours.recv)
                total = await db.value("SELECT count(*) FROM nodes")
                nodes = await db.value("SELECT cardinality(node_ids) FROM lineages ORDER BY id DESC LIMIT 1")
                line(size, nodes, total - rows, times, longest, seen)
                rows = total
            ours.send("")
            measuring.cancel()
            await asyncio.to_thread(watcher.join)


def line(size: int, nodes: int, rows: int, times: dict[str, float], longest_s: float, seen: Seen) -> None:
    answers = sorted(1000 * second for second in seen.latencies_s)
    p95 = statistics.quantiles(answers, n=20)[-1]
    steps = ", ".join(f"{seconds:.2f}" for seconds in times.values())
    ratio = (seen.peak_bytes - seen.before_bytes) / size
    print(
        f"| {size / 2**20:.0f} MiB | {nodes:,} | {rows:,} | {steps} | {1000 * longest_s:.0f} "
        f"| {statistics.median(answers):.1f}, {p95:.1f}, {answers[-1]:.1f} | {ratio:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    log.configure()
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=200, help="size of the manifest")
    asyncio.run(run(parser.parse_args().mib))
