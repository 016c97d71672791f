"""A package hub: what `dbt deps` asks of hub.getdbt.com, over HTTP on all addresses, so that containers reach it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network

import aiodocker
from aiohttp import web

Files = Mapping[str, str]


class Hub:
    """Holds packages, `namespace/name` → version → files. `requests` are the paths that were asked for."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.url = ""
        self.requests: list[str] = []
        self._packages: dict[str, dict[str, bytes]] = {}

    def add(self, package: str, version: str, files: Files) -> None:
        self._packages.setdefault(package, {})[version] = tarball(f"{package.split('/')[1]}-{version}", files)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Hub]:
        app = web.Application()
        app.router.add_get("/api/v1/index.json", self._index)
        app.router.add_get("/api/v1/{namespace}/{name}.json", self._package)
        app.router.add_get("/tarballs/{namespace}/{name}/{version}.tar.gz", self._tarball)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "0.0.0.0", 0)  # noqa: S104 - containers come from the bridge
            await site.start()
            self.url = f"http://{self.host}:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response(sorted(self._packages))

    async def _package(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        found = self._packages.get(f"{namespace}/{name}")
        if found is None:
            raise web.HTTPNotFound
        versions = {
            version: {
                "id": f"{namespace}/{name}/{version}",
                "name": name,
                "version": version,
                "packages": [],
                "require_dbt_version": [],
                "downloads": {
                    "tarball": f"{self.url}/tarballs/{namespace}/{name}/{version}.tar.gz",
                    "format": "tgz",
                    "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
                },
            }
            for version, data in found.items()
        }
        return web.json_response({"name": name, "namespace": namespace, "latest": max(found), "versions": versions})

    async def _tarball(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        match = request.match_info
        return web.Response(body=self._packages[f"{match['namespace']}/{match['name']}"][match["version"]])


async def bridge_gateway(docker: aiodocker.Docker) -> str:
    """Return the address under which containers on the default bridge reach this host."""
    network = await (await docker.networks.get("bridge")).show()
    config = network["IPAM"]["Config"][0]
    # Without one written down it is the first address of the network.
    return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))


def tarball(top: str, files: Files) -> bytes:
    """Return a package as GitHub archives it: one directory at the top."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()
