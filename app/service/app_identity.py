"""Which GitHub App this service is: from the environment, or else as stored by `/setup`. Also reads `app.yml`, the manifest of the App."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

from app.core.app_manifest import AppManifest, Identity, read_manifest
from app.core.errors import ConfigurationError
from app.github.app.auth import AppAuth
from app.github.app.credentials_file import CredentialsFile
from app.github.app.registration import AppSetup
from app.github.rest.http import ApiClient
from app.service.config import Settings

FILE = "app.yml"


def identity(settings: Settings) -> Identity | None:
    """The App's identity; None before `/setup`. Raises ConfigurationError if a key or the stored identity cannot be read."""
    app_id, key, secret = settings.github_app_id, settings.private_key_pem, settings.github_webhook_secret
    if app_id is not None and key is not None and secret is not None:
        return Identity(app_id, key, secret, settings.github_client_id, settings.github_client_secret)
    stored = CredentialsFile(settings.freshet_data_dir).load()
    if stored is None or settings.github_client_id is None:
        return stored
    return replace(stored, client_id=settings.github_client_id, client_secret=settings.github_client_secret)


def server_is_fixed(settings: Settings) -> bool:
    """True if the environment sets the addresses of GitHub: they then override the stored ones."""
    return bool({"github_api_url", "github_server_url"} & settings.model_fields_set)


def addresses(settings: Settings, app: Identity | None) -> tuple[str, str]:
    """The URLs of GitHub's API and of its server."""
    if app and app.api_url and app.server_url and not server_is_fixed(settings):
        return app.api_url, app.server_url
    return settings.github_api_url, settings.github_server_url


def app_setup(settings: Settings, app: Identity | None, api: ApiClient, auth: AppAuth) -> AppSetup:
    """Set up with the identity `app`, if there is one. Raises ConfigurationError if that identity is unusable."""
    setup = AppSetup(
        api,
        auth,
        CredentialsFile(settings.freshet_data_dir),
        app_manifest(),
        public_url=settings.public_url,
        addresses=addresses(settings, app),
        server_is_fixed=server_is_fixed(settings),
    )
    if app is not None:
        setup.use(app)
    return setup


def app_manifest() -> AppManifest:
    """Read `app.yml`: inside the package if it is installed, next to it in a checkout. Raises ConfigurationError."""
    installed = resources.files("app").joinpath(FILE)
    try:
        text = installed.read_text("utf-8") if installed.is_file() else (Path(__file__).parents[2] / FILE).read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"reading {FILE}", f"it is missing ({error.strerror})", "Restore it from the release.") from error
    return read_manifest(text)
