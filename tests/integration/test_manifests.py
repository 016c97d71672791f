"""dbt's own manifests: which commits have one, and what clients receive. Real worker, routes and PostgreSQL; dbt is scripted."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio

from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.core.spool import Spool
from app.pipeline import webhooks
from app.pipeline.manifests import keep, pack
from app.pipeline.ports import DbtJob, Parsed
from app.store import Store, manifests, pool
from app.store.manifests import Manifests
from tests.integration.columns_world import with_columns
from tests.integration.life_world import MANIFEST, World, committed, make_world
from tests.integration.lineage_reader import SHAS, TOKEN, UPSTREAM, Reader, reading, save
from tests.integration.test_retention import AGE, days_pass, extract, followed, told
from tests.patience import HANGS_S

GZIP = {"Accept-Encoding": "br, gzip"}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> World:
    made = await make_world(store, dsn, tmp_path)
    numbered(made)
    return made


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        made.path = made.path.replace("/lineage", "/manifest.json")
        yield made


def numbered(world: World) -> None:
    """Let each run of dbt write another manifest, as dbt does: it has the time of the run."""
    container = with_columns(world)
    runs = 0

    async def dbt(job: DbtJob) -> Parsed:
        nonlocal runs
        runs += 1
        return replace(await container.dbt(job), spool=await spooled(manifest_of(runs), world.work_dir))

    world.runner.dbt = dbt


def manifest_of(run: int) -> bytes:
    document = json.loads(MANIFEST)
    document["metadata"]["generated_at"] = f"run {run}"
    return json.dumps(document).encode()


async def spooled(content: bytes, directory: Path) -> Spool:
    spool = Spool(directory)
    await spool.write(content)
    await spool.flush()
    return spool


async def push(world: World, files: dict[str, str], branch: str = "main", *, moves: bool = True) -> str:
    """Extract a new commit; its id."""
    for name, text in files.items():
        (world.git.path / name).write_text(text)
    sha = committed(world.git.path)
    if branch == "main" and moves:
        await world.store.connections.move_head(world.connection_id, sha)
    extraction_id = await world.store.extractions.enqueue(world.connection_id, branch, sha, "push", was_head=True)
    async with world.working():
        assert (await world.ended(extraction_id)).status == "succeeded"
    return sha


async def kept(world: World, sha: str) -> bytes | None:
    """The manifest of a commit, as dbt wrote it."""
    head = await world.store.lineages.head(world.connection_id, sha)
    assert head is not None
    manifest = await world.store.manifests.of_lineage(head.id)
    if manifest is None or not manifest.kept:
        return None
    content = await world.store.manifests.piece(manifest, 0)
    return None if content is None else gzip.decompress(content)


async def contents(world: World) -> int:
    found: int = await world.store._db.value("SELECT count(*) FROM manifests")
    return found


async def test_the_manifest_of_a_pull_request_from_a_fork_is_not_kept(world: World) -> None:
    sha = await push(world, {"models/a.sql": "select 2"}, "mona:patch-1")
    assert await contents(world) == 0
    await push(world, {"models/a.sql": "select 3"})
    carried = await push(world, {"README.md": "not read by dbt"}, "mona:patch-1")
    assert (await contents(world), await kept(world, sha), await kept(world, carried)) == (1, None, None)


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest commits' manifests fit."""
    monkeypatch.setattr(manifests, "OLDER_BYTES", 0)


async def test_the_manifest_of_a_commit_is_what_dbt_wrote(world: World) -> None:
    first = await push(world, {"models/a.sql": "select 1 as id"})
    second = await push(world, {"models/a.sql": "select 2 as id"})
    assert (await kept(world, first), await kept(world, second)) == (manifest_of(1), manifest_of(2))


async def test_a_commit_that_changes_nothing_for_dbt_has_the_manifest_of_the_lineage_that_it_carries(world: World) -> None:
    first = await push(world, {"models/a.sql": "select 1 as id"})
    second = await push(world, {"README.md": "hello"})
    assert (await kept(world, second), await contents(world)) == (manifest_of(1), 1)
    assert first != second


@pytest.mark.usefixtures("no_room")
async def test_the_newest_of_each_branch_is_kept_and_older_ones_as_long_as_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await push(world, {"models/a.sql": "select 1 as id"})
    side = await push(world, {"models/a.sql": "select 2 as id"}, "side")
    other = await push(world, {"models/a.sql": "select 3 as id"}, "other")
    newer = await push(world, {"models/a.sql": "select 4 as id"}, "other")
    assert [await kept(world, sha) for sha in (first, side, other, newer)] == [manifest_of(1), manifest_of(2), None, manifest_of(4)]
    last = await push(world, {"models/a.sql": "select 5 as id"})
    assert [await kept(world, sha) for sha in (first, side, newer, last)] == [None, manifest_of(2), manifest_of(4), manifest_of(5)]
    monkeypatch.setattr(manifests, "BRANCHES_BYTES", 0)
    very_last = await push(world, {"models/a.sql": "select 6 as id"})
    found = [await kept(world, sha) for sha in (side, newer, last, very_last)]
    assert found == [None, None, None, manifest_of(6)], "whatever the limits are, the connection's own is kept"
    assert await contents(world) == 1


@pytest.mark.usefixtures("no_room")
async def test_those_of_a_deleted_branch_are_kept_like_older_ones(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "OLDER_BYTES", 1 << 20)
    await push(world, {"models/a.sql": "select 1 as id"})
    side = await push(world, {"models/a.sql": "select 2 as id"}, "side")
    deleted = {"ref": "refs/heads/side", "before": side, "after": "0" * 40, "deleted": True, "created": False, "forced": False}
    repository = {"id": 7, "full_name": "octo/shop", "default_branch": "main", "private": True, "owner": {"login": "octo"}}
    await webhooks.receive(world.store, "1", "push", json.dumps({**deleted, "repository": repository, "installation": {"id": 70}}).encode())
    merged = await push(world, {"README.md": "merged"})
    assert await kept(world, merged) == manifest_of(2), "what a merge carries is still there"
    await push(world, {"models/a.sql": "select 3 as id"})
    assert await kept(world, side) == manifest_of(2), "there is room"
    monkeypatch.setattr(manifests, "OLDER_BYTES", 0)
    await push(world, {"models/a.sql": "select 4 as id"})
    assert await kept(world, side) is None


async def test_a_commit_that_others_are_compared_with_has_one_as_long_as_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.git.path / "models/a.sql").write_text("select 1 as id")
    base = committed(world.git.path)
    newest_of_side = await push(world, {"models/a.sql": "select 2 as id"}, "side")
    assert await world.store.bases.queue(world.connection_id, "side", base, 10)
    async with world.working():
        async with asyncio.timeout(HANGS_S):
            while await world.store._db.value("SELECT count(*) FROM extractions WHERE status IN ('queued', 'running')"):
                await asyncio.sleep(0.02)
    assert (await kept(world, newest_of_side), await kept(world, base)) == (manifest_of(1), manifest_of(2))
    monkeypatch.setattr(manifests, "OLDER_BYTES", 0)
    await push(world, {"models/a.sql": "select 3 as id"})
    assert (await kept(world, newest_of_side), await kept(world, base)) == (manifest_of(1), None)


async def test_a_manifest_that_is_too_big_is_not_kept_and_its_size_is_known(world: World, tmp_path: Path) -> None:
    sha = await push(world, {"models/a.sql": "select 1 as id"})
    spool = await spooled(os.urandom(5 << 20), tmp_path)
    packed = await pack(spool, limit=4 << 20)
    assert (packed.size_bytes, packed.content) == (5 << 20, None)
    extraction = await newest(world)
    await world.store.manifests.save(extraction, packed)
    head = await world.store.lineages.head(world.connection_id, sha)
    assert head is not None
    manifest = await world.store.manifests.of_lineage(head.id)
    assert manifest is not None
    assert (manifest.kept, manifest.size_bytes, await world.store.manifests.commits(world.connection_id, 5)) == (False, 5 << 20, [])


async def newest(world: World) -> Extraction:
    [extraction] = await world.store.extractions.for_connection(world.connection_id, limit=1)
    return extraction


async def test_a_manifest_that_cannot_be_kept_does_not_fail_the_extraction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Manifests, "save", broken)
    sha = await push(world, {"models/a.sql": "select 1 as id"})
    assert await kept(world, sha) is None


async def test_a_short_outage_of_the_database_costs_no_manifest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    save, tries = Manifests.save, 0

    async def interrupted(self: Manifests, extraction: Extraction, manifest: manifests.PackedManifest) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await self._db.value("SELECT pg_terminate_backend(pg_backend_pid())")
        await save(self, extraction, manifest)

    monkeypatch.setattr(Manifests, "save", interrupted)
    sha = await push(world, {"models/a.sql": "select 1 as id"})
    assert (await kept(world, sha), tries) == (manifest_of(1), 2)


async def test_keeping_a_big_manifest_delays_the_check_run_by_little(world: World, tmp_path: Path) -> None:
    await push(world, {"models/a.sql": "select 1 as id"})
    node = json.dumps({"raw_code": "select * from {{ ref('orders') }} where status = 'done'", "description": "One row for each order."})

    async def cost_s(nodes: int) -> float:
        spool = await spooled(b",".join(node.replace("orders", f"orders_{number}").encode() for number in range(nodes)), tmp_path)
        began = time.process_time()
        await keep(world.store, await newest(world), spool)
        assert nodes < 90_000 or spool.size_bytes > 10 << 20
        return time.process_time() - began

    few, many = await cost_s(22_500), await cost_s(90_000)
    assert many < 9 * few + 0.5, "four times the nodes take a quarter of a second on a machine that does nothing else"


async def test_manifests_are_deleted_with_their_commits_and_with_their_connection(store: Store, db: pool.Database, tmp_path: Path) -> None:
    project, other = await followed(store), await followed(store, 8)
    for of in (project, other):
        for number in range(1, 23):
            await extract(store, of, number, "a")
            extraction = (await store.extractions.for_connection(of.id, limit=1))[0]
            await store.manifests.save(extraction, await pack(await spooled(manifest_of(number), tmp_path)))
    await told(db)
    await days_pass(db, 91)
    assert (await store.retention.delete_history(AGE, None)).extractions == 4
    assert await count(db, project) == await count(db, other) == 20
    await store.connections.hide(other.id)
    await store.retention.purge(timedelta(0))
    assert (await count(db, project), await count(db, other)) == (20, 0)


async def count(db: pool.Database, project: Connection) -> int:
    found: int = await db.value("SELECT count(*) FROM manifests WHERE connection_id = $1", UUID(project.id))
    return found


async def test_a_client_receives_the_manifest_as_dbt_wrote_it(reader: Reader, tmp_path: Path) -> None:
    text = manifest_of(1) + b" " * 2_000_000 + os.urandom(600_000).hex().encode()
    await store_manifest(reader, SHAS[1], text, tmp_path)
    for headers, encoding in ((GZIP, "gzip"), ({"Accept-Encoding": "identity"}, None), ({"Accept-Encoding": "gzip;q=0"}, None)):
        async with reader.client.get(reader.path, headers=TOKEN | headers, auto_decompress=False) as response:
            body = await response.read()
            assert (response.status, response.headers.get("Content-Encoding"), response.content_type) == (200, encoding, "application/json")
            assert response.headers["X-Manifest-Sha"] == SHAS[1]
            assert int(response.headers["Content-Length"]) == len(body)
            assert (gzip.decompress(body) if encoding else body) == text
            etag = response.headers["ETag"]
        async with reader.client.get(reader.path, headers=TOKEN | headers | {"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
    async with reader.client.head(reader.path, headers=TOKEN | GZIP) as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_why_there_is_no_manifest_is_said(reader: Reader, tmp_path: Path) -> None:
    await save(reader.store, reader.connection_id, SHAS[2], UPSTREAM)
    await store_manifest(reader, SHAS[1], manifest_of(1), tmp_path)
    missing = await reader.get({"sha": SHAS[2]}, status=404)
    assert "is not kept: only those of the newest commit of each branch are" in missing["detail"]
    assert missing["candidates"] == [SHAS[1]]
    assert "no lineage of" in (await reader.get({"sha": "f" * 40}, status=404))["detail"]
    await store_manifest(reader, SHAS[2], os.urandom(3 << 20), tmp_path, limit=1 << 20)
    assert "3,145,728 bytes" in (await reader.get({"sha": SHAS[2]}, status=404))["detail"]
    async with reader.client.get(reader.path) as response:
        assert response.status == 401


async def test_a_manifest_that_is_deleted_while_it_is_sent_is_not_taken_for_whole(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_manifest(reader, SHAS[1], os.urandom(3 << 20), tmp_path)
    piece, read = Manifests.piece, 0

    async def deleted(self: Manifests, manifest: manifests.StoredManifest, start: int) -> bytes | None:
        nonlocal read
        read += 1
        return None if read > 2 else await piece(self, manifest, start)

    monkeypatch.setattr(Manifests, "piece", deleted)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with reader.client.get(reader.path, headers=TOKEN | GZIP, auto_decompress=False) as response:
            await response.read()


async def store_manifest(reader: Reader, sha: str, text: bytes, directory: Path, limit: int = manifests.MAX_STORED_BYTES) -> None:
    [extraction, *_] = [one for one in await reader.store.extractions.for_connection(reader.connection_id, limit=9) if one.sha == sha]
    await reader.store.manifests.save(extraction, await pack(await spooled(text, directory), limit))
