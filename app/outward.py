"""HTTP to addresses that strangers wrote: a connection is made to exactly the IP address that was judged, and to no other.

Behind a proxy of the operator (`HTTPS_PROXY`, `NO_PROXY` …) the same rules hold for names, schemes and ports; which address a name has is
then for the proxy to judge, since it is the proxy that asks.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from app.deps.addresses import HOSTS_VARIABLE, Address, configured, is_configured, judge
from app.resolve import Lookup, addresses_of, lookup

CONNECT_S = 10.0
READ_S = 30.0
TOTAL_S = 60.0


class CheckedResolver(AbstractResolver):
    """Gives aiohttp no address but a public one, or one of a host that the operator configured."""

    def __init__(self, hosts: Collection[str], ask: Lookup = lookup, variable: str = HOSTS_VARIABLE) -> None:
        self._hosts = hosts
        self._ask = ask
        self._variable = variable

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a host. Raises RejectedAddressError, GoneError or UnavailableError."""
        doing = f"connecting to {host}"
        address = Address("https", host.lower(), port, configured=is_configured(host.lower(), port, self._hosts))
        judged = judge(address, self._hosts, doing, self._variable)
        found = await addresses_of(judged, doing, self._ask, self._variable)
        families = [(ip, socket.AF_INET6 if ":" in ip else socket.AF_INET) for ip in found]
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for ip, kind in families
            if family in {socket.AF_UNSPEC, kind}
        ]

    async def close(self) -> None:
        """Nothing is held."""


def session(
    hosts: Collection[str], *, total_s: float = TOTAL_S, ask: Lookup = lookup, variable: str = HOSTS_VARIABLE
) -> aiohttp.ClientSession:
    """Return a session that connects to what is public, and to the operator's `hosts` and proxies; `variable` is where he names hosts.

    Its addresses are not checked: whoever uses it calls `check` on each of them, redirects included.
    """
    # A proxy is the operator's, wherever it stands.
    reachable = frozenset(hosts) | configured(getproxies().values())
    # A name is looked up for each connection: what is remembered would not be what was checked.
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(reachable, ask, variable), use_dns_cache=False, limit=16, limit_per_host=8)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=READ_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"user-agent": "freshet", "accept-encoding": "identity"},
    )


def proxy_of(address: Address) -> str | None:
    """Return the proxy that the environment names for an address."""
    proxy = getproxies().get(address.scheme)
    return None if proxy is None or proxy_bypass(f"{address.host}:{address.port}") else proxy
