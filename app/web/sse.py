"""Server-sent events of one extraction: one message for each change until it ends, with heartbeats in between.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp_sse import sse_response

from app.jobs import ENDED, Extraction
from app.web.keys import CLOSING, STORE, WAKE

LOOK_S = 5.0
"""A notification can be lost with its connection, so the store is looked at now and then as well."""
HEARTBEAT_S = 10.0
CHANNEL = "freshet_extractions"


async def follow(request: web.Request, extraction_id: str, show: Callable[[Extraction], str]) -> web.StreamResponse:
    """Stream what `show` makes of an extraction: `event: progress` for each change, `event: end` for the last."""
    with request.app[WAKE].bell(CHANNEL, extraction_id) as bell:
        async with sse_response(request, ping_interval=HEARTBEAT_S) as response:
            shown = None
            while not request.app[CLOSING].is_set() and response.is_connected():
                extraction = await request.app[STORE].extractions.get(extraction_id)
                ended = extraction is None or extraction.status in ENDED
                text = show(extraction) if extraction else "{}"
                if text != shown or ended:
                    await response.send(text, event="end" if ended else "progress")
                    shown = text
                if ended:
                    break
                await bell.wait(LOOK_S)
    return response
