"""The GitHub App as values: its manifest (`app.yml`), how GitHub is asked to register it, and the identity that comes of it.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml
from pydantic import SecretStr

from app.errors import ConfigurationError

WEBHOOK_PATH = "/api/webhooks/github"
SETUP_PATH = "/setup"
CALLBACK_PATH = "/setup/callback"
GITHUB_SERVER_URL = "https://github.com"
GITHUB_API_URL = "https://api.github.com"
WINDOW_S = 10.0
"""https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks#respond-within-10-seconds."""
ENTERPRISE_WINDOW_S = 30.0
"""GitHub Enterprise Server waits longer: the same page in its documentation."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class AppManifest:
    """What stands in `app.yml`: the same on every GitHub and for every operator."""

    name: str
    description: str
    public: bool
    permissions: Mapping[str, str]
    """Permission to level: `read`, `write` or `admin`."""
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes us a certain App on a certain GitHub."""

    app_id: int
    private_key: SecretStr
    webhook_secret: SecretStr
    client_id: str | None = None
    client_secret: SecretStr | None = None
    name: str = ""
    html_url: str = ""
    """The App's page; empty when the identity came from the environment, which has no place for it."""
    api_url: str | None = None
    server_url: str | None = None
    """Where the App was registered; None leaves it to the configuration."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose App it will be: an organisation's, or (None) of whoever is signed in on that server."""

    server_url: str
    organization: str | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """What the operator's browser posts to GitHub: `manifest` is JSON, the address of the form's target is `action`."""

    action: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """An App that GitHub has made for us. `variables` is None when it is kept, else what to put into the environment."""

    name: str
    html_url: str
    variables: Mapping[str, SecretStr] | None
    why_not_kept: str = ""

    @property
    def install_url(self) -> str:
        """Where the App is installed on accounts."""
        return f"{self.html_url}/installations/new"


def read_manifest(text: str) -> AppManifest:
    """Read `app.yml`. Raises ConfigurationError when it is not what GitHub would take."""
    doing = "reading app.yml"
    try:
        found = yaml.safe_load(text)
        permissions, events = found["default_permissions"], found["default_events"]
        manifest = AppManifest(found["name"], found["description"].strip(), found["public"], permissions, tuple(events))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(doing, f"it is not an App's manifest ({error})", "Take the file of the release.") from error
    texts = [manifest.name, *permissions, *permissions.values(), *events] if isinstance(permissions, dict) else [None]
    if not all(isinstance(value, str) for value in texts) or not isinstance(manifest.public, bool):
        raise ConfigurationError(doing, "permissions are not names with levels, or events are not names", "Take the file of the release.")
    return manifest


def registration(manifest: AppManifest, owner: Owner, public_url: str, callback_url: str, state: str) -> Registration:
    """Return the form that makes GitHub register the App and then send the browser to `callback_url` with a code and `state`."""
    account = f"/organizations/{quote(owner.organization, safe='')}" if owner.organization else ""
    fields = {
        "name": manifest.name,
        "description": manifest.description,
        "url": public_url,
        "hook_attributes": {"url": public_url + WEBHOOK_PATH, "active": True},
        "redirect_url": callback_url,
        "setup_url": public_url + SETUP_PATH,
        "public": manifest.public,
        "default_permissions": dict(manifest.permissions),
        "default_events": list(manifest.events),
    }
    return Registration(f"{owner.server_url}{account}/settings/apps/new?{urlencode({'state': state})}", fields)


def environment_of(identity: Identity, default_server_url: str) -> dict[str, SecretStr]:
    """Return the variables that configure the same identity, the key on one line; the addresses only where they are not known already."""
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
    """Return a server's address without anything but scheme, host and port; None when it is no such address.

    A bare host name is taken for https. The result goes into a header and a form's target, so nothing else may be in it.
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
    """Tell whether an account on GitHub could be called so."""
    return _LOGIN.fullmatch(text) is not None


def api_url_of(server_url: str) -> str:
    """Return where a GitHub has its REST API.

    https://docs.github.com/en/enterprise-server/rest/using-the-rest-api/getting-started-with-the-rest-api, and for data residency
    https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom.
    """
    if server_url == GITHUB_SERVER_URL:
        return GITHUB_API_URL
    scheme, _, host = server_url.partition("://")
    return f"{scheme}://api.{host}" if host.endswith(".ghe.com") else f"{server_url}/api/v3"


def delivery_window_s(server_url: str) -> float:
    """Return for how long that GitHub waits for the answer to a delivery."""
    ours = server_url == GITHUB_SERVER_URL or server_url.endswith(".ghe.com")
    return WINDOW_S if ours else ENTERPRISE_WINDOW_S
