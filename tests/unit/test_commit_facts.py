from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.github.git.commit_facts import MAX_AUTHOR, MAX_SUBJECT, parse_facts


def test_who_when_and_why() -> None:
    facts = parse_facts("Ann Ünï\x002026-11-02T09:00:00+01:00\x00Count orders once\n")
    assert facts is not None
    assert (facts.author, facts.subject) == ("Ann Ünï", "Count orders once")
    assert facts.authored_at == datetime(2026, 11, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "date", ["", "x", "99999-01-01T00:00:00+00:00", "2026-13-01T00:00:00+00:00", "0001-01-01T00:00:00+14:00", "2026-01-01"]
)
def test_a_date_that_no_calendar_has_is_none(date: str) -> None:
    facts = parse_facts(f"\x00{date}\x00\n")
    assert facts is not None
    assert facts.author is None
    assert facts.subject == ""
    assert facts.authored_at is None or date == "2026-01-01"


@pytest.mark.parametrize("output", ["", "\n", "x", "x\x00y", "fatal: not a commit"])
def test_what_is_no_line_of_git_says_nothing(output: str) -> None:
    assert parse_facts(output) is None


def test_long_names_and_subjects_are_cut() -> None:
    facts = parse_facts(f"{'a' * 5000}\x00\x00{'s' * 5000}\x00more")
    assert facts is not None
    assert (len(facts.author or ""), len(facts.subject)) == (MAX_AUTHOR, MAX_SUBJECT)
