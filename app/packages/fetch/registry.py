"""The package hub's API as in `dbt/clients/registry.py` of dbt-core, but without the list of all packages: a 404 tells the same."""

from __future__ import annotations

import asyncio
import time
from weakref import WeakValueDictionary

import orjson
import stamina
from cachetools import LRUCache

from app.core.errors import GoneError, UnavailableError
from app.packages.fetch.http import EgressClient
from app.packages.pins import HubPackage, UnusablePackageError, parse_hub_package

HUB_URL = "https://hub.getdbt.com/"
MAX_ANSWER = 32 << 20
ATTEMPTS = 3


class Registry:
    """Reads package descriptions from a hub."""

    def __init__(self, client: EgressClient, hub_url: str | None = None) -> None:
        """`hub_url` defaults to dbt's own hub."""
        self._client = client
        self._url = (hub_url or HUB_URL).rstrip("/") + "/"
        self._recent: LRUCache[str, tuple[float, HubPackage]] = LRUCache(200)
        """With the times of the requests: projects of one repository request the same packages at the same time."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def package(self, name: str, since: float) -> HubPackage:
        """Return the hub's answer about a package, or one that it gave after `since` (seconds since the epoch).

        Raises UnusablePackageError, RejectedAddressError or UnavailableError.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            asked_at, package = self._recent.get(name, (0.0, None))
            if package is None or asked_at < since:
                asked_at = time.time()
                package = await self._request(name)
                if not package.versions and package.moved_to:
                    package = await self._request(package.moved_to)
                self._recent[name] = asked_at, package
            return package

    async def _request(self, name: str) -> HubPackage:
        doing = f"looking up {name} on the package hub"
        try:
            async for attempt in stamina.retry_context(UnavailableError, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2.0):
                with attempt:
                    answer = await self._client.fetch(f"{self._url}api/v1/{name}.json", MAX_ANSWER, doing=doing)
                    return parse_hub_package(name, await asyncio.to_thread(orjson.loads, answer))
        except GoneError as error:
            raise UnusablePackageError("was not found on the package hub", "Check its name on hub.getdbt.com.") from error
        except ValueError as error:
            raise UnavailableError(doing, f"the hub's response cannot be read ({error})") from error
        raise AssertionError  # pragma: no cover - stamina raises the last error itself
