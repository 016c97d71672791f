"""`POST /mcp`: one message, one answer. Nothing is remembered between two requests, in either era of the protocol."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import orjson
from aiohttp import web

from app.core.errors import FreshetError
from app.core.models.callers import Caller
from app.web.auth import authentication, origins
from app.web.http import requests
from app.web.http.middleware import LOG_IDS, problem_of
from app.web.http.problems import HttpProblem
from app.web.keys import PUBLIC_URL
from app.web.mcp import jsonrpc, tools
from app.web.mcp.budget import ITEM, encoded, shortened
from app.web.mcp.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, META, METHOD_NOT_FOUND, PARSE_ERROR, Json, RpcError, RpcMessage

PATH = "/mcp"
METADATA = "/.well-known/oauth-protected-resource/mcp"
"""https://www.rfc-editor.org/rfc/rfc9728"""
MAX_BATCH = 20
TTL_MS = 3_600_000
"""How long clients may keep the list of tools: it changes with releases only."""
INSTRUCTIONS = (
    "Freshet knows the lineage of dbt projects on GitHub, exact to the commit. Start with search_nodes, or with get_freshness, which lists "
    "the projects. Every answer says of which commit it is, how old it is, and whether newer commits are missing. If `truncated` is not "
    "empty, the answer is not complete: send `next_cursor` as `cursor` with the same arguments, or ask for less."
)


async def handle(request: web.Request) -> web.Response:
    """Answer a message, or several of a client whose revision allows it."""
    if request.headers.get("Origin", origins.own_origin(request)) != origins.own_origin(request):
        raise HttpProblem(403, "Request of another site", "Pages of other sites may not use this endpoint.")
    caller = await _caller(request)
    version_ = request.headers.get("MCP-Protocol-Version")
    try:
        content = orjson.loads(await requests.raw_body(request))
    except orjson.JSONDecodeError:
        return _rpc(RpcError(PARSE_ERROR, "The body must be JSON").response(None), 400)
    if not isinstance(content, list):
        status, answer = await _answer(request, caller, content)
        return _rpc(answer, status)
    if not jsonrpc.may_be_batch(version_) or not 0 < len(content) <= MAX_BATCH:
        return _rpc(RpcError(INVALID_REQUEST, f"The body must be one message; {MAX_BATCH} in revision 2025-03-26").response(None), 400)
    answers = []
    for number, one in enumerate(content):
        if number:
            authentication.count(request, caller)
        answers.append((await _answer(request, caller, one))[1])
    return _rpc([one for one in answers if one is not None] or None, 200)


async def metadata(request: web.Request) -> web.Response:
    """How to authenticate. No authorization server: GitHub issues no tokens for Freshet alone, so people create them."""
    public_url = request.app.get(PUBLIC_URL, "")
    document = {
        "resource": f"{public_url}{PATH}",
        "resource_name": "Freshet",
        "resource_documentation": f"{public_url}/docs",
        "bearer_methods_supported": ["header"],
    }
    return web.json_response(document, headers={"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"})


async def _caller(request: web.Request) -> Caller:
    try:
        return await authentication.token_caller(request)
    except HttpProblem as problem:
        raise _challenged(request, problem) from problem


def _challenged(request: web.Request, problem: HttpProblem) -> HttpProblem:
    """A 401 that says where `metadata` is; others as they are."""
    if problem.status == 401:  # noqa: PLR2004
        challenge = problem.headers["WWW-Authenticate"]
        place = f'resource_metadata="{request.app.get(PUBLIC_URL, "")}{METADATA}"'
        problem.headers = {**problem.headers, "WWW-Authenticate": f"{challenge}{',' if ' ' in challenge else ''} {place}"}
    return problem


async def _answer(request: web.Request, caller: Caller, content: object) -> tuple[int, Json | None]:
    """The status and the response; None for a notification."""
    era = jsonrpc.era_of(content, request.headers.get("MCP-Protocol-Version"))
    try:
        message = jsonrpc.message_of(content, request.headers)
        if message.id is None:
            return 202, None
        return 200, message.respond(await _result(request, caller, message))
    except RpcError as error:
        return error.status(era), error.response(jsonrpc.id_of(content))


async def _result(request: web.Request, caller: Caller, message: RpcMessage) -> Json:
    if message.era == "stateless":
        match message.method:
            case "server/discover":
                found = {"supportedVersions": jsonrpc.VERSIONS, **_about(), **_cacheable()}
            case "tools/list":
                found = {**_list(message.params), **_cacheable()}
            case "tools/call":
                found = await _call(request, caller, message.params)
            case _:
                raise _unknown(message)
        return {"resultType": "complete", **found, "_meta": {f"{META}serverInfo": _server()}}
    match message.method:
        case "initialize":
            return {"protocolVersion": jsonrpc.negotiated(message.params), "serverInfo": _server(), **_about()}
        case "ping":
            return {}
        case "tools/list":
            return _list(message.params)
        case "tools/call":
            return await _call(request, caller, message.params)
        case _:
            raise _unknown(message)


def _list(params: Json) -> Json:
    if params.get("cursor") is not None:
        raise RpcError(INVALID_PARAMS, "`cursor`: the list of tools has one page")
    return {"tools": tools.described()}


async def _call(request: web.Request, caller: Caller, params: Json) -> Json:
    """Call a tool. What the agent can do something about is a result of the tool."""
    tool, arguments = tools.TOOLS.get(str(params.get("name"))), params.get("arguments") or {}
    if tool is None:
        known = ", ".join(tools.TOOLS)
        raise RpcError(INVALID_PARAMS, f"Unknown tool: {str(params.get('name'))[: jsonrpc.MAX_ECHO]!r}; known are {known}")
    if not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "`arguments` must be an object")
    request.setdefault(LOG_IDS, {})["tool"] = tool.name
    try:
        answer = await tool.call(request, caller, arguments)
    except (FreshetError, HttpProblem) as error:
        problem = error if isinstance(error, HttpProblem) else problem_of(error)
        if problem.status in {401, 429}:
            raise _challenged(request, problem) from error
        text, *_ = shortened({"error": problem.title, "detail": problem.detail, **problem.more}, ITEM)
        return {"content": [{"type": "text", "text": encoded(text).decode()}], "isError": True}
    return {"content": [{"type": "text", "text": answer.decode()}], "structuredContent": orjson.Fragment(answer), "isError": False}


def _about() -> Json:
    return {"capabilities": {"tools": {}}, "instructions": INSTRUCTIONS}


def _cacheable() -> Json:
    return {"ttlMs": TTL_MS, "cacheScope": "public"}


@cache
def _server() -> Json:
    return {"name": "freshet", "title": "Freshet", "version": version("freshet")}


def _unknown(message: RpcMessage) -> RpcError:
    return RpcError(METHOD_NOT_FOUND, f"Method not found: {message.method[: jsonrpc.MAX_ECHO]}")


def _rpc(content: Any, status: int) -> web.Response:
    if content is None:
        return web.Response(status=202)
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json", headers={"Cache-Control": "no-store"})
