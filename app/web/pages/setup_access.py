"""Who may register the GitHub App of an unconfigured service. The App's owner controls the service, so only the operator may.

Two checks: the page that starts a registration requires the token that the service logged at its start; and GitHub's callback counts only
in the browser that started: https://datatracker.ietf.org/doc/html/rfc6819#section-4.4.1.8. No address, host name or protocol replaces the
token: a proxy or relay on the same host makes everybody look local.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

STATE_LIFE_S = 600.0
MAX_STATES = 100


@dataclass(frozen=True, slots=True)
class Intent:
    """The choices made when a registration began. `keep` False: show the credentials instead of storing them."""

    server_url: str
    keep: bool


@dataclass(frozen=True, slots=True)
class _Pending:
    state: bytes
    browser: bytes
    expires_s: float
    intent: Intent


class SetupAccess:
    """The setup token of this process, and its pending registrations: in memory only, states and browsers as hashes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_urlsafe(32)
        self._clock = clock
        self._pending: list[_Pending] = []

    def admits(self, token: str) -> bool:
        """Whether it is the setup token."""
        return hmac.compare_digest(_digest(token), _digest(self.token))

    def begin(self, browser: str, intent: Intent) -> str:
        """Return a `state` that is valid once, for `STATE_LIFE_S`, in the browser whose cookie is `browser`."""
        state = secrets.token_urlsafe(32)
        pending = _Pending(_digest(state), _digest(browser), self._clock() + STATE_LIFE_S, intent)
        self._pending = [*self._unexpired(), pending][-MAX_STATES:]
        return state

    def has_begun(self, browser: str) -> bool:
        """Whether a browser has a pending registration; it then keeps its cookie, so that its other tabs stay valid."""
        return any(hmac.compare_digest(pending.browser, _digest(browser)) for pending in self._unexpired())

    def finish(self, state: str, browser: str) -> Intent | None:
        """Use up `state`; None if it is unknown, expired, used, or of another browser."""
        found = [pending for pending in self._unexpired() if hmac.compare_digest(pending.state, _digest(state))]
        self._pending = [pending for pending in self._unexpired() if pending not in found]
        return next((pending.intent for pending in found if hmac.compare_digest(pending.browser, _digest(browser))), None)

    def _unexpired(self) -> list[_Pending]:
        return [pending for pending in self._pending if pending.expires_s > self._clock()]


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
