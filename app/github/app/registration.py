"""Registers the App from its manifest, sets its webhook, and checks its configuration on GitHub."""

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

from app.core import log
from app.core.app_health import (
    CHECKING,
    Checkup,
    DeliveryAttempt,
    DeliverySummary,
    Finding,
    Hook,
    check_acceptance,
    check_deliveries,
    check_events,
    check_permissions,
    check_secret,
    check_sign_in,
    check_url,
    credentials_error,
    summarize,
)
from app.core.app_manifest import (
    WEBHOOK_PATH,
    AppManifest,
    Identity,
    Owner,
    Registered,
    Registration,
    api_url_of,
    environment_of,
    registration,
)
from app.core.errors import AlreadyConfiguredError, FreshetError, GitHubUnavailableError, GoneError, NotConfiguredError, RejectedError
from app.github.app.auth import AppAuth
from app.github.app.credentials_file import CredentialsFile
from app.github.rest.http import ApiClient

REGISTERING = "registering the GitHub App"
ATTEMPTS = 3
RECENT = 100
UNREACHABLE = "Check that this host reaches GITHUB_API_URL, and https://www.githubstatus.com."
FRESH_S = 60.0
"""How long a checkup is cached: anyone may open the setup page, which must not use up the App's rate limit."""

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


class _Owner(msgspec.Struct):
    login: str = ""
    slug: str = ""

    @property
    def name(self) -> str:
        return self.login or self.slug


class _Installed(msgspec.Struct):
    id: int
    permissions: dict[str, Any]
    account: _Owner | None = None


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
    """The App of this service and its registration. Registering on another GitHub server changes `server_url`."""

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        api: ApiClient,
        auth: AppAuth,
        file: CredentialsFile,
        manifest: AppManifest,
        *,
        public_url: str,
        addresses: tuple[str, str],
        server_is_fixed: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`addresses` are the URLs of the API and of the server; `server_is_fixed`: the page cannot change them."""
        self._api, self._auth, self._file, self._clock = api, auth, file, clock
        self.manifest, self.public_url, self.server_is_fixed = manifest, public_url, server_is_fixed
        self._api_url, self.server_url = addresses
        self._identity: Identity | None = None
        self._listeners: list[Callable[[Identity], None]] = []
        self._registering, self._checking = asyncio.Lock(), asyncio.Lock()
        self._last_checkup: tuple[float, Checkup] | None = None

    @property
    def identity(self) -> Identity | None:
        """The App's credentials, None until there is an App."""
        return self._identity

    @property
    def configured(self) -> bool:
        """True if there is an App."""
        return self._identity is not None

    def subscribe(self, listener: Callable[[Identity], None]) -> None:
        """Call `listener` with the current identity and with each new one."""
        self._listeners.append(listener)
        if self._identity is not None:
            listener(self._identity)

    def use(self, identity: Identity) -> None:
        """Use this App from now on. Raises ConfigurationError for an unusable key or secret."""
        self._auth.configure(identity.app_id, identity.private_key)
        if not self.server_is_fixed:
            self._api_url, self.server_url = identity.api_url or self._api_url, identity.server_url or self.server_url
            self._api.point_at(self._api_url)
        self._identity, self._last_checkup = identity, None
        for listener in self._listeners:
            listener(identity)

    def registration(self, owner: Owner, callback_url: str, state: str, *, options: bool = False) -> Registration:
        """The form that starts the registration on GitHub; `options`: with the optional permissions."""
        manifest = self.manifest.with_options() if options else self.manifest
        return registration(manifest, owner, self.public_url, callback_url, state)

    async def register(self, code: str, server_url: str, *, keep: bool) -> Registered:
        """Exchange GitHub's code for an App, and use it. Raises AlreadyConfiguredError, or as described in `app.pipeline.ports.GitHub`."""
        async with self._registering:
            if self.configured:
                raise AlreadyConfiguredError(REGISTERING, "this service already has a GitHub App", "Open /setup for its status.")
            default_server_url = self.server_url
            created = await self._convert(code, server_url)
            identity = self._identity_of(created, server_url)
            self.use(identity)
            why_not = await self._save(identity) if keep else "you chose not to store them"
        _log.info("GitHub App registered", app_id=identity.app_id, name=identity.name, kept=not why_not)
        if created.webhook_secret is None:
            await self._set_secret()
        return Registered(created.name, created.html_url, environment_of(identity, default_server_url) if why_not else None, why_not)

    async def set_webhook(self) -> tuple[Hook, DeliverySummary]:
        """Set the webhook's URL and secret on GitHub; its configuration and recent deliveries.

        https://docs.github.com/en/rest/apps/webhooks#update-a-webhook-configuration-for-an-app
        """
        if self._identity is None:
            step = "Open the link to /setup from the service's log."
            raise NotConfiguredError("setting the App's webhook", "no GitHub App is configured", step)
        body = {
            "url": self.public_url + WEBHOOK_PATH,
            "content_type": "json",
            "secret": self._identity.webhook_secret.get_secret_value(),
            "insecure_ssl": "0",
        }
        doing = "setting the App's webhook"
        hook = await self._auth.with_jwt(lambda jwt: self._api.patch("/app/hook/config", _Hook, doing=doing, token=jwt, body=body))
        self._last_checkup = None
        return _as_hook(hook), summarize(await self._recent_attempts())

    async def checkup(self) -> Checkup:
        """The last checkup, at most `FRESH_S` old."""
        async with self._checking:
            if self._last_checkup is None or self._clock() - self._last_checkup[0] > FRESH_S:
                self._last_checkup = self._clock(), await self.run_checkup()
            return self._last_checkup[1]

    async def run_checkup(self) -> Checkup:
        """Check everything about the App. If GitHub rejects our credentials, that is the only finding."""
        identity = self._identity
        if identity is None:
            step = (
                f"Open {self.public_url}/setup (the service's log has the complete link), or set GITHUB_APP_ID and the related variables."
            )
            return Checkup("", "", (Finding.bad("GitHub App", f"none is configured. {step}"),))
        try:
            found = await self._auth.with_jwt(lambda jwt: self._api.get("/app", _GitHubApp, doing=CHECKING, token=jwt))
            hook, attempts = _as_hook(await self._hook()), await self._recent_attempts()
            options = found.permissions.keys() & self.manifest.optional_permissions.keys()
            accepted = await self._accepted_permissions() if options else {}
        except FreshetError as error:
            cause = credentials_error(error) if isinstance(error, GoneError | RejectedError) else error
            text = cause.user_text if cause.next_step else f"{cause.user_text} {UNREACHABLE}"
            return Checkup(identity.name, identity.html_url, (Finding.bad("GitHub App", text),))
        granted = {name: level for name, level in found.permissions.items() if isinstance(level, str)}
        findings = (
            self._identified(found),
            check_secret(hook, attempts),
            check_permissions(self.manifest, granted),
            check_events(self.manifest, found.events, granted),
            *filter(None, [check_acceptance(self.manifest, granted, accepted)]),
            check_url(hook, self.public_url + WEBHOOK_PATH),
            check_deliveries(attempts),
            check_sign_in(self.public_url, has_client=identity.client_id is not None),
        )
        return Checkup(found.name, found.html_url, findings)

    def _identified(self, found: _GitHubApp) -> Finding:
        error_s = self._auth.clock_error_s
        if not error_s:
            return Finding.ok("GitHub App", f"{found.name} (id {found.id}), {found.html_url}")
        way = "behind" if error_s > 0 else "ahead of"
        text = f"the clock of this host is {abs(error_s):.0f} seconds {way} GitHub's, which Freshet corrects: use NTP."
        return Finding.bad("GitHub App", text)

    async def _convert(self, code: str, server_url: str) -> _Created:
        """https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest: the code works once, and no token is needed.

        A retry after a lost response does no harm and may succeed.
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

    async def _save(self, identity: Identity) -> str:
        """Save an identity; the reason if that fails, otherwise empty."""
        try:
            await asyncio.to_thread(self._file.save, identity)
        except OSError as error:
            _log.warning("the GitHub App's credentials cannot be stored", reason=str(error))
            return f"FRESHET_DATA_DIR cannot be written ({error.strerror})"
        return ""

    async def _set_secret(self) -> None:
        try:
            await self.set_webhook()
        except FreshetError as error:
            _log.warning("the App's webhook has no secret: set it with POST /api/webhooks/github/setup", reason=str(error))

    async def _hook(self) -> _Hook:
        """https://docs.github.com/en/rest/apps/webhooks#get-a-webhook-configuration-for-an-app."""
        doing = "reading the App's webhook configuration"
        return await self._auth.with_jwt(lambda jwt: self._api.get("/app/hook/config", _Hook, doing=doing, token=jwt))

    async def _accepted_permissions(self) -> dict[str, dict[str, Any]]:
        """What each account accepted, of the first 100.

        https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app
        """
        doing, size, path = "reading the App's installations", str(RECENT), "/app/installations"
        found = await self._auth.with_jwt(lambda jwt: self._api.get(path, list[_Installed], doing=doing, token=jwt, per_page=size))
        return {one.account.name if one.account else str(one.id): one.permissions for one in found}

    async def _recent_attempts(self) -> list[DeliveryAttempt]:
        """https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook: the newest ones."""
        doing, size = "reading recent deliveries", str(RECENT)
        path = "/app/hook/deliveries"
        found = await self._auth.with_jwt(lambda jwt: self._api.get(path, list[_Delivery], doing=doing, token=jwt, per_page=size))
        return [DeliveryAttempt(one.guid, one.event, one.status_code, one.delivered_at) for one in found]


def _as_hook(hook: _Hook) -> Hook:
    insecure = str(hook.insecure_ssl) if hook.insecure_ssl is not None else "0"
    return Hook(hook.url or "", hook.content_type or "form", insecure, bool(hook.secret))
