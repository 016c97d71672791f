"""Names of hosts into addresses that may be connected to.

What is checked here is what is connected to: no second answer of a name server counts (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from app.deps.addresses import HOSTS_VARIABLE, Address, configure, is_public, refused
from app.errors import GoneError, UnavailableError

LOOKUP_S = 10.0
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to IP addresses; raises OSError."""

_UNKNOWN = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


async def lookup(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def addresses_of(address: Address, doing: str, ask: Lookup = lookup, variable: str = HOSTS_VARIABLE) -> Sequence[str]:
    """Return the IP addresses of a host, each of them public unless the operator configured the host (by `variable`).

    Raises RejectedAddressError, GoneError (there is no such host) or UnavailableError (nobody can tell now).
    """
    try:
        async with asyncio.timeout(LOOKUP_S):
            found = await ask(address.host, address.port)
    except TimeoutError as error:
        raise UnavailableError(doing, f"looking up {address.host} took longer than {LOOKUP_S:g} s") from error
    except OSError as error:
        if isinstance(error, socket.gaierror) and error.errno in _UNKNOWN:
            raise GoneError(doing, f"there is no host {address.host}", "Check the address for a typing mistake.") from error
        raise UnavailableError(doing, f"{address.host} cannot be looked up ({error})") from error
    private = [ip for ip in found if not is_public(ip)]
    if private and not address.configured:
        raise refused(address.url, f"{address.host} is in a private network", configure(address.host, variable), doing=doing)
    if not found:
        raise GoneError(doing, f"there is no host {address.host}", "Check the address for a typing mistake.")
    return found
