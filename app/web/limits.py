"""How often somebody may call: so many requests a minute with one token, and as many without a good one from one address.

A service token stands for a program of the operator's, and for all whom that serves: it may call `SERVICE_TIMES` as often.

Headers as on GitHub (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api), and those that are to become the
standard (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/). Each process counts for itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from aiohttp import web
from cachetools import LRUCache

from app.web.problems import Problem

WINDOW_S = 60
MAX_WINDOWS = 50_000
SERVICE_TIMES = 100
PREFIX_BITS = 64
"""Of an IPv6 address: the rest is for whoever has it to choose."""
POLICY = "default"


@dataclass(slots=True)
class Window:
    """A minute in which the requests of one caller are counted."""

    limit: int
    ends_at: float
    """On the monotonic clock."""
    resets_at: int
    """The same in seconds since 1970, for the caller."""
    used: int = 0

    @property
    def remaining(self) -> int:
        """How many more requests are taken in this minute."""
        return max(0, self.limit - self.used)

    def headers(self, left_s: int) -> Mapping[str, str]:
        """Return what the caller is told, who has so many seconds of it left."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.resets_at),
            "RateLimit-Policy": f'"{POLICY}";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"{POLICY}";r={self.remaining};t={left_s}',
        }


class Limits:
    """Counts the requests of callers, by token or by address; whom it has not heard of for long it forgets."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """0 requests a minute: no limit."""
        self._per_minute, self._clock = per_minute, clock
        self._windows = LRUCache[str, Window](MAX_WINDOWS)

    def take(self, request: web.Request, key: str, *, times: int = 1) -> None:
        """Count a request for somebody, and have its answer say so. Raises Problem 429 when he had his."""
        if not self._per_minute:
            return
        window = self._window(key, times)
        request[WINDOW] = window
        if not window.remaining:
            raise self._refusal(window)
        window.used += 1

    def require(self, request: web.Request, key: str) -> None:
        """Let a request pass that is not counted yet. Raises Problem 429 when this one had his."""
        if self._per_minute and not self._window(key).remaining:
            self.take(request, key)

    def knows(self, key: str) -> bool:
        """Tell whether somebody was counted lately."""
        return key in self._windows

    async def show(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the headers into an answer, before it begins."""
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

    def _refusal(self, window: Window) -> Problem:
        wait_s = max(1, self._left_s(window))
        told = f"{window.limit} requests a minute are answered: try again in {wait_s} s."
        return Problem(429, "Too many requests", told, headers={"Retry-After": str(wait_s)})


WINDOW = web.RequestKey("window", Window)
LIMITS = web.AppKey("limits", Limits)


def set_up(web_app: web.Application, limits: Limits) -> None:
    """Have the guarded addresses of an application keep to limits."""
    web_app[LIMITS] = limits
    web_app.on_response_prepare.append(limits.show)


def address_of(request: web.Request) -> str:
    """Return whom a request without a good token is counted for.

    That is whoever connected: anybody can write `X-Forwarded-For`. Behind a proxy they are all one.
    """
    peer = request.remote or ""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, PREFIX_BITS), strict=False))
    return str(address)
