"""Rate limits: requests per minute for each token, and for each address without a valid token.

A service token may belong to a program with many users, so its limit is `SERVICE_TIMES` as high. Each process counts for itself.

Headers as on GitHub (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api), and those of the draft standard
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from aiohttp import web
from cachetools import LRUCache

from app.web.http.problems import HttpProblem

WINDOW_S = 60
MAX_WINDOWS = 50_000
"""Callers that are remembered; beyond that, the least recent are forgotten."""
SERVICE_TIMES = 100
PREFIX_BITS = 64
"""Of an IPv6 address: a client can choose the rest freely."""
POLICY = "default"


@dataclass(slots=True)
class Window:
    """One minute of one caller's requests."""

    limit: int
    ends_at: float
    """On the monotonic clock."""
    resets_at: int
    """The same time in seconds since 1970, for the response header."""
    used: int = 0

    @property
    def remaining(self) -> int:
        """Requests left in this minute."""
        return max(0, self.limit - self.used)

    def headers(self, left_s: int) -> Mapping[str, str]:
        """Response headers; `left_s` is the seconds until the window ends."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.resets_at),
            "RateLimit-Policy": f'"{POLICY}";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"{POLICY}";r={self.remaining};t={left_s}',
        }


class RateLimiter:
    """Counts requests by caller, which is a token's fingerprint or an address."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute` 0 means no limit."""
        self._per_minute, self._clock = per_minute, clock
        self._windows = LRUCache[str, Window](MAX_WINDOWS)

    def count(self, request: web.Request, key: str, *, times: int = 1) -> None:
        """Count a request, and note the caller's window for the response headers. Raises HttpProblem 429 if it is used up."""
        if not self._per_minute:
            return
        window = self._window(key, times)
        request[WINDOW] = window
        if not window.remaining:
            raise self._refusal(window)
        window.used += 1

    def give_back(self, key: str) -> None:
        """Undo one `count`: the request turned out to be another caller's."""
        window = self._windows.get(key)
        if window is not None and window.used:
            window.used -= 1

    def has_counted(self, key: str) -> bool:
        """Whether a request of this caller was counted recently."""
        return key in self._windows

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers to a response (aiohttp's `on_response_prepare`)."""
        window = request.get(WINDOW)
        if window is not None:
            response.headers.update(window.headers(self._left_s(window)))

    def _window(self, key: str, times: int = 1) -> Window:
        window, now = self._windows.get(key), self._clock()
        if window is None or window.ends_at <= now:
            window = self._windows[key] = Window(times * self._per_minute, now + WINDOW_S, math.ceil(time.time()) + WINDOW_S)
        return window

    def _left_s(self, window: Window) -> int:
        return max(0, math.ceil(window.ends_at - self._clock()))

    def _refusal(self, window: Window) -> HttpProblem:
        wait_s = max(1, self._left_s(window))
        detail = f"The limit is {window.limit} requests per minute: try again in {wait_s} s."
        return HttpProblem(429, "Too many requests", detail, headers={"Retry-After": str(wait_s)})


WINDOW = web.RequestKey("window", Window)
LIMITS = web.AppKey("limits", RateLimiter)


def set_up(web_app: web.Application, limits: RateLimiter) -> None:
    """Apply limits to the operations that need a token."""
    web_app[LIMITS] = limits
    web_app.on_response_prepare.append(limits.add_headers)


def address_of(request: web.Request) -> str:
    """The address that a request without a valid token is counted for.

    It is the peer's, because anyone can send `X-Forwarded-For`; behind a proxy all callers share the proxy's.
    """
    return network_of(request.remote or "")


def network_of(peer: str) -> str:
    """What one client has of the addresses of its kind: an IPv4 address, or a whole /64 network of IPv6."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, PREFIX_BITS), strict=False))
    return str(address)
