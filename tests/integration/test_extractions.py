"""Extractions over HTTP: cancel, retry, logs and history, on a real PostgreSQL."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.core.models.annotations import Placeholder
from app.core.models.callers import Caller, Right
from app.core.models.extractions import Facts, Problem, Status, Usage
from app.core.models.github import Repository
from app.core.yaml_text import part
from app.store import Store
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware

SERVICE, READER = "token", "reader"
LEASE = timedelta(minutes=1)
SHAS = [f"{number:040x}" for number in range(40)]


@dataclass(frozen=True)
class Reader:
    """A caller who may only read."""

    key: str = "reader"
    everything: bool = False

    async def may(self, right: Right, repository: Repository) -> bool:
        return right == "read" and repository.id == 7

    async def listed(self) -> None:
        return None


@dataclass
class Callers:
    service: ServiceCallers = field(default_factory=lambda: ServiceCallers(ServiceTokens([SERVICE])))

    async def find(self, token: str) -> Caller | None:
        return Reader() if token == READER else await self.service.find(token)


@dataclass
class World:
    client: TestClient[web.Request, web.Application]
    store: Store
    connection_id: str

    async def ask(self, method: str, path: str, *, status: int, token: str = SERVICE, **asked: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", **asked.pop("headers", {})}
        async with self.client.request(method, f"/api/metadata{path}", headers=headers, **asked) as response:
            body = await response.json(content_type=None)
            assert response.status == status, body
            return body

    async def running(self, sha: str = SHAS[0]) -> str:
        await self.store.extractions.enqueue(self.connection_id, "main", sha, "push", forced=True)
        claimed = await self.store.extractions.claim("w", LEASE)
        assert claimed is not None
        return claimed.id

    async def ended(self, sha: str, status: Status, branch: str = "main") -> str:
        extraction_id = await self.store.extractions.enqueue(self.connection_id, branch, sha, "push", forced=True)
        if status == "cancelled":
            await self.store.extractions.cancel(extraction_id)
        else:
            assert await self.store.extractions.claim("w", LEASE)
            how: dict[str, Any] = (
                {"problem": Problem("t", "m")} if status == "failed" else {"result": {"counts": {}, "edges": 0, "change": None}}
            )
            await self.store.extractions.finish(extraction_id, "w", status, [], **how)
        return extraction_id


@pytest_asyncio.fixture
async def world(store: Store, aiohttp_client: Any) -> World:
    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
    web_app[keys.STORE] = store
    web_app[keys.CALLERS] = Callers()
    routes.add(web_app, webhook)
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    connection = await store.connections.create(7, "")
    await store.connections.move_head(connection.id, SHAS[0])
    return World(await aiohttp_client(web_app), store, connection.id)


# -- cancelling


async def test_queued_and_running_extractions_are_cancelled_at_once(world: World) -> None:
    running = await world.running()
    queued = await world.store.extractions.enqueue(world.connection_id, "side", SHAS[1], "push")
    for extraction_id, tries in ((queued, []), (running, ["cancelled"])):
        for _ in range(2):
            shown = await world.ask("POST", f"/extractions/{extraction_id}/cancel", status=202)
            assert (shown["id"], shown["status"], shown["conclusion"], shown["headline"]) == (
                extraction_id,
                "cancelled",
                "cancelled",
                "Cancelled",
            )
            assert [one["outcome"] for one in shown["tries"]] == tries
            assert shown["finished_at"]
    assert (await world.ask("GET", "/extractions/active", status=200))["items"] == []
    connection = await world.ask("GET", f"/connections/{world.connection_id}", status=200)
    assert connection["stale_reason"] == "Its extraction was cancelled"
    assert await world.store.extractions.finish(running, "w", "succeeded", [], result={}) is None, "its worker has lost the claim"


@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_an_ended_extraction_cannot_be_cancelled(world: World, status: Status) -> None:
    extraction_id = await world.ended(SHAS[1], status)
    problem = await world.ask("POST", f"/extractions/{extraction_id}/cancel", status=409)
    assert status in problem["detail"]
    assert problem["extraction_status"] == status
    assert (await world.ask("GET", f"/extractions/{extraction_id}", status=200))["status"] == status


async def test_a_superseded_extraction_cannot_be_cancelled(world: World) -> None:
    old = await world.store.extractions.enqueue(world.connection_id, "main", SHAS[1], "push")
    await world.store.extractions.enqueue(world.connection_id, "main", SHAS[2], "push")
    assert "newer commit" in (await world.ask("POST", f"/extractions/{old}/cancel", status=409))["detail"]


# -- once more


async def test_a_retry_of_an_active_commit_returns_that_extraction(world: World) -> None:
    failed = await world.ended(SHAS[3], "failed", "side")
    again = await world.ask("POST", f"/extractions/{failed}/retry", status=202)
    assert (again["sha"], again["branch"], again["status"], again["trigger"]) == (SHAS[3], "side", "queued", "api")
    assert again["id"] != failed
    assert (await world.ask("POST", f"/extractions/{failed}/retry", status=202))["id"] == again["id"]
    assert (await world.ask("POST", f"/extractions/{again['id']}/retry", status=202))["id"] == again["id"]
    stored = await world.store.extractions.get(again["id"])
    assert stored is not None
    assert stored.forced, "even though the lineage of the commit is stored"
    await world.store.connections.hide(world.connection_id)
    assert "no longer exists" in (await world.ask("POST", f"/extractions/{failed}/retry", status=404))["detail"]


async def test_retrying_an_old_commit_does_not_supersede_a_newer_one(world: World) -> None:
    old = await world.ended(SHAS[1], "failed")
    newer = await world.store.extractions.enqueue(world.connection_id, "main", SHAS[0], "push")
    await world.ask("POST", f"/extractions/{old}/retry", status=202)
    assert (await world.ask("GET", f"/extractions/{newer}", status=200))["status"] == "queued"


async def test_cancel_and_retry_require_push_permission(world: World) -> None:
    extraction_id = await world.running()
    for what in ("cancel", "retry"):
        problem = await world.ask("POST", f"/extractions/{extraction_id}/{what}", status=403, token=READER)
        assert problem["title"] == "Push permission required"
        await world.ask("POST", f"/extractions/{uuid4()}/{what}", status=404, token=READER)
    assert (await world.ask("GET", f"/extractions/{extraction_id}", status=200, token=READER))["status"] == "running"
    await world.ask("GET", f"/extractions/{extraction_id}/logs", status=200, token=READER, headers={"Accept": "application/json"})


# -- everything of one


async def test_an_extraction_has_settings_cost_placeholders_and_attempts(world: World) -> None:
    extraction_id = await world.running()
    facts = Facts(
        project_dir="transform",
        profile="shop",
        target="prod",
        adapter_type="snowflake",
        evidence="`profiles.yml`",
        image="dbt-runner:latest",
        dbt_version="1.11.16",
        placeholders=(Placeholder("env_var", "X", "placeholder", "models/a.sql", 3),),
        usage=Usage(2.5, 1.5, 1000),
        fetched_bytes=10,
    )
    problem = Problem("It broke", "Because\0.", "Fix it.", "dbt's words", "models/a.sql", 2)
    await world.store.extractions.finish(extraction_id, "w", "failed", [], problem=problem, facts=facts)
    shown = await world.ask("GET", f"/extractions/{extraction_id}", status=200)
    assert shown["settings"] == {
        "project_dir": "transform",
        "profile": "shop",
        "target": "prod",
        "adapter_type": "snowflake",
        "evidence": "`profiles.yml`",
        "image": "dbt-runner:latest",
        "dbt_version": "1.11.16",
        "left_out": [],
    }
    assert shown["cost"] == {
        "dbt_seconds": 2.5,
        "cpu_seconds": 1.5,
        "peak_memory_bytes": 1000,
        "fetched_bytes": 10,
        "packages_bytes": None,
        "manifest_bytes": None,
    }
    assert shown["placeholders"] == [{"kind": "env_var", "name": "X", "value": "placeholder", "path": "models/a.sql", "line": 3}]
    [tried] = shown["tries"]
    assert (tried["number"], tried["outcome"], tried["title"], tried["next_due_at"]) == (1, "failed", "It broke", None)
    assert tried["message"].startswith("Because")


async def test_only_the_newest_attempts_are_kept(world: World) -> None:
    extraction_id = await world.running()
    for _ in range(60):
        await world.store.extractions.hand_back(extraction_id, "w")
        assert await world.store.extractions.claim("w", LEASE)
    tries = (await world.ask("GET", f"/extractions/{extraction_id}", status=200))["tries"]
    assert [one["number"] for one in tries] == list(range(12, 62))


# -- logs


async def test_a_log_can_be_read_in_parts(world: World) -> None:
    extraction_id = await world.running()
    path = f"/api/metadata/extractions/{extraction_id}/logs"
    text = "first\nünï 😀\nlast\n"
    content = text.encode()

    async def log(query: str = "") -> tuple[str, Mapping[str, str]]:
        async with world.client.get(f"{path}{query}", headers={"Authorization": f"Bearer {SERVICE}"}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            return await response.text(), response.headers

    empty, headers = await log()
    assert (empty, headers["X-Log-Size"], headers["X-Log-Ended"]) == ("", "0", "false")
    number = await world.store.extractions.finish(extraction_id, "w", "failed", [], problem=Problem("t", "m"))
    await world.store.logs.save(extraction_id, number or 0, text)
    whole, headers = await log()
    assert (whole, headers["X-Log-Size"], headers["X-Log-Ended"]) == (text, str(len(content)), "true")
    assert (await log("?offset=6&limit=4"))[0] == "ün"
    seen, offset = "", 0
    while True:
        piece, headers = await log(f"?offset={offset}&limit=5")
        seen, before, offset = seen + piece, offset, int(headers["X-Log-Next-Offset"])
        if offset == before:
            break
    assert seen == text
    behind, headers = await log("?offset=99999")
    assert (behind, headers["X-Log-Offset"]) == ("", str(len(content)))
    shown = await world.ask("GET", f"/extractions/{extraction_id}/logs?offset=7", status=200, headers={"Accept": "application/json"})
    assert shown == {
        "extraction_id": extraction_id,
        "number": 1,
        "offset": 8,
        "next_offset": len(content),
        "size": len(content),
        "ended": True,
        "content": "nï 😀\nlast\n",
    }
    for field_name, value in (("limit", "3"), ("limit", "1048577"), ("offset", "-1"), ("offset", "9" * 30)):
        assert (await world.ask("GET", f"/extractions/{extraction_id}/logs?{field_name}={value}", status=400))["field"] == field_name


@given(text=st.text(max_size=50), offset=st.integers(0, 250), limit=st.integers(4, 20))
def test_log_parts_never_split_characters_and_reach_the_end(text: str, offset: int, limit: int) -> None:
    content = text.encode("utf-8", "replace")
    begin, piece = part(content, offset, limit)
    assert piece.decode() in content.decode()
    assert len(piece) <= limit
    assert min(offset, len(content)) <= begin <= min(offset, len(content)) + 3
    assert piece or begin == len(content)
    seen, at = b"", 0
    while at < len(content):
        at, piece = part(content, at, limit)
        seen, at = seen + piece, at + len(piece)
    assert seen == content


async def test_a_log_is_deleted_with_its_extraction(world: World) -> None:
    extraction_id = await world.running()
    await world.store.logs.save(extraction_id, 1, "x" * 100_000)
    await world.store.logs.save(extraction_id, 2, "y")
    log = await world.store.logs.get(extraction_id)
    assert log is not None
    assert (log.number, log.content) == (2, b"y")
    await world.store._db.execute("DELETE FROM extractions")
    assert await world.store.logs.get(extraction_id) is None


# -- history


async def test_the_history_is_filtered_and_paged(world: World) -> None:
    kinds: list[tuple[Status, str]] = [("failed", "main"), ("succeeded", "main"), ("cancelled", "side"), ("failed", "side")]
    ids = [await world.ended(SHAS[number], *kinds[number % 4]) for number in range(20)]

    async def history(query: str = "") -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = await world.ask("GET", f"/connections/{world.connection_id}/extractions?limit=3&{query}{cursor}", status=200)
            found += [one["id"] for one in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    newest_first = ids[::-1]
    assert await history() == newest_first
    assert await history("status=failed") == [id_ for number, id_ in reversed(list(enumerate(ids))) if number % 4 in (0, 3)]
    assert await history("status=failed&status=cancelled&branch=side") == [
        id_ for number, id_ in reversed(list(enumerate(ids))) if number % 4 in (2, 3)
    ]
    assert await history(f"sha={SHAS[6]}") == [ids[6]]
    assert await history(f"sha={SHAS[6]}&status=failed") == []
    assert await history("status=queued") == []
    assert await history("branch=nowhere") == []
    for query, name in (("status=well", "status"), ("sha=1a2b", "sha"), ("branch=a%00", "branch"), ("trigger=push", "trigger")):
        problem = await world.ask("GET", f"/connections/{world.connection_id}/extractions?{query}", status=400)
        assert problem["field"] == name


async def test_rare_matches_are_searched_in_steps(world: World) -> None:
    ids = [await world.ended(SHAS[number], "cancelled" if number in (0, 1, 11) else "failed") for number in range(12)]
    found: list[str] = []
    cursor: int | None = None
    pages = 0
    while pages == 0 or cursor:
        page = await world.store.extractions.search(world.connection_id, statuses=["cancelled"], before=cursor, limit=50, step=5)
        found, cursor, pages = [*found, *(one.id for one in page.extractions)], page.last, pages + 1
    assert (found, pages) == ([ids[11], ids[1], ids[0]], 3)


async def test_invalid_cursors_are_refused(world: World) -> None:
    foreign: list[Any] = [["1", "2"], ["x"], [str(10**30)], [str(-1)], [1], "1", {}]
    for parts in foreign:
        cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
        problem = await world.ask("GET", f"/connections/{world.connection_id}/extractions?cursor={cursor}", status=400)
        assert problem["field"] == "cursor"
