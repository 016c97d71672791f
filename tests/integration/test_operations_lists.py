"""What the figures of `/operations` are made of: lists with bounded pages, whatever is in them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
import pytest_asyncio

from app.core import metrics
from app.core.models.github import Repository
from app.core.models.sessions import GitHubUser
from app.store import Store
from app.store.operations import EndedFigures, Spender, Tally
from app.web.pages import service_figures
from app.web.pages.service_figures import DiskFigures
from tests.integration.page_world import World, running
from tests.integration.test_operations import OPERATOR

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe"
HUGE = (1 << 62) - 1
MANY = 250


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as world:
        yield world


def rows(text: str) -> int:
    return text.count('<th scope="row">')


async def walk(world: World, path: str) -> list[int]:
    """The numbers of rows of all pages of a list, by its links."""
    browser, found, target = await world.browser(OPERATOR), [], path
    while target:
        page = await world.open(browser, target)
        found.append(rows(page.text))
        onwards = re.search(r'<a rel="next" href="([^"]+)"', page.text)
        target = f"{path.partition('?')[0]}{unescape(onwards[1])}" if onwards else ""
    return found


async def test_check_runs_to_send_are_those_that_are_counted(world: World) -> None:
    for number in range(MANY - 1):
        await world.store.extractions.enqueue(world.connection_id, f"branch-{number}", f"{number:040x}", "push")
    assert (await world.store.statistics.backlog()).check_runs_due == MANY
    assert await walk(world, "/operations/check-runs") == [100, 100, 50]
    page = await world.open(await world.browser(OPERATOR), "/operations")
    assert f'<a href="/operations/check-runs">{MANY}</a>' in page.text
    listed = await world.open(await world.browser(OPERATOR), "/operations/check-runs")
    assert "aaaaaaa" in listed.text, "the oldest first"
    assert "not created yet" in listed.text


async def test_a_check_run_that_could_not_be_sent_says_why(world: World) -> None:
    due = await world.store.check_runs.claim(timedelta(minutes=1))
    assert due is not None
    browser = await world.browser(OPERATOR)
    assert "is being sent" in (await world.open(browser, "/operations/check-runs")).text
    await world.store.check_runs.abandon(due, f"not sent: GitHub refused `x` {HOSTILE}")
    assert rows((await world.open(browser, "/operations/check-runs")).text) == 0
    page = await world.open(browser, "/operations/check-runs?state=unsent")
    assert "GitHub refused <code>x</code> &lt;img" in page.text
    assert '/operations/check-runs?state=unsent">1</a>' in (await world.open(browser, "/operations")).text


async def test_people_are_those_who_were_here_lately(world: World) -> None:
    for number in range(MANY):
        for session in range(1 + number % 2):
            digest = f"{number:030}{session:02}".encode()
            await world.store.sessions.create(digest, GitHubUser(1000 + number, f"p{number}"), b"", None, timedelta(hours=1))
    await world.age(used_at=timedelta(hours=2))
    await world.store._db.execute("UPDATE sessions SET used_at = used_at - interval '23 hours' WHERE login = 'p7'")
    assert await walk(world, "/operations/sessions") == [100, 100, 50], "249 and the operator"
    page = await world.open(await world.browser(OPERATOR), "/operations/sessions")
    assert page.text.index(">root<") < page.text.index(">p249<") < page.text.index(">p200<")
    assert ">p7<" not in page.text


async def test_names_of_strangers_are_text_in_every_list(world: World) -> None:
    connection = await world.store.connections.get(world.connection_id)
    assert connection is not None
    hostile = Repository(99, f"octo/{HOSTILE}", connection.repository.installation_id, HOSTILE)
    await world.store.installations.update_from_push(hostile)
    made = await world.store.connections.create(99, HOSTILE)
    await world.store.extractions.enqueue(made.id, HOSTILE * 20, "b" * 40, "push")
    await world.store.deliveries.claim_redelivery(HOSTILE)
    await world.store.sessions.create(b"x" * 32, GitHubUser(5, HOSTILE), b"", None, timedelta(hours=1))
    browser = await world.browser(OPERATOR)
    for path in ("", "/extractions?status=queued", "/deliveries", "/check-runs", "/sessions"):
        page = await world.open(browser, f"/operations{path}")
        assert "<img" not in page.text, path
        assert "\u202e" not in page.text, path
        assert not path or "&lt;img" in page.text, path


async def test_an_empty_service_has_every_list(world: World) -> None:
    await world.store._db.execute("TRUNCATE installations, repositories, connections, extractions, check_runs CASCADE")
    browser = await world.browser(OPERATOR)
    page = await world.open(browser, "/operations")
    assert "No extraction ended in the last week" in page.text
    for path in ("extractions", "deliveries", "check-runs", "check-runs?state=unsent"):
        assert "There is none" in (await world.open(browser, f"/operations/{path}")).text, path


async def test_every_figure_leads_to_its_parts(world: World) -> None:
    metrics.CACHE_BYTES.labels("git-packages").set(5)
    browser = await world.browser(OPERATOR)
    page = await world.open(browser, "/operations")
    figures = re.findall(r'<dt>([^<]+)</dt>\s*<dd><span class="value">(<a href="([^"]+)">)?', page.text)
    assert len(figures) >= 11
    for name, link, target in figures:
        assert link, name
        if target.startswith("#"):
            assert f'id="{target[1:]}"' in page.text, name
        elif target != "/metrics":
            await world.open(browser, unescape(target))
    for part in ("git-packages", "everything else", "lineages", "ready for a job"):
        assert part in page.text, part


async def test_huge_numbers_are_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    source = world.replicas[0].web_app[service_figures.FIGURES]
    found = await source.get()
    huge = replace(
        found,
        backlog=replace(
            found.backlog, queued=HUGE, running=HUGE, check_runs_due=HUGE, check_runs_unsent=HUGE, queued_s=1e12, check_runs_due_s=1e12
        ),
        ended=EndedFigures(
            found.at, [Tally("failed", HUGE, HUGE)], [Tally(HOSTILE, HUGE, HUGE, "failure")], [], [Spender("x", HOSTILE, 1e15, HUGE)], []
        ),
        disk=DiskFigures(0, HUGE, {"git": HUGE}),
        database=replace(found.database, size_bytes=HUGE),
    )

    async def get() -> object:
        return huge

    monkeypatch.setattr(source, "get", get)
    page = await world.open(await world.browser(OPERATOR), "/operations")
    assert f"{HUGE:,}" in page.text
    assert "<img" not in page.text


@pytest.mark.parametrize("path", ["check-runs?page=0", "check-runs?page=101", "check-runs?state=lost", "sessions?page=x", "sessions?q=a"])
async def test_lists_refuse_what_they_do_not_know(world: World, path: str) -> None:
    assert (await (await world.browser(OPERATOR)).open(f"/operations/{path}")).status == 400
