"""Who may register the GitHub App of an unconfigured service: whoever does so owns what the service will do, so not just anybody.

Two checks. The page that starts a registration is for those who hold the token that the service's log shows at its start, or who sit at
the host itself. And GitHub's answer counts only in the browser that asked for it: https://datatracker.ietf.org/doc/html/rfc6819#section-4.4.1.8.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import HttpVersion, HttpVersion11, web

STATE_LIFE_S = 600.0
MAX_STATES = 100
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?")
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""Any of these says that a proxy stands between us and the browser."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What was chosen when a registration began. `keep` is False when the credentials are to be shown instead of stored."""

    server_url: str
    keep: bool


@dataclass(frozen=True, slots=True)
class _Begun:
    state: bytes
    browser: bytes
    until_s: float
    intent: Intent


class Door:
    """The token of this start, and the registrations that have begun: in memory only, as hashes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_urlsafe(32)
        self._clock = clock
        self._begun: list[_Begun] = []

    def admits(self, token: str) -> bool:
        """Tell whether a token is the one of this start."""
        return hmac.compare_digest(_digest(token), _digest(self.token))

    def begin(self, browser: str, intent: Intent) -> str:
        """Return a `state` that is good once, for ten minutes, in the browser that holds `browser`."""
        state = secrets.token_urlsafe(32)
        begun = _Begun(_digest(state), _digest(browser), self._clock() + STATE_LIFE_S, intent)
        self._begun = [*self._fresh(), begun][-MAX_STATES:]
        return state

    def knows(self, browser: str) -> bool:
        """Tell whether a browser has begun already: it then keeps its cookie, and its other tabs stay good."""
        return any(hmac.compare_digest(begun.browser, _digest(browser)) for begun in self._fresh())

    def finish(self, state: str, browser: str) -> Intent | None:
        """Return what was begun with `state`, None when that was not here, not in this browser, too long ago, or is done."""
        found = [begun for begun in self._fresh() if hmac.compare_digest(begun.state, _digest(state))]
        self._begun = [begun for begun in self._fresh() if begun not in found]
        return next((begun.intent for begun in found if hmac.compare_digest(begun.browser, _digest(browser))), None)

    def _fresh(self) -> list[_Begun]:
        return [begun for begun in self._begun if begun.until_s > self._clock()]


def is_local(request: web.Request) -> bool:
    """Tell whether the browser runs on this host."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return comes_from_here(peer[0] if peer else "", request.host, request.headers, request.version)


def comes_from_here(peer: str, host: str, headers: Mapping[str, str], version: HttpVersion) -> bool:
    """Decide from the peer's address, unless a proxy on this host passes on what comes from elsewhere.

    The name has to be a loopback one too: a page of somebody else's can give its own name our address (DNS rebinding). A proxy that
    adds no header mostly speaks HTTP/1.0, which no browser does.
    """
    return (
        _is_loopback(peer) and _is_loopback(_hostname(host)) and version >= HttpVersion11 and not any(name in headers for name in FORWARDED)
    )


def _hostname(host: str) -> str:
    """Return the name of a Host header without its port, "" when it is anything else: it becomes part of an address."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]) if found else ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
