"""Fetches what strangers' addresses lead to: each, also where a redirect leads, is judged by `app.deps.addresses` before anything is sent.

The connection goes to what was judged: see `app.outward`.
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

from app.deps.addresses import Address, check, shown
from app.errors import DiskFullError, FreshetError, GoneError, TreeTooBigError, UnavailableError, is_full
from app.outward import TOTAL_S, proxy_of, session
from app.resolve import Lookup, lookup

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
MAX_WAIT_S = 600.0


class Guard:
    """Fetches what strangers' addresses lead to. An async context manager: it holds the connections."""

    def __init__(self, hosts: Collection[str] = (), *, total_s: float = TOTAL_S, ask: Lookup = lookup) -> None:
        """Go to public hosts, and to the operator's `hosts` (see `addresses.configured`); `ask` looks names up."""
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
        """Return what a URL leads to. Raises as `save` does."""
        body = io.BytesIO()
        await self.save(url, max_bytes, body, doing=doing, headers=headers)
        return body.getvalue()

    async def save(self, url: str, max_bytes: int, file: BinaryIO, *, doing: str, headers: Mapping[str, str] | None = None) -> None:
        """Write what a URL leads to into a file, up to `max_bytes`.

        Raises RejectedAddressError (we do not go there), GoneError (it is not to be had), TreeTooBigError, or UnavailableError.
        """
        for _ in range(MAX_REDIRECTS + 1):
            address = check(url, self._hosts, doing)
            try:
                location = await self._once(address, max_bytes, file, doing, headers or {})
            except TimeoutError as error:
                raise UnavailableError(doing, f"{address.host} did not answer within {self._total_s:g} s") from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if is_full(error):
                    raise DiskFullError(doing, "the work directory takes no more", "Free space below DBT_WORK_DIR.") from error
                raise UnavailableError(doing, f"the connection to {address.host} broke ({type(error).__name__})") from error
            if location is None:
                return
            url = urljoin(address.url, location)
        raise GoneError(doing, f"{shown(url)} is redirected more than {MAX_REDIRECTS} times")

    async def _once(self, address: Address, max_bytes: int, file: BinaryIO, doing: str, headers: Mapping[str, str]) -> str | None:
        """Send one request. Returns where a redirect leads, None when `file` has the body."""
        if self._session is None:
            message = "Guard is used outside its context"
            raise RuntimeError(message)
        url = URL(address.url, encoded=True)
        async with self._session.get(url, headers=headers, proxy=proxy_of(address), allow_redirects=False) as response:
            if response.status in REDIRECTS and "location" in response.headers:
                return response.headers["location"]
            if response.status != HTTPStatus.OK:
                raise _refusal(response, address, doing)
            await _copy(response, max_bytes, file, doing)
            return None


async def _copy(response: aiohttp.ClientResponse, max_bytes: int, file: BinaryIO, doing: str) -> None:
    left = max_bytes
    async for chunk in response.content.iter_any():
        left -= len(chunk)
        if left < 0:
            raise TreeTooBigError(doing, f"{shown(str(response.url))} is over {max_bytes >> 20} MiB")
        file.write(chunk)


def _refusal(response: aiohttp.ClientResponse, address: Address, doing: str) -> FreshetError:
    """Return the error of an answer other than 200."""
    said = f"{shown(address.url)} answered with {response.status}"
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in PASSING:
        asked = response.headers.get("retry-after", "")
        return UnavailableError(doing, said, retry_after_s=min(float(asked), MAX_WAIT_S) if asked.isdecimal() else None)
    return GoneError(doing, said, "Check the address: it has to be readable without signing in.")
