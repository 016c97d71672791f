"""HTTP to addresses that somebody untrusted wrote: `core.egress.addresses` checks each of them, redirects included, before a request.

Connections go to exactly the IP address that was checked: see `core.egress.session`.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from app.core.egress.addresses import Address, check, shown
from app.core.egress.resolver import Lookup, lookup
from app.core.egress.session import TOTAL_S, proxy_of, session
from app.core.errors import DiskFullError, FreshetError, GoneError, TreeTooBigError, UnavailableError, is_full

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TEMPORARY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
MAX_WAIT_S = 600.0


class EgressClient:
    """Fetches from untrusted addresses. An async context manager: it holds the connections."""

    def __init__(self, hosts: Collection[str] = (), *, total_s: float = TOTAL_S, ask: Lookup = lookup) -> None:
        """Connect to public hosts and to the operator's `hosts` (see `addresses.configured`); `ask` resolves host names."""
        self._hosts = frozenset(hosts)
        self._total_s = total_s
        self._ask = ask
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        self._session = session(self._hosts, total_s=self._total_s, ask=self._ask)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        open_session, self._session = self._session, None
        if open_session is not None:
            await open_session.close()

    async def fetch(self, url: str, max_bytes: int, *, doing: str, headers: Mapping[str, str] | None = None) -> bytes:
        """GET a URL. Raises as `save` does."""
        body = io.BytesIO()
        await self.save(url, max_bytes, body, doing=doing, headers=headers)
        return body.getvalue()

    async def save(self, url: str, max_bytes: int, file: BinaryIO, *, doing: str, headers: Mapping[str, str] | None = None) -> None:
        """GET a URL into a file, up to `max_bytes`.

        Raises RejectedAddressError (not a public address), GoneError (not there), TreeTooBigError, or UnavailableError (try again).
        """
        for _ in range(MAX_REDIRECTS + 1):
            address = check(url, self._hosts, doing)
            try:
                location = await self._once(address, max_bytes, file, doing, headers or {})
            except TimeoutError as error:
                raise UnavailableError(doing, f"{address.host} did not answer within {self._total_s:g} s") from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if is_full(error):
                    raise DiskFullError(doing, "the disk of the work directory is full", "Free space below DBT_WORK_DIR.") from error
                raise UnavailableError(doing, f"the connection to {address.host} broke ({type(error).__name__})") from error
            if location is None:
                return
            url = urljoin(address.url, location)
        raise GoneError(doing, f"{shown(url)} redirects more than {MAX_REDIRECTS} times")

    async def _once(self, address: Address, max_bytes: int, file: BinaryIO, doing: str, headers: Mapping[str, str]) -> str | None:
        """Send one request. Returns the location of a redirect, None when `file` has the body."""
        if self._session is None:
            message = "EgressClient is used outside its context"
            raise RuntimeError(message)
        url = URL(address.url, encoded=True)
        async with self._session.get(url, headers=headers, proxy=proxy_of(address), allow_redirects=False) as response:
            if response.status in REDIRECTS and "location" in response.headers:
                return response.headers["location"]
            if response.status != HTTPStatus.OK:
                raise _error_for(response, address, doing)
            await _copy(response, max_bytes, file, doing)
            return None


async def _copy(response: aiohttp.ClientResponse, max_bytes: int, file: BinaryIO, doing: str) -> None:
    left = max_bytes
    async for chunk in response.content.iter_any():
        left -= len(chunk)
        if left < 0:
            raise TreeTooBigError(doing, f"{shown(str(response.url))} is over {max_bytes >> 20} MiB")
        file.write(chunk)


def _error_for(response: aiohttp.ClientResponse, address: Address, doing: str) -> FreshetError:
    """The error for a status other than 200."""
    reason = f"{shown(address.url)} answered with {response.status}"
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in TEMPORARY:
        retry_after = response.headers.get("retry-after", "")
        wait_s = min(float(retry_after), MAX_WAIT_S) if retry_after.isdecimal() else None
        return UnavailableError(doing, reason, retry_after_s=wait_s)
    return GoneError(doing, reason, "Check the address: it must be readable without signing in.")
