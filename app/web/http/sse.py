"""Server-sent events of one extraction: one event for each change until it ends, with heartbeats in between.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web
from aiohttp_sse import EventSourceResponse as Response

from app.core.errors import UnavailableError, UnknownTokenError
from app.web.http.live import VIEWS, LiveState, Render, View
from app.web.http.problems import of_status
from app.web.keys import LISTENER, STORE

HEARTBEAT_S = 10.0
ASK_AGAIN_S = 5.0
"""How often it is asked whether the caller may still read; GitHub's answers are cached for longer."""
TRUSTED_S = 60.0
RETRY_MS = 2000
"""How long a client waits before it reconnects."""
LAST_EVENT_ID = "Last-Event-ID"


def accepts_events(request: web.Request) -> bool:
    """Whether the client asks for an event stream."""
    return request.method == "GET" and "text/event-stream" in request.headers.get("Accept", "")


@dataclass(frozen=True, slots=True)
class Audience:
    """Who reads a stream."""

    key: str
    """The caller."""
    share: float
    """How much of all streams one such caller can have."""
    may_read: Callable[[], Awaitable[bool]]
    """Whether the caller still has the right to read."""


async def stream(
    request: web.Request, extraction_id: str, name: str, render: Render, audience: Audience, *, gone: str = "{}"
) -> web.StreamResponse:
    """Stream an extraction: `event: progress` for each change, `event: end` for the last one, with data from `render`.

    Each event has an `id`. A client that reconnects with the newest one does not get that event again; if it was the end, the answer is
    204, so that browsers stop reconnecting. `name` stands for `render` and `gone` (the data if the extraction was deleted): each is made
    once for all streams of the same name. A stream is closed without an end when its caller loses the right to read. Raises
    HttpProblem: 503 when the server stops, 429 for too many streams.
    """
    last_id, views = request.headers.get(LAST_EVENT_ID), request.app[VIEWS]
    with views.counted(audience.key, audience.share):
        async with views.open(extraction_id, request.app[STORE], request.app[LISTENER]) as view:
            state = await view.after(None)
            if state is None:
                raise of_status(503, "The server is stopping.", {"Retry-After": "1"})
            if request.transport is None or (state.ended and state.rendered(name, render, gone)[1] == last_id):
                return web.Response(status=204)  # nobody is there any more, or has everything
            return await _Stream(view, audience, lambda changed: changed.rendered(name, render, gone)).send(request, state, last_id)


class _Stream:
    """One open stream."""

    def __init__(self, view: View, audience: Audience, rendered: Callable[[LiveState], tuple[str, str]]) -> None:
        self._view, self._audience, self._rendered = view, audience, rendered
        self._clock = asyncio.get_running_loop().time
        self._asked_at = self._allowed_at = self._clock()

    async def send(self, request: web.Request, first: LiveState, last_id: str | None) -> Response:
        response = Response(ping_interval=HEARTBEAT_S)
        # A client that disconnects is no error.
        with suppress(ConnectionResetError, TimeoutError):
            await response.prepare(request)
            async with response:
                state: LiveState | None = first
                retry: int | None = RETRY_MS
                while state is not None:
                    text, id_ = self._rendered(state)
                    if id_ != last_id:
                        await response.send(text, id=id_, event="end" if state.ended else "progress", retry=retry)
                        last_id, retry = id_, None
                    state = await self._next(state, response)
        return response

    async def _next(self, state: LiveState, response: Response) -> LiveState | None:
        """The next state; None when there is none, the client disconnected, or the caller may no longer read."""
        while response.is_connected() and await self._may_read():
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    following = await self._view.after(state)
                return following if await self._may_read() else None
        return None

    async def _may_read(self) -> bool:
        """Ask again if the last answer is older than `ASK_AGAIN_S`. While GitHub is unavailable, an old answer is valid for `TRUSTED_S`."""
        now = self._clock()
        if now - self._asked_at < ASK_AGAIN_S:
            return True
        self._asked_at = now
        try:
            allowed = await self._audience.may_read()
        except UnavailableError:
            return now - self._allowed_at < TRUSTED_S
        except UnknownTokenError:
            return False
        self._allowed_at = now
        return allowed
