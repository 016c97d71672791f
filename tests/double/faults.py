"""Faults between the App and GitHub, injected per request."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler


@dataclass(frozen=True)
class Answer:
    """Respond with this instead of handling the request: a 502 with HTML, a 429 with Retry-After, a 500."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """Reset the connection (TCP RST) before handling the request."""


@dataclass(frozen=True)
class Delay:
    """Handle the request after a delay."""

    seconds: float


@dataclass(frozen=True)
class LostAnswer:
    """Handle the request, then reset the connection: the caller cannot know that it succeeded."""


@dataclass(frozen=True)
class LateAnswer:
    """Handle the request at once, and answer after a delay."""

    seconds: float


Response: TypeAlias = Answer | Reset | Delay | LostAnswer | LateAnswer


@dataclass
class Fault:
    """A response for the next ``times`` requests of a method (``*``: any) whose path matches."""

    method: str
    path: re.Pattern[str]
    times: int
    response: Response


class Faults:
    """Pending faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def add(self, method: str, path_regex: str, times: int, response: Response) -> None:
        """Inject a fault into the next ``times`` requests whose path matches ``path_regex``."""
        self._pending.append(Fault(method.upper(), re.compile(path_regex), times, response))

    def clear(self) -> None:
        """Remove all pending faults."""
        self._pending.clear()

    def take(self, method: str, path: str) -> Response | None:
        """The fault for this request, if any; counts it."""
        for fault in self._pending:
            if fault.times > 0 and fault.method in ("*", method) and fault.path.search(path):
                fault.times -= 1
                return fault.response
        return None


async def apply(response: Response, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle a request with a fault."""
    match response:
        case Answer(status, body, headers):
            return web.Response(status=status, text=body, headers=_html(headers))
        case Reset():
            return reset(request)
        case Delay(seconds):
            await asyncio.sleep(seconds)
            return await handler(request)
        case LateAnswer(seconds):
            answer = await handler(request)
            await asyncio.sleep(seconds)
            return answer
        case LostAnswer():
            await handler(request)
            return reset(request)


def reset(request: web.Request) -> web.Response:
    """Reset the connection. The returned response only satisfies the signature."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=499)


def _html(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, by default for HTML, like the responses of GitHub's proxies."""
    return {"Content-Type": "text/html; charset=utf-8", **headers}
