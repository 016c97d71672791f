"""Names that a browser uses for this host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?")
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""Headers that a proxy adds: with one of them, `Host` may be the proxy's own choice."""


def is_tunnelled(host: str, headers: Mapping[str, str]) -> bool:
    """Whether the browser seems to use a loopback name, on this host or through an SSH tunnel.

    It narrows what is allowed, and never allows by itself: anybody who reaches the service can send these headers.
    """
    return _is_loopback(_hostname(host)) and not any(name in headers for name in FORWARDED)


def _hostname(host: str) -> str:
    """The name in a Host header without its port; "" if it is malformed, because it becomes part of a URL."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]) if found else ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
