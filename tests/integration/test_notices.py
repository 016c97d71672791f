"""Who is told of what, on a real PostgreSQL: decided once however many processes look, and sent until it arrives or a day is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from app.errors import UnavailableError, UndeliverableError
from app.jobs import Repository
from app.notices import EVENTS, Event, Message
from app.notifier import MAX_ATTEMPTS, Notifier
from app.store import Store, wake
from app.store.pool import Database
from app.wording.notice import Links
from tests.integration.notify_world import project

SHAS = [f"{number:040x}" for number in range(1, 60)]
SECRET = "a-secret-of-the-webhook"
HOUR = timedelta(hours=1)


class Post:
    """Takes messages (`app.ports.Channel`), after it has raised what it is told to."""

    def __init__(self, *errors: Exception, takes_s: float = 0.0) -> None:
        self.errors = list(errors)
        self.takes_s = takes_s
        self.sent: list[tuple[str, Message]] = []

    async def send(self, message: Message, to: str, secret: str | None) -> None:
        assert secret == SECRET
        await asyncio.sleep(self.takes_s)
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append((to, message))

    @property
    def events(self) -> list[str]:
        return [message.event for _, message in self.sent]


def notifier(store: Store, post: Post, patience: timedelta = HOUR) -> Notifier:
    return Notifier(store, {"webhook": post, "email": post}, patience, lambda: Links("https://freshet.example", "https://github.com"))


async def told(store: Store, post: Post, patience: timedelta = HOUR) -> list[str]:
    """Judge and send all that is due, and return the events that were sent in all."""
    one = notifier(store, post, patience)
    while await one.judge_next():
        pass
    while (due := await store.notices.claim()) is not None:
        await one.send(due)
    return post.events


async def subscribe(store: Store, of: str | int, *events: Event, to: str = "https://hooks.example.com/x") -> str:
    created = await store.subscriptions.create(of, "webhook", to, events or EVENTS, SECRET)
    assert created is not None
    return created


async def test_nobody_is_told_anything_who_did_not_ask(store: Store, db: Database) -> None:
    of = await project(store)
    await of.fails(SHAS[0])
    await of.succeeds(SHAS[1])
    assert await db.value("SELECT count(*) FROM watches") == 0, "ending an extraction costs a look and no more"
    assert await store.notices.next_watch_s() is None
    assert await store.notices.next_due_s() is None


async def test_a_failure_is_told_once_and_its_end_once(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[0])
    assert await told(store, post) == []
    failed = await of.fails(SHAS[1], path="models/orders.sql", line=3)
    await told(store, post)
    await of.fails(SHAS[2], path="models/orders.sql", line=4)
    assert await told(store, post) == ["failure"]
    recovered = await of.succeeds(SHAS[3])
    await told(store, post)
    await of.succeeds(SHAS[4])
    assert await told(store, post) == ["failure", "recovery"]
    documents = [message.document for _, message in post.sent]
    assert [document["extraction"]["id"] for document in documents] == [failed, recovered]
    assert documents[1]["before"] == "failure"
    assert documents[1]["since"] == documents[0]["since"]


async def test_other_branches_tell_nothing(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[0])
    extraction_id = await store.extractions.enqueue(of.connection.id, "feature", SHAS[1], "push")
    assert await store.extractions.claim("w", HOUR) is not None
    await store.extractions.finish(extraction_id, "w", "failed", [])
    assert await told(store, post) == []


async def test_a_commit_that_waits_too_long_makes_a_stale_lineage(store: Store, db: Database) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[0])
    await of.push(SHAS[1])
    assert await told(store, post) == []
    await db.execute("UPDATE watches SET due_at = now()")
    assert await told(store, post) == []
    seconds = await store.notices.next_watch_s()
    assert seconds is not None
    assert 3500 < seconds <= 3600, "it is looked at again when the hour is over"
    await db.execute("UPDATE extractions SET created_at = created_at - interval '2 hours'")
    await db.execute("UPDATE subscriptions SET since = since - interval '1 day'")
    await db.execute("UPDATE watches SET due_at = now()")
    assert await told(store, post) == ["stale"]
    await of.push(SHAS[2])
    await db.execute("UPDATE watches SET due_at = now()")
    assert await told(store, post) == ["stale"]
    await of.succeeds(SHAS[3])
    assert await told(store, post) == ["stale", "recovery"]
    assert "is stale" in post.sent[0][1].subject
    assert "It was stale since" in post.sent[1][1].text


async def test_a_fix_is_not_late_because_the_failure_is_old(store: Store, db: Database) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await told(store, post) == ["failure"]
    await db.execute("UPDATE extractions SET created_at = created_at - interval '3 days', finished_at = finished_at - interval '3 days'")
    await of.push(SHAS[1])
    await db.execute("UPDATE watches SET due_at = now()")
    assert await told(store, post) == ["failure"]


async def test_what_was_broken_before_is_no_news_but_its_end_is(store: Store) -> None:
    of, post = await project(store), Post()
    await of.fails(SHAS[0])
    await subscribe(store, of.connection.id)
    assert await told(store, post) == []
    await of.succeeds(SHAS[1])
    assert await told(store, post) == ["recovery"]


async def test_an_installations_subscription_is_of_all_its_connections(store: Store) -> None:
    shop, bikes = await project(store), await project(store, "octo/bikes", id_=8)
    other, post = await project(store, "acme/other", id_=9, installation_id=4), Post()
    await subscribe(store, 3)
    for one in (shop, bikes, other):
        await one.fails(SHAS[0])
    assert await told(store, post) == ["failure", "failure"]
    assert {message.document["connection"]["repository"] for _, message in post.sent} == {"octo/shop", "octo/bikes"}


async def test_an_address_that_is_subscribed_to_both_is_told_once(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, 3)
    await subscribe(store, of.connection.id, "recovery")
    await of.fails(SHAS[0])
    assert await told(store, post) == [], "the connection's own subscription counts"
    await of.succeeds(SHAS[1])
    assert await told(store, post) == ["recovery"]


async def test_when_the_connections_own_subscription_ends_the_other_one_takes_over(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, 3)
    await of.fails(SHAS[0])
    assert await told(store, post) == ["failure"]
    own = await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[1])
    await told(store, post)
    await store.subscriptions.delete(own)
    post.sent.clear()
    await of.succeeds(SHAS[2])
    assert await told(store, post) == [], "what it knew is not true any more"
    await of.fails(SHAS[3])
    assert await told(store, post) == ["failure"]


async def test_what_cannot_be_seen_any_more_is_not_told(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    while await notifier(store, post).judge_next():
        pass
    await store.installations.remove_repositories(3, [7])
    assert await told(store, post) == []
    assert await store.notices.next_due_s() is None
    await store.installations.see(Repository(7, "octo/shop", 3, "main"))


async def test_a_suspended_installation_is_nobodys_trouble(store: Store, db: Database) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.push(SHAS[0])
    await db.execute("UPDATE installations SET suspended_at = now()")
    await db.execute("UPDATE watches SET due_at = now()")
    assert await told(store, post, timedelta(0)) == []


@asynccontextmanager
async def processes(dsn: str, stores: Collection[Store], post: Post) -> AsyncIterator[None]:
    """Run what a process runs, over each of the stores."""
    async with wake.listening(dsn) as waker:
        with waker.bell("freshet_notices") as judging, waker.bell("freshet_notices") as sending:
            runs = [
                run for store in stores for run in (notifier(store, post).run_judging(judging), notifier(store, post).run_sending(sending))
            ]
            tasks = [asyncio.create_task(run) for run in runs]
            try:
                yield
            finally:
                died = [task for task in tasks if task.done()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                assert not [task.exception() for task in died]


async def test_many_processes_tell_each_change_once(dsn: str, db: Database, store: Store) -> None:
    projects = [await project(store, f"octo/shop{number}", id_=number) for number in range(10, 16)]
    post = Post(takes_s=0.01)
    await subscribe(store, 3)
    await subscribe(store, 3, to="https://hooks.example.com/y")
    async with processes(dsn, [store, Store(db), Store(db)], post):
        for round_ in range(0, 6, 2):
            for one in projects:
                await one.fails(SHAS[round_], title=f"Failure {round_}")
            await settled(post, len(projects) * 2 * (round_ + 1))
            for one in projects:
                await one.succeeds(SHAS[round_ + 1])
            await settled(post, len(projects) * 2 * (round_ + 2))
        await asyncio.sleep(0.3)
    by_place: dict[tuple[str, str], list[str]] = {}
    for to, message in post.sent:
        by_place.setdefault((to, message.document["connection"]["id"]), []).append(message.event)
    assert len(by_place) == 2 * len(projects)
    assert set(map(tuple, by_place.values())) == {("failure", "recovery") * 3}
    assert len({message.id for _, message in post.sent}) == len(post.sent)


async def test_nobody_waits_in_a_circle(dsn: str, db: Database, store: Store) -> None:
    projects = [await project(store, f"octo/shop{number}", id_=number) for number in range(10, 14)]
    post, over = Post(takes_s=0.001), asyncio.Event()

    async def change(number: int) -> None:
        while not over.is_set():
            subscription_id = await subscribe(
                store, 3 if number % 2 else projects[number].connection.id, to=f"https://hooks.example.com/{number}"
            )
            kept = await store.subscriptions.get(subscription_id)
            assert kept is not None
            for paused in (True, False):
                await asyncio.sleep(0.01)
                await store.subscriptions.update(kept, events=None, paused=paused, secret=None)
            await store.subscriptions.delete(subscription_id)

    changing = [asyncio.create_task(change(number)) for number in range(4)]
    async with processes(dsn, [store, Store(db)], post):
        for round_ in range(0, 10, 2):
            for one in projects:
                await one.fails(SHAS[round_], title=f"{round_}")
            for one in projects:
                await one.succeeds(SHAS[round_ + 1])
        over.set()
        await asyncio.gather(*changing)
        assert post.sent


async def settled(post: Post, count: int) -> None:
    async with asyncio.timeout(30):
        while len(post.sent) < count:
            await asyncio.sleep(0.02)


async def test_an_end_that_comes_while_a_connection_is_judged_is_judged_too(dsn: str, store: Store) -> None:
    """Whoever ends an extraction waits for who judges, so that nobody can have looked too early."""
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    async with store.transaction() as judging:
        assert await judging.notices.claim_watch() == of.connection.id
        assert await judging.notices.head(of.connection.id) is not None
        ending = asyncio.create_task(of.fails(SHAS[1], title="Another one"))
        await asyncio.sleep(0.2)
        assert not ending.done()
        assert await store.notices.claim_watch() is None, "nobody else judges it"
        await judging.notices.watch_again(of.connection.id, None)
    await ending
    assert await told(store, post) == ["failure"]
    assert "Another one" in post.sent[0][1].text


async def test_who_judges_waits_for_nobody(store: Store) -> None:
    of = await project(store)
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    async with store.transaction() as tx:
        await tx.connections.move_head(of.connection.id, SHAS[1])
        async with asyncio.timeout(2):
            assert not await notifier(store, Post()).judge_next()


async def test_what_does_not_arrive_is_tried_again_with_the_same_id(store: Store, db: Database) -> None:
    of, post = await project(store), Post(UnavailableError("x", "hooks.example.com answered with 503"))
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await told(store, post) == []
    kept = await store.subscriptions.get(subscription_id)
    assert kept is not None
    assert kept.last is not None
    assert (kept.last.event, kept.last.outcome, kept.last.detail) == ("failure", "postponed", "hooks.example.com answered with 503.")
    first = await db.value("SELECT id::text FROM notices")
    assert 0 < (await store.notices.next_due_s() or 0) <= 1
    await db.execute("UPDATE notices SET due_at = now()")
    assert await told(store, post) == ["failure"]
    assert post.sent[0][1].id == first
    assert await outcome(store, subscription_id) == "sent"


async def outcome(store: Store, subscription_id: str) -> str | None:
    kept = await store.subscriptions.get(subscription_id)
    return kept.last.outcome if kept and kept.last else None


async def test_after_a_day_it_is_given_up(store: Store, db: Database) -> None:
    of, post = await project(store), Post(*[UnavailableError("x", "no")] * MAX_ATTEMPTS)
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    await told(store, post)
    waited = 0.0
    while (seconds := await store.notices.next_due_s()) is not None:
        waited += seconds
        await db.execute("UPDATE notices SET due_at = now()")
        await told(store, post)
    assert await outcome(store, subscription_id) == "given_up"
    assert 20 < waited / 3600 < 30


async def test_what_is_not_true_any_more_is_not_sent(store: Store) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await told(store, post) == []
    await of.succeeds(SHAS[1])
    assert await told(store, post) == ["recovery"]
    assert await store.notices.next_due_s() is None


async def test_what_is_overtaken_while_it_is_sent_is_not_tried_again(store: Store) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    one = notifier(store, post)
    await one.judge_next()
    under_way = await store.notices.claim()
    assert under_way is not None
    await of.succeeds(SHAS[1])
    await one.judge_next()
    await one.send(under_way)
    assert await told(store, post) == ["recovery"]
    assert await store.notices.next_due_s() is None


async def test_who_is_gone_is_paused_and_hears_of_what_comes_after_it_is_resumed(store: Store) -> None:
    of, post = await project(store), Post(UndeliverableError("x", "hooks.example.com answered with 410", gone=True))
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await told(store, post) == []
    kept = await store.subscriptions.get(subscription_id)
    assert kept is not None
    assert kept.paused
    await of.succeeds(SHAS[1])
    assert await told(store, post) == []
    await store.subscriptions.update(kept, events=None, paused=False, secret=None)
    assert await told(store, post) == [], "what ended meanwhile is no news"
    await of.fails(SHAS[2])
    assert await told(store, post) == ["failure"]


async def test_a_mistake_of_ours_stops_nobody_elses_messages(store: Store) -> None:
    of, post = await project(store), Post(ZeroDivisionError("ours"))
    await subscribe(store, of.connection.id)
    await subscribe(store, of.connection.id, to="https://hooks.example.com/y")
    await of.fails(SHAS[0])
    assert await told(store, post) == ["failure"]


async def test_what_a_process_was_sending_when_it_stopped_is_sent_by_the_next_one(dsn: str, store: Store) -> None:
    of, slow, post = await project(store), Post(takes_s=30), Post()
    await subscribe(store, of.connection.id)
    async with processes(dsn, [store], slow):
        await of.fails(SHAS[0])
        async with asyncio.timeout(10):
            while await store.notices.next_due_s() is None:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
    assert await told(store, post) == ["failure"]


async def test_a_subscription_that_is_ended_takes_its_messages_along(store: Store, db: Database) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    await told(store, post)
    await store.subscriptions.delete(subscription_id)
    assert await db.value("SELECT (SELECT count(*) FROM notices) + (SELECT count(*) FROM told)") == 0


async def test_history_and_connections_go_with_all_that_was_told_of_them(store: Store, db: Database) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    await subscribe(store, of.connection.id)
    await subscribe(store, 3, to="https://hooks.example.com/y")
    await of.fails(SHAS[0])
    await told(store, post)
    await store.installations.uninstall(3)
    await store.history.purge(timedelta(0))
    await store.installations.purge(timedelta(0))
    assert await db.value("SELECT (SELECT count(*) FROM notices) + (SELECT count(*) FROM told) + (SELECT count(*) FROM subscriptions)") == 0


@pytest.mark.parametrize("events", [("failure",), ("recovery",), ("stale",)])
async def test_only_what_was_asked_for_is_told(store: Store, events: Any) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id, *events)
    await of.fails(SHAS[0])
    await told(store, post)
    await of.succeeds(SHAS[1])
    assert set(await told(store, post)) <= set(events)
