"""Server-sent events of one extraction: one message for each change until it ends, with heartbeats in between.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web
from aiohttp_sse import EventSourceResponse as Response

from app.web.keys import STORE, WAKE
from app.web.problems import of_status
from app.web.watch import VIEWS, Show, State, View

HEARTBEAT_S = 10.0
RETRY_MS = 2000
"""After so long a client that lost its stream asks again."""
LAST_EVENT_ID = "Last-Event-ID"


def wanted(request: web.Request) -> bool:
    """Tell whether somebody asks for events."""
    return request.method == "GET" and "text/event-stream" in request.headers.get("Accept", "")


async def follow(request: web.Request, extraction_id: str, how: str, show: Show) -> web.StreamResponse:
    """Stream what `show` makes of an extraction: `event: progress` for each change, `event: end` for the last.

    Each has an `id`. Whoever comes again with the last one is not sent the same once more; when that was the end, 204 has him stay away.
    `how` names what `show` makes: it is made once for all who ask for it. Raises Problem 503 when the server stops.
    """
    known = request.headers.get(LAST_EVENT_ID)
    async with request.app[VIEWS].of(extraction_id, request.app[STORE], request.app[WAKE]) as view:
        state = await view.after(None)
        if state is None:
            raise of_status(503, "The server is stopping.", {"Retry-After": "1"})
        if state.ended and state.shown(how, show)[1] == known:
            return web.Response(status=204)
        return await _send(request, view, state, known, lambda changed: changed.shown(how, show))


async def _send(request: web.Request, view: View, first: State, known: str | None, shown: Callable[[State], tuple[str, str]]) -> Response:
    response = Response(ping_interval=HEARTBEAT_S)
    # Whoever went away in the middle is no concern of anybody's.
    with suppress(ConnectionResetError, TimeoutError):
        await response.prepare(request)
        async with response:
            state: State | None = first
            retry: int | None = RETRY_MS
            while state is not None:
                text, id_ = shown(state)
                if id_ != known:
                    await response.send(text, id=id_, event="end" if state.ended else "progress", retry=retry)
                    known, retry = id_, None
                state = await _next(view, state, response)
    return response


async def _next(view: View, state: State, response: Response) -> State | None:
    """Return the next state, None when there is none, or nobody to send it to."""
    while response.is_connected():
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S):
                return await view.after(state)
    return None
