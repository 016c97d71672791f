"""`/setup`: creates the GitHub App with one click; afterwards it shows the App's status, and nothing secret.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from aiohttp import web

from app.core.app_health import LOCAL_NAMES
from app.core.app_manifest import CALLBACK_PATH, SETUP_PATH, SIGN_IN_CALLBACK_PATH, Owner, is_login, server_address
from app.core.errors import AlreadyConfiguredError, GoneError, RejectedError
from app.store import Store
from app.store.operations import FirstRun
from app.web.http import addresses
from app.web.http.hosts import is_tunnelled
from app.web.http.problems import HttpProblem, not_found
from app.web.http.requests import invalid
from app.web.http.shared_answer import SharedAnswer
from app.web.keys import SETUP, SETUP_ACCESS, AppSetup
from app.web.pages import frame, visitor
from app.web.pages.setup_access import STATE_LIFE_S, Intent

COOKIE = "freshet_setup"
AGAIN = f"Open the link to {SETUP_PATH} from the service's log and start again."
_CODE = re.compile(r"[A-Za-z0-9_-]{1,255}")
ACCOUNTS = ("personal", "organization")
LINK = (
    "Open the link that the service wrote to its log when it started (search the log for `/setup?token=`). "
    "Its token proves that you operate this service. A restart writes a new one."
)
FIRST_RUN = web.AppKey("first_run", SharedAnswer[FirstRun])
FRESH_S = 2.0
"""Anybody may ask how far the service is."""


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /setup`: the way to an App in two steps, or the App's status and what is left to do."""
    setup = request.app[SETUP]
    if setup.configured:
        await visitor.maybe(request)
        checkup = await setup.checkup()
        return _page(request, "setup_state.html", {**_sign_in(request), "checkup": checkup, **await _progress(request, checkup.html_url)})
    if not request.app[SETUP_ACCESS].admits(request.query.get("token", "")):
        return _guide(request)
    owner, account = _owner(request, setup), request.query.get("account")
    cut_off = _is_local(setup.public_url) and not _is_local(owner.server_url)
    if account not in ACCOUNTS or cut_off or (account == "organization" and owner.organization is None):
        context = {**_choices(request, setup, owner), "cut_off": cut_off, "account": account, "unnamed": account == "organization"}
        return _page(request, "setup_account.html", context)
    # Cookies belong to the name that the browser uses, which through a tunnel is not the public one.
    here = f"{request.scheme}://{request.host}{frame.url_for(request, CALLBACK_PATH)}"
    callback_url = here if is_tunnelled(request.host, request.headers) else setup.public_url + CALLBACK_PATH
    return _registration_page(request, setup, callback_url)


async def steps(request: web.Request) -> web.Response:
    """`GET /setup/steps`: the part of the pages that says what is left to do. Like them it tells no names."""
    setup = request.app[SETUP]
    if not setup.configured:
        raise not_found("page")
    await visitor.maybe(request)
    return _page(request, "_setup_steps.html", await _progress(request, (await setup.checkup()).html_url))


async def _progress(request: web.Request, html_url: str) -> dict[str, Any]:
    return {"first_run": await request.app[FIRST_RUN].get(), "install_url": f"{html_url}/installations/new" if html_url else ""}


def _sign_in(request: web.Request) -> dict[str, Any]:
    """The callback URL that the App needs. GitHub does not say which ones it has: only a sign-in that fails does."""
    return {"sign_in_callback": request.app[SETUP].public_url + SIGN_IN_CALLBACK_PATH if visitor.can_sign_in(request) else None}


def _guide(request: web.Request) -> web.Response:
    """Where the link is. Raises HttpProblem 403 for programs."""
    if not addresses.prefers_html(request):
        raise HttpProblem(403, "Setup link required", LINK)
    wrong = bool(request.query.get("token"))
    return frame.render(request, "setup_guide.html", {"link": LINK, "is_wrong": wrong}, status=403)


def _choices(request: web.Request, setup: AppSetup, owner: Owner) -> dict[str, Any]:
    """What was chosen so far."""
    return {
        "owner": owner,
        "options": request.query.get("pull_requests") == "yes",
        "keep": request.query.get("store") != "no",
        "token": request.query.get("token", ""),
        "server_is_fixed": setup.server_is_fixed,
        "public_url": setup.public_url,
    }


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in LOCAL_NAMES


def _registration_page(request: web.Request, setup: AppSetup, callback_url: str) -> web.Response:
    """Begin a registration: the page with the form for GitHub, and a cookie that ties the callback to this browser."""
    access, owner = request.app[SETUP_ACCESS], _owner(request, setup)
    choices = _choices(request, setup, owner)
    keep, options = choices["keep"], choices["options"]
    browser = request.cookies.get(COOKIE, "")
    if not access.has_begun(browser):
        browser = secrets.token_urlsafe(32)
    form = setup.registration(owner, callback_url, access.begin(browser, Intent(owner.server_url, keep)), options=options)
    context = {
        "action": form.action,
        "manifest": orjson.dumps(form.manifest).decode(),
        "app": setup.manifest.with_options() if options else setup.manifest,
        "again": urlencode({**request.query, "account": ""}),
        **choices,
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
    progress = await _progress(request, registered.html_url)
    response = _page(request, "setup_done.html", {"app": registered, "variables": variables, **progress})
    response.del_cookie(COOKIE, path=frame.url_for(request, SETUP_PATH))
    return response


def _owner(request: web.Request, setup: AppSetup) -> Owner:
    """The account and the GitHub server for the new App. Raises HttpProblem 400."""
    organization, server = (request.query.get(name, "").strip() for name in ("organization", "server"))
    if request.query.get("account") == "personal":
        organization = ""
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


def set_up(web_app: web.Application, store: Store) -> None:
    """Prepare what the pages say about the first run."""
    web_app[FIRST_RUN] = SharedAnswer(store.operations.first_run, FRESH_S)
