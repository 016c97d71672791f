"""Shared by REST handlers: finding the repository, checking the token, reading bodies, paginating lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from aiohttp import web
from yarl import URL

from tests.double.auth import allows, find_token, permissions_on, verify_app_jwt
from tests.double.errors import ApiError, forbidden, not_found
from tests.double.hookshot import Hookshot
from tests.double.state import Json, Repository, State, Token

STATE = web.AppKey("STATE", State)
HOOKSHOT = web.AppKey("HOOKSHOT", Hookshot)
# The parsed body, read by the recording middleware before any handler.
BODY = web.RequestKey("BODY", object)

MAX_PER_PAGE = 100
DEFAULT_PER_PAGE = 30

T = TypeVar("T")


def state_of(request: web.Request) -> State:
    """The state of this GitHub."""
    return request.app[STATE]


def body_of(request: web.Request) -> Json:
    """The JSON object of a request, empty without a body; 400 for anything else."""
    body = request.get(BODY)
    if body is None and not request.can_read_body:
        return {}
    if not isinstance(body, dict):
        raise ApiError(400, "Problems parsing JSON")
    return body


def require_app(request: web.Request) -> State:
    """Require the App's JWT."""
    state = state_of(request)
    verify_app_jwt(state.app, request.headers.get("Authorization"), state.now())
    return state


def token_of(request: web.Request) -> Token | None:
    """The token of a request, None for an anonymous one."""
    return find_token(state_of(request), request.headers.get("Authorization"))


def require_repository(request: web.Request, permission: str, level: str = "read") -> Repository:
    """The repository of the path if the token has the permission; 404 if it may not see it, otherwise 403."""
    token = token_of(request)
    repository = find_repository(request)
    permissions = permissions_on(state_of(request), token, repository)
    if permissions is None:
        raise not_found()
    if not allows(permissions, permission, level):
        personal = token is not None and token.user is not None and token.client_id is None
        raise forbidden("personal access token" if personal else "integration")
    return repository


def find_repository(request: web.Request) -> Repository:
    """The repository of the path, without checking the token; an old name is redirected to the id."""
    state, path = state_of(request), request.match_info
    if "repository_id" in path:
        repository = state.repositories.get(int(path["repository_id"]))
    else:
        full_name = f"{path['owner']}/{path['name']}"
        repository = state.repository(full_name)
        if repository is None and full_name in state.former_names:
            raise _moved(request, state.former_names[full_name])
    if repository is None:
        raise not_found()
    return repository


def _moved(request: web.Request, repository_id: int) -> ApiError:
    """The redirect of a renamed repository.

    https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
    """
    rest = request.path.partition(f"/{request.match_info['owner']}/{request.match_info['name']}")[2]
    url = f"{state_of(request).api_url}/repositories/{repository_id}{rest}"
    status, word = (301, "Moved Permanently") if request.method == "GET" else (307, "Temporary Redirect")
    return ApiError(status, word, headers={"Location": str(URL(url).with_query(request.query))})


def page(request: web.Request, items: Sequence[T]) -> tuple[list[T], dict[str, str]]:
    """The requested page and its Link header."""
    size, number = page_of(request)
    return list(items[(number - 1) * size : number * size]), links(request, len(items))


def page_of(request: web.Request) -> tuple[int, int]:
    """The size and number of the requested page."""
    return min(positive(request, "per_page", DEFAULT_PER_PAGE), MAX_PER_PAGE), positive(request, "page", 1)


def links(request: web.Request, total: int) -> dict[str, str]:
    """The Link header of a page of ``total`` items.

    https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    size, number = page_of(request)
    last = max(1, -(-total // size))
    back = {"prev": number - 1, "first": 1} if number > 1 else {}
    forth = {"next": number + 1, "last": last} if number < last else {}
    base = URL(state_of(request).server_url).join(request.rel_url)
    found = [f'<{base.update_query(page=to, per_page=size)}>; rel="{rel}"' for rel, to in {**back, **forth}.items()]
    return {"Link": ", ".join(found)} if found else {}


def positive(request: web.Request, name: str, default: int) -> int:
    """A positive number in the query; GitHub ignores anything else."""
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else default
