"""Liveness, and readiness with one line for each dependency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from app.core.errors import FreshetError, NotConfiguredError
from app.web.keys import CHECKS, Check

WORKS_S, FAILS_S = 5.0, 2.0
"""How long the result of a check is shown: anyone may ask, which must not become requests to GitHub and Docker."""
CHECK_TIMEOUT_S = 8.0


async def livez(_: web.Request) -> web.Response:
    """200: the event loop runs."""
    return web.Response(text="ok\n")


@dataclass(slots=True)
class _Result:
    """The last result of one check; its lock makes those who ask at the same time wait for one answer."""

    works: bool = False
    text: str = ""
    until: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Readiness:
    """`GET /readyz`: 200 if every dependency works, otherwise 503; lines are `ok: NAME: DETAIL` or `not ok: NAME: REASON`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._results: dict[Check, _Result] = {}

    async def show(self, request: web.Request) -> web.Response:
        """All lines, at most `WORKS_S` old."""
        checks = request.app[CHECKS]
        results = await asyncio.gather(*(self._current(check) for check in checks.values()))
        lines = [f"{'ok' if one.works else 'not ok'}: {name}: {one.text}" for name, one in zip(checks, results, strict=True)]
        status = 200 if all(one.works for one in results) else 503
        return web.Response(text="\n".join(lines) + "\n", status=status, headers={"Cache-Control": "no-store"})

    async def _current(self, check: Check) -> _Result:
        result = self._results.setdefault(check, _Result())
        async with result.lock:
            if self._clock() >= result.until:
                result.works, result.text, lifetime_s = await _ask(check)
                result.until = self._clock() + lifetime_s
        return result


async def _ask(check: Check) -> tuple[bool, str, float]:
    """The result of a check, and how long it is valid: without an App nobody was asked, and there can be one at any moment."""
    lifetime_s = FAILS_S

    async def asked() -> str:
        nonlocal lifetime_s
        try:
            return await check()
        except NotConfiguredError:
            lifetime_s = 0.0
            raise

    works, text = await run_check(asked)
    return works, text, WORKS_S if works else lifetime_s


async def run_check(check: Check) -> tuple[bool, str]:
    """Run one check: whether the dependency works, and the text of its line."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return True, await check()
    except FreshetError as error:
        return False, error.user_text
    except TimeoutError:
        return False, f"no answer within {CHECK_TIMEOUT_S:g} s"
