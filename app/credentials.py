"""Which GitHub App this service is: the environment's, else the one that `/setup` stored; and what `app.yml` says an App of ours is."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

from app.config import Settings
from app.errors import ConfigurationError
from app.github.api import ApiClient
from app.github.auth import AppAuth
from app.github.identity import IdentityFile
from app.github.setup import AppSetup
from app.github_app import AppManifest, Identity, read_manifest

FILE = "app.yml"


def identity(settings: Settings) -> Identity | None:
    """Return who we are, None before `/setup`. Raises ConfigurationError when what is there cannot be read."""
    app_id, key, secret = settings.github_app_id, settings.private_key_pem, settings.github_webhook_secret
    if app_id is not None and key is not None and secret is not None:
        return Identity(app_id, key, secret, settings.github_client_id, settings.github_client_secret)
    stored = IdentityFile(settings.freshet_data_dir).load()
    if stored is None or settings.github_client_id is None:
        return stored
    return replace(stored, client_id=settings.github_client_id, client_secret=settings.github_client_secret)


def server_is_fixed(settings: Settings) -> bool:
    """Tell whether the environment says which GitHub is meant: then nothing that is stored does."""
    return bool({"github_api_url", "github_server_url"} & settings.model_fields_set)


def addresses(settings: Settings, known: Identity | None) -> tuple[str, str]:
    """Return the addresses of GitHub's API and of its server."""
    if known and known.api_url and known.server_url and not server_is_fixed(settings):
        return known.api_url, known.server_url
    return settings.github_api_url, settings.github_server_url


def app_setup(settings: Settings, known: Identity | None, api: ApiClient, auth: AppAuth) -> AppSetup:
    """Return what makes, shows and checks the App; it has taken the known identity. Raises ConfigurationError when that cannot be used."""
    setup = AppSetup(
        api,
        auth,
        IdentityFile(settings.freshet_data_dir),
        app_manifest(),
        public_url=settings.public_url,
        addresses=addresses(settings, known),
        server_is_fixed=server_is_fixed(settings),
    )
    if known is not None:
        setup.take(known)
    return setup


def app_manifest() -> AppManifest:
    """Read `app.yml`: beside the package in a checkout, inside of it once it is installed. Raises ConfigurationError."""
    inside = resources.files("app").joinpath(FILE)
    try:
        text = inside.read_text("utf-8") if inside.is_file() else (Path(__file__).parents[1] / FILE).read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"reading {FILE}", f"it is missing ({error.strerror})", "Take the file of the release.") from error
    return read_manifest(text)
