"""From GitHub's response to a value or an error, by status, headers and body.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from gidgethub import sansio

from app.core.errors import FreshetError, GitHubUnavailableError, GoneError, RejectedError, SuspendedError

T = TypeVar("T")

REDIRECTS = frozenset({301, 302, 307, 308})
GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS})
SECONDARY_LIMIT_S = 60.0
"""https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit: wait a minute at least."""
NEW_COMMIT_S = 2.0
"""A pushed commit reaches the check runs API some seconds after its webhook."""
MAX_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class GitHubResponse:
    """One HTTP response with its whole body. `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    next_url: str | None = None
    """Of the next page: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api."""


class _Message(msgspec.Struct):
    message: str = ""
    errors: Any = None


def decode(answer: GitHubResponse, type_: type[T], doing: str) -> T:
    """Parse the body of a successful response. A proxy's HTML page with status 200 is GitHubUnavailableError."""
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"the response (HTTP {answer.status}) is not the JSON that GitHub documents: {error}"
        raise GitHubUnavailableError(doing, reason) from error


def error_for(answer: GitHubResponse, doing: str, now: datetime) -> FreshetError:
    """The error for a status other than 2xx."""
    message = _message(answer.body)
    reason = f"GitHub answered {answer.status}{f' ({message})' if message else ''}"
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.REQUEST_TIMEOUT:
        return GitHubUnavailableError(doing, reason, retry_after_s=_retry_after_s(answer.headers, now))
    if _is_limited(answer, message):
        wait_s = _retry_after_s(answer.headers, now)
        return GitHubUnavailableError(doing, reason, retry_after_s=SECONDARY_LIMIT_S if wait_s is None else wait_s)
    if answer.status == HTTPStatus.FORBIDDEN and "suspended" in message.lower():
        return SuspendedError(doing, reason, "Unsuspend the installation on GitHub.")
    if answer.status in GONE:
        return GoneError(doing, reason)
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY and "no commit found" in message.lower():
        return GitHubUnavailableError(doing, reason, retry_after_s=NEW_COMMIT_S)
    return RejectedError(doing, reason, status=answer.status)


def reserve_error(answer: GitHubResponse, doing: str, reserve: int, now: datetime) -> GitHubUnavailableError | None:
    """The error if fewer than `reserve` requests (or a tenth of the limit, if that is less) are left this hour.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit
    """
    try:
        limit = sansio.RateLimit.from_http(answer.headers)
        if limit is None or limit.remaining >= min(reserve, limit.limit // 10):
            return None
        wait_s = min(max((limit.reset_datetime - now).total_seconds(), 1.0), MAX_WAIT_S)
    except (ValueError, OverflowError, OSError):
        return None
    reason = (
        f"{limit.remaining} requests of the rate limit are left until {limit.reset_datetime:%H:%M} UTC; they are reserved for check runs"
    )
    return GitHubUnavailableError(doing, reason, retry_after_s=wait_s)


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """GitHub's time; None without a valid `Date` header."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_limited(answer: GitHubResponse, message: str) -> bool:
    """Primary and secondary limits come as 403 or 429; secondary ones may be recognizable by the message only."""
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    words = message.lower()
    return answer.status == HTTPStatus.FORBIDDEN and (
        "retry-after" in answer.headers
        or answer.headers.get("x-ratelimit-remaining") == "0"
        or "rate limit" in words
        or "abuse detection" in words
        # https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#failed-login-limit: good tokens are refused too.
        or "login attempts" in words
    )


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How many seconds GitHub asks to wait, None without such a header."""
    until: datetime | None = None
    retry_after = headers.get("retry-after", "")
    try:
        if retry_after.isdecimal():
            return min(float(retry_after), MAX_WAIT_S)
        limit = sansio.RateLimit.from_http(headers)
        if retry_after:
            until = parsedate_to_datetime(retry_after).astimezone(UTC)
        elif limit is not None and limit.remaining == 0:
            until = limit.reset_datetime
    except (ValueError, OverflowError, OSError):
        return None
    return None if until is None else min(max((until - now).total_seconds(), 1.0), MAX_WAIT_S)


def _message(body: bytes) -> str:
    """GitHub's own message on one line; empty if the body is not its JSON."""
    try:
        parsed = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    errors = parsed.errors if isinstance(parsed.errors, list) else [parsed.errors]
    details = [error.get("message") if isinstance(error, dict) else error for error in errors]
    texts = [parsed.message, *(detail for detail in details if isinstance(detail, str))]
    return " ".join("; ".join(text for text in texts if text).split())[:500]


def without_nulls(value: Any) -> Any:
    """Drop null fields: GitHub rejects them."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value if item is not None]
    return value
