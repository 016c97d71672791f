"""`GET /api/metadata/search` over HTTP: who finds what, pages, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from app.store import Store
from app.store import search as searching
from app.web.api.schemas.search import SearchPage
from tests.double import Answer
from tests.double import Repository as Hosted
from tests.double.state import Role
from tests.integration.access_world import SERVICE, World, running
from tests.integration.search_world import SHAS, catch_up, project, save

SEARCH = "/api/metadata/search"


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    """`octo/shop` and `octo/secret` are private, `octo/open` is public: each has a model of its own, and one that all have."""
    async with running(store) as made:
        yield made


async def create(world: World) -> dict[str, Hosted]:
    hosted = {}
    for name in ("shop", "secret", "open"):
        hosted[name] = await world.create(f"octo/{name}", private=name != "open")
        nodes = {"orders": {}, f"{name}_plan": {"columns": {"amount": {"name": "amount"}}, "description": f"What {name} does."}}
        await save(world.store, world.connections[f"octo/{name}"], SHAS[0], project(nodes))
    await catch_up(world.store)
    return hosted


async def found(world: World, token: str, q: str, **more: Any) -> list[str]:
    """Repositories and names, of all pages."""
    names, cursor = list[str](), None
    while True:
        params = {"q": q, **more, **({"cursor": cursor} if cursor else {})}
        status, body, _ = await world.ask(token, SEARCH, params=params)
        assert status == 200, body
        SearchPage.model_validate(body)
        names += [f"{one['repository'].removeprefix('octo/')} {one['name']}" for one in body["items"]]
        cursor = body["next_cursor"]
        if cursor is None:
            return names


@pytest.mark.parametrize("few", [200, 0])
@pytest.mark.parametrize("kind", ["App user", "classic", "fine-grained"])
async def test_people_find_what_github_shows_them(world: World, kind: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "FEW_CONNECTIONS", few)
    hosted = await create(world)
    roles: dict[Hosted, Role] = {hosted["shop"]: "pull", hosted["open"]: "pull"}
    make = {
        "App user": lambda: world.github.user_token("mona", roles),
        "classic": lambda: world.github.classic_token("mona", roles),
        "fine-grained": lambda: world.github.fine_grained_token("mona", roles, permissions={"contents": "read"}),
    }
    token = make[kind]()
    assert sorted(await found(world, token, "orders", limit="1")) == ["open orders", "shop orders"]
    assert sorted(await found(world, token, "plan")) == ["open open_plan", "shop shop_plan"]
    assert await found(world, token, "secret") == []
    assert sorted(await found(world, token, "column:amount")) == ["open open_plan", "shop shop_plan"]
    assert sorted(await found(world, SERVICE, "plan")) == ["open open_plan", "secret secret_plan", "shop shop_plan"]


async def test_a_right_that_ends_hides_its_results(world: World) -> None:
    hosted = await create(world)
    token = world.github.user_token("mona", {hosted["secret"]: "pull"})
    assert await found(world, token, "secret") == ["secret secret_plan"]
    world.github.state.tokens[token].roles.clear()
    world.clock[0] += 3600
    assert await found(world, token, "secret") == []


async def test_one_connection_can_be_searched_by_those_who_see_it(world: World) -> None:
    hosted = await create(world)
    token = world.github.user_token("mona", {hosted["shop"]: "pull"})
    shop, secret = world.connections["octo/shop"], world.connections["octo/secret"]
    assert await found(world, token, "orders", connection=shop) == ["shop orders"]
    for connection in (secret, str(uuid4())):
        status, body, _ = await world.ask(token, SEARCH, params={"q": "orders", "connection": connection})
        assert (status, body["title"]) == (404, "Connection not found")
    assert (await world.ask(token, SEARCH, params={"q": "orders", "connection": "x"}))[0] == 400


async def test_a_result_says_what_it_is_and_why_it_was_found(world: World) -> None:
    await create(world)
    _, body, _ = await world.ask(SERVICE, SEARCH, params={"q": "shop amount"})
    item = body["items"][0]
    assert item == {
        "connection_id": world.connections["octo/shop"],
        "repository": "octo/shop",
        "project_dir": "",
        "project_name": None,
        "sha": SHAS[0],
        "unique_id": "model.shop.shop_plan",
        "resource_type": "model",
        "name": "shop_plan",
        "column": "amount",
        "description": "What shop does.",
        "tags": [],
        "owner": None,
        "original_file_path": "",
        "matched": "column",
    }
    assert (body["next_cursor"], body["cut"]) == (None, False)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "x" * 201}, "q"),
        ({"q": "a\0b"}, "q"),
        ({"q": "kind:model"}, "q"),
        ({"q": "tag:"}, "q"),
        ({"q": "a b c d e f g h i j k l m n o p q"}, "q"),
        ({"q": "a", "limit": "0"}, "limit"),
        ({"q": "a", "limit": "201"}, "limit"),
        ({"q": "a", "cursor": "x"}, "cursor"),
        ({"q": "a", "cursor": "WyJhIiwiYiJd"}, "cursor"),
        ({"q": "a", "cursor": "WyIxIiwiOTk5OTk5OTk5OTk5OTk5OTk5OTkiXQ=="}, "cursor"),
        ({"q": "a", "type": "model"}, "type"),
    ],
)
async def test_what_is_refused(world: World, params: dict[str, str], field: str) -> None:
    status, body, _ = await world.ask(SERVICE, SEARCH, params=params)
    assert (status, body["field"]) == (400, field)
    if params.get("q") == "kind:model":
        assert "`kind:`" in body["detail"]
        assert "`owner:`" in body["detail"]


@pytest.mark.parametrize("q", ["%", "_", "' | 'x", "x' & !'b", "\\", "😀", "\u202e", "(((", "!orders", "orders'::tsquery--", "''"])
async def test_operators_are_text(world: World, q: str) -> None:
    await create(world)
    status, body, _ = await world.ask(SERVICE, SEARCH, params={"q": q})
    assert status == 200
    assert len(body["items"]) == (3 if q == "!orders" else 0)


async def test_nobody_searches_without_a_token_or_while_github_is_away(world: World) -> None:
    hosted = await create(world)
    assert (await world.ask(None, SEARCH, params={"q": "orders"}))[0] == 401
    token = world.github.user_token("mona", {hosted["shop"]: "pull"})
    world.github.faults.add("GET", "/user/installations", 5, Answer(502))
    assert (await world.ask(token, SEARCH, params={"q": "orders"}))[0] == 503
