"""The messages of the Model Context Protocol and their two eras. Pure.

Revisions up to 2025-11-25 begin with `initialize`; since 2026-07-28 each request says in its `_meta` which revision it means, and headers
repeat what the body says: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Era = Literal["stateless", "initialized"]

STATELESS = ("2026-07-28",)
INITIALIZED = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
VERSIONS = (*STATELESS, *INITIALIZED)
BATCHED = "2025-03-26"
"""The revision whose clients may send several messages at once, and what a request without a version is taken for."""
META = "io.modelcontextprotocol/"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""The parameter that the header `Mcp-Name` repeats, by method."""
SENTINEL = "=?base64?", "?="
MAX_ECHO = 100


class RpcError(Exception):
    """An error of the protocol, which is not the tool's: agents cannot do anything about it."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def status(self, era: Era) -> int:
        """The HTTP status. In the older era it says only whether the message was understood at all."""
        if self.code == METHOD_NOT_FOUND:
            return 404 if era == "stateless" else 200
        return 200 if era == "initialized" and self.code == INVALID_PARAMS else 400

    def response(self, id_: object) -> Json:
        """As a message; `id_` None: the request's is not known."""
        error = {"code": self.code, "message": self.message, **({} if self.data is None else {"data": self.data})}
        return {"jsonrpc": "2.0", **({} if id_ is None else {"id": id_}), "error": error}


@dataclass(frozen=True, slots=True)
class RpcMessage:
    """A request, or a notification, which has no `id`."""

    id: str | int | None
    method: str
    params: Json
    era: Era

    def respond(self, result: Json) -> Json:
        """The response with a result."""
        return {"jsonrpc": "2.0", "id": self.id, "result": result}


def id_of(content: object) -> str | int | None:
    """The id of a message that may be malformed."""
    found = content.get("id") if isinstance(content, dict) else None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def era_of(content: object, version: str | None) -> Era:
    """By the header `MCP-Protocol-Version` and by what the message says."""
    if isinstance(content, dict) and content.get("method") != "initialize":
        return "stateless" if version in STATELESS or f"{META}protocolVersion" in _meta(content) else "initialized"
    return "initialized"


def message_of(content: object, headers: Mapping[str, str]) -> RpcMessage:
    """Check a message. Raises RpcError."""
    version = headers.get("MCP-Protocol-Version")
    era = era_of(content, version)
    if not isinstance(content, dict) or content.get("jsonrpc") != "2.0" or not isinstance(content.get("method"), str):
        raise RpcError(INVALID_REQUEST, "The body must be one JSON-RPC 2.0 request or notification")
    if "id" in content and id_of(content) is None:
        raise RpcError(INVALID_REQUEST, "`id` must be a string or an integer")
    params = content.get("params", {})
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "`params` must be an object")
    if era == "stateless":
        _check_headers(content["method"], params, headers)
    elif version is not None and version not in INITIALIZED and content["method"] != "initialize":
        raise _unsupported(version)
    return RpcMessage(id_of(content), content["method"], params, era)


def headers_of(content: object, agreed: str | None) -> dict[str, str]:
    """What a client sends beside a message; `agreed`: the revision that `initialize` led to, if it did."""
    if not isinstance(content, dict) or era_of(content, None) == "initialized":
        return {} if agreed is None else {"MCP-Protocol-Version": agreed}
    method, params = content.get("method"), content["params"]
    name = params.get(NAMED.get(str(method), ""))
    found = {"MCP-Protocol-Version": params["_meta"][f"{META}protocolVersion"], "Mcp-Method": method, "Mcp-Name": name}
    return {header: _encoded(value) for header, value in found.items() if isinstance(value, str)}


def may_be_batch(version: str | None) -> bool:
    """Whether a client of this revision may send a list of messages."""
    return version in {None, BATCHED}


def negotiated(params: Mapping[str, Any]) -> str:
    """The revision that `initialize` agrees on: that of the client, or the newest one that begins so."""
    wanted = params.get("protocolVersion")
    return wanted if isinstance(wanted, str) and wanted in INITIALIZED else INITIALIZED[0]


def _check_headers(method: str, params: Json, headers: Mapping[str, str]) -> None:
    meta = params.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    version, header = meta.get(f"{META}protocolVersion"), headers.get("MCP-Protocol-Version")
    if not isinstance(version, str) or not isinstance(meta.get(f"{META}clientCapabilities"), dict):
        raise RpcError(INVALID_PARAMS, f"`_meta` must have `{META}protocolVersion` and `{META}clientCapabilities`")
    if header != version:
        raise _mismatch("MCP-Protocol-Version", header, version)
    if version not in STATELESS:
        raise _unsupported(version)
    if headers.get("Mcp-Method") != method:
        raise _mismatch("Mcp-Method", headers.get("Mcp-Method"), method)
    if method in NAMED and _decoded(headers.get("Mcp-Name")) != params.get(NAMED[method]):
        raise _mismatch("Mcp-Name", headers.get("Mcp-Name"), params.get(NAMED[method]))


def _mismatch(name: str, header: str | None, body: object) -> RpcError:
    found = "is missing" if header is None else f"is {header[:MAX_ECHO]!r}"
    return RpcError(HEADER_MISMATCH, f"Header mismatch: {name} {found}, the body has {str(body)[:MAX_ECHO]!r}")


def _unsupported(version: str) -> RpcError:
    return RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", {"supported": VERSIONS, "requested": version[:MAX_ECHO]})


def _meta(content: Json) -> Json:
    params = content.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta if isinstance(meta, dict) else {}


def _encoded(value: str) -> str:
    """A header's value, in Base64 if it could not stand there."""
    begin, end = SENTINEL
    if value.isascii() and value.isprintable() and value == value.strip() and not value.startswith(begin):
        return value
    return f"{begin}{base64.b64encode(value.encode()).decode()}{end}"


def _decoded(value: str | None) -> str | None:
    """A header's value, which may be in Base64; None if that is malformed."""
    begin, end = SENTINEL
    if value is None or not (value.startswith(begin) and value.endswith(end)):
        return value
    try:
        return base64.b64decode(value.removeprefix(begin).removesuffix(end), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
