"""A package hub: the parts of hub.getdbt.com that `dbt deps` uses, over HTTP on all addresses, so that containers reach it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import aiodocker
from aiohttp import web

Files = Mapping[str, str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a package: its archive, and the hub's metadata."""

    data: bytes
    packages: Sequence[Mapping[str, Any]] = ()
    requires: Sequence[str] = ()
    sha1: str | None = None
    """The announced hash, if it differs from the archive's."""
    name: str | None = None


class Hub:
    """Packages: `namespace/name` → version. `requests` has the requested paths.

    `moved` has new names by old ones, `failures` is how many requests are answered with 503 next, `delay_s` how long each takes.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.url = ""
        self.requests: list[str] = []
        self.moved: dict[str, str] = {}
        self.failures = 0
        self.delay_s = 0.0
        self._packages: dict[str, dict[str, Version]] = {}
        self._files: dict[str, bytes] = {}

    def add(self, package: str, version: str, files: Files, **more: Any) -> None:
        """Add a version; `more` as in `Version`."""
        self.add_archive(package, version, tarball(f"{package.split('/')[1]}-{version}", files), **more)

    def add_archive(self, package: str, version: str, data: bytes, **more: Any) -> None:
        """Add a version with any bytes as its archive."""
        self._packages.setdefault(package, {})[version] = Version(data, **more)

    def put(self, path: str, data: bytes) -> str:
        """Add a file that is not a package, and return its URL."""
        self._files[path] = data
        return f"{self.url}/files/{path}"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Hub]:
        app = web.Application(middlewares=[self._note])
        app.router.add_get("/api/v1/index.json", self._index)
        app.router.add_get("/api/v1/{namespace}/{name}.json", self._package)
        app.router.add_get("/tarballs/{namespace}/{name}/{version}.tar.gz", self._tarball)
        app.router.add_get("/files/{path:.*}", self._file)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "0.0.0.0", 0)  # noqa: S104 - containers come from the bridge
            await site.start()
            self.url = f"http://{self.host}:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(request.path)
        await asyncio.sleep(self.delay_s)
        if self.failures > 0:
            self.failures -= 1
            raise web.HTTPServiceUnavailable
        return await handler(request)

    async def _index(self, _request: web.Request) -> web.Response:
        return web.json_response(sorted({*self._packages, *self.moved}))

    async def _package(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        package = f"{namespace}/{name}"
        if package not in self._packages and package not in self.moved:
            raise web.HTTPNotFound
        found = self._packages.get(package, {})
        answer: dict[str, Any] = {"name": name, "namespace": namespace, "latest": max(found, default="")}
        answer["versions"] = {version: self._described(package, version, facts) for version, facts in found.items()}
        if package in self.moved:
            answer["redirectnamespace"], answer["redirectname"] = self.moved[package].split("/")
        return web.json_response(answer)

    def _described(self, package: str, version: str, facts: Version) -> dict[str, Any]:
        return {
            "id": f"{package}/{version}",
            "name": facts.name or package.split("/")[1],
            "version": version,
            "packages": list(facts.packages),
            "require_dbt_version": list(facts.requires),
            "downloads": {
                "tarball": f"{self.url}/tarballs/{package}/{version}.tar.gz",
                "format": "tgz",
                "sha1": facts.sha1 or hashlib.sha1(facts.data, usedforsecurity=False).hexdigest(),
            },
        }

    async def _tarball(self, request: web.Request) -> web.Response:
        match = request.match_info
        return web.Response(body=self._packages[f"{match['namespace']}/{match['name']}"][match["version"]].data)

    async def _file(self, request: web.Request) -> web.Response:
        return web.Response(body=self._files[request.match_info["path"]])


async def bridge_gateway(docker: aiodocker.Docker) -> str:
    """The address by which containers on the default bridge reach this host."""
    network = await (await docker.networks.get("bridge")).show()
    config = network["IPAM"]["Config"][0]
    # By default it is the first address of the network.
    return str(config.get("Gateway") or next(ip_network(config["Subnet"]).hosts()))


def tarball(top: str, files: Files) -> bytes:
    """A package as in GitHub's archives, with one directory at the top."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()
