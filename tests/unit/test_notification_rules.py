"""What is reported to whom: in every sequence of results, nothing is reported twice, and only a reported problem recovers."""

from __future__ import annotations

import doctest
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.models.notifications import EVENTS, Event, HeadState, Recipient, ReportedProblem
from app.notifications import rules
from app.notifications.rules import SubscriptionRules, decide, is_mail_address, masked_address, one_per_address

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
STALE_AFTER = timedelta(minutes=60)
ALL = frozenset(EVENTS)
WELL = HeadState("b", lineage_sha="b", extracted_at=NOW)


def minutes(number: float) -> datetime:
    return NOW + timedelta(minutes=number)


def recipient(*events: Event, since: datetime = NOW - timedelta(days=1), reported: ReportedProblem | None = None) -> Recipient:
    return Recipient("1", "webhook", "https://hooks.example.com/", frozenset(events) or ALL, since, reported)


def broken(reason: str = "A model is missing", at: datetime = NOW, sha: str = "b") -> HeadState:
    return HeadState(
        sha, "a", status="failed", conclusion="failure", title=reason, finished_at=at, behind_since=at, waiting_since=at, extraction_id=sha
    )


def waiting(since: datetime = NOW) -> HeadState:
    return HeadState("b", "a", status="queued", waiting_since=since, behind_since=since)


def test_the_same_failure_at_later_commits_is_reported_once() -> None:
    first = decide(broken(), recipient(), NOW, STALE_AFTER)
    assert first.event == "failure"
    again = decide(broken(at=minutes(5), sha="c"), recipient(reported=first.reported), minutes(5), STALE_AFTER)
    assert (again.event, again.reported) == (None, first.reported)


@pytest.mark.parametrize("other", [replace(broken(), title="Out of memory"), replace(broken(), path="models/other.sql")])
def test_a_different_failure_is_reported_with_the_start_of_the_first(other: HeadState) -> None:
    reported = ReportedProblem("failure", "A model is missing", minutes(-30))
    decision = decide(other, recipient(reported=reported), NOW, STALE_AFTER)
    assert decision.event == "failure"
    assert decision.reported == ReportedProblem("failure", other.reason, minutes(-30))


def test_a_recovery_is_only_reported_after_a_reported_problem() -> None:
    assert decide(WELL, recipient(reported=ReportedProblem("failure", "x", minutes(-5))), NOW, STALE_AFTER).event == "recovery"
    assert decide(WELL, recipient(reported=ReportedProblem("stale", "", minutes(-90))), NOW, STALE_AFTER).event == "recovery"
    assert decide(WELL, recipient(), NOW, STALE_AFTER).event is None


def test_a_waiting_commit_is_stale_after_the_limit() -> None:
    decision = decide(waiting(), recipient(), minutes(59), STALE_AFTER)
    assert (decision.event, decision.again_at) == (None, minutes(60))
    decision = decide(waiting(), recipient(), minutes(60), STALE_AFTER)
    assert (decision.event, decision.reported) == ("stale", ReportedProblem("stale", "", NOW))
    assert decide(waiting(), recipient(reported=decision.reported), minutes(300), STALE_AFTER).event is None


@pytest.mark.parametrize("conclusion", ["neutral", "cancelled"])
def test_a_fault_of_freshet_is_not_a_failure_but_makes_the_lineage_stale(conclusion: str) -> None:
    head = replace(broken(), conclusion=conclusion)
    assert decide(head, recipient(), minutes(1), STALE_AFTER).event is None
    assert decide(head, recipient(), minutes(61), STALE_AFTER).event == "stale"


def test_the_wait_of_a_fix_starts_with_the_fix_and_not_with_the_failure() -> None:
    fix = replace(waiting(minutes(0)), behind_since=minutes(-3000))
    decision = decide(fix, recipient(reported=ReportedProblem("failure", "x", minutes(-3000))), minutes(1), STALE_AFTER)
    assert (decision.event, decision.again_at) == (None, minutes(60))


def test_a_stale_only_subscription_gets_stale_whatever_the_cause() -> None:
    only = recipient("stale", "recovery")
    assert decide(broken(), only, minutes(1), STALE_AFTER) == decide(waiting(), only, minutes(1), STALE_AFTER)
    decision = decide(broken(), only, minutes(61), STALE_AFTER)
    assert decision.event == "stale"
    assert decide(WELL, replace(only, reported=decision.reported), minutes(70), STALE_AFTER).event == "recovery"


def test_a_recovery_only_subscription_gets_every_recovery() -> None:
    only = recipient("recovery")
    decision = decide(broken(), only, NOW, STALE_AFTER)
    assert decision.event is None
    assert decide(WELL, replace(only, reported=decision.reported), minutes(1), STALE_AFTER).event == "recovery"


def test_a_failure_only_subscription_gets_nothing_about_waiting_commits() -> None:
    only = recipient("failure", "recovery")
    decision = decide(waiting(), only, minutes(500), STALE_AFTER)
    assert (decision.event, decision.reported, decision.again_at) == (None, None, None)


def test_a_left_out_commit_is_not_reported() -> None:
    assert decide(replace(broken(), conclusion="skipped"), recipient(), minutes(500), STALE_AFTER).reported is None


def test_an_existing_problem_is_not_reported_but_its_recovery_is() -> None:
    late = recipient(since=minutes(1))
    decision = decide(broken(), late, minutes(2), STALE_AFTER)
    assert (decision.event, decision.reported) == (None, ReportedProblem("failure", "A model is missing", NOW))
    ended = replace(WELL, extracted_at=minutes(5))
    assert decide(ended, replace(late, reported=decision.reported), minutes(5), STALE_AFTER).event == "recovery"


def test_a_recovery_while_paused_is_not_reported() -> None:
    resumed = recipient(since=minutes(10), reported=ReportedProblem("failure", "x", minutes(-10)))
    decision = decide(replace(WELL, extracted_at=minutes(5)), resumed, minutes(11), STALE_AFTER)
    assert (decision.event, decision.reported) == (None, None)


ENDINGS = st.lists(
    st.tuples(st.sampled_from(["well", "broken a", "broken b", "ours", "waits", "left out"]), st.integers(1, 200)), min_size=1, max_size=30
)


def heads(endings: list[tuple[str, int]]) -> list[tuple[datetime, HeadState]]:
    """The state of a branch's head after each ending; each ending comes with the minutes since the one before."""
    found, now = [], NOW
    behind_since = concluded_at = NOW
    for number, (ending, later) in enumerate(endings):
        now += timedelta(minutes=later)
        waits = HeadState(str(number), "x", status="queued", waiting_since=concluded_at, behind_since=behind_since)
        failed = replace(waits, status="failed", conclusion="failure", title=ending, finished_at=now)
        match ending:
            case "well":
                head = replace(waits, lineage_sha=waits.sha, extracted_at=now)
                behind_since = concluded_at = now
            case "ours":
                head = replace(failed, conclusion="neutral")
            case "left out":
                head, concluded_at = replace(failed, conclusion="skipped"), now
            case "waits":
                head = waits
            case _:
                head, concluded_at = failed, now
        found.append((now, head))
    return found


@given(ENDINGS, st.sets(st.sampled_from(EVENTS), min_size=1))
def test_nothing_is_reported_twice_and_only_reported_problems_recover(endings: list[tuple[str, int]], events: set[Event]) -> None:
    one = replace(recipient(), events=frozenset(events))
    said: list[tuple[str, str]] = []
    for now, head in heads(endings):
        decision = decide(head, one, now, STALE_AFTER)
        assert decide(head, replace(one, reported=decision.reported), now, STALE_AFTER).event is None, "it is reported once"
        if decision.event == "recovery":
            assert one.reported, "there was a problem"
        if decision.event:
            said.append((decision.event, decision.reported.reason if decision.reported else ""))
        assert (decision.reported is None) <= (head.is_current or one.reported is None), "only a recovery clears the problem"
        one = replace(one, reported=decision.reported)
    assert {event for event, _ in said} <= events
    if events > {"recovery"}:
        assert all(before != after for before, after in pairwise(said)), "never the same twice in a row"
        assert not said or said[0][0] != "recovery", "a recovery follows a reported problem"


def test_the_connections_own_subscription_comes_first_for_an_address() -> None:
    own, wide, other = (
        recipient("failure"),
        replace(recipient(), subscription_id="2"),
        replace(recipient(), subscription_id="3", kind="email"),
    )
    assert one_per_address([own, wide, other]) == [own, other]


def test_doctests_of_the_rules() -> None:
    assert doctest.testmod(rules) == (0, 2)


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
def test_invalid_mail_addresses(text: str) -> None:
    assert not is_mail_address(text)


def test_mail_is_limited_to_the_allowed_domains() -> None:
    rules = SubscriptionRules(mail=True, mail_domains=frozenset({"example.com"}))
    assert rules.may_mail("ann@EXAMPLE.com")
    assert not rules.may_mail("ann@example.com.evil.net")
    assert SubscriptionRules(mail=True, mail_domains=frozenset({"*"})).may_mail("ann@anywhere.org")


@pytest.mark.parametrize("url", ["https://hooks.example.com/services/T0/B0/secret123", "http://in.corp:8080/secret123"])
def test_the_path_of_a_webhook_is_masked(url: str) -> None:
    assert "secret1" not in masked_address("webhook", url)
    assert url.split("/")[2] in masked_address("webhook", url)
