"""Resolves host names and checks the IP addresses.

The connection uses exactly the addresses that were checked here; a name is never resolved a second time (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from app.core.egress.addresses import HOSTS_VARIABLE, Address, configure, is_public, rejected
from app.core.errors import GoneError, UnavailableError

LOOKUP_S = 10.0
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""IP addresses of a name and a port; raises OSError."""

_UNKNOWN = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


async def lookup(host: str, port: int) -> list[str]:
    """Resolve a name with the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def addresses_of(address: Address, doing: str, ask: Lookup = lookup, variable: str = HOSTS_VARIABLE) -> Sequence[str]:
    """The IP addresses of a host, all of them public unless the operator allows the host (in `variable`).

    Raises RejectedAddressError, GoneError (no such host) or UnavailableError (the name cannot be resolved at the moment).
    """
    try:
        async with asyncio.timeout(LOOKUP_S):
            found = await ask(address.host, address.port)
    except TimeoutError as error:
        raise UnavailableError(doing, f"resolving {address.host} took longer than {LOOKUP_S:g} s") from error
    except OSError as error:
        if isinstance(error, socket.gaierror) and error.errno in _UNKNOWN:
            raise GoneError(doing, f"the host {address.host} does not exist", "Check the address for typos.") from error
        raise UnavailableError(doing, f"{address.host} cannot be resolved ({error})") from error
    private = [ip for ip in found if not is_public(ip)]
    if private and not address.configured:
        raise rejected(address.url, f"{address.host} is in a private network", configure(address.host, variable), doing=doing)
    if not found:
        raise GoneError(doing, f"the host {address.host} does not exist", "Check the address for typos.")
    return found
