"""What can go wrong between the App and GitHub, injected request by request."""

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
    """Answer this instead of doing the work: a 502 with HTML, a 429 with Retry-After, a 500."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """Cut the connection (TCP RST) before doing the work."""


@dataclass(frozen=True)
class Delay:
    """Do the work after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class LostAnswer:
    """Do the work, then cut the connection: the caller cannot know that it succeeded."""


Response: TypeAlias = Answer | Reset | Delay | LostAnswer


@dataclass
class Fault:
    """A response for the next ``times`` requests of a method (``*``: any) whose path matches."""

    method: str
    path: re.Pattern[str]
    times: int
    response: Response


class Faults:
    """The faults that are still to happen, first added first served."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, method: str, path_regex: str, times: int, response: Response) -> None:
        """Let the next ``times`` requests whose path contains a match of ``path_regex`` go wrong."""
        self._waiting.append(Fault(method.upper(), re.compile(path_regex), times, response))

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        self._waiting.clear()

    def take(self, method: str, path: str) -> Response | None:
        """Return what shall happen to this request, and count it."""
        for fault in self._waiting:
            if fault.times > 0 and fault.method in ("*", method) and fault.path.search(path):
                fault.times -= 1
                return fault.response
        return None


async def apply(response: Response, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Serve a request the way the fault wants it."""
    match response:
        case Answer(status, body, headers):
            return web.Response(status=status, text=body, headers=_html(headers))
        case Reset():
            return cut(request)
        case Delay(seconds):
            await asyncio.sleep(seconds)
            return await handler(request)
        case LostAnswer():
            await handler(request)
            return cut(request)


def cut(request: web.Request) -> web.Response:
    """Reset the connection; the response returned is for the handler's signature, it reaches nobody."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=499)


def _html(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers, as HTML unless they say otherwise: that is what GitHub's proxies answer."""
    return {"Content-Type": "text/html; charset=utf-8", **headers}
