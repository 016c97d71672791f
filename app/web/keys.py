"""What `main.py` puts into the web application, by type."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Protocol

from aiohttp import web

from app.ports import Bell, GitHub, Store
from app.web.tokens import ServiceTokens


class Wake(Protocol):
    """Hands out bells: see `store/wake.py`."""

    def bell(self, channel: str, payload: str | None = None) -> AbstractContextManager[Bell]:
        """Return a bell for a channel, or for one payload of it."""

    def ring_all(self) -> None:
        """Wake everybody."""


Check = Callable[[], Awaitable[str]]
"""Returns one line about a dependency that works; raises FreshetError when it does not."""

STORE = web.AppKey("store", Store)
GITHUB = web.AppKey("github", GitHub)
WAKE = web.AppKey("wake", Wake)
TOKENS = web.AppKey("tokens", ServiceTokens)
CHECKS = web.AppKey("checks", dict[str, Check])
CLOSING = web.AppKey("closing", asyncio.Event)
"""Set when the server stops: streams end."""
