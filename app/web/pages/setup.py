"""`/setup`: creates the GitHub App with one click; afterwards it shows the App's status, and nothing secret.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from app.core.app_manifest import CALLBACK_PATH, SETUP_PATH, Owner, is_login, server_address
from app.core.errors import AlreadyConfiguredError, GoneError, RejectedError
from app.web.http.problems import HttpProblem
from app.web.http.requests import invalid
from app.web.keys import SETUP, SETUP_ACCESS, AppSetup
from app.web.pages import frame
from app.web.pages.setup_access import STATE_LIFE_S, Intent, is_tunnelled

COOKIE = "freshet_setup"
AGAIN = f"Open the link to {SETUP_PATH} from the service's log and start again."
_CODE = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /setup`: the button that creates the App, or the App's status."""
    setup = request.app[SETUP]
    if setup.configured:
        return _page(request, "setup_state.html", {"checkup": await setup.checkup()})
    if not request.app[SETUP_ACCESS].admits(request.query.get("token", "")):
        detail = (
            "Open the link that the service wrote to its log when it started (search the log for `/setup?token=`). "
            "Its token proves that you operate this service. A restart writes a new one."
        )
        raise HttpProblem(403, "Setup link required", detail)
    # Cookies belong to the name that the browser uses, which through a tunnel is not the public one.
    here = f"{request.scheme}://{request.host}{frame.url_for(request, CALLBACK_PATH)}"
    callback_url = here if is_tunnelled(request.host, request.headers) else setup.public_url + CALLBACK_PATH
    return _registration_page(request, setup, callback_url)


def _registration_page(request: web.Request, setup: AppSetup, callback_url: str) -> web.Response:
    """Begin a registration: the page with the form for GitHub, and a cookie that ties the callback to this browser."""
    access, owner, keep = request.app[SETUP_ACCESS], _owner(request, setup), request.query.get("store") != "no"
    options = request.query.get("pull_requests") == "yes"
    browser = request.cookies.get(COOKIE, "")
    if not access.has_begun(browser):
        browser = secrets.token_urlsafe(32)
    form = setup.registration(owner, callback_url, access.begin(browser, Intent(owner.server_url, keep)), options=options)
    context = {
        "action": form.action,
        "manifest": orjson.dumps(form.manifest).decode(),
        "app": setup.manifest.with_options() if options else setup.manifest,
        "options": options,
        "owner": owner,
        "keep": keep,
        "token": request.query.get("token", ""),
        "server_is_fixed": setup.server_is_fixed,
        "public_url": setup.public_url,
        "is_unreachable": urlsplit(setup.public_url).hostname in _LOCAL_NAMES,
    }
    response = _page(request, "setup.html", context, form_action=owner.server_url)
    secure = callback_url.startswith("https:")
    response.set_cookie(
        COOKIE, browser, max_age=int(STATE_LIFE_S), path=frame.url_for(request, SETUP_PATH), httponly=True, samesite="Lax", secure=secure
    )
    return response


async def callback(request: web.Request) -> web.StreamResponse:
    """`GET /setup/callback`: GitHub redirects the browser here with a code for the new App's credentials."""
    setup = request.app[SETUP]
    if setup.configured:
        raise AlreadyConfiguredError("registering a GitHub App", "this service already has one", f"Open {SETUP_PATH} to see its status.")
    intent = request.app[SETUP_ACCESS].finish(request.query.get("state", ""), request.cookies.get(COOKIE, ""))
    if intent is None:
        detail = f"It was started in another browser or more than ten minutes ago, or it is already complete. {AGAIN}"
        raise HttpProblem(400, "Registration not valid", detail)
    code = request.query.get("code", "")
    if not _CODE.fullmatch(code):
        raise HttpProblem(400, "Registration not valid", f"GitHub sent no code. {AGAIN}")
    try:
        registered = await setup.register(code, intent.server_url, keep=intent.keep)
    except (GoneError, RejectedError) as error:
        detail = f"{error.user_text} A code works once, within an hour. If this attempt left an App on GitHub, delete it there. {AGAIN}"
        raise HttpProblem(400, "GitHub rejected the code", detail) from error
    variables = None if registered.variables is None else {name: value.get_secret_value() for name, value in registered.variables.items()}
    response = _page(request, "setup_done.html", {"app": registered, "variables": variables})
    response.del_cookie(COOKIE, path=frame.url_for(request, SETUP_PATH))
    return response


def _owner(request: web.Request, setup: AppSetup) -> Owner:
    """The account and the GitHub server for the new App. Raises HttpProblem 400."""
    organization, server = (request.query.get(name, "").strip() for name in ("organization", "server"))
    if organization and not is_login(organization):
        raise invalid("organization", "must be the organization's name as in its URL on GitHub")
    address = server_address(server) if server else setup.server_url
    if address is None:
        raise invalid("server", "must be a URL such as https://github.example.com")
    if setup.server_is_fixed and address != setup.server_url:
        raise invalid("server", f"must be {setup.server_url}, because GITHUB_SERVER_URL and GITHUB_API_URL are set")
    return Owner(address, organization or None)


def _page(request: web.Request, template: str, context: dict[str, Any], *, form_action: str = "") -> web.Response:
    response = frame.render(request, template, context, form_action=form_action)
    # GitHub needs the form's origin, but must not see the token in its URL.
    response.headers["Referrer-Policy"] = "strict-origin"
    return response
