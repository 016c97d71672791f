"""Manifests through the process that reads them, into a real PostgreSQL: what the pure functions say, nothing more, nothing less."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import ManifestError, UnavailableError
from app.core.models.extractions import Extraction
from app.core.models.github import Repository
from app.core.models.quality import QualitySettings
from app.core.models.warehouse import UNKNOWN
from app.core.spool import Spool
from app.lineage import nodes as lineage
from app.lineage.nodes import MAX_LISTED, Lineage, Node, StorableLineage
from app.lineage.owners import CodeOwners
from app.pipeline.decoding import pool as decoding
from app.pipeline.decoding.inline import Inline
from app.pipeline.decoding.pool import Decoders
from app.pipeline.decoding.spooled import SpooledLineage
from app.store import Store, pool
from app.store.lineages import SavedLineage
from tests.integration.queue_model import world
from tests.lineages import difference
from tests.patience import HANGS_S

LABEL, IMAGE = "octo/shop at 1a2b3c4", "dbt-runner:latest"
ODD = (
    "",
    'it\'s a "quote" and a \\ and a \\\\u0000',
    "a\0b\0",
    "\t\r\n\f\b\x7f\x1f",
    "ünï 日本語 \U0001f600 \U0010ffff",
    "\\N",
    "\\.",
    "{}",
    "x" * 70_000,
)
"""Texts that JSON, PostgreSQL, arrays or COPY could take for something else."""


@pytest_asyncio.fixture
async def decoders(tmp_path: Path) -> AsyncIterator[Decoders]:
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    async with decoding.serve(tmp_path, 2, {**decoding.ENVIRONMENT, **measured}) as made:
        yield made


def odd_manifest(**more: Any) -> bytes:
    """A manifest as dbt writes it, with odd texts in every place of it."""
    ids = [f"model.shop.m{number}{text[:200]}" for number, text in enumerate(ODD)]
    nodes = {
        key: {
            "unique_id": key,
            "resource_type": "model",
            "name": text,
            "package_name": "shop",
            "path": text,
            "original_file_path": f"models/{number}.sql",
            "relation_name": text,
            "description": text,
            "tags": [text],
            "columns": {text: {"name": text, "description": text, "data_type": None, "meta": {}}},
            "config": {"materialized": "view", "meta": {text: [1.5, None, True, text]}},
            "checksum": {"name": "sha256", "checksum": text},
            "raw_code": f"select '{text}'",
            "depends_on": {"nodes": ids[:number], "macros": []},
        }
        for number, (key, text) in enumerate(zip(ids, ODD, strict=True))
    }
    source = {"unique_id": "source.shop.raw.a", "resource_type": "source", "name": "a", "package_name": "shop"}
    for number, (key, text) in enumerate(zip(ids, ODD, strict=True)):
        test = f"test.shop.t{number}"
        own = {"unique_id": test, "resource_type": "test", "name": f"not_null_{number}", "package_name": "shop", "raw_code": "{{ test() }}"}
        nodes[test] = {**own, "attached_node": key, "column_name": text, "test_metadata": {"name": "not_null", "kwargs": {}}}
    parents = {key: [*ids[:number], "source.shop.raw.a", "macro.shop.m"] for number, key in enumerate(ids)}
    metadata = {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
        "dbt_version": "1.11.16",
        "project_name": "shop",
        "adapter_type": "duckdb",
    }
    whole = {
        "metadata": metadata,
        "nodes": nodes,
        "sources": {"source.shop.raw.a": source},
        "parent_map": parents,
        "macros": {},
        "docs": {},
    }
    return json.dumps(whole | more).encode()


async def spooled(content: bytes, directory: Path) -> Spool:
    spool = Spool(directory)
    await spool.write(content)
    await spool.flush()
    return spool


async def read(decoders: Decoders, content: bytes, directory: Path) -> StorableLineage:
    spool = await spooled(content, directory)
    try:
        return await decoders.lineage(spool, UNKNOWN, LABEL, IMAGE)
    finally:
        spool.close()


async def saved(store: Store, of: StorableLineage, sha: int = 1) -> tuple[Extraction, SavedLineage]:
    repository = Repository(7, "octo/shop", 3, "main")
    await store.installations.update_from_push(repository)
    connections = await store.connections.for_repository(7)
    project = connections[0] if connections else await store.connections.create(7, "")
    await store.extractions.enqueue(project.id, "main", f"{sha:040x}", "push", forced=True)
    extraction = await store.extractions.claim("w1", timedelta(seconds=60))
    assert extraction is not None
    async with store.transaction() as tx:
        done = await tx.lineages.save(extraction, of, b"input")
        await tx.extractions.finish(extraction.id, "w1", "succeeded", [])
    return extraction, done


async def stored(db: pool.Database) -> list[tuple[Any, ...]]:
    parts = "hash, sql_hash, config_hash"
    statement = f"SELECT unique_id, resource_type, name, package_name, upstream, content::text, {parts} FROM nodes ORDER BY id"  # noqa: S608
    return [tuple(row) for row in await db.rows(statement)]


async def children(of: int, wanted: int) -> set[int]:
    """Return the processes of a service, once there are so many."""
    async with asyncio.timeout(HANGS_S):
        while True:
            pids = Path(f"/proc/{of}/task/{of}/children").read_text().split()
            found = {int(pid) for pid in pids if b"app.pipeline.decoding.process" in command_line(int(pid))}
            if len(found) == wanted:
                return found
            await asyncio.sleep(0.02)


def command_line(pid: int) -> bytes:
    """Return the command of a process, nothing of one that ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


async def test_what_the_process_read_is_stored_as_the_pure_functions_say(
    decoders: Decoders, tmp_path: Path, store: Store, db: pool.Database
) -> None:
    content = odd_manifest()
    told = lineage.read_manifest(content, LABEL, IMAGE)
    found = await read(decoders, content, tmp_path)
    assert (found.project_name, found.dbt_version, found.adapter_type, found.manifest_schema) == ("shop", "1.11.16", "duckdb", "v12")
    assert (found.counts(), found.node_count, found.edge_count) == (told.counts(), 2 * len(ODD) + 1, told.edge_count)
    assert found.hashes == told.hashes
    await saved(store, found)
    rows = [
        (n.unique_id, n.resource_type, n.name, n.package_name, list(n.upstream), n.content.decode(), n.hash, n.sql_hash, n.config_hash)
        for n in told.nodes
    ]
    assert await stored(db) == rows


async def test_owners_of_files_are_applied_by_the_process(decoders: Decoders, tmp_path: Path) -> None:
    owners = CodeOwners(b"* @acme/data\n" + b"# a long file\n" * 100_000 + b"/shop/models/1.sql @acme/bi\n", "shop")
    told = lineage.read_manifest(odd_manifest(), LABEL, IMAGE, UNKNOWN, owners)
    assert {json.loads(node.content)["owner"] for node in told.nodes if node.resource_type == "model"} == {"@acme/data", "@acme/bi"}
    spool = await spooled(odd_manifest(), tmp_path)
    found = await decoders.lineage(spool, UNKNOWN, LABEL, IMAGE, owners)
    assert found.hashes == told.hashes
    assert (await read(decoders, odd_manifest(), tmp_path)).hashes != told.hashes


async def test_folders_that_the_project_ignores_are_not_counted(decoders: Decoders, tmp_path: Path) -> None:
    spool = await spooled(odd_manifest(), tmp_path)
    settings = QualitySettings(ignored_folders=("models",))
    for using in (decoders, Inline()):
        found = await using.lineage(spool, UNKNOWN, LABEL, IMAGE, None, settings)
        assert found.quality.counts["freshness"] == (0, 1)
        assert "keys" not in found.quality.counts, "all models are in that folder"


async def test_one_changed_node_is_one_row_more_and_the_order_of_keys_is_no_change(
    decoders: Decoders, tmp_path: Path, store: Store, db: pool.Database
) -> None:
    first = odd_manifest()
    _, was = await saved(store, await read(decoders, first, tmp_path))
    assert was == SavedLineage(switched=True, change=None)
    document = json.loads(first)
    key = "model.shop.m5\\N"
    turned = {"meta": {"b": 1, "a": 2}, "materialized": "view"}
    document["nodes"][key]["config"] = turned
    _, one = await saved(store, await read(decoders, json.dumps(document).encode(), tmp_path), 2)
    assert one.change is not None
    assert (one.change.nodes_changed, one.change.nodes_added, one.change.edges_added) == ((key,), (), ())
    assert len(await stored(db)) == 2 * len(ODD) + 2
    document["nodes"][key]["config"] = {"materialized": "view", "meta": {"a": 2, "b": 1}}
    _, same = await saved(store, await read(decoders, json.dumps(document, indent=1).encode(), tmp_path), 3)
    assert same.change is not None
    assert not same.change
    assert len(await stored(db)) == 2 * len(ODD) + 2


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"nodes": 3}', odd_manifest(nodes={"model.a.b": {"name": 3}}), bytes(9 << 20)])
async def test_what_is_no_manifest_is_refused_as_by_the_pure_functions(decoders: Decoders, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ManifestError) as told:
        lineage.read_manifest(content, LABEL, IMAGE)
    with pytest.raises(ManifestError) as caught:
        await read(decoders, content, tmp_path)
    assert caught.value.user_text == told.value.user_text
    assert (await read(decoders, odd_manifest(), tmp_path)).node_count == 2 * len(ODD) + 1


async def test_a_manifest_that_unfolds_in_memory_is_refused_and_says_so(decoders: Decoders, tmp_path: Path) -> None:
    node = {"unique_id": "model.a.b", "resource_type": "model", "name": "b", "checksum": ["lists"]}
    bomb = odd_manifest(nodes={"model.a.b": node}).replace(b'"lists"', b",".join([b"[]"] * 5_000_000))
    with pytest.raises(ManifestError, match="MiB of memory"):
        await read(decoders, bomb, tmp_path)


async def test_a_disk_without_room_is_said_and_may_have_some_later(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    spool = Spool(tmp_path)
    try:
        with pytest.raises(UnavailableError, match="DBT_WORK_DIR"):
            await spool.write(bytes(9 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        spool.close()


async def test_a_process_that_is_killed_is_replaced_and_what_it_did_can_be_tried_again(decoders: Decoders, tmp_path: Path) -> None:
    (idle,) = await children(os.getpid(), 1)
    os.kill(idle, signal.SIGKILL)
    while Path(f"/proc/{idle}").exists():
        await asyncio.sleep(0.01)
    assert (await read(decoders, odd_manifest(), tmp_path)).node_count, "killed while it waits: nobody notices"
    (busy,) = await children(os.getpid(), 1)
    os.kill(busy, signal.SIGSTOP)
    reading = asyncio.create_task(read(decoders, odd_manifest(), tmp_path))
    await asyncio.sleep(0.1)
    os.kill(busy, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="out of memory") as caught:
        await reading
    assert caught.value.retryable
    assert (await read(decoders, odd_manifest(), tmp_path)).node_count


async def test_a_cancelled_extraction_leaves_no_file_open(decoders: Decoders, tmp_path: Path) -> None:
    threads = FullThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    reading = asyncio.create_task(read(decoders, odd_manifest(), tmp_path))
    await threads.reached.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    del reading
    gc.collect()  # a file that nobody has closed makes a warning, which is an error
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())  # other tests have the same loop


class FullThreads(ThreadPoolExecutor):
    """Threads of which none is free for reading what the process wrote."""

    def __init__(self) -> None:
        super().__init__(2)
        self.reached = asyncio.Event()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if SpooledLineage not in getattr(fn, "args", ()):
            return super().submit(fn, *args, **kwargs)
        self.reached.set()
        return Future()


async def test_processes_are_made_for_who_needs_one_and_end_with_the_service(tmp_path: Path) -> None:
    async with decoding.serve(tmp_path, 2) as decoders:
        await children(os.getpid(), 1)
        found = await asyncio.gather(*(read(decoders, odd_manifest(), tmp_path) for _ in range(4)))
        assert len({one.hashes for one in found}) == 1
        await children(os.getpid(), 2)
        stopped = asyncio.create_task(read(decoders, odd_manifest(), tmp_path))
        await asyncio.sleep(0)
        stopped.cancel()
        with suppress(asyncio.CancelledError):
            await stopped
        assert (await read(decoders, odd_manifest(), tmp_path)).hashes == found[0].hashes
    await children(os.getpid(), 0)


async def test_a_process_does_not_outlive_a_service_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, pathlib
from app.pipeline.decoding import pool
async def main():
    async with pool.serve(pathlib.Path({str(tmp_path)!r}), 1):
        print("up", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    command = (str(Path(".venv/bin/python").absolute()), "-c", program)
    service = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert service.stdout is not None
    assert await service.stdout.readline() == b"up\n"
    (child,) = await children(service.pid, 1)
    service.kill()
    await service.wait()
    async with asyncio.timeout(HANGS_S):
        while command_line(child):
            await asyncio.sleep(0.05)


names = st.sampled_from("abcdefgh")
Graph = dict[str, tuple[int, frozenset[str]]]
graphs = st.dictionaries(names, st.tuples(st.integers(0, 2), st.frozensets(names, max_size=3)), max_size=8)


def made(of: Graph) -> Lineage:
    nodes = (
        Node(
            f"model.{key}",
            "model",
            key,
            "shop",
            b'{"unique_id": "%s"}' % key.encode(),
            tuple(f"model.{one}" for one in sorted(upstream)),
            bytes([version]),
        )
        for key, (version, upstream) in sorted(of.items())
    )
    return Lineage("shop", "1.11.16", "duckdb", "v12", tuple(nodes))


def test_the_difference_is_that_of_the_two_lineages(dsn: str) -> None:
    with world(dsn) as shared:
        store, shas = Store(shared.db), count(1)

        @given(graphs, graphs, st.booleans())
        @settings(max_examples=40, deadline=None)
        def compared(before: Graph, after: Graph, again: bool) -> None:  # noqa: FBT001 - drawn
            sha = next(shas)
            shared.runner.run(saved(store, made(before), sha))
            _, done = shared.runner.run(saved(store, made(after), sha if again else next(shas)))
            wanted = SavedLineage(switched=True, change=replace(difference(made(before), made(after)), more=ANY))

            assert replace(done, before=None) == wanted

        compared()


async def test_of_many_changes_the_first_are_named_and_all_are_counted(store: Store) -> None:
    many = made({f"m{number:03}": (0, frozenset({"m000"})) for number in range(120)})
    await saved(store, made({"a": (0, frozenset())}))
    _, done = await saved(store, many, 2)
    assert done.change is not None
    assert done.change.nodes_added == tuple(f"model.m{number:03}" for number in range(MAX_LISTED))
    assert done.change.more == {"nodes_added": 70, "edges_added": 70, "nodes_removed": 0}


async def test_manifests_are_compared_in_the_process(decoders: Decoders, tmp_path: Path) -> None:
    one, other = odd_manifest(), odd_manifest(child_map={"a": []})
    first, second = await spooled(one, tmp_path), await spooled(other, tmp_path)
    same = await decoders.differences(first, await first.finished(), LABEL, IMAGE)
    found = await decoders.differences(first, await second.finished(), LABEL, IMAGE)
    assert (same.count, found.named) == (0, ("child_map",))


async def test_what_is_no_manifest_cannot_be_compared(decoders: Decoders, tmp_path: Path) -> None:
    broken, sound = await spooled(b"{", tmp_path), await spooled(odd_manifest(), tmp_path)
    with pytest.raises(ManifestError, match="not JSON"):
        await decoders.differences(sound, await broken.finished(), LABEL, IMAGE)
