"""Where we go for strangers, and where we do not.

Projects name addresses of packages, and this process follows them: without these rules anybody who may push could have us knock on doors
inside the operator's network. Names that are resolved are judged by `app.resolve`, with `is_public` of here.

`hosts` everywhere are those that the operator configured, as `host` (any port) or `host:port`; see `configured`. The rules on schemes,
ports and addresses do not hold for them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from app.errors import RejectedAddressError

HOSTS_VARIABLE = "FRESHET_PACKAGE_HOSTS"
PORTS = {"https": 443, "http": 80}
MAX_LENGTH = 2048
LOCAL_ENDINGS = frozenset(
    {"localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "arpa", "onion", "alt"}
)
"""Last labels that only mean something inside somebody's network: RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`."""

_PRINTABLE = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""ASCII without blanks and without the backslash, which programs do not agree about."""
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
        "168.63.129.16/32",  # looks public, but inside of Azure it is the host of the virtual machine
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),  # among them Teredo and 6to4, which wrap addresses of IPv4
    )
)
"""Beside what Python knows, which depends on its version:
https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that may be opened, as far as its text tells."""

    scheme: str
    host: str
    """In lower case; an IPv6 address in brackets."""
    port: int
    rest: str = "/"
    """Path and query."""
    configured: bool = False
    """The operator named it: the address behind the name is not judged."""

    @property
    def url(self) -> str:
        """The address in full, without credentials."""
        port = "" if PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.rest}"


def check(url: str, hosts: Collection[str] = (), doing: str = "", variable: str = HOSTS_VARIABLE) -> Address:
    """Take a URL apart. Raises RejectedAddressError when we do not go there.

    `doing` is what it is for, in the words of our errors; `variable` is where the operator names `hosts`.
    """
    doing = doing or f"opening {shown(url)}"
    found = _URL.fullmatch(url) if _PRINTABLE.fullmatch(url) and len(url) <= MAX_LENGTH else None
    if found is None:
        raise refused(url, "it is not a plain https address", doing=doing)
    if "@" in found[2]:
        raise refused(url, "it holds a user name or a password", "Take them out of the address.", doing=doing)
    scheme = found[1].lower()
    host, port = split_authority(url, found[2], doing)
    address = Address(scheme, host, port or PORTS[scheme], f"/{(found[3] or '/').removeprefix('/')}")
    return judge(address, hosts, doing, variable)


def allowed(url: str, hosts: Collection[str] = ()) -> bool:
    """Tell whether `check` has nothing against a URL."""
    try:
        check(url, hosts)
    except RejectedAddressError:
        return False
    return True


def judge(address: Address, hosts: Collection[str], doing: str, variable: str = HOSTS_VARIABLE) -> Address:
    """Return the address, marked when the operator configured it. Raises RejectedAddressError."""
    if is_configured(address.host, address.port, hosts):
        return Address(address.scheme, address.host, address.port, address.rest, configured=True)
    judge_host(address.host, address.url, doing, variable)
    if address.scheme != "https":
        raise refused(address.url, "only https is used", "Write it with https://.", doing=doing)
    if address.port != PORTS["https"]:
        next_step = configure(f"{address.host}:{address.port}", variable)
        raise refused(address.url, f"port {address.port} is not that of https", next_step, doing=doing)
    return address


def judge_host(host: str, url: str, doing: str, variable: str = HOSTS_VARIABLE) -> None:
    """Refuse what is not the public name of a host. Raises RejectedAddressError."""
    if not host.isascii():
        raise refused(url, "the host's name is not in ASCII", "Write it in its xn-- form.", doing=doing)
    if _SINGLE.fullmatch(host) or host.rpartition(".")[2] in LOCAL_ENDINGS:
        raise refused(url, f"{host} is a name of a private network", configure(host, variable), doing=doing)
    if _NUMBER.fullmatch(host):
        raise refused(url, f"{host} is an address, not the name of a host", configure(host, variable), doing=doing)
    if not _NAME.fullmatch(host) or len(host) > 253:  # noqa: PLR2004 - RFC 1035
        raise refused(url, f"{host} is not the name of a host", configure(host, variable), doing=doing)


def split_authority(url: str, authority: str, doing: str) -> tuple[str, int | None]:
    """Return host and port of `host[:port]`. Raises RejectedAddressError."""
    found = _AUTHORITY.fullmatch(authority)
    port = int(found[2]) if found and found[2] else None
    if found is None or not (port is None or 0 < port < 1 << 16):
        raise refused(url, f"{authority!r} is not the name of a host", doing=doing)
    return found[1].lower(), port


def configured(urls: Iterable[str | None], names: Iterable[str] = ()) -> frozenset[str]:
    """Return the operator's hosts: those of URLs with the one port that each leads to, and names, `host` or `host:port`.

    >>> sorted(configured(["http://hub.corp:8080/x", "https://github.com", None], ["GitLab.corp", "git.corp:8443"]))
    ['git.corp:8443', 'github.com:443', 'gitlab.corp', 'hub.corp:8080']
    """
    found = {name.strip().lower() for name in names}
    for url in urls:
        parts = _URL.fullmatch(url or "")
        if parts:
            scheme = parts[1].lower()
            host, port = split_authority(parts[0], parts[2].rpartition("@")[2], "reading the configuration")
            found.add(f"{host}:{port or PORTS[scheme]}")
    return frozenset(found)


def is_host(text: str) -> bool:
    """Tell whether a text is `host` or `host:port`, of any network."""
    found = _AUTHORITY.fullmatch(text)
    return found is not None and re.fullmatch(r"\[[0-9a-f:.]+\]|[\w-]+(\.[\w-]+)*", found[1], re.IGNORECASE | re.ASCII) is not None


def is_configured(host: str, port: int, hosts: Collection[str]) -> bool:
    """Tell whether the operator named this host, with this port or any."""
    return host in hosts or f"{host}:{port}" in hosts


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet: neither private nor local, nor a wrapping of one that is.

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
    """Return an address for people: without credentials, query and control characters, and not too long.

    >>> shown("https://user:secret@github.com/octo/shop?token=x"), shown("git@github.com:octo/shop.git")
    ('https://github.com/octo/shop', 'git@github.com:octo/shop.git')
    """
    text = re.sub(r"(?<=://)[^/]*@", "", url)
    text = re.sub(r"^.*:.*@", "…@", text)
    text = re.sub(r"[^\x21-\x7e…]", "�", text.partition("?")[0])
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - two lines


def configure(host: str, variable: str = HOSTS_VARIABLE) -> str:
    """Return what an operator does to have a host allowed."""
    return f"If it belongs to your network, the operator of Freshet can add {host} to {variable}."


def refused(url: str, reason: str, next_step: str = "", *, doing: str = "") -> RejectedAddressError:
    """Return the error of an address that we do not open."""
    address = shown(url)
    return RejectedAddressError(doing or f"opening {address}", f"we do not open {address}: {reason}", next_step)
