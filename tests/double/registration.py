"""Creates an App from a manifest: GitHub's form, submitted immediately, and the exchange of the code.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import timedelta

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from yarl import URL

from tests.double import views
from tests.double.errors import not_found
from tests.double.rest import state_of
from tests.double.state import App, Json, State

CODE_LIFETIME = timedelta(hours=1)
_MAX_NAME = 34
_MAX_CALLBACKS = 10
_FIELDS = {
    "name",
    "url",
    "hook_attributes",
    "redirect_url",
    "callback_urls",
    "setup_url",
    "description",
    "public",
    "default_events",
    "default_permissions",
    "request_oauth_on_install",
    "setup_on_update",
}


async def register(request: web.Request) -> web.Response:
    """``POST /settings/apps/new`` and ``/organizations/ORG/settings/apps/new``: redirects back with a code, or shows errors."""
    form = await request.post()
    state, organization = state_of(request), request.match_info.get("organization", "app-owner")
    try:
        manifest = json.loads(str(form.get("manifest", "")))
        code = create(state, manifest, organization)
    except ValueError as error:
        return web.Response(status=422, text=f"Invalid GitHub App manifest: {error}")
    target = URL(manifest["redirect_url"]).update_query(code=code)
    if "state" in request.query:
        target = target.update_query(state=request.query["state"])
    return web.Response(status=302, headers={"Location": str(target)})


def create(state: State, manifest: Json, owner: str) -> str:
    """Create an App; the code for it. Raises ValueError for a manifest that GitHub rejects."""
    if problems := manifest_problems(manifest):
        raise ValueError("; ".join(problems))
    private, public = _new_key()
    state.account(owner)
    app = App(
        id=secrets.randbelow(900_000) + 1_000_000,
        client_id=f"Iv23li{secrets.token_hex(7)}",
        slug=re.sub(r"[^a-z0-9]+", "-", manifest["name"].lower()).strip("-"),
        private_key_pem=private,
        public_key_pem=public,
        webhook_secret=secrets.token_hex(20),
        created_at=state.now(),
        webhook_url=manifest["hook_attributes"]["url"],
        hook_id=secrets.randbelow(900_000_000) + 100_000_000,
        permissions={**manifest["default_permissions"], "metadata": "read"},
        events=tuple(manifest["default_events"]),
        callback_urls=list(manifest.get("callback_urls", ())),
    )
    code = secrets.token_hex(20)
    state.registrations[code] = app, owner
    return code


def manifest_problems(manifest: Json) -> list[str]:
    """GitHub's errors for a manifest."""
    problems = [f"{name} wasn't supplied" for name in ("name", "url", "redirect_url") if not manifest.get(name)]
    problems += [f"{name} is not a field of a manifest" for name in manifest.keys() - _FIELDS]
    problems += [f"{name} must be a URL" for name in ("url", "redirect_url", "setup_url") if not _is_url(manifest.get(name, "http://x"))]
    callbacks = manifest.get("callback_urls", [])
    if not isinstance(callbacks, list) or len(callbacks) > _MAX_CALLBACKS or not all(map(_is_url, callbacks)):
        problems.append("Callback urls must be at most ten URLs")
    hook = manifest.get("hook_attributes", {})
    if not _is_url(hook.get("url")):
        problems.append("Hook url must be a URL")
    if len(manifest.get("name", "")) > _MAX_NAME:
        problems.append(f"Name is too long (maximum is {_MAX_NAME} characters)")
    levels = manifest.get("default_permissions", {}).values()
    return problems + [f"Default permission {level} is unknown" for level in levels if level not in ("read", "write", "admin")]


async def convert(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest: once, within an hour."""
    state = state_of(request)
    found = state.registrations.pop(request.match_info["code"], None)
    if found is None or found[0].created_at + CODE_LIFETIME <= state.now():
        raise not_found()
    state.app, state.app_owner = found
    app = state.app
    credentials = {"client_secret": app.client_secret, "webhook_secret": app.webhook_secret, "pem": app.private_key_pem}
    return web.json_response({**views.integration(state), **credentials}, status=201)


def _is_url(value: object) -> bool:
    return isinstance(value, str) and URL(value).scheme in ("http", "https") and bool(URL(value).host)


def _new_key() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
