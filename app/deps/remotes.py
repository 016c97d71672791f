"""Addresses of git repositories as people write them, into ones that may be fetched from: see `app.deps.addresses` for the rules.

Credentials in an address are dropped, never used. What is written for ssh or git:// is fetched over https: we have nobody's keys, and
git:// knows no encryption.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from app.deps.addresses import MAX_LENGTH, PORTS, Address, is_configured, judge, judge_host, refused, split_authority
from app.deps.expressions import without_user

SSH_PORTS = frozenset({22, 443})
_JINJA = re.compile(r"\{[{%#]")
_SCHEMED = re.compile(r"(?:git\+)?(https?|ssh|git)://([^/?#]*)/+(.+)", re.IGNORECASE)
_SCP = re.compile(r"(?!.*://)(?:([\w.+-]+)@)?([^/@:]+):/*(.+)", re.ASCII)
_PATH = re.compile(r"(?!.*%(?:2e|2f|5c|0|1|7f))(?:(?!\.{1,2}(?:/|$))[\w.~%+-]+(?:/(?!$)|$))+", re.ASCII | re.IGNORECASE)
_FULL_NAME = re.compile(r"(?!\.{1,2}/)[A-Za-z0-9_.][A-Za-z0-9_.-]*/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
_USER = re.compile(r"(?!-)[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remote:
    """A git repository that may be fetched from."""

    address: Address
    label: str
    """For people: `octo/shop` on our GitHub, `gitlab.com/octo/shop` elsewhere."""
    full_name: str | None = None
    """`OWNER/NAME` when it is on our GitHub."""
    ssh: str | None = None
    """The address for ssh, when it was written for ssh."""

    @property
    def url(self) -> str:
        """The address for https, or http of a host that the operator configured; without credentials."""
        return self.address.url

    def with_suffix(self) -> Remote:
        """Return the one that ends in `.git`: GitLab redirects there, and we follow no redirect."""
        return replace(self, address=replace(self.address, rest=self.address.rest.removesuffix(".git") + ".git"))


@dataclass(frozen=True, slots=True)
class _Written:
    """The parts of an address; `port` is the one that is written."""

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


def parse(text: str, server_url: str, hosts: Collection[str], doing: str) -> Remote:
    """Read the address of a git repository; `OWNER/NAME` is one on the GitHub server at `server_url`. Raises RejectedAddressError."""
    if _FULL_NAME.fullmatch(text):
        return on_server(text, server_url)
    written = _written(text, doing)
    if _is_server(written, server_url):
        full_name = written.path.removesuffix(".git")
        if not _FULL_NAME.fullmatch(full_name):
            raise refused(text, f"{written.path} is not OWNER/NAME", doing=doing)
        return replace(on_server(full_name, server_url), ssh=written.ssh)
    plain = written.scheme == "http" and is_configured(written.host, written.port or PORTS["http"], hosts)
    scheme = "http" if plain else "https"
    port = written.port if written.scheme in PORTS else None
    address = judge(Address(scheme, written.host, port or PORTS[scheme], f"/{written.path}"), hosts, doing)
    label = f"{written.host}/{written.path.removesuffix('.git')}"
    return Remote(address, label, ssh=_ssh(written, hosts, text, doing))


def on_server(full_name: str, server_url: str) -> Remote:
    """Return a repository on our GitHub."""
    scheme, _, authority = server_url.rstrip("/").partition("://")
    host, port = split_authority(server_url, authority, "reading GITHUB_SERVER_URL")
    address = Address(scheme, host, port or PORTS[scheme], f"/{full_name}.git", configured=True)
    return Remote(address, full_name, full_name)


def _written(text: str, doing: str) -> _Written:
    # What is no expression is taken off, and shown to nobody, further down.
    text = without_user(text.strip()) if "{{" in text else text.strip()
    if _JINJA.search(text):
        raise refused(text, "a part of it is an expression of Jinja", "Write the address out.", doing=doing)
    schemed, scp = _SCHEMED.fullmatch(text), _SCP.fullmatch(text)
    if len(text) > MAX_LENGTH or not (schemed or scp):
        reason = "it is not an address that git can fetch from over https or ssh"
        raise refused(text, reason, "Write https://HOST/OWNER/NAME.git, or OWNER/NAME.", doing=doing)
    if schemed:
        scheme, (user, _, authority), path = schemed[1].lower(), schemed[2].rpartition("@"), schemed[3]
        host, port = split_authority(text, authority, doing)
        user = user.partition(":")[0]
    else:
        assert scp is not None  # noqa: S101 - one of the two is
        scheme, user, (host, port), path = "scp", scp[1], split_authority(text, scp[2], doing), scp[3]
    path = path.rstrip("/")
    if not _PATH.fullmatch(path):
        raise refused(text, "its path is not that of a git repository", doing=doing)
    return _Written(scheme, user if user and _USER.fullmatch(user) else "git", host, port, path)


def _is_server(written: _Written, server_url: str) -> bool:
    """Tell whether it leads to our GitHub, by one of the names that it has."""
    server = on_server("octo/shop", server_url).address
    if written.host not in {server.host, f"www.{server.host}", f"ssh.{server.host}"}:
        return False
    return written.port is None or written.scheme not in PORTS or written.port == server.port


def _ssh(written: _Written, hosts: Collection[str], text: str, doing: str) -> str | None:
    """Return the address for ssh. Raises RejectedAddressError for a host or a port that is not one for strangers."""
    if written.ssh is None:
        return None
    port = written.port or min(SSH_PORTS)
    if not is_configured(written.host, port, hosts):
        judge_host(written.host, text, doing)
        if port not in SSH_PORTS:
            raise refused(text, f"port {port} is not that of ssh", doing=doing)
    return written.ssh
