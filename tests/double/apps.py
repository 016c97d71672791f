"""The App's own endpoints, with its JWT: https://docs.github.com/en/rest/apps."""

from __future__ import annotations

from aiohttp import web

from tests.double import views
from tests.double.auth import issue_token
from tests.double.errors import ApiError, not_found
from tests.double.hookshot import delivery_detail, delivery_item
from tests.double.rest import (
    DEFAULT_PER_PAGE,
    HOOKSHOT,
    MAX_PER_PAGE,
    body_of,
    find_repository,
    page,
    positive,
    require_app,
    state_of,
    token_of,
)
from tests.double.state import Delivery, Installation, Json, State

routes = web.RouteTableDef()

_HOOK_FIELDS = {"url", "content_type", "secret", "insecure_ssl"}


@routes.get("/app")
async def get_app(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app."""
    state = require_app(request)
    return web.json_response({**views.integration(state), "installations_count": len(state.installations)})


@routes.get("/app/hook/config")
async def get_hook_config(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/webhooks#get-a-webhook-configuration-for-an-app."""
    return web.json_response(_hook_config(require_app(request)))


@routes.patch("/app/hook/config")
async def update_hook_config(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/webhooks#update-a-webhook-configuration-for-an-app."""
    state, body = require_app(request), body_of(request)
    if any(not isinstance(body[name], str) for name in _HOOK_FIELDS & body.keys()):
        raise ApiError(422, "Invalid request.")
    state.app.webhook_url = body.get("url", state.app.webhook_url)
    state.app.webhook_secret = body.get("secret", state.app.webhook_secret)
    return web.json_response(_hook_config(state))


def _hook_config(state: State) -> Json:
    """The webhook's configuration; the secret is never shown."""
    secret = {"secret": "********"} if state.app.webhook_secret else {}
    return {"url": state.app.webhook_url or "", "content_type": "json", "insecure_ssl": "0", **secret}


@routes.get("/app/hook/deliveries")
async def list_deliveries(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook: newest first, by cursor."""
    state = require_app(request)
    newest_first = [delivery for delivery in reversed(state.deliveries) if _is_listed(request, delivery)]
    size = min(positive(request, "per_page", DEFAULT_PER_PAGE), MAX_PER_PAGE)
    shown, more = newest_first[:size], newest_first[size:]
    headers = {}
    if more:
        url = request.url.update_query(cursor=str(more[0].id), per_page=size)
        headers["Link"] = f'<{url}>; rel="next"'
    return web.json_response([delivery_item(delivery) for delivery in shown], headers=headers)


def _is_listed(request: web.Request, delivery: Delivery) -> bool:
    """True for deliveries at or after the cursor with the requested outcome, if any."""
    cursor, status = request.query.get("cursor"), request.query.get("status")
    if cursor is not None and delivery.id > int(cursor):
        return False
    return status is None or (status == "success") == (delivery.status == "OK")


@routes.get(r"/app/hook/deliveries/{delivery_id:\d+}")
async def get_delivery(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/webhooks#get-a-delivery-for-an-app-webhook."""
    return web.json_response(delivery_detail(_find_delivery(request)))


@routes.post(r"/app/hook/deliveries/{delivery_id:\d+}/attempts")
async def redeliver(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook."""
    delivery = _find_delivery(request)
    request.app[HOOKSHOT].redeliver_later(delivery)
    return web.json_response({}, status=202)


def _find_delivery(request: web.Request) -> Delivery:
    """The delivery of the path."""
    state, delivery_id = require_app(request), int(request.match_info["delivery_id"])
    found = next((delivery for delivery in state.deliveries if delivery.id == delivery_id), None)
    if found is None:
        raise not_found()
    return found


@routes.get("/app/installations")
async def list_installations(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app."""
    state = require_app(request)
    shown, headers = page(request, list(state.installations.values()))
    return web.json_response([views.installation(state, installed) for installed in shown], headers=headers)


@routes.get(r"/app/installations/{installation_id:\d+}")
async def get_installation(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/apps#get-an-installation-for-the-authenticated-app."""
    return web.json_response(views.installation(state_of(request), _find_installation(request)))


async def get_repository_installation(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app."""
    state = require_app(request)
    installed = state.installation_of(find_repository(request))
    if installed is None:
        raise not_found()
    return web.json_response(views.installation(state, installed))


@routes.post(r"/app/installations/{installation_id:\d+}/access_tokens")
async def create_access_token(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app."""
    installed, state = _find_installation(request), state_of(request)
    if installed.suspended_at is not None:
        raise ApiError(403, "This installation has been suspended")
    token = issue_token(state, installed, body_of(request))
    return web.json_response(views.access_token(state, token), status=201)


def _find_installation(request: web.Request) -> Installation:
    """The installation of the path; for the App only."""
    state = require_app(request)
    found = state.installations.get(int(request.match_info["installation_id"]))
    if found is None:
        raise not_found()
    return found


@routes.get("/installation/repositories")
async def list_repositories(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation."""
    state, token = state_of(request), token_of(request)
    if token is None or token.user is not None:
        raise ApiError(
            403,
            "You must authenticate with an installation access token in order to list repositories for an installation.",
        )
    installed = state.installations.get(token.installation_id or 0)
    if installed is None and token.installation_id is not None:
        raise ApiError(401, "Bad credentials")
    among = list(state.repositories.values()) if installed is None else state.installed(installed)
    accessible = [r for r in among if token.repository_ids is None or r.id in token.repository_ids]
    shown, headers = page(request, accessible)
    answer = {
        "total_count": len(accessible),
        "repository_selection": "selected" if installed is None else views.selection(installed),
        "repositories": [views.repository(state, repository) for repository in shown],
    }
    return web.json_response(answer, headers=headers)
