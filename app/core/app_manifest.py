"""The GitHub App: its manifest (`app.yml`), the form that registers it on GitHub, and its identity.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import yaml
from pydantic import SecretStr

from app.core.errors import ConfigurationError

WEBHOOK_PATH = "/api/webhooks/github"
SETUP_PATH = "/setup"
CALLBACK_PATH = "/setup/callback"
SIGN_IN_CALLBACK_PATH = "/sign-in/callback"
GITHUB_SERVER_URL = "https://github.com"
GITHUB_API_URL = "https://api.github.com"
WINDOW_S = 10.0
"""https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks#respond-within-10-seconds.

GitHub Enterprise Server waits longer."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class AppManifest:
    """The content of `app.yml`: the same on every GitHub and for every operator."""

    name: str
    description: str
    public: bool
    permissions: Mapping[str, str]
    """Permission to level: `read`, `write` or `admin`."""
    events: tuple[str, ...]
    optional_permissions: Mapping[str, str] = field(default_factory=dict)
    """Those that the operator may choose to give, each with the events that need it: see `with_options`."""
    optional_events: tuple[str, ...] = ()

    def with_options(self) -> Self:
        """The manifest of an App that has what is optional too."""
        permissions = {**self.permissions, **self.optional_permissions}
        return replace(self, permissions=permissions, events=(*self.events, *self.optional_events))


@dataclass(frozen=True, slots=True)
class Identity:
    """The credentials of one App on one GitHub."""

    app_id: int
    private_key: SecretStr
    webhook_secret: SecretStr
    client_id: str | None = None
    client_secret: SecretStr | None = None
    name: str = ""
    html_url: str = ""
    """The App's page; empty if the identity comes from the environment, which does not contain it."""
    api_url: str | None = None
    server_url: str | None = None
    """The GitHub where the App is registered; None: as configured."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that will own the App: an organization, or (None) the user who is signed in on that server."""

    server_url: str
    organization: str | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """The form that the operator's browser posts to GitHub: `action` is its URL, `manifest` its JSON."""

    action: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """A newly registered App. `variables` is None if it was stored, otherwise what the operator has to put into the environment."""

    name: str
    html_url: str
    variables: Mapping[str, SecretStr] | None
    why_not_stored: str = ""

    @property
    def install_url(self) -> str:
        """The page on GitHub that installs the App."""
        return f"{self.html_url}/installations/new"


def read_manifest(text: str) -> AppManifest:
    """Parse `app.yml`. Raises ConfigurationError if it is not a valid manifest."""
    doing, next_step = "reading app.yml", "Restore the file from the release."
    try:
        values = yaml.safe_load(text)
        permissions, events = values["default_permissions"], values["default_events"]
        optional = values["optional_permissions"], tuple(values["optional_events"])
        manifest = AppManifest(values["name"], values["description"].strip(), values["public"], permissions, tuple(events), *optional)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(doing, f"it is not a manifest of a GitHub App ({error})", next_step) from error
    texts: list[object] = [manifest.name, *events, *optional[1]]
    for levels in (permissions, optional[0]):
        texts += [*levels, *levels.values()] if isinstance(levels, dict) else [None]
    if not all(isinstance(value, str) for value in texts) or not isinstance(manifest.public, bool):
        raise ConfigurationError(doing, "permissions must be names with levels, and events must be names", next_step)
    return manifest


def registration(manifest: AppManifest, owner: Owner, public_url: str, callback_url: str, state: str) -> Registration:
    """The form that registers the App. GitHub then redirects the browser to `callback_url` with a code and `state`."""
    account = f"/organizations/{quote(owner.organization, safe='')}" if owner.organization else ""
    fields = {
        "name": manifest.name,
        "description": manifest.description,
        "url": public_url,
        "hook_attributes": {"url": public_url + WEBHOOK_PATH, "active": True},
        "redirect_url": callback_url,
        "callback_urls": [public_url + SIGN_IN_CALLBACK_PATH],
        "setup_url": public_url + SETUP_PATH,
        "public": manifest.public,
        "default_permissions": dict(manifest.permissions),
        "default_events": list(manifest.events),
    }
    return Registration(f"{owner.server_url}{account}/settings/apps/new?{urlencode({'state': state})}", fields)


def environment_of(identity: Identity, default_server_url: str) -> dict[str, SecretStr]:
    """The environment variables for an identity, with the key on one line, and URLs only if they differ from `default_server_url`."""
    variables = {
        "GITHUB_APP_ID": SecretStr(str(identity.app_id)),
        "GITHUB_PRIVATE_KEY": SecretStr(identity.private_key.get_secret_value().strip().replace("\n", "\\n")),
        "GITHUB_WEBHOOK_SECRET": identity.webhook_secret,
    }
    if identity.client_id and identity.client_secret:
        variables |= {"GITHUB_CLIENT_ID": SecretStr(identity.client_id), "GITHUB_CLIENT_SECRET": identity.client_secret}
    if identity.server_url and identity.api_url and identity.server_url != default_server_url:
        variables |= {"GITHUB_API_URL": SecretStr(identity.api_url), "GITHUB_SERVER_URL": SecretStr(identity.server_url)}
    return variables


def server_address(text: str) -> str | None:
    """The URL of a server with only scheme, host and port (https for a bare host name); None if the text is anything else.

    The result goes into a header and a form's target, so it must not contain anything else.
    """
    parts = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = parts.port
    except ValueError:
        return None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.fragment or not _HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host.lower()}{f':{port}' if port is not None else ''}"


def is_login(text: str) -> bool:
    """True if a text could be the login of an account on GitHub."""
    return _LOGIN.fullmatch(text) is not None


def api_url_of(server_url: str) -> str:
    """The URL of the REST API of a GitHub server.

    https://docs.github.com/en/enterprise-server/rest/using-the-rest-api/getting-started-with-the-rest-api, and for data residency
    https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom.
    """
    if server_url == GITHUB_SERVER_URL:
        return GITHUB_API_URL
    scheme, _, host = server_url.partition("://")
    return f"{scheme}://api.{host}" if host.endswith(".ghe.com") else f"{server_url}/api/v3"
