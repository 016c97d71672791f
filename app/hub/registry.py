"""The package hub's API, as `dbt/clients/registry.py` of dbt-core uses it, without its list of all packages: a 404 says the same."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

import orjson
import stamina
from cachetools import TTLCache

from app.deps.pins import HubPackage, UnobtainableError, read_hub
from app.errors import GoneError, UnavailableError
from app.hub.guard import Guard

HUB_URL = "https://hub.getdbt.com/"
MAX_ANSWER = 32 << 20
ATTEMPTS = 3
FRESH_S = 30.0
"""Answers are kept that long: projects of one repository ask for the same packages at the same time."""


class Registry:
    """Asks a hub about packages."""

    def __init__(self, guard: Guard, hub_url: str | None = None) -> None:
        """Use the hub at `hub_url`, dbt's own when None."""
        self._guard = guard
        self._url = (hub_url or HUB_URL).rstrip("/") + "/"
        self._recent: TTLCache[str, HubPackage] = TTLCache(maxsize=200, ttl=FRESH_S)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def package(self, name: str) -> HubPackage:
        """Return what the hub has of a package. Raises UnobtainableError, RejectedAddressError or UnavailableError."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            found: HubPackage | None = self._recent.get(name)
            if found is None:
                found = await self._ask(name)
                if not found.versions and found.moved_to:
                    found = await self._ask(found.moved_to)
                self._recent[name] = found
            return found

    async def _ask(self, name: str) -> HubPackage:
        doing = f"asking the package hub for {name}"
        try:
            async for attempt in stamina.retry_context(UnavailableError, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2.0):
                with attempt:
                    answer = await self._guard.fetch(f"{self._url}api/v1/{name}.json", MAX_ANSWER, doing=doing)
                    return read_hub(name, await asyncio.to_thread(orjson.loads, answer))
        except GoneError as error:
            raise UnobtainableError(f"The package hub has no package {name}.", "Check its name on hub.getdbt.com.") from error
        except ValueError as error:
            raise UnavailableError(doing, f"the hub's answer cannot be read ({error})") from error
        raise AssertionError  # pragma: no cover - stamina raises the last error itself
