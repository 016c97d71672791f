"""Results of dbt's own runs over HTTP, with a real PostgreSQL: who may send them, what is taken, and what strangers may try."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio

from app.store import Store, node_results
from app.web.api.schemas.common import Page
from app.web.api.schemas.results import NodeResultView, ResultsTaken
from app.web.http import uploads
from tests.integration.access_world import CONNECTIONS, World, running
from tests.integration.lineage_reader import SHAS, TOKEN, UPSTREAM, Reader, reading, save
from tests.integration.node_page import page
from tests.unit.test_run_results import SOURCES, artifact, result

ORDERS, TEST, RAW = "model.shop.orders", "test.shop.not_null", "source.shop.raw.orders"
JSON = {"Content-Type": "application/json"}
BOMB = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with running(store) as found:
        yield found


async def send(reader: Reader, content: bytes, *, status: int = 200, headers: dict[str, str] = JSON) -> Any:
    path = f"{CONNECTIONS}/{reader.connection_id}/results"
    async with reader.client.post(path, data=io.BytesIO(content), headers=TOKEN | headers) as response:
        body = await response.json(content_type=None)
        assert response.status == status, body
        if status == 200:
            ResultsTaken.model_validate_json(await response.read())
        return body


async def stored(reader: Reader, unique_id: str = ORDERS) -> node_results.StoredResult:
    return (await reader.store.node_results.of_nodes(reader.connection_id, [unique_id]))[unique_id]


def at(hour: int) -> str:
    return f"2026-11-02T{hour:02}:00:00Z"


# -- who may


async def test_only_who_may_push_sends_results(world: World) -> None:
    shop, other = await world.create("octo/shop"), await world.create("octo/open", private=False)
    await save(world.store, world.connections["octo/shop"], SHAS[1], UPSTREAM)
    path = f"{CONNECTIONS}/{world.connections['octo/shop']}/results"

    async def ask(token: str | None, path: str = path) -> int:
        headers = JSON | ({} if token is None else {"Authorization": f"Bearer {token}"})
        async with world.client.post(path, data=artifact(result(ORDERS)), headers=headers) as response:
            return response.status

    assert await ask(None) == 401
    assert await ask(world.github.classic_token("mona", {shop: "pull"})) == 403
    assert await ask(world.github.classic_token("mona", {})) == 404
    assert await ask(world.github.actions_token(other, {"contents": "write"})) == 404, "a workflow of another repository"
    assert await ask(world.github.actions_token(shop, {"contents": "read"})) == 403, "as the workflow of a fork's pull request has"
    open_ = f"{CONNECTIONS}/{world.connections['octo/open']}/results"
    assert await ask(world.github.actions_token(shop, {"contents": "write"}), open_) == 403, "everybody may read it"
    assert await world.store.node_results.page(world.connections["octo/shop"], "", (), 10) == []
    assert await ask(world.github.actions_token(shop, {"contents": "write"})) == 200
    assert [one.unique_id for one in await world.store.node_results.page(world.connections["octo/shop"], "", (), 10)] == [ORDERS]


# -- what is taken


async def test_the_last_result_stands_at_the_node(reader: Reader) -> None:
    test = result(TEST, "fail", failures=3, message="Got 3 results")
    said = await send(
        reader, artifact(result(ORDERS, execution_time=2.5, adapter_response={"bytes_billed": 9}), test, result("model.far.away"))
    )
    assert (said["results"], said["taken"], said["unknown"], said["repeated"]) == (3, 2, 1, False)
    assert said["unknown_examples"] == ["model.far.away"], "it is of another project"
    failed = await stored(reader, TEST)
    assert (failed.status, failed.message, failed.history[0].failures) == ("fail", "Got 3 results", 3)
    model = await stored(reader)
    assert (model.history[0].seconds, model.history[0].bytes) == (2.5, 9)
    assert "model.far.away" not in await reader.store.node_results.of_nodes(reader.connection_id, ["model.far.away"])


async def test_freshness_stands_at_sources(reader: Reader) -> None:
    late = {"unique_id": RAW, "status": "error", "max_loaded_at": at(1), "execution_time": 0.1}
    assert (await send(reader, artifact(late, schema=SOURCES)))["kind"] == "sources"
    found = await stored(reader, RAW)
    assert (found.status, found.loaded_at) == ("error", datetime(2026, 11, 2, 1, tzinfo=UTC))


async def test_the_same_artifact_changes_nothing(reader: Reader) -> None:
    await send(reader, artifact(result(ORDERS)))
    before = await stored(reader)
    again = await send(reader, artifact(result(ORDERS, status="error"), at=at(12)))
    assert (again["repeated"], again["taken"]) == (True, 0)
    assert await stored(reader) == before
    await reader.store._db.execute("DELETE FROM run_artifacts")
    await send(reader, artifact(result(ORDERS)))
    assert await stored(reader) == before, "not even if it is not remembered any more"


async def test_two_that_send_the_same_artifact_at_a_time(reader: Reader) -> None:
    said = await asyncio.gather(*(send(reader, artifact(result(ORDERS))) for _ in range(2)))
    assert sorted(one["repeated"] for one in said) == [False, True]
    assert len((await stored(reader)).history) == 1


async def test_an_older_result_is_history(reader: Reader) -> None:
    await send(reader, artifact(result(ORDERS, "error", message="new"), invocation="new", at=at(9)))
    said = await send(reader, artifact(result(ORDERS, message="old"), invocation="old", at=at(8)))
    assert (said["taken"], said["older"]) == (1, 1)
    found = await stored(reader)
    assert (found.status, found.message, [one.status for one in found.history]) == ("error", "new", ["error", "success"])


async def test_the_history_and_the_artifacts_are_limited(reader: Reader) -> None:
    first = datetime(2026, 10, 1, tzinfo=UTC)
    for number in range(node_results.HISTORY + 5):
        when = (first + timedelta(hours=number)).isoformat()
        await send(reader, artifact(result(ORDERS, execution_time=number), invocation=f"run-{number}", at=when))
    seconds = [one.seconds for one in (await stored(reader)).history]
    assert seconds == [float(number) for number in range(node_results.HISTORY + 4, 4, -1)]
    await reader.store._db.execute(
        "INSERT INTO run_artifacts (connection_id, kind, invocation_id, generated_at) "
        "SELECT connection_id, kind, 'more-' || id || '-' || n, now() FROM run_artifacts, generate_series(1, 20) n"
    )
    await send(reader, artifact(result(ORDERS), invocation="last", at=at(1)))
    assert await reader.store._db.value("SELECT count(*) FROM run_artifacts") == node_results.ARTIFACTS


async def test_a_connection_without_a_lineage_knows_no_node(reader: Reader) -> None:
    await reader.store._db.execute("UPDATE connections SET lineage_id = NULL")
    said = await send(reader, artifact(result(ORDERS)))
    assert (said["taken"], said["unknown"]) == (0, 1)


async def test_results_are_deleted_by_age_and_with_their_connection(reader: Reader) -> None:
    store = reader.store
    await send(reader, artifact(result(ORDERS), invocation="old", at=at(1)))
    now = datetime.now(UTC).isoformat()
    await send(reader, artifact(result(TEST, "pass"), invocation="new", at=now))
    await store._db.execute("UPDATE node_results SET at = now() - interval '91 days' WHERE unique_id = $1", ORDERS)
    await store._db.execute("UPDATE run_artifacts SET sent_at = now() - interval '91 days' WHERE invocation_id = 'old'")
    await store.node_results.purge(timedelta(days=90))
    assert [one.unique_id for one in await store.node_results.page(reader.connection_id, "", (), 10)] == [TEST]
    assert await store._db.value("SELECT count(*) FROM run_artifacts") == 1
    await store.connections.hide(reader.connection_id)
    await store._db.execute("UPDATE connections SET hidden_at = now() - interval '1 year'")
    await store.retention.purge(timedelta(days=1))
    left = "SELECT (SELECT count(*) FROM connections) + (SELECT count(*) FROM node_results) + (SELECT count(*) FROM run_artifacts)"
    assert await store._db.value(left) == 0


# -- what strangers may try


async def test_messages_are_safe_to_store(reader: Reader) -> None:
    hostile = "token ghp_0123456789abcdef0123\x1b]0;owned\x07\0\u202e\npassword=hunter2 " + "x" * 5_000
    await send(reader, artifact(result(TEST, "error", message=hostile)))
    message = (await stored(reader, TEST)).message or ""
    assert len(message) <= 300
    assert [part for part in ("ghp_", "hunter2", "\x1b", "\0", "\u202e") if part in message] == []


async def test_compressed_and_plain_are_the_same(reader: Reader) -> None:
    assert (await send(reader, gzip.compress(artifact(result(ORDERS))), headers=JSON | {"Content-Encoding": "gzip"}))["taken"] == 1
    assert (await send(reader, gzip.compress(artifact(result(ORDERS), invocation="2"))))["taken"] == 1


async def test_bodies_that_are_too_big_are_refused(reader: Reader) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    mebibyte = packer.compress(b"0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    assert (await send(reader, BOMB + 1024 * mebibyte, status=413))["field"] == "body"
    assert (await send(reader, b" " * (uploads.MAX_BYTES + 1), status=413))["field"] == "body"


async def test_damaged_bodies_are_refused(reader: Reader) -> None:
    packed = gzip.compress(artifact(result(ORDERS)))
    for body in (
        packed[:-9],
        packed + packed,
        packed + b"x",
        BOMB,
        BOMB + b"\xff" * 100,
        b"\x1f\x8b",
        packed[:40] + b"\xff\xff" + packed[42:],
    ):
        assert (await send(reader, body, status=400))["field"] == "body"
    assert (await send(reader, artifact(), status=415, headers={"Content-Type": "text/plain"}))["field"] == "Content-Type"
    encoded = JSON | {"Content-Encoding": "compress"}
    assert (await send(reader, artifact(), status=415, headers=encoded))["field"] == "Content-Encoding"
    assert (await send(reader, b"[]", status=400))["field"] == "body"
    assert (await send(reader, artifact(result(failures=-1)), status=400))["field"] == "results[0].failures"
    assert (await send(reader, artifact(at="2999-01-01T00:00:00Z"), status=400))["field"] == "metadata.generated_at"


async def test_a_token_sends_few_bodies_at_a_time(reader: Reader) -> None:
    began, end = asyncio.Semaphore(0), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        content = artifact(result(ORDERS), invocation="slow")
        yield content[:10]
        began.release()
        await end.wait()
        yield content[10:]

    async def sending() -> None:
        path = f"{CONNECTIONS}/{reader.connection_id}/results"
        async with reader.client.post(path, data=slowly(), headers=TOKEN | JSON) as response:
            assert response.status == 200

    async with asyncio.TaskGroup() as tasks:
        for _ in range(uploads.PER_CALLER):
            tasks.create_task(sending())
        for _ in range(uploads.PER_CALLER):
            await began.acquire()
        refused = 0
        while not refused:  # the first bytes of both are on their way
            path = f"{CONNECTIONS}/{reader.connection_id}/results"
            async with reader.client.post(path, data=artifact(), headers=TOKEN | JSON) as response:
                refused = int(response.status == 429)
        end.set()
    await send(reader, artifact(result(ORDERS), invocation="after"))


# -- what is read


async def read(reader: Reader, query: str = "", *, status: int = 200) -> Any:
    async with reader.client.get(f"{CONNECTIONS}/{reader.connection_id}/results?{query}", headers=TOKEN) as response:
        body = await response.json(content_type=None)
        assert response.status == status, body
        if status == 200:
            Page[NodeResultView].model_validate_json(await response.read())
        return body


async def test_results_are_listed_by_node_and_state(reader: Reader) -> None:
    assert (await read(reader))["items"] == []
    await send(reader, artifact(result(ORDERS), result(TEST, "fail", failures=3), result("model.utils.days", "of a later version")))
    found = (await read(reader))["items"]
    assert {one["unique_id"]: one["state"] for one in found} == {ORDERS: "passed", "model.utils.days": "passed", TEST: "failed"}
    assert [one["unique_id"] for one in (await read(reader, "state=failed&state=skipped"))["items"]] == [TEST]
    assert len((await read(reader, "state=passed"))["items"]) == 2
    assert (await read(reader, "state=warned"))["items"] == []
    [orders] = (await read(reader, "node=orders"))["items"]
    assert (orders["unique_id"], orders["history"][0]["seconds"]) == (ORDERS, 1.5)
    assert (await read(reader, "node=stg_orders"))["items"] == []
    assert (await read(reader, "node=orderz", status=404))["candidates"]
    assert (await read(reader, "state=broken", status=400))["field"] == "state"
    first = await read(reader, "limit=2")
    assert len(first["items"]) == 2
    assert [one["unique_id"] for one in (await read(reader, f"limit=2&cursor={first['next_cursor']}"))["items"]] == [TEST]


async def test_results_stand_at_the_node(reader: Reader) -> None:
    async def node(known: str = "") -> tuple[int, Any, str]:
        path = f"{CONNECTIONS}/{reader.connection_id}/nodes/orders"
        async with reader.client.get(path, headers=TOKEN | {"If-None-Match": known}) as response:
            body = await response.json() if response.status == 200 else None
            return response.status, body, response.headers["ETag"]

    _, found, etag = await node()
    assert (found["last_result"], found["test_results"]) == (None, [])
    assert (await node(etag))[0] == 304
    await send(reader, artifact(result(ORDERS), result(TEST, "fail", message="Got 3 results")))
    status, found, _ = await node(etag)
    assert status == 200, "a result changes the node"
    assert (found["last_result"]["state"], found["last_result"]["history"][0]["seconds"]) == ("passed", 1.5)
    assert [(one["unique_id"], one["state"], one["message"]) for one in found["test_results"]] == [(TEST, "failed", "Got 3 results")]


# -- pages and drawings


async def test_the_page_of_a_node_shows_results(reader: Reader) -> None:
    assert "Last result" not in (await page(reader, ORDERS)).text
    await send(reader, artifact(result(ORDERS, execution_time=2.0), invocation="before", at=at(1)))
    now = datetime.now(UTC).isoformat()
    model = result(
        ORDERS, execution_time=4.0, message="SELECT <10>", adapter_response={"bytes_billed": 2_500_000_000, "slot_ms": 7_200_000}
    )
    await send(reader, artifact(model, result(TEST, "fail", failures=3, message="Got 3 results"), at=now))
    await send(reader, artifact({"unique_id": RAW, "status": "error", "max_loaded_at": at(1)}, schema=SOURCES, invocation="f", at=now))
    shown = (await page(reader, ORDERS)).text
    for part in ("Last result passed", "· dbt says success , took 4.0 s, 2.50 GB and 2.00 slot hours in the last 2 runs", "SELECT <10>"):
        assert part in shown, (part, shown)
    assert "2026-11-02 01:00: success in 2.0 s" in shown, "the chart"
    assert "not_null test failed" in shown, "its tests"
    test = (await page(reader, TEST)).text
    assert "Last result failed" in test
    assert "3 rows" in test
    source = (await page(reader, RAW)).text
    assert "Last result stale" in source
    assert "newest row loaded" in source
    assert "orders source stale" in (await page(reader, "model.shop.stg_orders")).text, "what it reads"


async def test_drawings_mark_what_failed(reader: Reader) -> None:
    async def troubles() -> dict[str, Any]:
        async with reader.client.get(f"{CONNECTIONS}/{reader.connection_id}/layout?focus=orders", headers=TOKEN) as response:
            return {node["unique_id"]: node["trouble"] for node in (await response.json())["nodes"] if node["trouble"]}

    assert await troubles() == {}
    late = {"unique_id": RAW, "status": "warn", "max_loaded_at": at(1)}
    await send(reader, artifact(result(ORDERS, "error"), result(TEST, "fail"), result("model.utils.days")))
    await send(reader, artifact(late, schema=SOURCES))
    assert await troubles() == {ORDERS: "last run failed, 1 test failed", RAW: "late"}
    for query in ("", "?node=orders"):
        async with reader.client.get(f"/connections/{reader.connection_id}/lineage{query}", headers=TOKEN) as response:
            text = await response.text()
            assert '<span class="trouble">last run failed, 1 test failed</span>' in text
            assert '<span class="trouble">late</span>' in text
