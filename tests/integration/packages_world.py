"""Packages for tests: an installer, a hub, and git repositories on disk in place of a server's."""

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

from app.core.egress.addresses import configured
from app.core.errors import GoneError
from app.core.models.github import Repository
from app.github.git.local import Place, local_source
from app.packages.fetch.http import EgressClient
from app.packages.fetch.installer import Installer
from app.pipeline.ports import DbtJob, PackageRequest, PackageTree, SourceTree
from app.project.runner_images import RunnerImage
from tests.integration.runner_hub import Hub
from tests.integration.runner_projects import tree

SERVER = "https://github.example"
IMAGE = RunnerImage("dbt-runner:latest", "sha256:0", "1.11.16", frozenset({"duckdb"}))
TEXTS = frozenset({"dbt_project.yml", "packages.yml", "dependencies.yml", "package-lock.yml"})


@dataclass
class LocalGit:
    """`ports.PackageSources` over directories; `opened` records the requested addresses and revisions."""

    directory: Path
    repositories: dict[str, Path] = field(default_factory=dict)
    opened: list[tuple[str, str | None]] = field(default_factory=list)

    def add(self, url: str, files: Mapping[str, str], tag: str | None = None) -> str:
        """Commit files to a repository; the sha."""
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
        place = Place(None, path, revision or "HEAD")
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

    async def files(self, project: Mapping[str, str], **more: Any) -> dict[str, str]:
        """Install; file contents by name, links as `-> target`."""
        packages = await self.install(project, **more)
        try:
            return await unpacked(packages)
        finally:
            packages.close()


@asynccontextmanager
async def worlds(directory: Path, host: str = "127.0.0.1", **more: Any) -> AsyncIterator[World]:
    git = LocalGit(directory)
    async with Hub(host).serve() as hub, EgressClient(configured([hub.url])) as client:
        settings = {"work_dir": directory / "work", "hub_url": hub.url, "server_url": SERVER, **more}
        yield World(hub, git, Installer(git, client, **settings))


def request(files: Mapping[str, str], **more: Any) -> PackageRequest:
    """The request of a project with these files; `more` are fields of the job, `installation_id`, `rules`, `install_dir`, `since`."""
    project_dir = more.pop("project_dir", "")
    prefix = f"{project_dir}/" if project_dir else ""
    installation, rules = more.pop("installation_id", 1), more.pop("rules", ())
    install_dir = more.pop("install_dir", f"{prefix}dbt_packages")
    since, private = more.pop("since", 0.0), more.pop("private", True)
    parts = {name: more.pop(name) for name in ("committed", "unfetched") if name in more}
    fields = {"label": "octo/shop at 1a2b3c4", "profile": "shop", "target": "dev", "adapter_type": "duckdb", "image": IMAGE, **more}
    return PackageRequest(
        Repository(7, "octo/shop", installation, private=private),
        DbtJob(extraction_id="01HUB", project_dir=project_dir, **fields),
        install_dir,
        {path: text.encode() for path, text in files.items() if path.rpartition("/")[2] in TEXTS},
        rules,
        lambda: tree(files),
        since,
        **parts,
    )


def package(name: str, **macros: str) -> dict[str, str]:
    """The files of a small package."""
    bodies = {f"macros/{macro}.sql": f"{{% macro {macro}() %}}{text}{{% endmacro %}}" for macro, text in macros.items()}
    return {"dbt_project.yml": f"name: {name}\nversion: '1.0.0'\n", **bodies}


async def unpacked(packages: PackageTree) -> dict[str, str]:
    data = b"".join([chunk async for chunk in packages.stream()])
    assert len(data) == packages.size_bytes
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        return {member.name: _content(archive, member) for member in archive.getmembers()}


def locked(files: dict[str, str]) -> list[str]:
    """Package names in the lock file that an archive contains."""
    return [one["name"] for one in json.loads(files["src/package-lock.yml"])["packages"]]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"-> {member.linkname}"
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()
