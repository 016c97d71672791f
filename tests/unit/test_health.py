"""Readiness: dependencies are asked seldom, however many ask us."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from app.core.errors import NotConfiguredError, UnavailableError
from app.web.health import FAILS_S, WORKS_S, Readiness
from app.web.keys import CHECKS, Check

AWAY = UnavailableError("asking Docker", "it does not answer")


class Dependency:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked = error, 0

    async def check(self) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return "works"


class World:
    def __init__(self, client: Any, dependency: Dependency, clock: list[float]) -> None:
        self.client, self.dependency, self.clock = client, dependency, clock

    async def ready(self) -> tuple[int, str]:
        async with self.client.get("/readyz") as response:
            return response.status, await response.text()


@pytest.fixture
async def world(aiohttp_client: Any) -> World:
    clock, dependency = [1000.0], Dependency()
    web_app = web.Application()
    checks: dict[str, Check] = {"Docker": dependency.check}
    web_app[CHECKS] = checks
    web_app.router.add_get("/readyz", Readiness(clock=lambda: clock[0]).show)
    return World(await aiohttp_client(web_app), dependency, clock)


async def test_many_who_ask_at_once_cause_one_question(world: World) -> None:
    assert set(await asyncio.gather(*(world.ready() for _ in range(50)))) == {(200, "ok: Docker: works\n")}
    world.clock[0] += WORKS_S - 1
    await world.ready()
    assert world.dependency.asked == 1
    world.clock[0] += 1
    await world.ready()
    assert world.dependency.asked == 2


async def test_a_failure_is_shown_for_a_shorter_time(world: World) -> None:
    world.dependency.error = AWAY
    assert {status for status, _ in await asyncio.gather(*(world.ready() for _ in range(50)))} == {503}
    assert world.dependency.asked == 1
    world.dependency.error = None
    world.clock[0] += FAILS_S
    assert await world.ready() == (200, "ok: Docker: works\n")


async def test_a_new_app_is_seen_at_once(world: World) -> None:
    world.dependency.error = NotConfiguredError("checking", "there is no App")
    assert (await world.ready())[0] == 503
    world.dependency.error = None
    assert (await world.ready())[0] == 200
