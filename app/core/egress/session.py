"""HTTP to untrusted addresses: connections only go to IP addresses that were checked.

With a proxy of the operator (`HTTPS_PROXY`, `NO_PROXY` …) the same rules apply to names, schemes and ports. The proxy resolves the names,
so checking their IP addresses is up to the proxy.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from app.core.egress.addresses import HOSTS_VARIABLE, Address, check_address, configured, is_configured
from app.core.egress.resolver import Lookup, addresses_of, lookup

CONNECT_S = 10.0
READ_S = 30.0
TOTAL_S = 60.0


class CheckedResolver(AbstractResolver):
    """Gives aiohttp only public IP addresses, or those of hosts that the operator allows."""

    def __init__(self, hosts: Collection[str], ask: Lookup = lookup, variable: str = HOSTS_VARIABLE) -> None:
        self._hosts = hosts
        self._ask = ask
        self._variable = variable

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of a host. Raises RejectedAddressError, GoneError or UnavailableError."""
        doing = f"connecting to {host}"
        address = Address("https", host.lower(), port, configured=is_configured(host.lower(), port, self._hosts))
        checked = check_address(address, self._hosts, doing, self._variable)
        ips = await addresses_of(checked, doing, self._ask, self._variable)
        families = [(ip, socket.AF_INET6 if ":" in ip else socket.AF_INET) for ip in ips]
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for ip, kind in families
            if family in {socket.AF_UNSPEC, kind}
        ]

    async def close(self) -> None:
        """Nothing to close."""


def session(
    hosts: Collection[str], *, total_s: float = TOTAL_S, ask: Lookup = lookup, variable: str = HOSTS_VARIABLE
) -> aiohttp.ClientSession:
    """A session that connects to public hosts, and to the operator's `hosts` (set in `variable`) and proxies.

    It does not check URLs: the caller has to call `check` on each of them, also on redirects.
    """
    # A proxy belongs to the operator, also in a private network.
    reachable = frozenset(hosts) | configured(getproxies().values())
    # Names are resolved for each connection: a cached address would not be the one that was checked.
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(reachable, ask, variable), use_dns_cache=False, limit=16, limit_per_host=8)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=READ_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"user-agent": "freshet", "accept-encoding": "identity"},
    )


def proxy_of(address: Address) -> str | None:
    """The proxy that the environment sets for an address."""
    proxy = getproxies().get(address.scheme)
    return None if proxy is None or proxy_bypass(f"{address.host}:{address.port}") else proxy
