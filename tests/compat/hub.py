"""A stand-in for the package hub, based on git repositories: each version tag is a release of the package."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

VERSION = re.compile(r"v?(\d+\.\d+\.\d+(?:-[\w.]+)?)")


class GitHub:
    """Bare repositories below a directory, as `OWNER/NAME.git`; missing ones are cloned."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def repository(self, full_name: str) -> Path:
        """Return the directory of a repository. Raises CalledProcessError."""
        path = self._directory / f"{full_name}.git"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _run("git", "clone", "--quiet", "--bare", f"https://github.com/{full_name}.git", str(path))
        return path.resolve()

    def read(self, full_name: str, *arguments: str, given: bytes = b"") -> bytes:
        """Run git in a repository."""
        return _run("git", "--git-dir", str(self.repository(full_name)), *arguments, given=given)

    def files(self, full_name: str, commit: str) -> Iterator[tuple[str, bool, bytes]]:
        """Path, whether it is a symbolic link, and content of each file of a commit; a file that is missing in the clone is empty."""
        listed = self.read(full_name, "ls-tree", "-r", "-z", commit).decode().split("\0")
        entries = [(line.split("\t", 1)[1], *line.split(None, 3)[:3]) for line in listed if " blob " in line]
        stream = io.BytesIO(self.read(full_name, "cat-file", "--batch", given="\n".join(oid for *_, oid in entries).encode()))
        for path, mode, _, _ in entries:
            size = stream.readline().split()[-1]
            content = b"" if size == b"missing" else stream.read(int(size))
            stream.seek(0 if size == b"missing" else 1, io.SEEK_CUR)
            yield path, mode == "120000", content


class Hub:
    """Serves `packages` (name on the hub → repository) and `redirects` (old name → new name).

    `untagged` are versions of packages without a tag of that name, with the commit that stands for them.
    """

    def __init__(
        self, github: GitHub, packages: Mapping[str, str], redirects: Mapping[str, str], untagged: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._github, self._packages, self._redirects, self._untagged = github, packages, redirects, untagged
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run the hub and yield its address."""
        application = web.Application()
        application.router.add_get("/api/v1/index.json", self._index)
        application.router.add_get("/api/v1/{namespace}/{name}.json", self._package)
        application.router.add_get("/tarballs/{namespace}/{name}/{version}.tar.gz", self._tarball)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.url
        finally:
            await runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(sorted({*self._packages, *self._redirects}))

    async def _package(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['namespace']}/{request.match_info['name']}"
        now = self._redirects.get(name, name)
        if now not in self._packages:
            raise web.HTTPNotFound
        releases = self._releases(now)
        versions = {version: self._release(now, version, tag) for version, tag in releases.items()}
        namespace, short = now.split("/")
        renamed = {"redirectnamespace": namespace, "redirectname": short} if now != name else {}
        latest = max(releases, key=lambda version: [int(part) for part in re.findall(r"\d+", version)[:3]], default=None)
        return web.json_response({"name": short, "namespace": namespace, "latest": latest, "versions": versions, **renamed})

    async def _tarball(self, request: web.Request) -> web.Response:
        match = request.match_info
        return web.Response(body=self._archive(f"{match['namespace']}/{match['name']}", match["version"]))

    @cache  # noqa: B019 - one hub lives as long as the process
    def _releases(self, package: str) -> dict[str, str]:
        tags = self._github.read(self._packages[package], "tag").decode().split()
        return {found[1]: tag for tag in tags if (found := VERSION.fullmatch(tag))} | dict(self._untagged.get(package, {}))

    @cache  # noqa: B019
    def _archive(self, package: str, version: str) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, is_link, content in self._github.files(self._packages[package], self._releases(package)[version]):
                info = tarfile.TarInfo(f"{package.split('/')[1]}-{version}/{path}")
                info.size = len(content)
                if not is_link:
                    archive.addfile(info, io.BytesIO(content))
        return packed.getvalue()

    @cache  # noqa: B019
    def _release(self, package: str, version: str, tag: str) -> dict[str, Any]:
        needs = [spec for name in ("packages.yml", "dependencies.yml") for spec in self._yaml(package, tag, name).get("packages") or []]
        required = self._yaml(package, tag, "dbt_project.yml").get("require-dbt-version") or []
        return {
            "id": f"{package}/{version}",
            "name": package.split("/")[1],
            "version": version,
            "packages": [spec for spec in needs if "package" in spec],
            "require_dbt_version": required if isinstance(required, list) else [required],
            "downloads": {
                "tarball": f"{self.url}/tarballs/{package}/{version}.tar.gz",
                "format": "tgz",
                "sha1": hashlib.sha1(self._archive(package, version), usedforsecurity=False).hexdigest(),
            },
        }

    def _yaml(self, package: str, tag: str, path: str) -> dict[str, Any]:
        try:
            loaded = yaml.safe_load(self._github.read(self._packages[package], "show", f"{tag}:{path}"))
        except (subprocess.CalledProcessError, yaml.YAMLError):
            return {}
        return loaded if isinstance(loaded, dict) else {}


def _run(*command: str, given: bytes = b"") -> bytes:
    return subprocess.run(command, check=True, capture_output=True, input=given).stdout
