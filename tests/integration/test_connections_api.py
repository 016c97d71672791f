"""Connections over the API: creating, changing and removing them, on several branches, with pushes and the reconciler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from app.core.models.extractions import Problem
from app.store import Store
from app.store.pool import Database
from tests.double import Answer, git
from tests.integration.connections_world import LINEAGE, RESULT, World, world


@pytest_asyncio.fixture
async def api(store: Store) -> AsyncIterator[World]:
    async with world(store) as made:
        yield made


async def connect(api: World, status: int = 201, **body: Any) -> Any:
    return await api.ask("POST", "/connections", {"repository": "octo/shop", **body}, status=status)


# -- made


async def test_a_new_connection_is_extracted(api: World) -> None:
    _, head = await api.create()
    made = await connect(api, project_dir="./transform/", branch=None)
    assert (made["project_dir"], made["branch"], made["settings"]) == ("transform", "main", {"project_dir": "transform", "branch": None})
    assert (made["head_sha"], made["stale"], made["stale_reason"]) == (head, True, "Its extraction is queued")
    assert made["lag_seconds"] >= 0
    assert (made["last_extraction"]["status"], made["last_extraction"]["trigger"], made["last_extraction"]["sha"]) == (
        "queued",
        "api",
        head,
    )
    [queued] = await api.queue()
    assert queued.forced is False, "it can reuse a stored lineage"
    await api.extract("transform")
    shown = await api.ask("GET", f"/connections/{made['id']}")
    assert (shown["lineage_sha"], shown["stale"], shown["stale_since"], shown["lag_seconds"]) == (head, False, None, 0.0)


async def test_a_commit_to_extract_can_be_named_by_branch_and_in_short(api: World) -> None:
    hosted, head = await api.create()
    made = await connect(api)
    await api.extract("transform")
    side = await api.push(hosted, "side", heard=False)
    path = f"/connections/{made['id']}/extract"
    assert (await api.ask("POST", path, {"sha": "side"}, status=202))["sha"] == side, "as GitHub has it now"
    assert (await api.ask("POST", path, {"sha": head[:7]}, status=202))["sha"] == head
    main = await api.push(hosted, heard=False)
    assert (await api.ask("POST", path, {"sha": "main"}, status=202))["sha"] == main
    problem = await api.ask("POST", path, {"sha": "no-such"}, status=404)
    assert (problem["field"], head in problem["candidates"]) == ("sha", True)


async def test_the_response_has_a_location(api: World) -> None:
    await api.create()
    body = {"repository": "OCTO/Shop"}
    async with api.client.post("/api/metadata/connections", json=body, headers={"Authorization": "Bearer push"}) as response:
        made = await response.json()
        assert (response.status, response.headers["Location"]) == (201, f"/api/metadata/connections/{made['id']}")
        assert (made["repository"], made["project_dir"]) == ("octo/shop", None)
    await api.extract("deep/down")
    assert (await api.ask("GET", f"/connections/{made['id']}"))["project_dir"] == "deep/down", "its extraction found it"


@pytest.mark.parametrize("root", ["", ".", "./"])
async def test_directories_are_normalized(api: World, root: str) -> None:
    await api.create()
    assert (await connect(api, project_dir=root))["project_dir"] == ""


BAD: list[tuple[dict[str, Any], str]] = [
    ({"repository": "shop"}, "repository"),
    ({"repository": "octo/sh op"}, "repository"),
    ({"repository": "octo/shop\0"}, "repository"),
    ({"repository": None}, "repository"),
    ({"project_dir": "../shop"}, "project_dir"),
    ({"project_dir": "a/../b"}, "project_dir"),
    ({"project_dir": "/transform"}, "project_dir"),
    ({"project_dir": "a\0b"}, "project_dir"),
    ({"project_dir": "..\\shop"}, "project_dir"),
    ({"project_dir": ".git/hooks"}, "project_dir"),
    ({"project_dir": "x" * 1001}, "project_dir"),
    ({"project_dir": 7}, "project_dir"),
    ({"branch": "../../../app"}, "branch"),
    ({"branch": "a..b"}, "branch"),
    ({"branch": "a b"}, "branch"),
    ({"branch": ""}, "branch"),
    ({"branch": "a\nb"}, "branch"),
    ({"branch": "gone"}, "branch"),
    ({"brunch": "main"}, "brunch"),
]


async def test_invalid_settings_are_refused_with_the_field(api: World) -> None:
    await api.create()
    for body, field in BAD:
        assert (await connect(api, 400, **body))["field"] == field, body
    for text in (b'{"repository": "octo/shop", "branch": "\\ud800"}', b'{"repository": "octo/shop", "project_dir": "\\udfff"}', b"{}"):
        async with api.client.post("/api/metadata/connections", data=text, headers={"Authorization": "Bearer token"}) as response:
            assert response.status == 400, text
    assert await api.queue() == []
    api.github.faults.add("GET", "/git/ref/heads/odd", 1, Answer(422))
    assert (await connect(api, 400, branch="odd"))["field"] == "branch"
    assert "gone" in (await connect(api, 400, branch="gone"))["detail"]


async def test_creating_requires_push_and_reveals_nothing_without_read(api: World) -> None:
    await api.create()
    body = {"repository": "octo/shop"}
    assert (await api.ask("POST", "/connections", body, status=404, token="none"))["field"] == "repository"
    unknown = await api.ask("POST", "/connections", {"repository": "octo/nothing"}, status=404)
    hidden = await api.ask("POST", "/connections", {"repository": "octo/nothing"}, status=404, token="none")
    assert unknown == hidden
    await api.ask("POST", "/connections", body, status=403, token="read")
    made = await api.ask("POST", "/connections", body, status=201, token="push")
    for method, asked in (("PATCH", {}), ("DELETE", None)):
        await api.ask(method, f"/connections/{made['id']}", asked, status=403, token="read")
        await api.ask(method, f"/connections/{made['id']}", asked, status=404, token="none")
        await api.ask(method, f"/connections/{uuid4()}", asked, status=404)


async def test_a_removed_or_deleted_repository_is_not_found(api: World) -> None:
    hosted, _ = await api.create()
    api.github.app.webhook_url = None
    await api.github.delete_repository(hosted)
    assert (await connect(api, 404))["field"] == "repository", "GitHub knows it no more, though nobody told us"
    await api.store.installations.remove_repositories(api.installation.id, [hosted.id])
    assert (await connect(api, 404))["field"] == "repository"


async def test_an_empty_repository_waits_for_its_first_commit(api: World) -> None:
    url, api.github.app.webhook_url = api.github.app.webhook_url, None
    hosted = await api.github.create_repository("octo/shop", {})
    api.github.app.webhook_url = url
    await api.store.installations.update_from_push(api.ours(hosted))
    made = await connect(api, project_dir="a")
    assert (made["head_sha"], made["last_extraction"], made["stale"]) == (None, None, False)
    sha = await api.github.push(hosted, {"a/dbt_project.yml": "name: a"})
    assert [(one.connection_id, one.sha) for one in await api.queue()] == [(made["id"], sha)]


async def test_an_outage_of_github_creates_nothing(api: World) -> None:
    hosted, _ = await api.create()
    await api.github.suspend(api.installation)
    assert (await connect(api, 409))["title"] == "The installation is suspended"
    assert await api.directories(hosted) == []


async def test_one_project_on_one_branch_is_one_connection(api: World) -> None:
    await api.create()
    made = await connect(api, project_dir="a")
    for same in ({"project_dir": "a"}, {"project_dir": "./a"}, {"project_dir": "a", "branch": "main"}, {}):
        assert (await connect(api, 409, **same))["connection_id"] == made["id"], same
    assert (await connect(api, project_dir="b"))["id"] != made["id"]


async def test_a_possible_duplicate_is_a_conflict(api: World) -> None:
    await api.create()
    searching = await connect(api)
    assert (await connect(api, 409, project_dir="a"))["connection_id"] == searching["id"]


# -- branches


async def two_branches(api: World) -> tuple[Any, dict[str, str], str]:
    """A repository whose project is followed on two branches, the connection ids by branch, and the head of the second branch."""
    hosted, _ = await api.create()
    await api.push(hosted)
    await api.extract("a")
    dev = await api.push(hosted, "dev", heard=False)
    made = await connect(api, project_dir="a", branch="dev")
    await api.extract("a")
    found = (await api.ask("GET", "/connections?repository=octo/shop"))["items"]
    assert len(found) == 2
    assert made["branch"] == "dev"
    return hosted, {one["branch"]: one["id"] for one in found}, dev


async def heads(api: World, ids: dict[str, str]) -> dict[str, tuple[str, str]]:
    """The head and the lineage's commit of each connection."""
    shown = {branch: await api.ask("GET", f"/connections/{id_}") for branch, id_ in ids.items()}
    return {branch: (one["head_sha"], one["lineage_sha"]) for branch, one in shown.items()}


async def test_two_connections_of_a_project_follow_one_branch_each(api: World) -> None:
    hosted, ids, dev = await two_branches(api)
    main = (await heads(api, ids))["main"][0]
    assert await heads(api, ids) == {"main": (main, main), "dev": (dev, dev)}
    dev = await api.push(hosted, "dev")
    assert [(one.connection_id, one.sha) for one in await api.queue()] == [(ids["dev"], dev)], "only the connection that follows the branch"
    extraction = await api.extract("a")
    shown = await api.store.extractions.get(extraction.id)
    assert shown is not None
    assert shown.siblings == 1, "it is one project, so its check run keeps its name"
    main = await api.push(hosted)
    await api.extract("a")
    assert await heads(api, ids) == {"main": (main, main), "dev": (dev, dev)}
    side = await api.push(hosted, "side")
    assert [(one.connection_id, one.sha) for one in await api.queue()] == [(ids["main"], side)], "a side branch belongs to one connection"


async def test_a_lost_push_to_any_followed_branch_is_found_by_the_reconciler(api: World) -> None:
    hosted, ids, _ = await two_branches(api)
    await api.look(hosted)
    dev = await api.push(hosted, "dev", heard=False)
    await api.look(hosted)
    assert [(one.connection_id, one.sha, one.trigger) for one in await api.queue()] == [(ids["dev"], dev, "reconcile")]
    await api.extract("a")
    assert (await heads(api, ids))["dev"] == (dev, dev)
    await api.github.delete_branch(hosted, "dev", deliver=False)
    await api.look(hosted)
    assert await api.queue() == []


async def test_an_unreported_reset_to_an_earlier_commit_is_found(api: World) -> None:
    hosted, ids, dev = await two_branches(api)
    main = await api.head(hosted)
    await api.look(hosted)
    for branch, before in (("main", main), ("dev", dev)):
        await api.push(hosted, branch)
        await api.extract("a")
        await git.run(hosted.directory, "update-ref", f"refs/heads/{branch}", before)
    await api.look(hosted)
    assert {(one.connection_id, one.sha) for one in await api.queue()} == {(ids["main"], main), (ids["dev"], dev)}


async def test_checking_unchanged_branches_costs_no_rate_limit(api: World) -> None:
    hosted, _, _ = await two_branches(api)
    await api.look(hosted)
    used = sum(api.github.state.requests_used.values())
    await api.look(hosted)
    assert sum(api.github.state.requests_used.values()) == used


async def test_a_project_that_only_another_branch_has_is_followed_there(api: World) -> None:
    hosted, _ = await api.create(files={"README.md": "x"})
    await api.push(hosted, "dev", heard=False)
    made = await connect(api, branch="dev")
    await api.extract("a", "b")
    assert await api.directories(hosted) == [("a", "dev")], "other projects of a side branch are not discovered"
    second = await connect(api, branch="dev", project_dir="b")
    await api.extract("a", "b")
    await api.push(hosted, "dev")
    assert {one.connection_id for one in await api.queue()} == {made["id"], second["id"]}
    await api.extract("b")
    await api.extract("b")
    assert await api.directories(hosted) == [("a", "dev"), ("b", "dev")], "explicit connections stay, whatever the branch contains"


async def test_projects_of_the_default_branch_are_discovered_beside_explicit_connections(api: World) -> None:
    hosted, _ = await api.create(files={"a/dbt_project.yml": "name: a", "b/dbt_project.yml": "name: b"})
    await connect(api, project_dir="a", branch="main")
    await api.extract("a", "b")
    assert await api.directories(hosted) == [("a", "main"), ("b", "main")]
    await api.extract("b")
    await api.push(hosted)
    await api.extract("b")
    assert await api.directories(hosted) == [("a", "main"), ("b", "main")], "explicit connections are not hidden"
    await api.push(hosted)
    await api.extract("a")
    assert await api.directories(hosted) == [("a", "main")], "discovered connections are"


async def test_a_project_that_reaches_the_default_branch_later_is_discovered(api: World) -> None:
    hosted, _ = await api.create(files={"README.md": "x"})
    await api.push(hosted, "dev", heard=False)
    await connect(api, branch="dev", project_dir="")
    await api.extract("")
    await api.github.push(hosted, {"dbt_project.yml": "name: shop"}, deliver=False)
    await api.look(hosted)
    assert await api.directories(hosted) == [("", "dev"), (None, "main")]


async def test_an_explicit_connection_without_a_project_stays_and_says_why(api: World) -> None:
    await api.create(files={"README.md": "x"})
    made = await connect(api, project_dir="nowhere")
    await api.extract(problem=Problem("No dbt project found", "m"))
    shown = await api.ask("GET", f"/connections/{made['id']}")
    assert (shown["stale"], shown["stale_reason"]) == (True, "No dbt project found")
    await api.ask("GET", f"/connections/{made['id']}/lineage", status=404)


# -- settings


async def test_a_new_branch_replaces_the_lineage_once_extracted(api: World) -> None:
    hosted, _ = await api.create()
    main = await api.push(hosted)
    await api.extract("a")
    [found] = (await api.ask("GET", "/connections?repository=octo/shop"))["items"]
    dev = await api.push(hosted, "dev")
    await api.extract("a")
    path = f"/connections/{found['id']}"
    changed = await api.ask("PATCH", path, {"branch": "dev"})
    assert (changed["settings"]["branch"], changed["branch"], changed["head_sha"], changed["lineage_sha"]) == ("dev", "dev", dev, main)
    assert (changed["stale"], changed["stale_reason"]) == (True, "Its extraction is queued")
    await api.extract("a")
    shown = await api.ask("GET", path)
    assert (shown["lineage_sha"], shown["stale"]) == (dev, False)
    side = await api.push(hosted)
    await api.extract("a")
    assert (await api.ask("GET", path))["lineage_sha"] == dev, f"main ({side}) moves it no more"
    back = await api.ask("PATCH", path, {"branch": None})
    assert (back["settings"]["branch"], back["branch"], back["head_sha"]) == (None, "main", side)
    await api.extract("a")
    assert (await api.ask("GET", path))["lineage_sha"] == side


async def test_the_first_lineage_of_a_new_branch_can_be_of_an_older_push(api: World) -> None:
    """The branch's head was queued before the branch was followed, and is waiting for its next attempt."""
    hosted, _ = await api.create()
    dev = await api.push(hosted, "dev", heard=False)
    await api.push(hosted)
    await api.extract("a")
    [found] = (await api.ask("GET", "/connections?repository=octo/shop"))["items"]
    await api.store.extractions.enqueue(found["id"], "dev", dev, "push")
    waiting = await api.store.extractions.claim("w", timedelta(minutes=1))
    assert waiting is not None
    await api.store.extractions.retry(waiting.id, "w", timedelta(hours=1))
    main = await api.push(hosted)
    await api.extract("a")
    assert (await api.ask("PATCH", f"/connections/{found['id']}", {"branch": "dev"}))["lineage_sha"] == main
    newer = await api.push(hosted, "dev")
    await api.store.connections.move_head(found["id"], newer)
    await api.extract("a", problem=Problem("dbt said no", "m"))
    await api.store.extractions.enqueue(found["id"], "dev", dev, "push", newest=False)
    await api.extract("a")
    assert (await api.ask("GET", f"/connections/{found['id']}"))["lineage_sha"] == dev, "it replaces the lineage of another branch"


async def test_a_new_directory_starts_without_a_lineage(api: World) -> None:
    hosted, _ = await api.create()
    await api.push(hosted)
    await api.extract("a", "b")
    found = {one["project_dir"]: one["id"] for one in (await api.ask("GET", "/connections?repository=octo/shop"))["items"]}
    await api.extract("a", "b")
    assert (await api.ask("PATCH", f"/connections/{found['a']}", {"project_dir": "b"}, status=409))["connection_id"] == found["b"]
    moved = await api.ask("PATCH", f"/connections/{found['a']}", {"project_dir": "c"})
    assert (moved["project_dir"], moved["lineage_sha"], moved["stale"]) == ("c", None, True)
    await api.ask("GET", f"/connections/{found['a']}/lineage", status=404)
    await api.extract("a", "b")
    assert await api.directories(hosted) == [("b", "main"), ("c", "main")], "the old directory is not discovered again"
    searching = await api.ask("PATCH", f"/connections/{found['a']}", {"project_dir": None}, status=409)
    assert searching["connection_id"] == found["b"]


async def test_changing_the_directory_cancels_running_extractions(api: World) -> None:
    await api.create()
    made = await connect(api, project_dir="a")
    running = await api.store.extractions.claim("w", timedelta(minutes=1))
    assert running is not None
    await api.ask("PATCH", f"/connections/{made['id']}", {"project_dir": "b"})
    assert not await api.store.extractions.finish(running.id, "w", "succeeded", [])
    [queued] = await api.queue()
    assert (queued.connection_id, queued.sha, queued.project_dir) == (made["id"], running.sha, "b")


async def test_a_change_without_effect_changes_nothing(api: World) -> None:
    await api.create()
    made = await connect(api, project_dir="a")
    await api.extract("a")
    before = await api.ask("GET", f"/connections/{made['id']}")
    requests = len(api.github.requests)
    for body in ({}, {"project_dir": "./a"}, {"branch": None}):
        assert await api.ask("PATCH", f"/connections/{made['id']}", body) == before, body
    assert len(api.github.requests) == requests
    same = await api.ask("PATCH", f"/connections/{made['id']}", {"branch": "main"})
    assert (same["settings"]["branch"], same["stale"]) == ("main", False), "it already follows this branch"
    assert await api.queue() == []
    for body, field in (({"branch": "gone"}, "branch"), ({"project_dir": ".."}, "project_dir"), ({"repository": "octo/x"}, "repository")):
        assert (await api.ask("PATCH", f"/connections/{made['id']}", body, status=400))["field"] == field


# -- removed


async def test_a_removed_connection_is_gone_at_once_and_stays_gone(api: World) -> None:
    hosted, _ = await api.create()
    await api.push(hosted)
    await api.extract("a")
    await api.push(hosted)
    running = await api.store.extractions.claim("w", timedelta(minutes=1))
    assert running is not None
    await api.push(hosted)
    path = f"/connections/{running.connection_id}"
    assert await api.ask("DELETE", path, status=204) is None
    await api.ask("GET", path, status=404)
    await api.ask("DELETE", path, status=404)
    assert await api.queue() == []
    assert not await api.store.extractions.finish(running.id, "w", "succeeded", []), "its worker has lost the claim"
    ended = await api.ask("GET", f"/extractions/{running.id}")
    assert ended["status"] == "cancelled", "the page that its check run links to still exists"
    await api.push(hosted)
    await api.push(hosted, "side")
    await api.look(hosted)
    assert await api.directories(hosted) == []
    assert await api.queue() == []


async def test_storing_a_lineage_and_removing_its_connection_do_not_deadlock(api: World) -> None:
    await api.create()
    made = await connect(api, project_dir="a")
    running = await api.store.extractions.claim("w", timedelta(minutes=1))
    assert running is not None
    async with api.store.transaction() as tx:
        await tx.lineages.save(running, LINEAGE, b"input")
        removing = asyncio.create_task(api.ask("DELETE", f"/connections/{made['id']}", status=204))
        await asyncio.sleep(0.3)
        assert await tx.extractions.finish(running.id, "w", "succeeded", [], result=RESULT)
    await removing
    await api.ask("GET", f"/connections/{made['id']}", status=404)


async def test_a_removed_connection_can_be_created_again_with_its_history(api: World) -> None:
    hosted, _ = await api.create()
    first = await api.push(hosted)
    await api.extract("a")
    [found] = (await api.ask("GET", "/connections?repository=octo/shop"))["items"]
    await api.ask("DELETE", f"/connections/{found['id']}", status=204)
    newest = await api.push(hosted)
    back = await connect(api)
    assert (back["id"], back["project_dir"], back["lineage_sha"], back["head_sha"]) == (found["id"], "a", first, newest)
    await api.extract("a")
    await api.push(hosted)
    assert len(await api.queue()) == 1, "pushes are followed again"


async def test_removing_one_of_several_projects_leaves_the_others(api: World) -> None:
    hosted, _ = await api.create()
    await api.push(hosted)
    await api.extract("a", "b")
    await api.extract("a", "b")
    found = {one["project_dir"]: one["id"] for one in (await api.ask("GET", "/connections?repository=octo/shop"))["items"]}
    await api.ask("DELETE", f"/connections/{found['b']}", status=204)
    await api.push(hosted)
    await api.extract("a", "b", "c")
    assert await api.directories(hosted) == [("a", "main"), ("c", "main")]
    await connect(api, project_dir="b", branch="main")
    assert await api.directories(hosted) == [("a", "main"), ("b", "main"), ("c", "main")]


async def test_a_removed_connection_is_not_discovered_again_after_its_deletion(api: World, db: Database) -> None:
    hosted, _ = await api.create()
    await api.push(hosted)
    await api.extract("a")
    [found] = (await api.ask("GET", "/connections?repository=octo/shop"))["items"]
    await api.ask("DELETE", f"/connections/{found['id']}", status=204)
    await api.store.retention.purge(timedelta(0))
    assert await db.value("SELECT count(*) FROM connections") == 0
    await api.push(hosted)
    await api.look(hosted)
    assert await api.directories(hosted) == []


async def test_settings_of_a_removed_connection_can_be_reused(api: World) -> None:
    await api.create()
    gone = await connect(api, project_dir="a")
    stays = await connect(api, project_dir="b")
    await api.ask("DELETE", f"/connections/{gone['id']}", status=204)
    changed = await api.ask("PATCH", f"/connections/{stays['id']}", {"project_dir": "a"})
    assert changed["project_dir"] == "a"
    assert (await connect(api, 409, project_dir="a"))["connection_id"] == stays["id"]
