"""`/setup`: from no GitHub App to one in one click; afterwards it shows how the App fares, and nothing secret.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import functools
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

import aiohttp_jinja2
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from app.errors import AlreadyConfiguredError, FreshetError, GoneError, RejectedError
from app.github_app import CALLBACK_PATH, SETUP_PATH, Owner, is_login, server_address
from app.web.door import STATE_LIFE_S, Intent, is_local
from app.web.keys import DOOR, SETUP, AppSetup
from app.web.middleware import problem_of
from app.web.problems import Problem
from app.web.requests import invalid

COOKIE = "freshet_setup"
AGAIN = f"Open {SETUP_PATH} again and begin anew."
_CODE = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def _for_people(handler: Handler) -> Handler:
    """Show a problem as a page to a browser; programs get the document."""

    @functools.wraps(handler)
    async def told(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (Problem, FreshetError) as error:
            if "text/html" not in request.headers.get("Accept", ""):
                raise
            problem = error if isinstance(error, Problem) else problem_of(error)
            return _page(request, "setup_refused.html", {"title": problem.title, "detail": problem.detail}, status=problem.status)

    return told


@_for_people
async def show(request: web.Request) -> web.StreamResponse:
    """`GET /setup`: the button that registers an App, or how the App fares."""
    setup = request.app[SETUP]
    if setup.configured:
        return _page(request, "setup_state.html", {"checkup": await setup.state()})
    local = is_local(request)
    if not local and not request.app[DOOR].admits(request.query.get("token", "")):
        text = (
            "Open the link that the service wrote to its log when it started: it holds a token that lets you, and nobody else, register it."
        )
        raise Problem(403, "The setup page needs the link from the service's log", text)
    # Behind a tunnel the browser's name for us is another than the public one, and it is that name's cookie that will come back.
    base_url = f"{request.scheme}://{request.host}" if local else setup.public_url
    return _button(request, setup, base_url + CALLBACK_PATH)


def _button(request: web.Request, setup: AppSetup, callback_url: str) -> web.Response:
    """Begin a registration: the page with the form for GitHub, and the cookie that its end is bound to."""
    door, owner, keep = request.app[DOOR], _owner(request, setup), request.query.get("store") != "no"
    browser = request.cookies.get(COOKIE, "")
    if not door.knows(browser):
        browser = secrets.token_urlsafe(32)
    form = setup.registration(owner, callback_url, door.begin(browser, Intent(owner.server_url, keep)))
    context = {
        "action": form.action,
        "manifest": orjson.dumps(form.manifest).decode(),
        "app": setup.manifest,
        "owner": owner,
        "keep": keep,
        "token": request.query.get("token", ""),
        "server_is_fixed": setup.server_is_fixed,
        "public_url": setup.public_url,
        "is_unreachable": urlsplit(setup.public_url).hostname in _LOCAL_NAMES,
    }
    response = _page(request, "setup.html", context, form_action=owner.server_url)
    secure = callback_url.startswith("https:")
    response.set_cookie(COOKIE, browser, max_age=int(STATE_LIFE_S), path=SETUP_PATH, httponly=True, samesite="Lax", secure=secure)
    return response


@_for_people
async def callback(request: web.Request) -> web.StreamResponse:
    """`GET /setup/callback`: GitHub sends the browser here with a code for the new App's credentials."""
    setup = request.app[SETUP]
    if setup.configured:
        raise AlreadyConfiguredError("registering a GitHub App", "this service has one already", f"Open {SETUP_PATH} to see how it fares.")
    intent = request.app[DOOR].finish(request.query.get("state", ""), request.cookies.get(COOKIE, ""))
    if intent is None:
        text = f"It did not begin in this browser, or over ten minutes ago, or it is done already. {AGAIN}"
        raise Problem(400, "This registration cannot be completed", text)
    code = request.query.get("code", "")
    if not _CODE.fullmatch(code):
        raise Problem(400, "This registration cannot be completed", f"GitHub sent no code along. {AGAIN}")
    try:
        registered = await setup.register(code, intent.server_url, keep=intent.keep)
    except (GoneError, RejectedError) as error:
        text = f"{error.user_text} A code is good once, for an hour. If GitHub shows an App from this attempt, delete it there. {AGAIN}"
        raise Problem(400, "GitHub did not take its code", text) from error
    variables = None if registered.variables is None else {name: value.get_secret_value() for name, value in registered.variables.items()}
    response = _page(request, "setup_done.html", {"app": registered, "variables": variables})
    response.del_cookie(COOKIE, path=SETUP_PATH)
    return response


def _owner(request: web.Request, setup: AppSetup) -> Owner:
    """Return whose App is wanted, and on which GitHub. Raises Problem 400."""
    organization, server = (request.query.get(name, "").strip() for name in ("organization", "server"))
    if organization and not is_login(organization):
        raise invalid("organization", "is the organisation's name as its address on GitHub shows it")
    address = server_address(server) if server else setup.server_url
    if address is None:
        raise invalid("server", "is an address such as https://github.example.com")
    if setup.server_is_fixed and address != setup.server_url:
        raise invalid("server", f"GITHUB_SERVER_URL and GITHUB_API_URL set it to {setup.server_url}; change or unset them")
    return Owner(address, organization or None)


def _page(request: web.Request, template: str, context: dict[str, Any], *, status: int = 200, form_action: str = "") -> web.Response:
    response = aiohttp_jinja2.render_template(template, request, context, status=status)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {form_action}".rstrip()
    )
    # GitHub sees where the form comes from, but not the token in the address.
    response.headers["Referrer-Policy"] = "strict-origin"
    return response
