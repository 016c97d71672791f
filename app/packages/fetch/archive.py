"""The archive that a container unpacks: a project's packages, laid out as `dbt deps` does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import posixpath
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import PackagesError
from app.packages.fetch import tarball
from app.packages.fetch.cache import CachedFile, CacheWriter
from app.packages.fetch.resolver import ResolvedPackage, label
from app.packages.package_lists import LOCK
from app.project.checkout import is_clean

FORMAT = 3
"""Increase it when the archive is made differently."""
STUB = "# Skipped by a rule in .github/freshet.yml. dbt expects as many packages as the project lists.\n"


@dataclass(frozen=True, slots=True)
class ArchiveLayout:
    """The content of an archive: trees, links and stubs by their names in it."""

    trees: tuple[tuple[str, CachedFile], ...]
    links: tuple[tuple[str, str], ...]
    stubs: tuple[tuple[str, str], ...]
    """Directories and names of empty packages, in place of skipped ones."""
    present: tuple[str, ...]
    """Names of packages that the repository contains in their place."""
    lock: str
    """The name of the lock file: dbt 1.12 counts its packages and expects as many directories."""

    @property
    def key(self) -> str:
        """The cache key, derived from the content."""
        facts = [FORMAT, [(name, tree.digest) for name, tree in self.trees], self.links, self.stubs, self.present, self.lock]
        return f"archive {hashlib.sha256(json.dumps(facts).encode()).hexdigest()}"

    async def write(self, writer: CacheWriter) -> None:
        """Write the archive in a thread."""
        await asyncio.to_thread(self._write, writer)

    def _write(self, writer: CacheWriter) -> None:
        for name, tree in self.trees:
            _copy(tree, name, writer)
        for name, target in self.links:
            tarball.write_link(writer, name, target)
        for name, project in self.stubs:
            _write_text(writer, f"{name}/dbt_project.yml", f"{STUB}name: {project}\nversion: '0.0.0'\nconfig-version: 2\n")
        names = sorted([*self.present, *(posixpath.basename(name) for name, _ in (*self.trees, *self.links, *self.stubs))])
        locked = [{"package": f"freshet/{name}", "name": name, "version": "0.0.0"} for name in names]
        _write_text(writer, self.lock, json.dumps({"packages": locked, "sha1_hash": ""}))
        end = 2 * tarball.BLOCK
        # Readers of streams expect whole records: https://www.gnu.org/software/tar/manual/html_node/Blocking.html
        writer.write(bytes(end + -(writer.size_bytes + end) % tarfile.RECORDSIZE))


def lay_out(
    project_dir: str, install_dir: str, packages: Sequence[ResolvedPackage], skipped: Sequence[str], doing: str, max_bytes: int
) -> ArchiveLayout:
    """Name everything in the archive. Raises PackagesError when it is too big, or `install_dir` is not in the repository."""
    if not is_clean(install_dir):
        raise PackagesError(doing, f"packages cannot go to `{install_dir}`", "Change `packages-install-path` in `dbt_project.yml`.")
    top = f"{tarball.ROOT}{install_dir}"
    trees = [(package, package.tree) for package in packages if package.tree is not None]
    if sum(tree.size_bytes for _, tree in trees) > max_bytes:
        biggest, _ = max(trees, key=lambda pair: pair[1].size_bytes)
        reason = f"the packages are over {max_bytes >> 20} MiB together; the biggest is {label(biggest.requested)}"
        raise PackagesError(doing, reason, "Skip one under `packages:` in `.github/freshet.yml`.")
    links = [
        (f"{top}/{package.name}", posixpath.relpath(package.directory or ".", install_dir))
        for package in packages
        if package.directory is not None and posixpath.dirname(package.directory) != install_dir
    ]
    present = [
        package.directory for package in packages if package.directory is not None and posixpath.dirname(package.directory) == install_dir
    ]
    return ArchiveLayout(
        tuple(sorted(((f"{top}/{package.name}", tree) for package, tree in trees), key=lambda pair: pair[0])),
        tuple(sorted(links)),
        tuple(_stubs(top, skipped, {package.name for package in packages})),
        tuple(sorted(posixpath.basename(directory) for directory in present)),
        f"{tarball.ROOT}{posixpath.join(project_dir, LOCK)}",
    )


def _stubs(top: str, skipped: Sequence[str], taken: set[str]) -> list[tuple[str, str]]:
    stubs = []
    for address in skipped:
        last = re.sub(r"\W+", "_", address.rstrip("/").removesuffix(".git").rpartition("/")[2], flags=re.ASCII)
        name = last if re.match(r"[A-Za-z]", last) else f"skipped_{last}"
        while name in taken:
            name += "_skipped"
        taken.add(name)
        stubs.append((f"{top}/{name}", name))
    return stubs


def _write_text(writer: CacheWriter, name: str, text: str) -> None:
    data = text.encode()
    tarball.write_entry(writer, name, len(data), iter([data]))


def _copy(tree: CachedFile, name: str, writer: CacheWriter) -> None:
    with tree.open() as file:
        reader = tarball.TarReader(file, tarball.PackageLimits())
        for path, size in reader:
            tarball.write_entry(writer, f"{name}/{path.removeprefix(tarball.ROOT)}", size, reader.chunks(size))
