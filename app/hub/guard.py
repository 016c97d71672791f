"""HTTP to addresses that strangers wrote: each one, also where a redirect leads, is judged by `app.deps.addresses` before anything is sent.

The connection goes to exactly the IP address that was judged. Behind a proxy of the operator (`HTTPS_PROXY`, `NO_PROXY` …) the same
rules hold for names, schemes and ports; which address a name has is then for the proxy to judge, since it is the proxy that asks.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Collection, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from app.deps.addresses import Address, check, configured, is_configured, judge, shown
from app.errors import DiskFullError, FreshetError, GoneError, TreeTooBigError, UnavailableError, is_full
from app.resolve import Lookup, addresses_of, lookup

CONNECT_S = 10.0
READ_S = 30.0
TOTAL_S = 60.0
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
MAX_WAIT_S = 600.0


class CheckedResolver(AbstractResolver):
    """Gives aiohttp no address but a public one, or one of a host that the operator configured."""

    def __init__(self, hosts: Collection[str], ask: Lookup = lookup) -> None:
        self._hosts = hosts
        self._ask = ask

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a host. Raises RejectedAddressError, GoneError or UnavailableError."""
        doing = f"connecting to {host}"
        address = Address("https", host.lower(), port, configured=is_configured(host.lower(), port, self._hosts))
        found = await addresses_of(judge(address, self._hosts, doing), doing, self._ask)
        families = [(ip, socket.AF_INET6 if ":" in ip else socket.AF_INET) for ip in found]
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for ip, kind in families
            if family in {socket.AF_UNSPEC, kind}
        ]

    async def close(self) -> None:
        """Nothing is held."""


def session(hosts: Collection[str], *, total_s: float = TOTAL_S, ask: Lookup = lookup) -> aiohttp.ClientSession:
    """Return a session whose connections are checked.

    Its addresses are not: whoever uses it calls `check` on each of them, redirects included, as `Guard` does.
    """
    # A name is looked up for each connection: what is remembered would not be what was checked.
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(hosts, ask), use_dns_cache=False, limit=16, limit_per_host=8)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=READ_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"user-agent": "freshet", "accept-encoding": "identity"},
    )


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
        # A proxy is the operator's, wherever it stands.
        self._session = session(self._hosts | configured(getproxies().values()), total_s=self._total_s, ask=self._ask)
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
        async with self._session.get(url, headers=headers, proxy=_proxy_of(address), allow_redirects=False) as response:
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


def _proxy_of(address: Address) -> str | None:
    """Return the proxy that the environment names for an address."""
    proxy = getproxies().get(address.scheme)
    return None if proxy is None or proxy_bypass(f"{address.host}:{address.port}") else proxy
