"""Starting and stopping the server, and its recorded requests and deliveries."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.double.faults import Faults
from tests.double.hookshot import Hookshot
from tests.double.server import create_server
from tests.double.state import App, Clock, Delivery, RecordedRequest, State, TokenForm, system_clock


class RunningServer:
    """Starts and stops the server; :class:`~tests.double.GitHubDouble` explains the parameters."""

    def __init__(
        self,
        *,
        api_prefix: str = "/api/v3",
        token_form: TokenForm = "alternate",  # noqa: S107 - the form of tokens, not one of them
        token_lifetime_s: int = 3600,
        tree_limit: int = 100_000,
        rate_limit: int = 5000,
        webhook_url: str | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._api_prefix = api_prefix
        self._stack = AsyncExitStack()
        self.state = State(
            app=new_app(webhook_url, clock),
            root=Path(),
            clock=clock,
            token_form=token_form,
            token_lifetime_s=token_lifetime_s,
            tree_limit=tree_limit,
            rate_limit=rate_limit,
        )
        self.faults = Faults()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self.state.root = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="github-double-")))
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._hookshot = Hookshot(self.state, session)
        runner = web.AppRunner(
            create_server(self.state, self._hookshot, self.faults, self._api_prefix),
            access_log=None,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        self._stack.push_async_callback(self._hookshot.close)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.state.server_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.state.api_url = self.state.server_url + self._api_prefix
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Stop listening and delete the repositories."""
        await self._stack.aclose()

    @property
    def app(self) -> App:
        """The App; set ``webhook_url`` here."""
        return self.state.app

    @property
    def api_url(self) -> str:
        """For GITHUB_API_URL."""
        return self.state.api_url

    @property
    def server_url(self) -> str:
        """For GITHUB_SERVER_URL; git is at ``{server_url}/{owner}/{name}.git``."""
        return self.state.server_url

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests so far, oldest first."""
        return self.state.requests

    @property
    def deliveries(self) -> list[Delivery]:
        """All attempts to deliver events so far, oldest first."""
        return self.state.deliveries

    @property
    def violations(self) -> list[str]:
        """Violations of GitHub's schema in all requests; a correct App causes none."""
        return self.state.violations


@cache
def key_pair() -> tuple[str, str]:
    """An RSA key, private and public, in PEM; shared by all doubles of a process, because generating one takes 0.1 s."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def new_app(webhook_url: str | None, clock: Clock) -> App:
    """An App with a fresh webhook secret."""
    private, public = key_pair()
    return App(
        id=secrets.randbelow(900_000) + 100_000,
        client_id=f"Iv23li{secrets.token_hex(7)}",
        slug="freshet-test",
        private_key_pem=private,
        public_key_pem=public,
        webhook_secret=secrets.token_hex(20),
        created_at=clock(),
        webhook_url=webhook_url,
        hook_id=secrets.randbelow(900_000_000) + 100_000_000,
    )
