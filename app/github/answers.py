"""What an answer of GitHub means, decided from its status, headers and body alone.

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

from app.errors import FreshetError, GitHubUnavailableError, GoneError, RejectedError, SuspendedError

T = TypeVar("T")

REDIRECTS = frozenset({301, 302, 307, 308})
GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS})
SECONDARY_LIMIT_S = 60.0
"""https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit: wait a minute at least."""
NEW_COMMIT_S = 2.0
"""A pushed commit is visible to the check runs' API some seconds after its webhook."""
MAX_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read whole. The names of `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    next_url: str | None = None
    """The next page: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api."""


class _Message(msgspec.Struct):
    message: str = ""
    errors: Any = None


def decode(answer: Answer, type_: type[T], doing: str) -> T:
    """Return the body of a good answer. A proxy's HTML under status 200 is an outage like any other."""
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"the answer (HTTP {answer.status}) is not the JSON that GitHub documents: {error}"
        raise GitHubUnavailableError(doing, reason) from error


def refusal(answer: Answer, doing: str, now: datetime) -> FreshetError:
    """Return the error that an answer other than 2xx stands for."""
    message = _message(answer.body)
    said = f"GitHub answered {answer.status}{f' ({message})' if message else ''}"
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.REQUEST_TIMEOUT:
        return GitHubUnavailableError(doing, said, retry_after_s=_asked_s(answer.headers, now))
    if _is_limited(answer, message):
        wait_s = _asked_s(answer.headers, now)
        return GitHubUnavailableError(doing, said, retry_after_s=SECONDARY_LIMIT_S if wait_s is None else wait_s)
    if answer.status == HTTPStatus.FORBIDDEN and "suspended" in message.lower():
        return SuspendedError(doing, said, "Unsuspend the installation on GitHub to go on.")
    if answer.status in GONE:
        return GoneError(doing, said)
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY and "no commit found" in message.lower():
        return GitHubUnavailableError(doing, said, retry_after_s=NEW_COMMIT_S)
    return RejectedError(doing, said, status=answer.status)


def nearly_spent(answer: Answer, doing: str, reserve: int, now: datetime) -> GitHubUnavailableError | None:
    """Return the error of a good answer after which fewer than `reserve` requests (a tenth of a small limit) are left for this hour.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit
    """
    try:
        limit = sansio.RateLimit.from_http(answer.headers)
        if limit is None or limit.remaining >= min(reserve, limit.limit // 10):
            return None
        wait_s = min(max((limit.reset_datetime - now).total_seconds(), 1.0), MAX_WAIT_S)
    except (ValueError, OverflowError, OSError):
        return None
    reason = f"GitHub takes {limit.remaining} more requests until {limit.reset_datetime:%H:%M} UTC, which are kept for check runs"
    return GitHubUnavailableError(doing, reason, retry_after_s=wait_s)


def _is_limited(answer: Answer, message: str) -> bool:
    """Primary and secondary limits come as 403 or 429, the secondary ones sometimes with words only."""
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


def _asked_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return for how many seconds GitHub asks to be left alone, None when it does not."""
    until: datetime | None = None
    asked = headers.get("retry-after", "")
    try:
        if asked.isdecimal():
            return min(float(asked), MAX_WAIT_S)
        limit = sansio.RateLimit.from_http(headers)
        if asked:
            until = parsedate_to_datetime(asked).astimezone(UTC)
        elif limit is not None and limit.remaining == 0:
            until = limit.reset_datetime
    except (ValueError, OverflowError, OSError):
        return None
    return None if until is None else min(max((until - now).total_seconds(), 1.0), MAX_WAIT_S)


def _message(body: bytes) -> str:
    """Return GitHub's own words, on one line; nothing of a body that is not its JSON."""
    try:
        told = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    errors = told.errors if isinstance(told.errors, list) else [told.errors]
    details = [error.get("message") if isinstance(error, dict) else error for error in errors]
    texts = [told.message, *(detail for detail in details if isinstance(detail, str))]
    return " ".join("; ".join(text for text in texts if text).split())[:500]


def without_nulls(value: Any) -> Any:
    """Return a body as GitHub takes it: a field without a value is left out."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value if item is not None]
    return value
