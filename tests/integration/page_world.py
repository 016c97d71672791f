"""All pages with real routes and a real database, beside a GitHub double where people sign in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import gettempdir

from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from app.core.app_manifest import Identity
from app.core.models.github import Repository
from app.github.access.operators import Operators
from app.github.access.queries import AccessQueries
from app.github.access.viewers import Viewers
from app.github.app.auth import AppAuth
from app.github.app.credentials_file import CredentialsFile
from app.github.app.registration import AppSetup
from app.github.app.sign_in import UserSignIn
from app.github.rest.checks import GitHubClient
from app.github.rest.http import ApiClient
from app.pipeline import webhooks
from app.service import app_identity
from app.store import Store, listen
from app.web import keys, routes
from app.web.auth import rate_limits, sessions
from app.web.auth.flows import FLOWS
from app.web.auth.service_tokens import EitherCallers, ServiceCallers, ServiceTokens
from app.web.auth.sessions import SessionKeeper
from app.web.http import live, middleware
from app.web.pages import frame, service_figures, sign_in
from tests.dbt_double.runner import DoubleRunner
from tests.double import GitHubDouble, events
from tests.double import Repository as Hosted
from tests.double.schema import validate_event
from tests.html_forms import Browser, Page, browsing
from tests.patience import HANGS_S
from tests.service import free_port

SERVICE = "the-service-token"
OPERATORS = ("Root", "octo/platform")
"""A login and a team."""
READ, WRITE = "mona", "hubot"
STRANGER = "stranger"
LIFETIME = timedelta(hours=168)


@dataclass
class Replica:
    """One process of the service."""

    url: str
    web_app: web.Application
    viewers: Viewers
    user_sign_in: UserSignIn

    @property
    def keeper(self) -> SessionKeeper:
        return self.web_app[sessions.SESSIONS]


@dataclass
class World:
    """A private repository, followed; `mona` may read it, `hubot` may push, `stranger` may nothing. `now_s` is what sign-ins go by."""

    github: GitHubDouble
    store: Store
    replicas: list[Replica]
    hosted: Hosted
    connection_id: str
    extraction_id: str
    now_s: list[float]
    stack: AsyncExitStack = field(repr=False)

    @property
    def url(self) -> str:
        return self.replicas[0].url

    @property
    def keeper(self) -> SessionKeeper:
        return self.replicas[0].keeper

    @property
    def page(self) -> str:
        """The path that a check run leads to."""
        return f"/extractions/{self.extraction_id}"

    async def browser(self, login: str = "", *, replica: int = 0) -> Browser:
        """A new browser; signed in here if there is a `login`."""
        found = await self.stack.enter_async_context(browsing(self.replicas[replica].url))
        if login:
            self.github.state.person = login
            page = await found.open("/sign-in")
            assert (page.status, page.url) == (200, f"{found.url}/"), page.text
        return found

    async def open(self, browser: Browser, path: str, status: int = 200) -> Page:
        page = await browser.open(path)
        assert page.status == status, (page.url, page.text)
        return page

    async def sessions(self) -> int:
        return int(await self.store._db.value("SELECT count(*) FROM sessions"))

    async def age(self, **columns: timedelta) -> None:
        """Let time pass for all sessions: move these columns into the past."""
        for name, by in columns.items():
            await self.store._db.execute(f"UPDATE sessions SET {name} = {name} - $1::interval", by)  # noqa: S608 - names of columns

    def forget_answers(self) -> None:
        """As a minute later: GitHub is asked again."""
        for one in self.replicas:
            one.viewers.forget()


async def deliver_revocation(world: World, login: str) -> None:
    """What GitHub sends when a person revokes the App's authorization."""
    event = events.authorization_revoked(world.github.state, login)
    assert validate_event(event.name, event.payload) == []
    await webhooks.receive(world.store, f"revoked-{login}", event.name, json.dumps(event.payload).encode())


@asynccontextmanager
async def running(
    store: Store, dsn: str, *, replicas: int = 1, prefix: str = "", public_url: str = "", with_client: bool = True, per_minute: int = 0
) -> AsyncIterator[World]:
    """The service in `replicas` processes on one database, below `prefix`, or with another public URL than its own."""
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(GitHubDouble())
        installed = await github.install("octo")
        await store.installations.install(installed.id, "octo", "Organization", "all")
        hosted = await github.create_repository("octo/shop", {"dbt_project.yml": b"name: shop\n"})
        await store.installations.update_from_push(Repository(hosted.id, "octo/shop", installed.id, "main"))
        connection = await store.connections.create(hosted.id, "")
        extraction_id = await store.extractions.enqueue(connection.id, "main", "a" * 40, "push")
        github.sign_in(READ, {hosted: "pull"})
        github.sign_in(WRITE, {hosted: "push"})
        github.sign_in(STRANGER, {})
        listener = await stack.enter_async_context(listen.listening(dsn))
        now_s = [datetime.now(UTC).timestamp()]
        world = World(github, store, [], hosted, connection.id, extraction_id, now_s, stack)
        for _ in range(replicas):
            world.replicas.append(
                await _replica(stack, world, listener, public_url or prefix, with_client=with_client, per_minute=per_minute)
            )
        yield world
        for one in world.replicas:
            one.web_app[keys.CLOSING].set()
        listener.wake_all()


async def _replica(
    stack: AsyncExitStack, world: World, listener: listen.Listener, address: str, *, with_client: bool, per_minute: int
) -> Replica:
    github = world.github
    api = await stack.enter_async_context(ApiClient(github.api_url, total_s=HANGS_S, measured=False))
    git = await stack.enter_async_context(ApiClient(github.server_url, total_s=HANGS_S, measured=False))
    viewers = await stack.enter_async_context(aclosing(Viewers(AccessQueries(api, git))))
    user_sign_in = UserSignIn(api, git)
    client_id, secret = (github.app.client_id, SecretStr(github.app.client_secret)) if with_client else (None, None)
    viewers.use_app(client_id, secret, (github.api_url, github.server_url))
    user_sign_in.use_app(client_id, secret, github.server_url)
    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
    port = free_port()
    server, server_url = TestServer(web_app, port=port), f"http://127.0.0.1:{port}"
    web_app[keys.STORE], web_app[keys.LISTENER], web_app[keys.CLOSING] = world.store, listener, asyncio.Event()
    web_app[live.VIEWS] = live.LiveViews(web_app[keys.CLOSING])
    public_url = address if address.startswith("https:") else server_url + address
    key, webhook_secret = SecretStr(github.app.private_key_pem), SecretStr(github.app.webhook_secret)
    auth = AppAuth(github.app.id, github.app.private_key_pem, api)
    web_app[keys.GITHUB] = GitHubClient(api, auth)
    web_app[keys.SETUP] = setup = AppSetup(
        api,
        auth,
        CredentialsFile(Path("unused")),
        app_identity.app_manifest(),
        public_url=public_url,
        addresses=(github.api_url, github.server_url),
        server_is_fixed=True,
    )
    setup._identity = Identity(github.app.id, key, webhook_secret, client_id, secret)
    web_app[keys.CALLERS] = EitherCallers(ServiceCallers(ServiceTokens([SERVICE])), viewers)
    web_app[keys.PUBLIC_URL], web_app[keys.OPEN_PAGES] = public_url, True
    web_app[keys.SIGN_IN] = user_sign_in
    web_app[keys.OPERATORS] = await stack.enter_async_context(aclosing(Operators(OPERATORS, api)))
    web_app[keys.RUNNER], web_app[keys.WORK_DIR] = DoubleRunner(Path(gettempdir())), Path(gettempdir())
    service_figures.set_up(web_app)
    secure = public_url.startswith("https:")
    web_app[sessions.SESSIONS] = SessionKeeper(world.store.sessions, viewers, user_sign_in, lifetime=LIFETIME, secure=secure)
    frame.set_up(web_app, public_url)
    sign_in.set_up(web_app)
    sessions.set_up(web_app)
    web_app[FLOWS]._clock = lambda: world.now_s[0]
    rate_limits.set_up(web_app, rate_limits.RateLimiter(per_minute))
    routes.add(web_app, _no_delivery)
    await stack.enter_async_context(server)
    github.app.callback_urls.append(f"{public_url}/sign-in/callback")
    return Replica(server_url, web_app, viewers, user_sign_in)


async def _no_delivery(_: web.Request) -> web.Response:
    raise AssertionError("a delivery came")
