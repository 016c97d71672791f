"""What `…/impact` says of other repositories: as much as GitHub would show the caller."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest_asyncio

from app.core.models.github import Repository
from app.store import Store
from tests.double import Repository as Hosted
from tests.integration import access_world, readers_world
from tests.integration.access_world import CONNECTIONS, SERVICE, World
from tests.integration.columns_world import storable
from tests.integration.readers_world import BASE, HEAD, ORDERS, make_readers, reading, shop

HIDDEN_NAMES = ("secret", "payroll")


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with access_world.running(store) as found:
        yield found


def columns(*names: str) -> Any:
    line = {"unique_id": ORDERS, "status": "exact", "columns": [[name, None] for name in names], "edges": [], "rendered": "full"}
    return storable({**line, "sql": f"1{names}", "rows": "1"})


def stored(hosted: Hosted, world: World) -> Repository:
    return Repository(hosted.id, hosted.full_name, world.installation_id, "main", hosted.private)


async def save_shop(connections: readers_world.Readers, base: str = BASE, head: str = HEAD, *, branch: str = "main") -> None:
    """Two commits, of which the second one removes `amount`."""
    await connections.save(connections.shop, base, shop(), columns("id", "amount"), branch=branch)
    await connections.save(connections.shop, head, shop(raw_code="select id"), columns("id"), branch="change")


async def make(world: World, *, private: bool = True) -> tuple[readers_world.Readers, dict[str, Hosted]]:
    """`octo/shop`, and a private and a public repository that read its table."""
    repositories = {
        name: await world.github.create_repository(f"octo/{name}", dict(access_world.FILES), private=is_private)
        for name, is_private in (("shop", private), ("secret", True), ("bi", False))
    }
    connections = await make_readers(world.store, repository=stored(repositories["shop"], world))
    await save_shop(connections)
    await connections.add(stored(repositories["secret"], world), *reading("payroll"))
    await connections.add(stored(repositories["bi"], world), *reading("bi"))
    return connections, repositories


async def impact(
    world: World, connections: readers_world.Readers, token: str, query: str = f"base={BASE}&head={HEAD}"
) -> Mapping[str, Any]:
    status, body, _ = await world.ask(token, f"{CONNECTIONS}/{connections.shop}/impact?{query}")
    assert status == 200, body
    found: Mapping[str, Any] = body
    return found


def elsewhere(found: Mapping[str, Any]) -> set[str]:
    return {one["unique_id"] for one in found["breaks"] if one["connection_id"]}


async def test_a_caller_sees_the_names_that_github_shows_them(world: World) -> None:
    connections, hosted = await make(world)
    stranger = world.github.classic_token("mona", {hosted["shop"]: "pull"})
    member = world.github.classic_token("lisa", {hosted["shop"]: "pull", hosted["secret"]: "pull"})
    found = await impact(world, connections, stranger)
    assert elsewhere(found) == {"model.bi.revenue", "exposure.bi.board"}
    assert not [name for name in HIDDEN_NAMES if name in json.dumps(found)]
    assert connections.others["octo/secret"] not in json.dumps(found)
    assert found["counts"]["elsewhere"] == {
        "breaks": 2,
        "repositories": 1,
        "hidden_nodes": 2,
        "hidden_repositories": 1,
        "not_searched": 0,
    }
    everything = {"model.bi.revenue", "exposure.bi.board", "model.payroll.revenue", "exposure.payroll.board"}
    for token in (member, SERVICE):
        found = await impact(world, connections, token)
        assert elsewhere(found) == everything
        assert (found["counts"]["elsewhere"]["hidden_nodes"], found["counts"]["breaks"]["column_removed"]) == (0, 2)


async def test_an_answer_for_one_caller_is_not_taken_for_another(world: World) -> None:
    """Who has lost the right to read a repository has its names from before, and is not told that they still hold."""
    connections, hosted = await make(world)
    path = f"{CONNECTIONS}/{connections.shop}/impact?base={BASE}&head={HEAD}"
    member = world.github.classic_token("lisa", {hosted["shop"]: "pull", hosted["secret"]: "pull"})
    stranger = world.github.classic_token("mona", {hosted["shop"]: "pull"})
    etags = [(await world.ask(token, path))[2]["ETag"] for token in (member, stranger)]
    assert etags[0] != etags[1]
    async with world.client.get(path, headers={"Authorization": f"Bearer {stranger}", "If-None-Match": etags[1]}) as response:
        assert response.status == 304
    await connections.save(connections.others["octo/bi"], "9" * 40, *reading("bi", reads=("id",)))
    async with world.client.get(path, headers={"Authorization": f"Bearer {stranger}", "If-None-Match": etags[1]}) as response:
        assert response.status == 200
        assert elsewhere(await response.json()) == set()


async def test_a_pull_request_of_a_stranger_does_not_ask_who_reads_what(world: World) -> None:
    """Anybody can open one with a table and a column of any name, and compare two commits of it: not even a number answers."""
    connections, _ = await make(world, private=False)
    anybody = world.github.classic_token("mallory", {})
    for branch in ("guess", "mallory:main"):
        await save_shop(connections, "1" * 40, "2" * 40, branch=branch)
        found = await impact(world, connections, anybody, f"base={'1' * 40}&head={'2' * 40}")
        assert elsewhere(found) == {"model.bi.revenue", "exposure.bi.board"}
        numbers = found["counts"]["elsewhere"]
        assert (numbers["hidden_nodes"], numbers["hidden_repositories"], numbers["not_searched"]) == (0, 0, 0)


async def test_nothing_elsewhere_leaves_no_trace(world: World) -> None:
    connections, hosted = await make(world)
    token = world.github.classic_token("mona", {hosted["shop"]: "pull"})
    found = await impact(world, connections, token, f"base={HEAD}&head={BASE}")
    assert elsewhere(found) == set()
    assert "elsewhere" not in found["counts"]
