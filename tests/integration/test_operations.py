"""`/operations`: who may see the whole service, and what they see of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.core import metrics
from app.core.errors import EngineUnavailableError
from app.core.models.extractions import Facts, Problem, Usage
from app.store import Store
from app.web import keys
from app.web.auth import sessions
from app.web.pages import service_figures
from tests.html_forms import Browser, Page, browsing
from tests.integration.page_world import READ, SERVICE, STRANGER, WRITE, World, running
from tests.integration.test_store import LEASE

LISTS = ("extractions", "deliveries", "check-runs", "sessions")
PATHS = ("/operations", "/operations/figures", *(f"/operations/{name}" for name in LISTS))
OPERATOR, MEMBER, INVITED = "root", "ada", "bob"
TEAM = "octo/platform"
FAILED = Problem("`ref()` points to a model that does not exist", "…")


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as world:
        yield world


async def statuses(browser: Browser, **headers: str) -> set[int]:
    return {(await browser.open(path, follow=False, **headers)).status for path in PATHS}


def give_permission(world: World, level: str | None = "read") -> None:
    """The organization accepts that the App may read its members, or not any more."""
    [installed] = world.github.state.installations.values()
    installed.permissions.pop("members", None)
    if level:
        installed.permissions["members"] = level


async def test_operators_and_service_tokens_see_the_service_and_others_find_nothing(world: World) -> None:
    for login, expected in ((OPERATOR, 200), (STRANGER, 404), (READ, 404), (WRITE, 404)):
        assert await statuses(await world.browser(login)) == {expected}, login
    nobody = await world.browser()
    assert await statuses(nobody) == {302}
    assert await statuses(nobody, Accept="application/json") == {401}
    assert await statuses(nobody, Authorization=f"Bearer {SERVICE}") == {200}
    token = world.github.user_token(OPERATOR, {world.hosted: "push"})
    assert await statuses(nobody, Authorization=f"Bearer {token}") == {404}, "a program with an operator's token is not the operator"


async def test_a_page_for_operators_looks_to_others_like_one_that_does_not_exist(world: World) -> None:
    browser = await world.browser(READ)
    assert "octo" not in (await world.open(browser, "/operations", 404)).text
    assert "Operations" not in (await world.open(browser, "/")).text.partition("<main")[0]
    assert "Operations" in (await world.open(await world.browser(OPERATOR), "/")).text.partition("<main")[0]


async def test_members_of_a_team_are_operators(world: World) -> None:
    give_permission(world)
    world.github.put_into_team(TEAM, MEMBER)
    world.github.put_into_team(TEAM, INVITED, "pending")
    assert await statuses(await world.browser(MEMBER)) == {200}
    assert await statuses(await world.browser(INVITED)) == {404}, "who has not accepted is no member"
    assert await statuses(await world.browser(READ)) == {404}


async def test_who_is_in_a_team_is_asked_once_for_many_pages(world: World) -> None:
    give_permission(world)
    world.github.put_into_team(TEAM, MEMBER)
    browser = await world.browser(MEMBER)
    for _ in range(3):
        await statuses(browser)
    asked = [one for one in world.github.state.requests if "/memberships/" in one.path]
    assert [one.path for one in asked] == [f"/orgs/octo/teams/platform/memberships/{MEMBER}"]


def header(page: Page) -> str:
    return page.text.partition("<main")[0]


def asked(world: World) -> int:
    return sum("/memberships/" in one.path for one in world.github.state.requests)


async def test_members_of_a_team_find_the_link_and_github_is_asked_once_a_session(store: Store, dsn: str) -> None:
    async with running(store, dsn, replicas=2) as world:
        give_permission(world)
        world.github.put_into_team(TEAM, MEMBER)
        world.github.sign_in(MEMBER, {})
        browser, reader = await world.browser(MEMBER), await world.browser(READ)
        for one, expected in ((browser, True), (reader, False)):
            assert ("Operations" in header(await world.open(one, "/"))) == expected
        before = asked(world)
        second = await world.stack.enter_async_context(browsing(world.replicas[1].url))
        for path in ("/", "/search", "/docs"):
            second.set_cookie("freshet", browser.cookies()["freshet"])
            assert "Operations" in header(await world.open(second, path))
        assert asked(world) == before, "the session remembers it, in all processes"
        await world.store._db.execute("UPDATE sessions SET operator_asked_at = operator_asked_at - interval '1 hour'")
        world.github.state.teams.clear()
        assert "Operations" not in header(await world.open(second, "/")), "for a while"


async def test_a_link_waits_for_github_only_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    give_permission(world)
    world.github.put_into_team(TEAM, MEMBER)
    monkeypatch.setattr(sessions, "OPERATOR_S", 0.0)
    browser = await world.browser(MEMBER)
    assert "Operations" not in header(await world.open(browser, "/"))
    assert "Operations" in header(await world.open(browser, "/operations")), "the page itself waits"
    assert "Operations" in header(await world.open(browser, "/")), "and then the link is there"


async def test_where_nobody_is_named_by_team_nothing_is_asked_or_written(world: World) -> None:
    operators: Any = world.replicas[0].web_app[keys.OPERATORS]
    operators._teams.clear()
    await world.open(await world.browser(READ), "/")
    assert asked(world) == 0
    assert await world.store._db.value("SELECT count(operator_asked_at) FROM sessions") == 0


async def test_where_github_does_not_say_who_is_in_a_team_nobody_is(world: World) -> None:
    world.github.put_into_team(TEAM, MEMBER)
    give_permission(world, None)
    assert await statuses(await world.browser(MEMBER)) == {404}
    assert await statuses(await world.browser(OPERATOR)) == {200}


async def test_where_github_is_away_people_who_are_named_still_see_the_service(world: World) -> None:
    give_permission(world)
    world.github.put_into_team(TEAM, MEMBER)
    member, named = await world.browser(MEMBER), await world.browser(OPERATOR)
    await world.open(named, "/operations")
    operators: Any = world.replicas[0].web_app[keys.OPERATORS]
    operators._answers.forget()
    operators._api.point_at("http://127.0.0.1:1")
    assert await statuses(named) == {200}
    assert await statuses(member) == {404}


async def test_pages_that_are_open_show_the_service(store: Store, dsn: str) -> None:
    async with running(store, dsn, with_client=False) as world:
        browser = await world.browser()
        assert await statuses(browser) == {200}
        assert (await browser.open("/operations", Host="evil.example")).status == 403
        world.replicas[0].web_app._state[keys.OPEN_PAGES] = False
        assert await statuses(browser) == {403}


async def failed(world: World, sha: str, problem: Problem) -> None:
    await world.store.extractions.enqueue(world.connection_id, "main", sha, "push")
    claimed = await world.store.extractions.claim("w", LEASE)
    assert claimed is not None
    await world.store.extractions.finish(claimed.id, "w", "failed", [], problem=problem, facts=Facts(usage=Usage(2, 90.0)))


async def test_each_number_leads_to_what_it_counts(world: World) -> None:
    await failed(world, "b" * 40, FAILED)
    await failed(world, "c" * 40, FAILED)
    await world.store.extractions.enqueue(world.connection_id, "main", "d" * 40, "push")
    await world.store.deliveries.claim_redelivery("5a1f")
    browser = await world.browser(OPERATOR)
    page = await world.open(browser, "/operations")
    assert "points to a model that does not exist" in page.text
    assert "octo/shop" in page.text
    links = set(re.findall(r'href="(/operations/extractions\?[^"]+)"', page.text))
    assert any("cause=" in one for one in links)
    for link in links:
        listed = await world.open(browser, link.replace("&amp;", "&"))
        number = {"queued": 1, "running": 0, "failed": 2}.get(re.findall(r"status=(\w+)", link + "status=none")[0])
        assert number is None or listed.text.count('<th scope="row">') == number, link
    queued = await world.open(browser, "/operations/extractions?status=queued")
    assert "ddddddd" in queued.text
    ended = await world.open(browser, f"/operations/extractions?connection={world.connection_id}")
    assert "3 min 0 s" in page.text, "what dbt needed"
    assert ended.text.count('<th scope="row">') == 3, "with the one that was superseded"
    assert "5a1f" in (await world.open(browser, "/operations/deliveries")).text


@pytest.mark.parametrize(
    "query",
    ["status=lost", "days=0", "days=8", "page=0", "page=99999", "connection=1", "installation=x", "cause=", "cause=%00", "colour=red"],
)
async def test_lists_refuse_what_they_do_not_know(world: World, query: str) -> None:
    page = await (await world.browser(OPERATOR)).open(f"/operations/extractions?{query}")
    assert (page.status, query.partition("=")[0] in page.text) == (400, True)


async def test_names_of_strangers_are_text(world: World) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    await failed(world, "b" * 40, Problem(hostile, hostile))
    browser = await world.browser(OPERATOR)
    for path in ("/operations", "/operations/extractions"):
        assert "<img" not in (await world.open(browser, path)).text


async def test_an_engine_that_is_away_is_said_and_hides_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise EngineUnavailableError("listing the runner images", "Docker is not running")

    monkeypatch.setattr(world.replicas[0].web_app[keys.RUNNER], "images", away)
    page = await world.open(await world.browser(OPERATOR), "/operations")
    assert "Docker is not running" in page.text
    assert "PostgreSQL" in page.text


async def test_partial_parses_that_proved_wrong_are_counted(world: World) -> None:
    browser = await world.browser(OPERATOR)
    metrics.VERIFICATIONS.labels("same").inc()
    metrics.VERIFICATIONS.labels("different").inc()
    page = await world.open(browser, "/operations")
    assert re.search(r"Partial parses checked.*?differed from a full parse", page.text, re.DOTALL)


async def test_many_who_look_cost_one_reading(world: World) -> None:
    browser = await world.browser(OPERATOR)
    began = time.monotonic()
    await world.open(browser, "/operations")
    reads = Counter[str]()
    rows = world.store.operations._db.row

    async def counted(statement: str, *args: object) -> object:
        reads[statement] += "extractions" in statement
        return await rows(statement, *args)

    world.store.operations._db.row = counted  # type: ignore[method-assign, assignment]
    for _ in range(5):
        await world.open(browser, "/operations/figures")
    lifetimes = int((time.monotonic() - began) / service_figures.NOW_S)
    assert max(reads.values(), default=0) <= lifetimes, "one for each lifetime, none on a machine that is quick"
