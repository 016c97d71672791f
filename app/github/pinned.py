"""A git that speaks with one host alone, at the IP addresses that were judged: what a name server says a moment later does not count.

git gets them with the name, https://git-scm.com/docs/git-config#Documentation/git-config.txt-httpcurloptResolve. Hosts that the
operator configured are not judged. Behind a proxy of the operator, which address a name has is the proxy's matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from app.deps.addresses import Address
from app.errors import ConfigurationError
from app.github.git import Git, clean_environ
from app.resolve import Lookup, addresses_of

PINNING_GIT = (2, 37)
"""The first one that takes addresses with a name: an older one would ask the name server again."""

_PROXIES = {"https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), "http": ("http_proxy", "all_proxy", "ALL_PROXY")}
_NO_PROXY = ("no_proxy", "NO_PROXY")


async def pinned(address: Address, environ: Mapping[str, str], home: Path, doing: str, ask: Lookup) -> tuple[Git, dict[str, str]]:
    """Return a git for this host, and the configuration that it needs for that; `home` is an empty directory.

    Raises ConfigurationError (git is too old), and as `resolve.addresses_of` does.
    """
    proxy = proxy_of(address, environ)
    # Nothing is left to curl's own reading of these variables: what we judged has to be what it does.
    direct = {name: value for name, value in environ.items() if not name.lower().endswith("_proxy")}
    network = direct | ({"no_proxy": "*"} if proxy is None else {f"{address.scheme}_proxy": proxy})
    # It works in no repository, whatever our own directories lie in.
    alone = {"GIT_CEILING_DIRECTORIES": str(home.parent)}
    git = Git(clean_environ(network, home=str(home), protocols=address.scheme) | alone, cwd=home)
    if proxy is not None or address.configured:
        return git, {}
    await _require_pinning(git)
    ips = [f"[{ip}]" if ":" in ip else ip for ip in await addresses_of(address, doing, ask)]
    return git, {"http.curloptResolve": f"{address.host}:{address.port}:{','.join(ips)}"}


def proxy_of(address: Address, environ: Mapping[str, str]) -> str | None:
    """Return the proxy that an environment names for an address: https://curl.se/libcurl/c/libcurl-env.html."""
    proxy = next((environ[name] for name in _PROXIES[address.scheme] if environ.get(name)), None)
    no_proxy = next((environ[name] for name in _NO_PROXY if environ.get(name)), "")
    direct = {name.strip().lower().removeprefix(".") for name in no_proxy.split(",")} - {""}
    return None if any(name == "*" or f".{address.host}".endswith(f".{name}") for name in direct) else proxy


async def _require_pinning(git: Git) -> None:
    said = (await git.run("version")).decode().strip()
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < PINNING_GIT:
        raise ConfigurationError("fetching a package from another host", f"{said} is too old for that", "Install git 2.37 or later.")
