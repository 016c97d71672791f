"""Is it alive, and can it work: one line for each dependency."""

from __future__ import annotations

import asyncio

from aiohttp import web

from app.errors import FreshetError
from app.web.keys import CHECKS, Check

CHECK_TIMEOUT_S = 8.0


async def livez(_: web.Request) -> web.Response:
    """The loop turns."""
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.Response:
    """200 when every dependency answers, else 503; the lines say which and why."""
    checks = request.app[CHECKS]
    outcomes = await asyncio.gather(*(outcome(check) for check in checks.values()))
    lines = [f"{'ok' if works else 'not ok'}: {name}: {text}" for name, (works, text) in zip(checks, outcomes, strict=True)]
    status = 200 if all(works for works, _ in outcomes) else 503
    return web.Response(text="\n".join(lines) + "\n", status=status)


async def outcome(check: Check) -> tuple[bool, str]:
    """Run one check: whether it works, and its line."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return True, await check()
    except FreshetError as error:
        return False, error.user_text
    except TimeoutError:
        return False, f"no answer within {CHECK_TIMEOUT_S:g} s"
