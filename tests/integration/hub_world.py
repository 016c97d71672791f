"""Packages for tests: an installer beside a hub, and git repositories on disk that stand for those of a server."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from app.deps.addresses import configured
from app.errors import GoneError
from app.github.local import local_source
from app.hub.guard import Guard
from app.hub.installer import Installer
from app.images import RunnerImage
from app.jobs import Repository
from app.ports import DbtJob, PackageRequest, PackageTree, SourceTree
from tests.integration.runner_hub import Hub
from tests.integration.runner_projects import tree

SERVER = "https://github.example"
IMAGE = RunnerImage("dbt-runner:latest", "sha256:0", "1.11.16", frozenset({"duckdb"}))
TEXTS = frozenset({"dbt_project.yml", "packages.yml", "dependencies.yml", "package-lock.yml"})


@dataclass
class LocalGit:
    """`ports.PackageSources` over directories; `opened` are the addresses and revisions that were asked for."""

    directory: Path
    repositories: dict[str, Path] = field(default_factory=dict)
    opened: list[tuple[str, str | None]] = field(default_factory=list)

    def add(self, url: str, files: Mapping[str, str], tag: str | None = None) -> str:
        """Commit files to a repository, and return the sha."""
        path = self.repositories.setdefault(url, self.directory / f"repo{len(self.repositories)}")
        path.mkdir(exist_ok=True)
        if not (path / ".git").exists():
            self._git(path, "init", "--quiet", "--initial-branch=main")
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        self._git(path, "add", "--all")
        self._git(path, "commit", "--quiet", "--message=x")
        if tag:
            self._git(path, "tag", tag)
        return self._git(path, "rev-parse", "HEAD")

    @asynccontextmanager
    async def open_package(self, url: str, revision: str | None, asking: Repository) -> AsyncIterator[SourceTree]:  # noqa: ARG002
        self.opened.append((url, revision))
        path = self.repositories.get(url)
        if path is None:
            raise GoneError(f"fetching the package {url}", f"{url} is not public and not part of this installation", "Add it to the App.")
        place = f"{path}#{revision or 'HEAD'}"
        async with local_source(place, dict(os.environ), self.directory) as source, source.open(source.repository, source.sha) as opened:
            yield opened

    def _git(self, path: Path, *arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        return subprocess.run(["git", "-C", str(path), *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class World:
    hub: Hub
    git: LocalGit
    installer: Installer

    async def install(self, files: Mapping[str, str], **more: Any) -> PackageTree:
        return await self.installer.install(request(files, **more))

    async def files(self, wanted: Mapping[str, str], **more: Any) -> dict[str, str]:
        """Install, and return the files by name and links as `-> target`."""
        packages = await self.install(wanted, **more)
        try:
            return await unpacked(packages)
        finally:
            packages.close()


@asynccontextmanager
async def worlds(directory: Path, host: str = "127.0.0.1", **more: Any) -> AsyncIterator[World]:
    git = LocalGit(directory)
    async with Hub(host).serve() as hub, Guard(configured([hub.url])) as guard:
        settings = {"work_dir": directory / "work", "hub_url": hub.url, "server_url": SERVER, **more}
        yield World(hub, git, Installer(git, guard, **settings))


def request(files: Mapping[str, str], **more: Any) -> PackageRequest:
    """Return what a project of these files asks for; `more` are fields of the job, `installation_id`, `rules` and `install_dir`."""
    project_dir = more.pop("project_dir", "")
    prefix = f"{project_dir}/" if project_dir else ""
    installation, rules = more.pop("installation_id", 1), more.pop("rules", ())
    install_dir = more.pop("install_dir", f"{prefix}dbt_packages")
    fields = {"label": "octo/shop at 1a2b3c4", "profile": "shop", "target": "dev", "adapter_type": "duckdb", "image": IMAGE, **more}
    return PackageRequest(
        Repository(7, "octo/shop", installation),
        DbtJob(extraction_id="01HUB", project_dir=project_dir, **fields),
        install_dir,
        {path: text.encode() for path, text in files.items() if path.rpartition("/")[2] in TEXTS},
        rules,
        lambda: tree(files),
    )


def package(name: str, **macros: str) -> dict[str, str]:
    """Return the files of a small package."""
    bodies = {f"macros/{macro}.sql": f"{{% macro {macro}() %}}{text}{{% endmacro %}}" for macro, text in macros.items()}
    return {"dbt_project.yml": f"name: {name}\nversion: '1.0.0'\n", **bodies}


async def unpacked(packages: PackageTree) -> dict[str, str]:
    data = b"".join([chunk async for chunk in packages.stream()])
    assert len(data) == packages.size_bytes
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        return {member.name: _content(archive, member) for member in archive.getmembers()}


def locked(files: dict[str, str]) -> list[str]:
    """Return the names of the packages in the lock file of a tree of ours."""
    return [one["name"] for one in json.loads(files["src/package-lock.yml"])["packages"]]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"-> {member.linkname}"
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()
