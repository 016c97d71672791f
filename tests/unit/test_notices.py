"""What is told to whom, as a function of values: whatever series of endings, nothing is told twice, and nothing recovers that was well."""

from __future__ import annotations

import doctest
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import notices
from app.notices import EVENTS, Event, Head, Rules, Told, Wanted, is_mail_address, judge, once_each, shown

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
PATIENCE = timedelta(minutes=60)
ALL = frozenset(EVENTS)
WELL = Head("b", lineage_sha="b", extracted_at=NOW)


def minutes(number: float) -> datetime:
    return NOW + timedelta(minutes=number)


def wanted(*events: Event, since: datetime = NOW - timedelta(days=1), told: Told | None = None) -> Wanted:
    return Wanted("1", "webhook", "https://hooks.example.com/", frozenset(events) or ALL, since, told)


def broken(reason: str = "A model is missing", at: datetime = NOW, sha: str = "b") -> Head:
    return Head(
        sha, "a", status="failed", conclusion="failure", title=reason, finished_at=at, behind_since=at, waiting_since=at, extraction_id=sha
    )


def waiting(since: datetime = NOW) -> Head:
    return Head("b", "a", status="queued", waiting_since=since, behind_since=since)


def test_a_failure_is_told_once_however_many_commits_have_it() -> None:
    first = judge(broken(), wanted(), NOW, PATIENCE)
    assert first.event == "failure"
    again = judge(broken(at=minutes(5), sha="c"), wanted(told=first.told), minutes(5), PATIENCE)
    assert (again.event, again.told) == (None, first.told)


@pytest.mark.parametrize("other", [replace(broken(), title="Out of memory"), replace(broken(), path="models/other.sql")])
def test_another_failure_is_told_and_has_lasted_as_long_as_the_first(other: Head) -> None:
    told = Told("failure", "A model is missing", minutes(-30))
    verdict = judge(other, wanted(told=told), NOW, PATIENCE)
    assert verdict.event == "failure"
    assert verdict.told == Told("failure", other.reason, minutes(-30))


def test_a_recovery_ends_what_was_told_and_nothing_else() -> None:
    assert judge(WELL, wanted(told=Told("failure", "x", minutes(-5))), NOW, PATIENCE).event == "recovery"
    assert judge(WELL, wanted(told=Told("stale", "", minutes(-90))), NOW, PATIENCE).event == "recovery"
    assert judge(WELL, wanted(), NOW, PATIENCE).event is None


def test_a_commit_may_wait_for_a_while() -> None:
    verdict = judge(waiting(), wanted(), minutes(59), PATIENCE)
    assert (verdict.event, verdict.again_at) == (None, minutes(60))
    verdict = judge(waiting(), wanted(), minutes(60), PATIENCE)
    assert (verdict.event, verdict.told) == ("stale", Told("stale", "", NOW))
    assert judge(waiting(), wanted(told=verdict.told), minutes(300), PATIENCE).event is None


@pytest.mark.parametrize("conclusion", ["neutral", "cancelled"])
def test_a_fault_of_ours_is_no_failure_but_in_the_end_a_stale_lineage(conclusion: str) -> None:
    head = replace(broken(), conclusion=conclusion)
    assert judge(head, wanted(), minutes(1), PATIENCE).event is None
    assert judge(head, wanted(), minutes(61), PATIENCE).event == "stale"


def test_a_fix_that_waits_is_not_late_because_what_it_mends_is_old() -> None:
    fix = replace(waiting(minutes(0)), behind_since=minutes(-3000))
    verdict = judge(fix, wanted(told=Told("failure", "x", minutes(-3000))), minutes(1), PATIENCE)
    assert (verdict.event, verdict.again_at) == (None, minutes(60))


def test_who_hears_of_stale_lineages_only_hears_of_them_whatever_the_cause() -> None:
    only = wanted("stale", "recovery")
    assert judge(broken(), only, minutes(1), PATIENCE) == judge(waiting(), only, minutes(1), PATIENCE)
    verdict = judge(broken(), only, minutes(61), PATIENCE)
    assert verdict.event == "stale"
    assert judge(WELL, replace(only, told=verdict.told), minutes(70), PATIENCE).event == "recovery"


def test_who_hears_of_recoveries_only_hears_of_all_of_them() -> None:
    only = wanted("recovery")
    verdict = judge(broken(), only, NOW, PATIENCE)
    assert verdict.event is None
    assert judge(WELL, replace(only, told=verdict.told), minutes(1), PATIENCE).event == "recovery"


def test_who_hears_of_failures_only_hears_nothing_of_what_waits() -> None:
    only = wanted("failure", "recovery")
    verdict = judge(waiting(), only, minutes(500), PATIENCE)
    assert (verdict.event, verdict.told, verdict.again_at) == (None, None, None)


def test_what_somebody_left_out_is_no_trouble() -> None:
    assert judge(replace(broken(), conclusion="skipped"), wanted(), minutes(500), PATIENCE).told is None


def test_what_began_before_the_subscription_is_no_news_but_its_end_is() -> None:
    late = wanted(since=minutes(1))
    verdict = judge(broken(), late, minutes(2), PATIENCE)
    assert (verdict.event, verdict.told) == (None, Told("failure", "A model is missing", NOW))
    ended = replace(WELL, extracted_at=minutes(5))
    assert judge(ended, replace(late, told=verdict.told), minutes(5), PATIENCE).event == "recovery"


def test_what_ended_while_it_was_paused_is_no_news() -> None:
    resumed = wanted(since=minutes(10), told=Told("failure", "x", minutes(-10)))
    verdict = judge(replace(WELL, extracted_at=minutes(5)), resumed, minutes(11), PATIENCE)
    assert (verdict.event, verdict.told) == (None, None)


ENDINGS = st.lists(
    st.tuples(st.sampled_from(["well", "broken a", "broken b", "ours", "waits", "left out"]), st.integers(1, 200)), min_size=1, max_size=30
)


def heads(endings: list[tuple[str, int]]) -> list[tuple[datetime, Head]]:
    """Return what the head of a branch looks like after each ending, which comes so many minutes after the one before."""
    found, now = [], NOW
    behind = verdict = NOW
    for number, (ending, later) in enumerate(endings):
        now += timedelta(minutes=later)
        waits = Head(str(number), "x", status="queued", waiting_since=verdict, behind_since=behind)
        failed = replace(waits, status="failed", conclusion="failure", title=ending, finished_at=now)
        match ending:
            case "well":
                head = replace(waits, lineage_sha=waits.sha, extracted_at=now)
                behind = verdict = now
            case "ours":
                head = replace(failed, conclusion="neutral")
            case "left out":
                head, verdict = replace(failed, conclusion="skipped"), now
            case "waits":
                head = waits
            case _:
                head, verdict = failed, now
        found.append((now, head))
    return found


@given(ENDINGS, st.sets(st.sampled_from(EVENTS), min_size=1))
def test_whatever_comes_nothing_is_told_twice_and_nothing_recovers_that_was_well(
    endings: list[tuple[str, int]], events: set[Event]
) -> None:
    one = replace(wanted(), events=frozenset(events))
    said: list[tuple[str, str]] = []
    for now, head in heads(endings):
        verdict = judge(head, one, now, PATIENCE)
        assert judge(head, replace(one, told=verdict.told), now, PATIENCE).event is None, "it is told once"
        if verdict.event == "recovery":
            assert one.told, "there was trouble"
        if verdict.event:
            said.append((verdict.event, verdict.told.reason if verdict.told else ""))
        assert (verdict.told is None) <= (head.is_current or one.told is None), "only what is well again is forgotten"
        one = replace(one, told=verdict.told)
    assert {event for event, _ in said} <= events
    if events > {"recovery"}:
        assert all(before != after for before, after in pairwise(said)), "never the same twice in a row"
        assert not said or said[0][0] != "recovery", "a recovery is of something that was told"


def test_an_address_with_two_subscriptions_is_told_by_the_connections_own() -> None:
    own, wide, other = wanted("failure"), replace(wanted(), subscription_id="2"), replace(wanted(), subscription_id="3", kind="email")
    assert once_each([own, wide, other]) == [own, other]


def test_its_examples_are_true() -> None:
    assert doctest.testmod(notices) == (0, 2)


@pytest.mark.parametrize("text", ["ann@example.com", "a.b+c@mail.example.co.uk", "A_1%@EXAMPLE.com", "x@xn--bcher-kva.example"])
def test_mail_addresses(text: str) -> None:
    assert is_mail_address(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "ann", "@example.com", "ann@", "ann@example", "ann@@example.com", ".ann@example.com", "ann..b@example.com"),
        *("ann@exa mple.com", "ann@example.com, bob@example.com", "Ann <ann@example.com>", "ann@-example.com", "ann@example.com."),
        *("ann@example.com\n", "ann@example.com\r\nBcc: bob@example.com", "ann\0@example.com", "änn@example.com", "ann@bücher.example"),
        *("ann@[127.0.0.1]", '"a b"@example.com', "ann@example.com>", "a" * 65 + "@example.com", "a@" + "b" * 250 + ".com"),
    ],
)
def test_what_is_no_mail_address(text: str) -> None:
    assert not is_mail_address(text)


def test_who_may_have_mail_sent() -> None:
    rules = Rules(mail=True, mail_domains=frozenset({"example.com"}))
    assert rules.may_mail("ann@EXAMPLE.com")
    assert not rules.may_mail("ann@example.com.evil.net")
    assert Rules(mail=True, mail_domains=frozenset({"*"})).may_mail("ann@anywhere.org")


@pytest.mark.parametrize("url", ["https://hooks.example.com/services/T0/B0/secret123", "http://in.corp:8080/secret123"])
def test_the_address_of_a_webhook_is_shown_without_what_may_be_its_secret(url: str) -> None:
    assert "secret1" not in shown("webhook", url)
    assert url.split("/")[2] in shown("webhook", url)
