"""What `main.py` puts into the web application, by type."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Protocol

from aiohttp import web

from app.callers import Callers
from app.checkup import Checkup, Deliveries, Hook
from app.github_app import AppManifest, Owner, Registered, Registration
from app.heads import Heads
from app.notices import Rules
from app.ports import Bell, GitHub
from app.storage import Store
from app.web.door import Door


class Wake(Protocol):
    """Hands out bells: see `store/wake.py`."""

    def bell(self, channel: str, payload: str | None = None) -> AbstractContextManager[Bell]:
        """Return a bell for a channel, or for one payload of it."""

    def ring_all(self) -> None:
        """Wake everybody."""


class AppSetup(Protocol):
    """The service's GitHub App and the way to it: see `github/setup.py`."""

    manifest: AppManifest
    public_url: str
    server_url: str
    server_is_fixed: bool
    """True when the environment says which GitHub is meant: then no page does."""

    @property
    def configured(self) -> bool:
        """Tell whether there is an App."""

    def registration(self, owner: Owner, callback_url: str, state: str) -> Registration:
        """Return the form that starts a registration."""

    async def register(self, code: str, server_url: str, *, keep: bool) -> Registered:
        """Become the App that GitHub gave a code for."""

    async def state(self) -> Checkup:
        """Tell how the App fares, as of the last minute."""

    async def set_webhook(self) -> tuple[Hook, Deliveries]:
        """Set the webhook's address and secret on GitHub."""


Check = Callable[[], Awaitable[str]]
"""Returns one line about a dependency that works; raises FreshetError when it does not."""

STORE = web.AppKey("store", Store)
GITHUB = web.AppKey("github", GitHub)
WAKE = web.AppKey("wake", Wake)
SETUP = web.AppKey("setup", AppSetup)
DOOR = web.AppKey("door", Door)
CALLERS = web.AppKey("callers", Callers)
NOTIFY = web.AppKey("notify", Rules)
HEADS = web.AppKey("heads", Heads)
OBJECTIVE_S = web.AppKey("objective_s", float)
"""A lineage is to be there so soon after a push."""
PUBLIC_URL = web.AppKey("public_url", str)
CHECKS = web.AppKey("checks", dict[str, Check])
CLOSING = web.AppKey("closing", asyncio.Event)
"""Set when the server stops: streams end."""
