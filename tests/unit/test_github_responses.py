"""From GitHub's responses to errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app.core.errors import FreshetError, GitHubUnavailableError, GoneError, RejectedError, SuspendedError
from app.github.rest.responses import GitHubResponse, decode, error_for, without_nulls

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RESET = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 90)}
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


def error_of(status: int, message: str = "", headers: dict[str, str] | None = None) -> FreshetError:
    body = json.dumps({"message": message}).encode()
    return error_for(GitHubResponse(status, headers or {}, body), "creating the check run of octo/shop at 1a2b3c4", NOW)


@pytest.mark.parametrize(
    ("status", "message", "headers", "error", "wait_s"),
    [
        (500, "", {}, GitHubUnavailableError, None),
        (503, "", {"retry-after": "7"}, GitHubUnavailableError, 7),
        (408, "", {}, GitHubUnavailableError, None),
        (520, "", {}, GitHubUnavailableError, None),
        (429, "", {}, GitHubUnavailableError, 60),
        (429, "", {"retry-after": "30"}, GitHubUnavailableError, 30),
        (429, "", {"retry-after": "Thu, 01 Jan 2026 00:00:10 GMT"}, GitHubUnavailableError, 10),
        (429, "", {"retry-after": "soon"}, GitHubUnavailableError, 60),
        (429, "", {"retry-after": "99999999"}, GitHubUnavailableError, 3600),
        (403, "API rate limit exceeded", RESET, GitHubUnavailableError, 90),
        (403, "", {**RESET, "x-ratelimit-reset": "nonsense"}, GitHubUnavailableError, 60),
        (403, SECONDARY, {}, GitHubUnavailableError, 60),
        (403, SECONDARY, {"retry-after": "12"}, GitHubUnavailableError, 12),
        (403, "This installation has been suspended", {}, SuspendedError, None),
        (403, "Resource not accessible by integration", {}, RejectedError, None),
        (404, "Not Found", {}, GoneError, None),
        (410, "Gone", {}, GoneError, None),
        (451, "Repository access blocked", {}, GoneError, None),
        (422, "No commit found for SHA: 1a2b", {}, GitHubUnavailableError, 2),
        (422, "Validation Failed", {}, RejectedError, None),
        (400, "Problems parsing JSON", {}, RejectedError, None),
    ],
)
def test_errors(status: int, message: str, headers: dict[str, str], error: type[FreshetError], wait_s: float | None) -> None:
    found = error_of(status, message, headers)
    assert type(found) is error
    assert getattr(found, "retry_after_s", None) == wait_s
    assert found.doing == "creating the check run of octo/shop at 1a2b3c4"
    assert str(status) in found.reason
    assert message in found.reason
    if isinstance(found, RejectedError):
        assert found.status == status


def test_an_html_page_is_not_quoted() -> None:
    found = error_for(GitHubResponse(502, {}, b"<html>Unicorn!</html>"), "asking", NOW)
    assert isinstance(found, GitHubUnavailableError)
    assert "html" not in found.reason


@pytest.mark.parametrize(
    ("errors", "details"), [("one text", "one text"), ([{"message": "title is missing"}, "another", 1], "title is missing; another")]
)
def test_details_are_part_of_the_reason(errors: Any, details: str) -> None:
    body = json.dumps({"message": "Validation Failed", "errors": errors}).encode()
    assert error_for(GitHubResponse(422, {}, body), "asking", NOW).reason == f"GitHub answered 422 (Validation Failed; {details})"


class Thing(msgspec.Struct):
    id: int


@pytest.mark.parametrize("body", [b"<html></html>", b"", b'{"id": "text"}', b'{"id": \xff}', b"[]"])
def test_a_good_status_with_an_unexpected_body_is_an_outage(body: bytes) -> None:
    with pytest.raises(GitHubUnavailableError):
        decode(GitHubResponse(200, {}, body), Thing, "asking")


def test_nulls_are_dropped() -> None:
    body = {"a": None, "b": {"c": None, "d": 0}, "e": [None, {"f": None, "g": ""}], "h": False}
    assert without_nulls(body) == {"b": {"d": 0}, "e": [{"g": ""}], "h": False}
