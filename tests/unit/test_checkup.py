"""What is wrong with the App, from what GitHub says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.checkup import (
    Attempt,
    Hook,
    check_deliveries,
    check_events,
    check_permissions,
    check_secret,
    check_url,
    refused,
    summarise,
)
from app.errors import GoneError, RejectedError
from app.github_app import AppManifest

MANIFEST = AppManifest("F", "", public=False, permissions={"contents": "read", "checks": "write"}, events=("push", "repository"))
URL = "https://f.example/api/webhooks/github"
HOOK = Hook(URL, "json", "0", has_secret=True)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def attempts(*codes: int) -> list[Attempt]:
    """Attempts a minute apart, the newest first as GitHub lists them."""
    return [Attempt(f"g{index}", "push", code, NOON - timedelta(minutes=index)) for index, code in enumerate(codes)]


@pytest.mark.parametrize(
    ("granted", "well", "word"),
    [
        ({"contents": "read", "checks": "write"}, True, "checks: write"),
        ({"contents": "read"}, False, "missing checks: write"),
        ({"contents": "read", "checks": "read"}, False, "missing checks: write"),
        ({"contents": "write", "checks": "write"}, False, "more than needed: contents: write"),
        ({"contents": "read", "checks": "write", "issues": "read"}, False, "more than needed: issues: read"),
        ({}, False, "missing contents: read, checks: write"),
    ],
)
def test_permissions(granted: dict[str, str], well: bool, word: str) -> None:  # noqa: FBT001
    finding = check_permissions(MANIFEST, granted)
    assert (finding.well, word in finding.text) == (well, True)


def test_events() -> None:
    assert check_events(MANIFEST, ["repository", "push", "star"]).well
    finding = check_events(MANIFEST, ["push"])
    assert (finding.well, "missing repository" in finding.text) == (False, True)


def test_the_webhooks_address() -> None:
    assert check_url(HOOK, URL).well
    assert "https://old.example" in check_url(Hook("https://old.example", "json", "0", has_secret=True), URL).text
    assert "no address" in check_url(Hook("", "json", "0", has_secret=True), URL).text
    assert "certificate" in check_url(Hook(URL, "json", "1", has_secret=True), URL).text
    assert check_url(Hook("http://f.example/h", "json", "1", has_secret=True), "http://f.example/h").well


def test_the_webhooks_secret() -> None:
    assert check_secret(HOOK, attempts(202)).well
    assert check_secret(HOOK, attempts(202, 401)).well, "it was mended since"
    assert "differ" in check_secret(HOOK, attempts(401, 202)).text
    assert "signs nothing" in check_secret(Hook(URL, "json", "0", has_secret=False), []).text


def test_deliveries_are_judged_by_the_newest() -> None:
    assert (check_deliveries([]).well, "nothing" in check_deliveries([]).text) == (True, True)
    mended = check_deliveries(attempts(202, 502, 502))
    assert (mended.well, "1 of the last 3" in mended.text) == (True, True)
    broken = check_deliveries(list(reversed(attempts(502, 202, 202))))
    assert not broken.well
    assert "2026-05-04 12:00 UTC" in broken.text
    assert "could not connect" in broken.text


def test_the_summary_counts_and_shows_the_newest_failures() -> None:
    summary = summarise(attempts(202, 500, *[502] * 20))
    assert (summary.total, summary.ok, summary.failed, summary.last_delivered_at) == (22, 1, 21, NOON)
    assert [failure.guid for failure in summary.failures] == [f"g{index}" for index in range(1, 11)]
    assert summarise([]).last_delivered_at is None


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (GoneError("x", "GitHub answered 404 (Integration not found)"), "GITHUB_APP_ID"),
        (RejectedError("x", "GitHub answered 401 (A JSON web token could not be decoded)", status=401), "GITHUB_PRIVATE_KEY"),
        (RejectedError("x", "GitHub answered 401 ('Issued at' claim ('iat') must be an Integer)", status=401), "clock"),
        (RejectedError("x", "GitHub answered 401 ('Expiration time' claim ('exp') is too far in the future)", status=401), "clock"),
        (RejectedError("x", "GitHub answered 403 (No)", status=403), "403"),
    ],
)
def test_why_github_does_not_know_us(error: GoneError | RejectedError, word: str) -> None:
    assert word in refused(error).user_text
