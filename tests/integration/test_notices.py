"""Notifications on a real PostgreSQL: each change is decided once in any number of processes, and retried for a day until it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from app.core.errors import UnavailableError, UndeliverableError
from app.core.models.github import Repository
from app.core.models.notifications import EVENTS, Event, Message
from app.notifications.dispatcher import Dispatcher
from app.notifications.messages import MessageLinks
from app.pipeline import leases
from app.store import Store, listen
from app.store.pool import Database
from tests.integration.notify_world import project
from tests.patience import HANGS_S

SHAS = [f"{number:040x}" for number in range(1, 60)]
SECRET = "a-secret-of-the-webhook"
HOUR = timedelta(hours=1)


class Post:
    """A channel (`notifications.ports.Channel`) that raises the given errors first, then collects messages."""

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


def dispatcher(store: Store, post: Post, stale_after: timedelta = HOUR) -> Dispatcher:
    return Dispatcher(
        store, {"webhook": post, "email": post}, stale_after, lambda: MessageLinks("https://freshet.example", "https://github.com")
    )


async def sent_events(store: Store, post: Post, stale_after: timedelta = HOUR) -> list[str]:
    """Evaluate and send everything that is due; all events that were sent so far."""
    one = dispatcher(store, post, stale_after)
    while await one.evaluate_next():
        pass
    while (due := await store.notifications.claim(leases.MESSAGE_LEASE)) is not None:
        await one.send(due)
    return post.events


async def subscribe(store: Store, of: str | int, *events: Event, to: str = "https://hooks.example.com/x") -> str:
    created = await store.subscriptions.create(of, "webhook", to, events or EVENTS, SECRET)
    assert created is not None
    return created


async def test_without_a_subscription_nothing_is_watched_or_sent(store: Store, db: Database) -> None:
    of = await project(store)
    await of.fails(SHAS[0])
    await of.succeeds(SHAS[1])
    assert await db.value("SELECT count(*) FROM watches") == 0, "without subscriptions, no connection is watched"
    assert await store.notifications.seconds_until_watch() is None
    assert await store.notifications.seconds_until_due() is None


async def test_a_failure_and_its_recovery_are_each_sent_once(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[0])
    assert await sent_events(store, post) == []
    failed = await of.fails(SHAS[1], path="models/orders.sql", line=3)
    await sent_events(store, post)
    await of.fails(SHAS[2], path="models/orders.sql", line=4)
    assert await sent_events(store, post) == ["failure"]
    recovered = await of.succeeds(SHAS[3])
    await sent_events(store, post)
    await of.succeeds(SHAS[4])
    assert await sent_events(store, post) == ["failure", "recovery"]
    documents = [message.document for _, message in post.sent]
    assert [document["extraction"]["id"] for document in documents] == [failed, recovered]
    assert documents[1]["before"] == "failure"
    assert documents[1]["since"] == documents[0]["since"]


async def test_other_branches_send_nothing(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[0])
    extraction_id = await store.extractions.enqueue(of.connection.id, "feature", SHAS[1], "push")
    assert await store.extractions.claim("w", HOUR) is not None
    await store.extractions.finish(extraction_id, "w", "failed", [])
    assert await sent_events(store, post) == []


async def test_a_commit_that_waits_too_long_is_sent_as_stale(store: Store, db: Database) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[0])
    await of.push(SHAS[1])
    assert await sent_events(store, post) == []
    await db.execute("UPDATE watches SET due_at = now()")
    assert await sent_events(store, post) == []
    seconds = await store.notifications.seconds_until_watch()
    assert seconds is not None
    assert 3500 < seconds <= 3600, "it is evaluated again after an hour"
    await db.execute("UPDATE extractions SET created_at = created_at - interval '2 hours'")
    await db.execute("UPDATE subscriptions SET since = since - interval '1 day'")
    await db.execute("UPDATE watches SET due_at = now()")
    assert await sent_events(store, post) == ["stale"]
    await of.push(SHAS[2])
    await db.execute("UPDATE watches SET due_at = now()")
    assert await sent_events(store, post) == ["stale"]
    await of.succeeds(SHAS[3])
    assert await sent_events(store, post) == ["stale", "recovery"]
    assert "is stale" in post.sent[0][1].subject
    assert "It had been stale since" in post.sent[1][1].text


async def test_the_wait_of_a_fix_starts_when_it_was_pushed(store: Store, db: Database) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await sent_events(store, post) == ["failure"]
    await db.execute("UPDATE extractions SET created_at = created_at - interval '3 days', finished_at = finished_at - interval '3 days'")
    await of.push(SHAS[1])
    await db.execute("UPDATE watches SET due_at = now()")
    assert await sent_events(store, post) == ["failure"]


async def test_a_problem_before_the_subscription_is_not_sent_but_its_recovery_is(store: Store) -> None:
    of, post = await project(store), Post()
    await of.fails(SHAS[0])
    await subscribe(store, of.connection.id)
    assert await sent_events(store, post) == []
    await of.succeeds(SHAS[1])
    assert await sent_events(store, post) == ["recovery"]


async def test_a_subscription_of_an_installation_covers_all_its_connections(store: Store) -> None:
    shop, bikes = await project(store), await project(store, "octo/bikes", id_=8)
    other, post = await project(store, "acme/other", id_=9, installation_id=4), Post()
    await subscribe(store, 3)
    for one in (shop, bikes, other):
        await one.fails(SHAS[0])
    assert await sent_events(store, post) == ["failure", "failure"]
    assert {message.document["connection"]["repository"] for _, message in post.sent} == {"octo/shop", "octo/bikes"}


async def test_an_address_with_both_subscriptions_gets_one_message(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, 3)
    await subscribe(store, of.connection.id, "recovery")
    await of.fails(SHAS[0])
    assert await sent_events(store, post) == [], "the connection's own subscription counts"
    await of.succeeds(SHAS[1])
    assert await sent_events(store, post) == ["recovery"]


async def test_the_installations_subscription_takes_over_when_the_connections_own_is_deleted(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, 3)
    await of.fails(SHAS[0])
    assert await sent_events(store, post) == ["failure"]
    own = await subscribe(store, of.connection.id)
    await of.succeeds(SHAS[1])
    await sent_events(store, post)
    await store.subscriptions.delete(own)
    post.sent.clear()
    await of.succeeds(SHAS[2])
    assert await sent_events(store, post) == [], "what it had reported is outdated"
    await of.fails(SHAS[3])
    assert await sent_events(store, post) == ["failure"]


async def test_nothing_is_sent_about_a_hidden_repository(store: Store) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    while await dispatcher(store, post).evaluate_next():
        pass
    await store.installations.remove_repositories(3, [7])
    assert await sent_events(store, post) == []
    assert await store.notifications.seconds_until_due() is None
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))


async def test_a_suspended_installation_is_not_reported(store: Store, db: Database) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.push(SHAS[0])
    await db.execute("UPDATE installations SET suspended_at = now()")
    await db.execute("UPDATE watches SET due_at = now()")
    assert await sent_events(store, post, timedelta(0)) == []


@asynccontextmanager
async def processes(dsn: str, stores: Collection[Store], post: Post) -> AsyncIterator[None]:
    """Run the tasks of one process for each of the stores."""
    async with listen.listening(dsn) as listener:
        with listener.wakeup("freshet_notices") as evaluating, listener.wakeup("freshet_notices") as sending:
            runs = [
                run
                for store in stores
                for run in (dispatcher(store, post).run_evaluation(evaluating), dispatcher(store, post).run_sending(sending))
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


async def test_many_processes_send_each_change_once(dsn: str, db: Database, store: Store) -> None:
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


async def test_concurrent_changes_of_subscriptions_do_not_deadlock(dsn: str, db: Database, store: Store) -> None:
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
    async with asyncio.timeout(HANGS_S):
        while len(post.sent) < count:
            await asyncio.sleep(0.02)


async def test_an_extraction_that_ends_during_an_evaluation_is_evaluated_too(dsn: str, store: Store) -> None:
    """Ending an extraction waits for a running evaluation, so no evaluation misses it."""
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    async with store.transaction() as evaluating:
        assert await evaluating.notifications.claim_watch() == of.connection.id
        assert await evaluating.notifications.head_state(of.connection.id) is not None
        ending = asyncio.create_task(of.fails(SHAS[1], title="Another one"))
        await asyncio.sleep(0.2)
        assert not ending.done()
        assert await store.notifications.claim_watch() is None, "no other task evaluates it"
        await evaluating.notifications.reschedule_watch(of.connection.id, None)
    await ending
    assert await sent_events(store, post) == ["failure"]
    assert "Another one" in post.sent[0][1].text


async def test_an_evaluation_does_not_wait_for_locked_connections(store: Store) -> None:
    of = await project(store)
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    async with store.transaction() as tx:
        await tx.connections.move_head(of.connection.id, SHAS[1])
        async with asyncio.timeout(HANGS_S):
            assert not await dispatcher(store, Post()).evaluate_next()


async def test_a_failed_message_is_retried_with_the_same_id(store: Store, db: Database) -> None:
    of, post = await project(store), Post(UnavailableError("x", "hooks.example.com answered with 503"))
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await sent_events(store, post) == []
    kept = await store.subscriptions.get(subscription_id)
    assert kept is not None
    assert kept.last is not None
    assert (kept.last.event, kept.last.outcome, kept.last.detail) == ("failure", "postponed", "hooks.example.com answered with 503.")
    first = await db.value("SELECT id::text FROM notices")
    assert 0 < (await store.notifications.seconds_until_due() or 0) <= 1
    await db.execute("UPDATE notices SET due_at = now()")
    assert await sent_events(store, post) == ["failure"]
    assert post.sent[0][1].id == first
    assert await outcome(store, subscription_id) == "sent"


async def outcome(store: Store, subscription_id: str) -> str | None:
    kept = await store.subscriptions.get(subscription_id)
    return kept.last.outcome if kept and kept.last else None


async def test_a_message_is_given_up_after_a_day(store: Store, db: Database) -> None:
    of, post = await project(store), Post(*[UnavailableError("x", "no")] * leases.MESSAGE_ATTEMPTS)
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    await sent_events(store, post)
    waited = 0.0
    while (seconds := await store.notifications.seconds_until_due()) is not None:
        waited += seconds
        await db.execute("UPDATE notices SET due_at = now()")
        await sent_events(store, post)
    assert await outcome(store, subscription_id) == "given_up"
    assert 20 < waited / 3600 < 30


async def test_an_outdated_message_is_not_sent(store: Store) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await sent_events(store, post) == []
    await of.succeeds(SHAS[1])
    assert await sent_events(store, post) == ["recovery"]
    assert await store.notifications.seconds_until_due() is None


async def test_a_message_that_becomes_outdated_while_sending_is_not_retried(store: Store) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    one = dispatcher(store, post)
    await one.evaluate_next()
    under_way = await store.notifications.claim(leases.MESSAGE_LEASE)
    assert under_way is not None
    await of.succeeds(SHAS[1])
    await one.evaluate_next()
    await one.send(under_way)
    assert await sent_events(store, post) == ["recovery"]
    assert await store.notifications.seconds_until_due() is None


async def test_a_webhook_that_answers_410_is_paused_until_it_is_resumed(store: Store) -> None:
    of, post = await project(store), Post(UndeliverableError("x", "hooks.example.com answered with 410", gone=True))
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    assert await sent_events(store, post) == []
    kept = await store.subscriptions.get(subscription_id)
    assert kept is not None
    assert kept.paused
    await of.succeeds(SHAS[1])
    assert await sent_events(store, post) == []
    await store.subscriptions.update(kept, events=None, paused=False, secret=None)
    assert await sent_events(store, post) == [], "a recovery while paused is not reported"
    await of.fails(SHAS[2])
    assert await sent_events(store, post) == ["failure"]


async def test_a_crash_while_sending_does_not_stop_other_messages(store: Store) -> None:
    of, post = await project(store), Post(ZeroDivisionError("ours"))
    await subscribe(store, of.connection.id)
    await subscribe(store, of.connection.id, to="https://hooks.example.com/y")
    await of.fails(SHAS[0])
    assert await sent_events(store, post) == ["failure"]


async def test_a_message_of_a_stopped_process_is_sent_by_the_next_one(dsn: str, store: Store) -> None:
    of, slow, post = await project(store), Post(takes_s=30), Post()
    await subscribe(store, of.connection.id)
    async with processes(dsn, [store], slow):
        await of.fails(SHAS[0])
        async with asyncio.timeout(HANGS_S):
            while await store.notifications.seconds_until_due() is None:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
    assert await sent_events(store, post) == ["failure"]


async def test_deleting_a_subscription_deletes_its_messages(store: Store, db: Database) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    subscription_id = await subscribe(store, of.connection.id)
    await of.fails(SHAS[0])
    await sent_events(store, post)
    await store.subscriptions.delete(subscription_id)
    assert await db.value("SELECT (SELECT count(*) FROM notices) + (SELECT count(*) FROM told)") == 0


async def test_deleting_an_installation_deletes_its_notifications_and_messages(store: Store, db: Database) -> None:
    of, post = await project(store), Post(UnavailableError("x", "no"))
    await subscribe(store, of.connection.id)
    await subscribe(store, 3, to="https://hooks.example.com/y")
    await of.fails(SHAS[0])
    await sent_events(store, post)
    await store.installations.uninstall(3)
    await store.retention.purge(timedelta(0))
    await store.installations.purge(timedelta(0))
    assert await db.value("SELECT (SELECT count(*) FROM notices) + (SELECT count(*) FROM told) + (SELECT count(*) FROM subscriptions)") == 0


@pytest.mark.parametrize("events", [("failure",), ("recovery",), ("stale",)])
async def test_only_subscribed_events_are_sent(store: Store, events: Any) -> None:
    of, post = await project(store), Post()
    await subscribe(store, of.connection.id, *events)
    await of.fails(SHAS[0])
    await sent_events(store, post)
    await of.succeeds(SHAS[1])
    assert set(await sent_events(store, post)) <= set(events)
