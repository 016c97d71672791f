"""How the App comes to be and how it fares: registration from its manifest, its webhook's configuration, and a checkup."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
import stamina
from pydantic import SecretStr

from app import log
from app.checkup import (
    CHECKING,
    Attempt,
    Checkup,
    Deliveries,
    Finding,
    Hook,
    check_deliveries,
    check_events,
    check_permissions,
    check_secret,
    check_url,
    refused,
    summarise,
)
from app.errors import (
    AlreadyConfiguredError,
    FreshetError,
    GitHubUnavailableError,
    GoneError,
    NotConfiguredError,
    RejectedError,
)
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.identity import IdentityFile
from app.github_app import WEBHOOK_PATH, AppManifest, Identity, Owner, Registered, Registration, api_url_of, environment_of, registration

REGISTERING = "registering the GitHub App"
ATTEMPTS = 3
RECENT = 100
FRESH_S = 60.0
"""The page that shows the state is open to everybody: however often it is loaded, GitHub is asked this seldom."""

_log = log.get(__name__)


class _Created(msgspec.Struct):
    id: int
    name: str
    html_url: str
    client_id: str
    client_secret: str
    pem: str
    webhook_secret: str | None = None


class _GitHubApp(msgspec.Struct):
    id: int
    name: str
    html_url: str
    permissions: dict[str, Any]
    events: list[str]


class _Hook(msgspec.Struct):
    url: str | None = None
    content_type: str | None = None
    insecure_ssl: str | float | None = None
    secret: str | None = None


class _Delivery(msgspec.Struct):
    guid: str
    event: str
    status_code: int
    delivered_at: datetime


class AppSetup:
    """The App of this service, once there is one, and the way to it. `server_url` may be moved by registering on another GitHub."""

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        api: ApiClient,
        auth: AppAuth,
        file: IdentityFile,
        manifest: AppManifest,
        *,
        public_url: str,
        addresses: tuple[str, str],
        server_is_fixed: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`addresses` are those of the API and of the server; `server_is_fixed` says that no page may choose others."""
        self._api, self._auth, self._file, self._clock = api, auth, file, clock
        self.manifest, self.public_url, self.server_is_fixed = manifest, public_url, server_is_fixed
        self._api_url, self.server_url = addresses
        self._identity: Identity | None = None
        self._listeners: list[Callable[[Identity], None]] = []
        self._registering, self._looking = asyncio.Lock(), asyncio.Lock()
        self._seen: tuple[float, Checkup] | None = None

    @property
    def identity(self) -> Identity | None:
        """Who we are; None until there is an App."""
        return self._identity

    @property
    def configured(self) -> bool:
        """Tell whether there is an App."""
        return self._identity is not None

    def when_taken(self, listener: Callable[[Identity], None]) -> None:
        """Tell `listener` of every identity, of the present one at once."""
        self._listeners.append(listener)
        if self._identity is not None:
            listener(self._identity)

    def take(self, identity: Identity) -> None:
        """Be that App from now on. Raises ConfigurationError when its key or secret cannot be used."""
        self._auth.configure(identity.app_id, identity.private_key)
        if not self.server_is_fixed:
            self._api_url, self.server_url = identity.api_url or self._api_url, identity.server_url or self.server_url
            self._api.point_at(self._api_url)
        self._identity, self._seen = identity, None
        for listener in self._listeners:
            listener(identity)

    def registration(self, owner: Owner, callback_url: str, state: str) -> Registration:
        """Return the form that starts the registration."""
        return registration(self.manifest, owner, self.public_url, callback_url, state)

    async def register(self, code: str, server_url: str, *, keep: bool) -> Registered:
        """Turn GitHub's code into an App of ours, and become it. Raises AlreadyConfiguredError, or as `app.ports.GitHub` says."""
        async with self._registering:
            if self.configured:
                raise AlreadyConfiguredError(REGISTERING, "this service has a GitHub App already", "Open /setup to see how it fares.")
            default_server_url = self.server_url
            created = await self._convert(code, server_url)
            identity = self._identity_of(created, server_url)
            self.take(identity)
            why_not = await self._keep(identity) if keep else "you asked for it"
        _log.info("GitHub App registered", app_id=identity.app_id, name=identity.name, kept=not why_not)
        if created.webhook_secret is None:
            await self._give_secret()
        return Registered(created.name, created.html_url, environment_of(identity, default_server_url) if why_not else None, why_not)

    async def set_webhook(self) -> tuple[Hook, Deliveries]:
        """Set the webhook's address and secret on GitHub, and tell how recent deliveries went.

        https://docs.github.com/en/rest/apps/webhooks#update-a-webhook-configuration-for-an-app
        """
        if self._identity is None:
            raise NotConfiguredError("setting the App's webhook", "no GitHub App is configured", "Open /setup to make one.")
        body = {
            "url": self.public_url + WEBHOOK_PATH,
            "content_type": "json",
            "secret": self._identity.webhook_secret.get_secret_value(),
            "insecure_ssl": "0",
        }
        doing = "setting the App's webhook"
        hook = await self._api.patch("/app/hook/config", _Hook, doing=doing, token=self._auth.jwt(), body=body)
        self._seen = None
        return _shown(hook), summarise(await self._attempts())

    async def state(self) -> Checkup:
        """Return the checkup of the last minute."""
        async with self._looking:
            if self._seen is None or self._clock() - self._seen[0] > FRESH_S:
                self._seen = self._clock(), await self.examine()
            return self._seen[1]

    async def examine(self) -> Checkup:
        """Look at everything about the App. Where GitHub does not know us, there is nothing more to find out."""
        known = self._identity
        if known is None:
            where = f"Open {self.public_url}/setup (the service's log has the whole link), or set GITHUB_APP_ID and what goes with it."
            return Checkup("", "", (Finding.bad("GitHub App", f"none is configured. {where}"),))
        try:
            found = await self._api.get("/app", _GitHubApp, doing=CHECKING, token=self._auth.jwt())
            hook, attempts = _shown(await self._hook()), await self._attempts()
        except FreshetError as error:
            told = refused(error) if isinstance(error, GoneError | RejectedError) else error
            return Checkup(known.name, known.html_url, (Finding.bad("GitHub App", told.user_text),))
        granted = {name: level for name, level in found.permissions.items() if isinstance(level, str)}
        findings = (
            Finding.ok("GitHub App", f"{found.name} (id {found.id}), {found.html_url}"),
            check_secret(hook, attempts),
            check_permissions(self.manifest, granted),
            check_events(self.manifest, found.events),
            check_url(hook, self.public_url + WEBHOOK_PATH),
            check_deliveries(attempts),
        )
        return Checkup(found.name, found.html_url, findings)

    async def _convert(self, code: str, server_url: str) -> _Created:
        """https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest: with no token but the code, which works once.

        So trying again after a lost answer can do no harm, and may help.
        """
        path = f"/app-manifests/{quote(code, safe='')}/conversions"
        async with ApiClient(self._api_url_of(server_url)) as api:
            async for attempt in stamina.retry_context(GitHubUnavailableError, attempts=ATTEMPTS, timeout=None, wait_initial=0.2):
                with attempt:
                    return await api.post(path, _Created, doing=REGISTERING, token=None, body={})
        raise AssertionError  # pragma: no cover - stamina raises the last error itself

    def _identity_of(self, created: _Created, server_url: str) -> Identity:
        return Identity(
            app_id=created.id,
            private_key=SecretStr(created.pem),
            webhook_secret=SecretStr(created.webhook_secret or secrets.token_hex(32)),
            client_id=created.client_id,
            client_secret=SecretStr(created.client_secret),
            name=created.name,
            html_url=created.html_url,
            api_url=self._api_url_of(server_url),
            server_url=server_url,
        )

    def _api_url_of(self, server_url: str) -> str:
        return self._api_url if server_url == self.server_url else api_url_of(server_url)

    async def _keep(self, identity: Identity) -> str:
        """Save an identity; return why that was impossible, if it was."""
        try:
            await asyncio.to_thread(self._file.save, identity)
        except OSError as error:
            _log.warning("the GitHub App's credentials cannot be stored", reason=str(error))
            return f"FRESHET_DATA_DIR cannot be written ({error.strerror})"
        return ""

    async def _give_secret(self) -> None:
        try:
            await self.set_webhook()
        except FreshetError as error:
            _log.warning("the App's webhook has no secret yet: POST /api/webhooks/github/setup sets it", reason=str(error))

    async def _hook(self) -> _Hook:
        """https://docs.github.com/en/rest/apps/webhooks#get-a-webhook-configuration-for-an-app."""
        return await self._api.get("/app/hook/config", _Hook, doing="reading the App's webhook", token=self._auth.jwt())

    async def _attempts(self) -> list[Attempt]:
        """https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook: the newest ones."""
        doing, size = "reading how deliveries went", str(RECENT)
        found = await self._api.get("/app/hook/deliveries", list[_Delivery], doing=doing, token=self._auth.jwt(), per_page=size)
        return [Attempt(one.guid, one.event, one.status_code, one.delivered_at) for one in found]


def _shown(hook: _Hook) -> Hook:
    insecure = str(hook.insecure_ssl) if hook.insecure_ssl is not None else "0"
    return Hook(hook.url or "", hook.content_type or "form", insecure, bool(hook.secret))
