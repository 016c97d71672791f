"""The application keys: what `service/server.py` puts into the web application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from aiohttp import web

from app.core.app_health import Checkup, DeliverySummary, Hook
from app.core.app_manifest import AppManifest, Owner, Registered, Registration
from app.core.models.callers import Callers
from app.core.models.sessions import OperatorCheck, UserAuthorization
from app.core.wakeup import Wakeup
from app.notifications.rules import SubscriptionRules
from app.pipeline.branch_heads import BranchHeads
from app.pipeline.ports import GitHub, Runner
from app.store import Store
from app.web.http.problems import HttpProblem
from app.web.pages.setup_access import SetupAccess


class Listener(Protocol):
    """Hands out wakeups; implemented in `store/listen.py`."""

    def wakeup(self, channel: str, payload: str | None = None) -> AbstractContextManager[Wakeup]:
        """A wakeup for notifications on a channel, or only for those with this payload."""

    def wake_all(self) -> None:
        """Fire every wakeup."""


class AppSetup(Protocol):
    """The service's GitHub App and its registration; implemented in `github/app/registration.py`."""

    manifest: AppManifest
    public_url: str
    server_url: str
    server_is_fixed: bool
    """True: the environment sets the GitHub server, so `/setup` offers no choice."""

    @property
    def configured(self) -> bool:
        """Whether the service has an App."""

    def registration(self, owner: Owner, callback_url: str, state: str, *, options: bool = False) -> Registration:
        """The form that starts a registration on GitHub; `options`: with the optional permissions."""

    async def register(self, code: str, server_url: str, *, keep: bool) -> Registered:
        """Exchange GitHub's code for the App's credentials and use them; `keep` stores them."""

    async def checkup(self) -> Checkup:
        """The App's status, at most a minute old."""

    async def set_webhook(self) -> tuple[Hook, DeliverySummary]:
        """Set the webhook's address and secret on GitHub; returns its configuration there."""


class ErrorPage(Protocol):
    """Shows problems to browsers; implemented in `pages/frame.py`."""

    def __call__(self, request: web.Request, problem: HttpProblem) -> web.Response | None:
        """The page; None for programs, which get the problem document."""


Check = Callable[[], Awaitable[str]]
"""Returns a short text about a dependency that works; raises FreshetError if it does not."""

STORE = web.AppKey("store", Store)
RUNNER = web.AppKey("runner", Runner)
WORK_DIR = web.AppKey("work_dir", Path)
GITHUB = web.AppKey("github", GitHub)
LISTENER = web.AppKey("listener", Listener)
SETUP = web.AppKey("setup", AppSetup)
SETUP_ACCESS = web.AppKey("setup_access", SetupAccess)
CALLERS = web.AppKey("callers", Callers)
NOTIFY = web.AppKey("notify", SubscriptionRules)
HEADS = web.AppKey("heads", BranchHeads)
OBJECTIVE_S = web.AppKey("objective_s", float)
"""Time within which a push is to have its lineage."""
PUBLIC_URL = web.AppKey("public_url", str)
PREFIX = web.AppKey("prefix", str)
"""The path of the public URL, such as `/freshet`; empty at the root of a host."""
OPEN_PAGES = web.AppKey("open_pages", bool)
"""Whether anybody on this host may see all pages as long as nobody can sign in."""
SIGN_IN = web.AppKey("sign_in", UserAuthorization)
OPERATORS = web.AppKey("operators", OperatorCheck)
ERROR_PAGE = web.AppKey("error_page", ErrorPage)
CHECKS = web.AppKey("checks", dict[str, Check])
CLOSING = web.AppKey("closing", asyncio.Event)
"""Set when the server stops, so that streams end."""
