"""Endpoints for users' tokens: https://docs.github.com/en/rest/users, …/rate-limit, and the check by an App's client."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error

from aiohttp import web

from tests.double import views
from tests.double.auth import allows, permissions_on
from tests.double.errors import ApiError, forbidden, not_found
from tests.double.rest import body_of, page, state_of, token_of
from tests.double.state import Installation, Repository, State, Token

routes = web.RouteTableDef()


@routes.get("/rate_limit")
async def get_rate_limit(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/rate-limit/rate-limit#get-rate-limit-status-for-the-authenticated-user: it is not counted."""
    state, _ = state_of(request), token_of(request)
    core = {"limit": state.rate_limit, "used": 0, "remaining": state.rate_limit, "reset": int(state.now().timestamp()) + 3600}
    return web.json_response({"resources": {"core": core, "search": core}})


@routes.post("/applications/{client_id}/token")
async def check_token(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/oauth-applications#check-a-token."""
    state = state_of(request)
    if _basic(request) != (state.app.client_id, state.app.client_secret) or request.match_info["client_id"] != state.app.client_id:
        raise ApiError(401, "Bad credentials")
    token = state.tokens.get(str(body_of(request).get("access_token")))
    if token is None or token.client_id != state.app.client_id or token.expires_at <= state.now():
        raise not_found()
    return web.json_response(views.authorization(state, token))


@routes.delete("/applications/{client_id}/token")
async def delete_token(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token."""
    state = state_of(request)
    if _basic(request) != (state.app.client_id, state.app.client_secret) or request.match_info["client_id"] != state.app.client_id:
        raise ApiError(401, "Bad credentials")
    token = state.tokens.get(str(body_of(request).get("access_token")))
    if token is None or token.client_id != state.app.client_id:
        raise ApiError(422, "Validation Failed")
    del state.tokens[token.value]
    return web.Response(status=204)


@routes.get("/user")
async def get_user(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/users/users#get-the-authenticated-user."""
    state, token = state_of(request), _user_token(request)
    return web.json_response(views.public_user(state, state.account(token.user or "", "User")))


def _basic(request: web.Request) -> tuple[str, str]:
    """User and password of Basic authentication."""
    try:
        name, _, password = b64decode(request.headers.get("Authorization", "").partition(" ")[2], validate=True).decode().partition(":")
    except (Base64Error, UnicodeDecodeError):
        return "", ""
    return name, password


@routes.get("/user/repos")
async def list_user_repositories(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/repos/repos#list-repositories-for-the-authenticated-user."""
    state, token = state_of(request), _user_token(request)
    found = [r for r in state.repositories.values() if r.id in token.roles and permissions_on(state, token, r) is not None]
    shown, headers = page(request, found)
    return web.json_response([_seen(state, token, repository) for repository in shown], headers=headers)


@routes.get("/user/installations")
async def list_user_installations(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/installations#list-app-installations-accessible-to-the-user-access-token."""
    state, token = state_of(request), _app_user_token(request)
    found = [installed for installed in state.installations.values() if _shared(state, token, installed)]
    shown, headers = page(request, found)
    answer = {"total_count": len(found), "installations": [views.installation(state, one) for one in shown]}
    return web.json_response(answer, headers=headers)


@routes.get(r"/user/installations/{installation_id:\d+}/repositories")
async def list_installation_repositories(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-user-access-token."""
    state, token = state_of(request), _app_user_token(request)
    installed = state.installations.get(int(request.match_info["installation_id"]))
    found = [] if installed is None else _shared(state, token, installed)
    if installed is None or not found:
        raise not_found()
    shown, headers = page(request, found)
    seen = [_seen(state, token, repository) for repository in shown]
    answer = {"total_count": len(found), "repository_selection": views.selection(installed), "repositories": seen}
    return web.json_response(answer, headers=headers)


@routes.get("/orgs/{organization}/teams/{team}/memberships/{login}")
async def get_team_membership(request: web.Request) -> web.Response:
    """https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user."""
    state, _, path = state_of(request), _app_user_token(request), request.match_info
    installed = next((one for one in state.installations.values() if one.account.login.lower() == path["organization"].lower()), None)
    if installed is None or not allows(installed.permissions, "members", "read"):
        raise forbidden()
    membership = state.teams.get(f"{installed.account.login}/{path['team']}".lower(), {}).get(path["login"])
    if membership is None:
        raise not_found()
    return web.json_response({"url": f"{state.api_url}{request.path}", "role": "member", "state": membership})


def _user_token(request: web.Request) -> Token:
    """The token of a user, of any kind."""
    token = token_of(request)
    if token is None:
        raise ApiError(401, "Requires authentication")
    if token.user is None:
        raise ApiError(403, "Resource not accessible by integration")
    return token


def _app_user_token(request: web.Request) -> Token:
    """The token of a user of an App."""
    token = _user_token(request)
    if token.client_id is None:
        raise ApiError(403, "You must authenticate with an access token authorized to a GitHub App in order to list installations")
    return token


def _shared(state: State, token: Token, installed: Installation) -> list[Repository]:
    """The repositories that both an installation and a user can access; other Apps have no installations here."""
    if token.client_id != state.app.client_id or installed.suspended_at is not None:
        return []
    return [repository for repository in state.installed(installed) if repository.id in token.roles]


def _seen(state: State, token: Token, repository: Repository) -> dict[str, object]:
    return views.repository(state, repository, views.role_of(token, repository))
