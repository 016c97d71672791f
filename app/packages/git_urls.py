"""Turns git addresses as people write them into addresses that Freshet may fetch from; `core.egress.addresses` has the rules.

Credentials in an address are dropped, never used. ssh and git:// addresses are fetched over https: Freshet has no ssh keys, and git://
is not encrypted.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from app.core.egress.addresses import MAX_LENGTH, PORTS, Address, check_address, check_host, is_configured, rejected, split_authority
from app.project.expressions import strip_credentials

SSH_PORTS = frozenset({22, 443})
_JINJA = re.compile(r"\{[{%#]")
_SCHEMED = re.compile(r"(?:git\+)?(https?|ssh|git)://([^/?#]*)/++(.+)", re.IGNORECASE)
_SCP = re.compile(r"(?!.*://)(?:([\w.+-]+)@)?([^/@:]+):/*+(.+)", re.ASCII)
_PATH = re.compile(r"(?!.*%(?:2e|2f|5c|0|1|7f))(?:(?!\.{1,2}(?:/|$))[\w.~%+-]+(?:/(?!$)|$))+", re.ASCII | re.IGNORECASE)
_FULL_NAME = re.compile(r"(?!\.{1,2}/)[A-Za-z0-9_.][A-Za-z0-9_.-]*/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
_USER = re.compile(r"(?!-)[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remote:
    """A git repository that Freshet may fetch from."""

    address: Address
    label: str
    """For people: `octo/shop` on our GitHub server, `gitlab.com/octo/shop` elsewhere."""
    full_name: str | None = None
    """`OWNER/NAME` on our GitHub server, otherwise None."""
    ssh: str | None = None
    """The ssh address, if an ssh address was written."""

    @property
    def url(self) -> str:
        """https, or http for a host that the operator configured; without credentials."""
        return self.address.url

    def with_suffix(self) -> Remote:
        """The same with `.git` at the end: GitLab redirects there, and Freshet follows no redirects of git."""
        return replace(self, address=replace(self.address, rest=self.address.rest.removesuffix(".git") + ".git"))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of an address; `port` is None unless the address has one."""

    scheme: str
    user: str
    host: str
    port: int | None
    path: str

    @property
    def ssh(self) -> str | None:
        if self.scheme == "ssh":
            return f"ssh://{self.user}@{self.host}{f':{self.port}' if self.port else ''}/{self.path}"
        return f"{self.user}@{self.host}:{self.path}" if self.scheme == "scp" else None


def parse_git_url(text: str, server_url: str, hosts: Collection[str], doing: str) -> Remote:
    """Parse a git address, or `OWNER/NAME` on the GitHub server at `server_url`. Raises RejectedAddressError."""
    if _FULL_NAME.fullmatch(text):
        return github_remote(text, server_url)
    parts = _split(text, doing)
    if _is_server(parts, server_url):
        full_name = parts.path.removesuffix(".git")
        if not _FULL_NAME.fullmatch(full_name):
            raise rejected(text, f"{parts.path} is not OWNER/NAME", doing=doing)
        return replace(github_remote(full_name, server_url), ssh=parts.ssh)
    plain = parts.scheme == "http" and is_configured(parts.host, parts.port or PORTS["http"], hosts)
    scheme = "http" if plain else "https"
    port = parts.port if parts.scheme in PORTS else None
    address = check_address(Address(scheme, parts.host, port or PORTS[scheme], f"/{parts.path}"), hosts, doing)
    label = f"{parts.host}/{parts.path.removesuffix('.git')}"
    return Remote(address, label, ssh=_ssh(parts, hosts, text, doing))


def github_remote(full_name: str, server_url: str) -> Remote:
    """A repository on our GitHub server."""
    scheme, _, authority = server_url.rstrip("/").partition("://")
    host, port = split_authority(server_url, authority, "reading GITHUB_SERVER_URL")
    address = Address(scheme, host, port or PORTS[scheme], f"/{full_name}.git", configured=True)
    return Remote(address, full_name, full_name)


def _split(text: str, doing: str) -> _Parts:
    # Credentials without expressions are removed below, and never shown.
    text = strip_credentials(text.strip()) if "{{" in text else text.strip()
    if _JINJA.search(text):
        raise rejected(text, "it contains a Jinja expression", "Write the address itself.", doing=doing)
    schemed, scp = _SCHEMED.fullmatch(text), _SCP.fullmatch(text)
    if len(text) > MAX_LENGTH or not (schemed or scp):
        reason = "it is not an https or ssh address of a git repository"
        raise rejected(text, reason, "Write https://HOST/OWNER/NAME.git, or OWNER/NAME.", doing=doing)
    if schemed:
        scheme, (user, _, authority), path = schemed[1].lower(), schemed[2].rpartition("@"), schemed[3]
        host, port = split_authority(text, authority, doing)
        user = user.partition(":")[0]
    else:
        assert scp is not None  # noqa: S101 - one of the two is
        scheme, user, (host, port), path = "scp", scp[1], split_authority(text, scp[2], doing), scp[3]
    path = path.rstrip("/")
    if not _PATH.fullmatch(path):
        raise rejected(text, "its path cannot be that of a git repository", doing=doing)
    return _Parts(scheme, user if user and _USER.fullmatch(user) else "git", host, port, path)


def _is_server(parts: _Parts, server_url: str) -> bool:
    """True for each of our GitHub server's host names."""
    server = github_remote("octo/shop", server_url).address
    if parts.host not in {server.host, f"www.{server.host}", f"ssh.{server.host}"}:
        return False
    return parts.port is None or parts.scheme not in PORTS or parts.port == server.port


def _ssh(parts: _Parts, hosts: Collection[str], text: str, doing: str) -> str | None:
    """The ssh address. Raises RejectedAddressError for a host or port that untrusted addresses may not use."""
    if parts.ssh is None:
        return None
    port = parts.port or min(SSH_PORTS)
    if not is_configured(parts.host, port, hosts):
        check_host(parts.host, text, doing)
        if port not in SSH_PORTS:
            raise rejected(text, f"port {port} is not an ssh port", doing=doing)
    return parts.ssh
