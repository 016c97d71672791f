"""Rate limits and their headers."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from app.store import Store
from app.web.auth.rate_limits import address_of
from tests.double import Answer
from tests.integration.access_world import CONNECTIONS, SERVICE, running


async def test_every_authenticated_response_has_rate_limit_headers(store: Store) -> None:
    async with running(store, per_minute=3) as world:
        shop = await world.create("octo/shop")
        token = world.github.classic_token("mona", {shop: "pull"})
        path = f"{CONNECTIONS}/{world.connections['octo/shop']}"
        answers = [await world.ask(token, asked) for asked in (path, CONNECTIONS, f"{CONNECTIONS}/nothing", path)]
        assert [status for status, _, _ in answers] == [200, 200, 404, 429]
        assert [headers["X-RateLimit-Remaining"] for _, _, headers in answers] == ["2", "1", "0", "0"]
        assert {headers["X-RateLimit-Limit"] for _, _, headers in answers} == {"3"}
        [resets_at] = {int(headers["X-RateLimit-Reset"]) for _, _, headers in answers}
        assert 0 <= resets_at - time.time() <= 61
        world.clock[0] += 40
        _, problem, headers = await world.ask(token, path)
        assert problem["detail"] == "The limit is 3 requests per minute: try again in 20 s."
        assert (headers["Retry-After"], headers["RateLimit"], headers["RateLimit-Policy"]) == (
            "20",
            '"default";r=0;t=20',
            '"default";q=3;w=60',
        )
        world.clock[0] += 20
        assert (await world.ask(token, path))[0] == 200


async def test_callers_are_counted_separately(store: Store) -> None:
    async with running(store, per_minute=2) as world:
        shop = await world.create("octo/shop")
        tokens = [
            world.github.user_token("mona", {shop: "pull"}),
            world.github.classic_token("mona", {shop: "pull"}),
            world.github.actions_token(shop, {"contents": "read"}),
        ]
        for token in tokens:
            assert [await world.read(token) for _ in range(3)] == [200, 200, 429]
        assert await world.read(None) == 401


async def test_a_service_token_has_a_higher_limit(store: Store) -> None:
    async with running(store, per_minute=2) as world:
        await world.create("octo/shop")
        statuses = [await world.read(SERVICE) for _ in range(201)]
        assert statuses == [200] * 200 + [429]


async def test_streams_have_rate_limit_headers_and_open_paths_do_not(store: Store) -> None:
    async with running(store, per_minute=9) as world:
        await world.create("octo/shop")
        await world.store.extractions.enqueue(world.connections["octo/shop"], "main", "1" * 40, "push")
        path = f"{CONNECTIONS}/{world.connections['octo/shop']}/progress"
        headers = {"Authorization": f"Bearer {SERVICE}"}
        async with world.client.get(path, headers=headers) as response:
            assert response.headers["X-RateLimit-Remaining"] == "899"
        for open_ in ("/livez", "/openapi.json"):
            async with world.client.get(open_) as response:
                assert "X-RateLimit-Limit" not in response.headers


async def test_guessed_tokens_are_limited_before_github_is_asked(store: Store) -> None:
    async with running(store, per_minute=5) as world:
        shop = await world.create("octo/shop")
        known = world.github.classic_token("mona", {shop: "pull"})
        assert await world.read(known) == 200
        guesses = [await world.read(f"ghp_{number}") for number in range(8)]
        assert guesses == [401] * 5 + [429] * 3
        asked = len(world.github.requests)
        assert await world.read(None) == 429
        assert await world.read("ghp_another") == 429
        assert len(world.github.requests) == asked
        assert await world.read(known) == 200
        world.clock[0] += 60
        assert await world.read("ghp_another") == 401
        assert await world.read(known) == 200


async def test_guesses_at_the_same_time_are_limited_before_github_is_asked(store: Store) -> None:
    async with running(store, per_minute=20) as world:
        shop = await world.create("octo/shop")
        known = world.github.classic_token("mona", {shop: "pull"})
        assert await world.read(known) == 200
        asked = len(world.github.requests)
        statuses = await asyncio.gather(*(world.read(f"ghp_{number}") for number in range(100)))
        assert (statuses.count(401), statuses.count(429)) == (20, 80)
        assert len(world.github.requests) - asked == 20
        assert await world.read(known) == 200


async def test_tokens_that_turn_out_to_be_valid_do_not_use_up_their_address(store: Store) -> None:
    async with running(store, per_minute=3) as world:
        shop = await world.create("octo/shop")
        for number in range(9):
            assert await world.read(world.github.classic_token(f"user{number}", {shop: "pull"})) == 200


async def test_calls_during_an_outage_of_github_count_too(store: Store) -> None:
    async with running(store, per_minute=3) as world:
        shop = await world.create("octo/shop")
        known = world.github.classic_token("mona", {shop: "pull"})
        assert await world.read(known) == 200
        world.viewers.forget()
        world.github.faults.add("GET", "/rate_limit", 1000, Answer(502))
        assert [await world.read(known) for _ in range(3)] == [503, 503, 429]
        assert [await world.read(f"ghp_{number}") for number in range(4)] == [503, 503, 503, 429]


async def test_concurrent_requests_are_all_counted(store: Store) -> None:
    async with running(store, per_minute=10) as world:
        token = world.github.classic_token("mona", {await world.create("octo/shop"): "pull"})
        statuses = await asyncio.gather(*(world.read(token) for _ in range(30)))
        assert (statuses.count(200), statuses.count(429)) == (10, 20)


async def test_without_a_limit_there_are_no_headers(store: Store) -> None:
    async with running(store, per_minute=0) as world:
        _, _, headers = await world.ask(SERVICE, CONNECTIONS)
        assert not [name for name in headers if "ratelimit" in name.lower()]


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_the_address_is_the_peer_regardless_of_headers(peer: str, counted: str) -> None:
    request: web.Request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "198.51.100.1"})
    assert address_of(request.clone(remote=peer)) == counted
