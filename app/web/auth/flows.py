"""Sign-ins under way. What the service has to know when GitHub sends the browser back is in a sealed cookie of that browser.

Each has a cookie of its own, so that several tabs can sign in at once, and none is kept by the service, so that strangers fill nothing.
https://www.rfc-editor.org/rfc/rfc9700 and https://www.rfc-editor.org/rfc/rfc7636 (PKCE).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web
from pydantic import SecretStr

from app.web.auth.sealing import Seal

LIFE_S = 600.0
SKEW_S = 60.0
"""How far the clocks of two processes may differ."""
MAX_FLOWS = 5
"""Cookies of one browser; beyond that, all are removed, because the header of a request has a limit, of 8 KiB in many proxies."""
PURPOSE = "sign-in"
PREFIX = "freshet-sign-in-"
MAX_NEXT = 1000
_ID_CHARACTERS = 12
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in. `next` is the path where it leads."""

    state: str
    verifier: str
    next: str
    began_s: float

    @property
    def challenge(self) -> str:
        """PKCE's challenge by S256."""
        return _encoded(hashlib.sha256(self.verifier.encode()).digest())


class Flows:
    """Begins sign-ins, and finishes each in the browser where it began."""

    def __init__(self, *, secure: bool, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.prefix = f"__Host-{PREFIX}" if secure else PREFIX

    def begin(self, next_path: str) -> Flow:
        """A sign-in that can be finished within `LIFE_S`."""
        return Flow(secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES), next_path, self._clock())

    def cookie(self, flow: Flow, secret: SecretStr) -> tuple[str, str]:
        """Name and value of its cookie."""
        content = orjson.dumps([flow.state, flow.verifier, flow.next, flow.began_s])
        return self.name(flow.state), _encoded(Seal(secret, PURPOSE).close(content))

    def finish(self, state: str, cookies: Mapping[str, str], secret: SecretStr) -> Flow | None:
        """The sign-in that this browser began with `state`; None if it did not, or too long ago."""
        name = self.name(state)
        try:
            content = Seal(secret, PURPOSE).open(base64.urlsafe_b64decode(cookies.get(name, "") + "=="))
        except ValueError:
            return None
        if content is None:
            return None
        flow = Flow(*orjson.loads(content))
        young = -SKEW_S <= self._clock() - flow.began_s <= LIFE_S
        return flow if young and hmac.compare_digest(flow.state.encode(), state.encode("utf-8", "surrogatepass")) else None

    def names(self, cookies: Mapping[str, str]) -> list[str]:
        """The names of all of a browser's cookies of this kind."""
        return [name for name in cookies if name.startswith(self.prefix)]

    def name(self, state: str) -> str:
        """The name of the cookie for a `state`."""
        return self.prefix + hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_CHARACTERS]


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def local_path(text: str) -> str:
    r"""A path of ours, with its query, for a redirect; `/` for anything that leads elsewhere or is not a plain address.

    >>> local_path("/extractions/1?x=2"), local_path("//evil.example"), local_path("https://evil.example"), local_path("/\\evil.example")
    ('/extractions/1?x=2', '/', '/', '/')
    """
    usable = text.startswith("/") and not text.startswith("//") and len(text) <= MAX_NEXT
    return text if usable and text.isascii() and text.isprintable() and not set(text) & set('\\" <>') else "/"


FLOWS = web.AppKey("flows", Flows)
