"""A git that connects to one host only, at the IP addresses that were checked, whatever DNS says a moment later.

git receives them with the host name: https://git-scm.com/docs/git-config#Documentation/git-config.txt-httpcurloptResolve. Hosts that
the operator configured are not checked. Behind the operator's proxy, the proxy resolves names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from app.core.egress.addresses import Address
from app.core.egress.resolver import Lookup, addresses_of
from app.core.errors import ConfigurationError
from app.github.git.process import Git, clean_environ

PINNING_GIT = (2, 37)
"""The first version with `http.curloptResolve`; older ones would resolve the name again."""

_PROXIES = {"https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), "http": ("http_proxy", "all_proxy", "ALL_PROXY")}
_NO_PROXY = ("no_proxy", "NO_PROXY")


async def pinned(address: Address, environ: Mapping[str, str], home: Path, doing: str, ask: Lookup) -> tuple[Git, dict[str, str]]:
    """A git for this host and the configuration for its commands; `home` is an empty directory.

    Raises ConfigurationError (git is too old), and as `egress.resolver.addresses_of` does.
    """
    proxy = proxy_of(address, environ)
    # curl must not interpret these variables itself: it has to do exactly what was checked.
    direct = {name: value for name, value in environ.items() if not name.lower().endswith("_proxy")}
    network = direct | ({"no_proxy": "*"} if proxy is None else {f"{address.scheme}_proxy": proxy})
    # git must find no repository around our own directories.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(home.parent)}
    git = Git(clean_environ(network, home=str(home), protocols=address.scheme) | ceiling, cwd=home)
    if proxy is not None or address.configured:
        return git, {}
    await _require_pinning(git)
    ips = [f"[{ip}]" if ":" in ip else ip for ip in await addresses_of(address, doing, ask)]
    return git, {"http.curloptResolve": f"{address.host}:{address.port}:{','.join(ips)}"}


def proxy_of(address: Address, environ: Mapping[str, str]) -> str | None:
    """The proxy for an address from the environment: https://curl.se/libcurl/c/libcurl-env.html."""
    proxy = next((environ[name] for name in _PROXIES[address.scheme] if environ.get(name)), None)
    no_proxy = next((environ[name] for name in _NO_PROXY if environ.get(name)), "")
    direct = {name.strip().lower().removeprefix(".") for name in no_proxy.split(",")} - {""}
    return None if any(name == "*" or f".{address.host}".endswith(f".{name}") for name in direct) else proxy


async def _require_pinning(git: Git) -> None:
    output = (await git.run("version")).decode().strip()
    version = re.search(r"(?<!\d)(\d+)\.(\d+)", output)
    if version is None or (int(version[1]), int(version[2])) < PINNING_GIT:
        raise ConfigurationError("fetching a package from another host", f"{output} is too old for this", "Install git 2.37 or later.")
