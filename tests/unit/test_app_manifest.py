"""`app.yml` has the App's permissions and events; everything else is generated from it or compared with it here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.app_manifest import (
    Identity,
    Owner,
    api_url_of,
    environment_of,
    is_login,
    read_manifest,
    registration,
    server_address,
)
from app.core.errors import ConfigurationError
from app.service import app_identity

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "app.yml").read_text()
MANIFEST = read_manifest(TEXT)


def reasons() -> dict[str, str]:
    """Each permission (`contents: read`) and event (`push`) with its comment."""
    return dict(re.findall(r"^  (?:- )?(\w+(?:: \w+)?)  # (.+)$", TEXT, re.MULTILINE))


def test_it_requests_exactly_the_needed_permissions_and_events() -> None:
    assert MANIFEST.permissions == {"contents": "read", "checks": "write", "metadata": "read"}
    assert MANIFEST.events == ("push", "repository")
    assert MANIFEST.optional_permissions == {"pull_requests": "read"}
    assert MANIFEST.optional_events == ("pull_request",)
    assert MANIFEST.public is False
    assert len(MANIFEST.name) <= 34, "GitHub's limit"


def test_each_permission_and_event_has_its_reason() -> None:
    every = MANIFEST.with_options()
    assert set(reasons()) == {f"{name}: {level}" for name, level in every.permissions.items()} | set(every.events)


def test_the_readme_has_the_same_reasons() -> None:
    rows = re.findall(r"^\| (\w+(?:: \w+)?) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    shown = {thing: reason for thing, reason in rows if thing in reasons() or ": " in thing}
    assert shown == reasons()


def test_the_service_finds_the_file() -> None:
    assert app_identity.app_manifest() == MANIFEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "name: x",
        "{",
        TEXT.replace("contents: read", "contents: 1"),
        TEXT.replace("false", "7"),
        TEXT.replace("pull_requests: read", "- x"),
    ],
)
def test_an_invalid_manifest_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"app\.yml"):
        read_manifest(text)


def test_the_registration_form() -> None:
    form = registration(MANIFEST, Owner("https://github.com"), "https://freshet.example", "https://freshet.example/setup/callback", "a b")
    assert form.action == "https://github.com/settings/apps/new?state=a+b"
    assert form.manifest == {
        "name": MANIFEST.name,
        "description": MANIFEST.description,
        "url": "https://freshet.example",
        "hook_attributes": {"url": "https://freshet.example/api/webhooks/github", "active": True},
        "redirect_url": "https://freshet.example/setup/callback",
        "callback_urls": ["https://freshet.example/sign-in/callback"],
        "setup_url": "https://freshet.example/setup",
        "public": False,
        "default_permissions": {"contents": "read", "checks": "write", "metadata": "read"},
        "default_events": ["push", "repository"],
    }
    more = registration(MANIFEST.with_options(), Owner("https://github.com"), "https://f.example", "https://f.example/setup/callback", "s")
    assert more.manifest["default_permissions"] == {**form.manifest["default_permissions"], "pull_requests": "read"}
    assert more.manifest["default_events"] == ["push", "repository", "pull_request"]
    ours = registration(MANIFEST, Owner("https://ghes.example", "octo"), "https://f.example", "https://f.example/setup/callback", "s")
    assert ours.action == "https://ghes.example/organizations/octo/settings/apps/new?state=s"


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("github.example.com", "https://github.example.com"),
        ("https://GitHub.example.com/", "https://github.example.com"),
        ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://user:pass@github.example.com", None),
        ("https://github.example.com/path", None),
        ("https://github.example.com?x", None),
        ("javascript://x", None),
        ("https://a.example; script-src *", None),
        ("https://a.example:port", None),
        ("https://", None),
    ],
)
def test_server_addresses_are_normalized(typed: str, address: str | None) -> None:
    assert server_address(typed) == address


def test_the_api_address_of_a_server() -> None:
    assert api_url_of("https://github.com") == "https://api.github.com"
    assert api_url_of("https://octo.ghe.com") == "https://api.octo.ghe.com"
    assert api_url_of("https://git.example") == "https://git.example/api/v3"


def test_logins() -> None:
    assert all(is_login(name) for name in ("octo", "octo-org", "a", "user_short"))
    assert not any(is_login(name) for name in ("", "-octo", "octo/../x", "octo org", "é"))


def test_environment_variables_of_an_identity() -> None:
    identity = Identity(
        7,
        SecretStr("-----BEGIN\nabc\n-----END\n"),
        SecretStr("s"),
        "Iv1",
        SecretStr("c"),
        api_url="https://g.example/api/v3",
        server_url="https://g.example",
    )
    shown = {name: value.get_secret_value() for name, value in environment_of(identity, "https://github.com").items()}
    assert shown == {
        "GITHUB_APP_ID": "7",
        "GITHUB_PRIVATE_KEY": "-----BEGIN\\nabc\\n-----END",
        "GITHUB_WEBHOOK_SECRET": "s",
        "GITHUB_CLIENT_ID": "Iv1",
        "GITHUB_CLIENT_SECRET": "c",
        "GITHUB_API_URL": "https://g.example/api/v3",
        "GITHUB_SERVER_URL": "https://g.example",
    }
    assert not {"GITHUB_API_URL", "GITHUB_SERVER_URL"} & environment_of(identity, "https://g.example").keys()
