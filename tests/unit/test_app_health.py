"""The checks of the GitHub App: permissions, events, webhook and credentials."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.core.app_health import (
    DeliveryAttempt,
    Hook,
    check_acceptance,
    check_deliveries,
    check_events,
    check_permissions,
    check_secret,
    check_sign_in,
    check_url,
    credentials_error,
    summarize,
)
from app.core.app_manifest import AppManifest
from app.core.errors import GoneError, RejectedError

MANIFEST = AppManifest(
    "F",
    "",
    public=False,
    permissions={"contents": "read", "checks": "write"},
    events=("push", "repository"),
    optional_permissions={"pull_requests": "read"},
    optional_events=("pull_request",),
)
URL = "https://f.example/api/webhooks/github"
HOOK = Hook(URL, "json", "0", has_secret=True)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def attempts(*codes: int) -> list[DeliveryAttempt]:
    """Attempts a minute apart, the newest first as GitHub lists them."""
    return [DeliveryAttempt(f"g{index}", "push", code, NOON - timedelta(minutes=index)) for index, code in enumerate(codes)]


@pytest.mark.parametrize(
    ("granted", "passed", "word"),
    [
        ({"contents": "read", "checks": "write"}, True, "checks: write"),
        ({"contents": "read"}, False, "missing checks: write"),
        ({"contents": "read", "checks": "read"}, False, "missing checks: write"),
        ({"contents": "write", "checks": "write"}, False, "not needed: contents: write"),
        ({"contents": "read", "checks": "write", "issues": "read"}, False, "not needed: issues: read"),
        ({}, False, "missing contents: read, checks: write"),
        ({"contents": "read", "checks": "write"}, True, "optional and not given: pull_requests: read"),
        ({"contents": "read", "checks": "write", "pull_requests": "read"}, True, "checks: write, pull_requests: read"),
        ({"contents": "read", "checks": "write", "pull_requests": "write"}, False, "not needed: pull_requests: write"),
        ({"contents": "read", "checks": "write", "merge_queues": "read"}, True, "merge_queues: read"),
        ({"contents": "read", "checks": "write", "members": "read"}, True, "members: read"),
        ({"contents": "read", "checks": "write", "members": "write"}, False, "not needed: members: write"),
    ],
)
def test_permissions(granted: dict[str, str], passed: bool, word: str) -> None:  # noqa: FBT001
    finding = check_permissions(MANIFEST, granted)
    assert (finding.passed, word in finding.text) == (passed, True)


def test_events() -> None:
    assert check_events(MANIFEST, ["repository", "push", "star"], {}).passed
    finding = check_events(MANIFEST, ["push"], {})
    assert (finding.passed, "missing repository" in finding.text) == (False, True)
    finding = check_events(MANIFEST, ["push", "repository"], {"pull_requests": "read"})
    assert (finding.passed, "missing pull_request" in finding.text) == (False, True)
    assert check_events(MANIFEST, ["push", "repository", "pull_request"], {"pull_requests": "read"}).passed


def test_who_has_not_accepted_the_optional_permission() -> None:
    granted, accepted = {"contents": "read", "pull_requests": "read"}, {"octo": {"contents": "read", "pull_requests": "read"}}
    assert check_acceptance(MANIFEST, {"contents": "read"}, {"octo": {}}) is None
    every = check_acceptance(MANIFEST, granted, accepted)
    assert every is not None
    assert (every.passed, "accepted by every account" in every.text) == (True, True)
    some = check_acceptance(MANIFEST, granted, {**accepted, **{f"acme-{number}": {} for number in range(7)}})
    assert some is not None
    assert (some.passed, "7 accounts (acme-0, acme-1, acme-2, acme-3, acme-4, …)" in some.text) == (True, True)


def test_the_webhook_url() -> None:
    assert check_url(HOOK, URL).passed
    assert "https://old.example" in check_url(Hook("https://old.example", "json", "0", has_secret=True), URL).text
    assert "no URL" in check_url(Hook("", "json", "0", has_secret=True), URL).text
    assert "certificate" in check_url(Hook(URL, "json", "1", has_secret=True), URL).text
    assert check_url(Hook("http://f.example/h", "json", "1", has_secret=True), "http://f.example/h").passed


def test_the_webhook_secret() -> None:
    assert check_secret(HOOK, attempts(202)).passed
    assert check_secret(HOOK, attempts(202, 401)).passed, "it has been fixed since"
    assert "differ" in check_secret(HOOK, attempts(401, 202)).text
    assert "does not sign" in check_secret(Hook(URL, "json", "0", has_secret=False), []).text


def test_the_newest_delivery_decides() -> None:
    assert (check_deliveries([]).passed, "nothing" in check_deliveries([]).text) == (True, True)
    fixed = check_deliveries(attempts(202, 502, 502))
    assert (fixed.passed, "1 of the last 3" in fixed.text) == (True, True)
    broken = check_deliveries(list(reversed(attempts(502, 202, 202))))
    assert not broken.passed
    assert "2026-05-04 12:00 UTC" in broken.text
    assert "could not connect" in broken.text


def test_the_summary_counts_and_lists_the_newest_failures() -> None:
    summary = summarize(attempts(202, 500, *[502] * 20))
    assert (summary.total, summary.ok, summary.failed, summary.last_delivered_at) == (22, 1, 21, NOON)
    assert [failure.guid for failure in summary.failures] == [f"g{index}" for index in range(1, 11)]
    assert summarize([]).last_delivered_at is None


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
def test_refused_credentials_are_explained(error: GoneError | RejectedError, word: str) -> None:
    assert word in credentials_error(error).user_text


@pytest.mark.parametrize(
    ("public_url", "has_client", "passed", "word"),
    [
        ("https://freshet.example/x", True, True, "https://freshet.example/x/sign-in/callback"),
        ("http://127.0.0.1:3001", True, True, "/sign-in/callback"),
        ("http://freshet.example", True, False, "unencrypted"),
        ("https://freshet.example", False, False, "GITHUB_CLIENT_ID"),
        ("http://localhost:3001", False, True, "open to everybody on this host"),
    ],
)
def test_sign_in_is_configured_or_not(public_url: str, *, has_client: bool, passed: bool, word: str) -> None:
    finding = check_sign_in(public_url, has_client=has_client)
    assert (finding.passed, word in finding.text) == (passed, True)
