"""Which untrusted addresses Freshet connects to.

Projects name the addresses of packages, and this process fetches them. Without these rules, anyone with push permission could make it send
requests inside the operator's network. The IP addresses behind a name are checked by `core.egress.resolver`, with `is_public`.

`hosts` are always the operator's, as `host` (any port) or `host:port`; see `configured`. They are exempt from the rules on schemes, ports
and addresses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from app.core.errors import RejectedAddressError

HOSTS_VARIABLE = "FRESHET_PACKAGE_HOSTS"
PORTS = {"https": 443, "http": 80}
MAX_LENGTH = 2048
LOCAL_ENDINGS = frozenset(
    {"localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "arpa", "onion", "alt"}
)
"""Last labels of names in private networks: RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`."""

_PRINTABLE = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""ASCII without blanks and without the backslash, which programs treat differently."""
_URL = re.compile(r"(https?)://([^/?#]*)([/?][^#]*)?(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@]+)(?::(\d{1,5}))?", re.IGNORECASE)
_NAME = re.compile(r"(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)+(?=[a-z])[a-z0-9-]{2,63}(?<!-)")
"""A name with a dot whose last label begins with a letter: every spelling of an IPv4 address ends in a number."""
_SINGLE = re.compile(r"(?=[a-z_])[a-z0-9_-]+")
_NUMBER = re.compile(r"\[.*\]|(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*\.?")
_NAT64 = ip_network("64:ff9b::/96")
_UNICAST = ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        "168.63.129.16/32",  # looks public, but inside Azure it is the host of the virtual machine
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # among them Teredo and 6to4, which wrap addresses of IPv4
    )
)
"""In addition to `is_global`, which depends on the version of Python:
https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that the text of its URL allows."""

    scheme: str
    host: str
    """In lower case; an IPv6 address in brackets."""
    port: int
    rest: str = "/"
    """Path and query."""
    configured: bool = False
    """The operator allows it: the IP addresses behind the name are not checked."""

    @property
    def url(self) -> str:
        """The whole URL, without credentials."""
        port = "" if PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.rest}"


def check(url: str, hosts: Collection[str] = (), doing: str = "", variable: str = HOSTS_VARIABLE) -> Address:
    """Parse a URL. Raises RejectedAddressError if it is not allowed.

    `doing` is for the error; `variable` is the setting that holds `hosts`.
    """
    doing = doing or f"opening {shown(url)}"
    match = _URL.fullmatch(url) if _PRINTABLE.fullmatch(url) and len(url) <= MAX_LENGTH else None
    if match is None:
        raise rejected(url, "it is not a valid https URL", doing=doing)
    if "@" in match[2]:
        raise rejected(url, "it contains a user name or a password", "Remove them from the URL.", doing=doing)
    scheme = match[1].lower()
    host, port = split_authority(url, match[2], doing)
    address = Address(scheme, host, port or PORTS[scheme], f"/{(match[3] or '/').removeprefix('/')}")
    return check_address(address, hosts, doing, variable)


def allowed(url: str, hosts: Collection[str] = ()) -> bool:
    """True if `check` accepts a URL."""
    try:
        check(url, hosts)
    except RejectedAddressError:
        return False
    return True


def check_address(address: Address, hosts: Collection[str], doing: str, variable: str = HOSTS_VARIABLE) -> Address:
    """The address, with `configured` set if it is one of `hosts`. Raises RejectedAddressError."""
    if is_configured(address.host, address.port, hosts):
        return Address(address.scheme, address.host, address.port, address.rest, configured=True)
    check_host(address.host, address.url, doing, variable)
    if address.scheme != "https":
        raise rejected(address.url, "only https is allowed", "Use https://.", doing=doing)
    if address.port != PORTS["https"]:
        next_step = configure(f"{address.host}:{address.port}", variable)
        raise rejected(address.url, f"port {address.port} is not allowed, only 443", next_step, doing=doing)
    return address


def check_host(host: str, url: str, doing: str, variable: str = HOSTS_VARIABLE) -> None:
    """Raise RejectedAddressError unless `host` is a public host name."""
    if not host.isascii():
        raise rejected(url, "the host name is not ASCII", "Write it in its xn-- form (Punycode).", doing=doing)
    if _SINGLE.fullmatch(host) or host.rpartition(".")[2] in LOCAL_ENDINGS:
        raise rejected(url, f"{host} is a name in a private network", configure(host, variable), doing=doing)
    if _NUMBER.fullmatch(host):
        raise rejected(url, f"{host} is an IP address, not a host name", configure(host, variable), doing=doing)
    if not _NAME.fullmatch(host) or len(host) > 253:  # noqa: PLR2004 - RFC 1035
        raise rejected(url, f"{host} is not a valid host name", configure(host, variable), doing=doing)


def split_authority(url: str, authority: str, doing: str) -> tuple[str, int | None]:
    """The host and port of `host[:port]`. Raises RejectedAddressError."""
    match = _AUTHORITY.fullmatch(authority)
    port = int(match[2]) if match and match[2] else None
    if match is None or not (port is None or 0 < port < 1 << 16):
        raise rejected(url, f"{authority!r} is not a valid host", doing=doing)
    return match[1].lower(), port


def configured(urls: Iterable[str | None], names: Iterable[str] = ()) -> frozenset[str]:
    """The operator's hosts: those of `urls`, each with its port, and `names` (`host` or `host:port`).

    >>> sorted(configured(["http://hub.corp:8080/x", "https://github.com", None], ["GitLab.corp", "git.corp:8443"]))
    ['git.corp:8443', 'github.com:443', 'gitlab.corp', 'hub.corp:8080']
    """
    hosts = {name.strip().lower() for name in names}
    for url in urls:
        parts = _URL.fullmatch(url or "")
        if parts:
            scheme = parts[1].lower()
            host, port = split_authority(parts[0], parts[2].rpartition("@")[2], "reading the configuration")
            hosts.add(f"{host}:{port or PORTS[scheme]}")
    return frozenset(hosts)


def is_host(text: str) -> bool:
    """True if a text is `host` or `host:port`, public or not."""
    match = _AUTHORITY.fullmatch(text)
    return match is not None and re.fullmatch(r"\[[0-9a-f:.]+\]|[\w-]+(\.[\w-]+)*", match[1], re.IGNORECASE | re.ASCII) is not None


def is_configured(host: str, port: int, hosts: Collection[str]) -> bool:
    """True if the operator allows this host, on this port or any."""
    return host in hosts or f"{host}:{port}" in hosts


def is_public(address: str) -> bool:
    """True if an IP address belongs to the public internet. IPv4 addresses inside IPv6 ones are unwrapped first.

    >>> [is_public(text) for text in ("140.82.112.3", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2606:50c0::1")]
    [True, False, False, False, False, True]
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        wrapped = IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped
        if wrapped is not None and ip.scope_id is None:
            return is_public(str(wrapped))
        if ip not in _UNICAST or ip.scope_id is not None:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


def shown(url: str) -> str:
    """An address for display: without credentials, query and control characters, at most 200 characters.

    >>> shown("https://user:secret@github.com/octo/shop?token=x"), shown("git@github.com:octo/shop.git")
    ('https://github.com/octo/shop', 'git@github.com:octo/shop.git')
    """
    text = re.sub(r"(?<=://)[^/]*@", "", url)
    before, at, after = text.rpartition("@")
    text = f"…@{after}" if at and ":" in before else text
    text = re.sub(r"[^\x21-\x7e…]", "�", text.partition("?")[0])
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - two lines


def configure(host: str, variable: str = HOSTS_VARIABLE) -> str:
    """The next step of an error: how an operator allows a host."""
    return f"If it belongs to your network, the operator of Freshet can add {host} to {variable}."


def rejected(url: str, reason: str, next_step: str = "", *, doing: str = "") -> RejectedAddressError:
    """The error for an address that is not allowed."""
    address = shown(url)
    return RejectedAddressError(doing or f"opening {address}", f"Freshet does not connect to {address}: {reason}", next_step)
