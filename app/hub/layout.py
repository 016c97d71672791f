"""The archive that a container unpacks: all packages of a project where dbt looks for them, as `dbt deps` leaves them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import posixpath
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from app.deps.packages import LOCK
from app.errors import PackagesError
from app.hub import tarball
from app.hub.cache import Stored, Writer
from app.hub.resolver import Target, label
from app.inference.project import is_clean

FORMAT = 2
"""Another number when the archive is made in another way."""
STUB = "# Left out by a rule in .github/freshet.yml: dbt wants to see as many packages as the project names.\n"


@dataclass(frozen=True, slots=True)
class Layout:
    """What goes where: trees and links by their names in the archive."""

    trees: tuple[tuple[str, Stored], ...]
    links: tuple[tuple[str, str], ...]
    stubs: tuple[tuple[str, str], ...]
    """Directories, and the names of the empty packages in them."""
    lock: str
    """The name of the lock file: dbt 1.12 counts the packages in it, and wants to see as many directories."""

    @property
    def key(self) -> str:
        """The key of the archive: the same for the same content."""
        facts = [FORMAT, [(name, tree.digest) for name, tree in self.trees], self.links, self.stubs, self.lock]
        return f"archive {hashlib.sha256(json.dumps(facts).encode()).hexdigest()}"

    async def write(self, writer: Writer) -> None:
        """Write the archive."""
        await asyncio.to_thread(self._write, writer)

    def _write(self, writer: Writer) -> None:
        for name, tree in self.trees:
            _copy(tree, name, writer)
        for name, target in self.links:
            tarball.write_link(writer, name, target)
        for name, project in self.stubs:
            _write_text(writer, f"{name}/dbt_project.yml", f"{STUB}name: {project}\nversion: '0.0.0'\nconfig-version: 2\n")
        names = sorted(posixpath.basename(name) for name, _ in (*self.trees, *self.links, *self.stubs))
        locked = [{"package": f"freshet/{name}", "name": name, "version": "0.0.0"} for name in names]
        _write_text(writer, self.lock, json.dumps({"packages": locked, "sha1_hash": ""}))
        end = 2 * tarball.BLOCK
        # Readers of streams ask for whole records: https://www.gnu.org/software/tar/manual/html_node/Blocking.html
        writer.write(bytes(end + -(writer.size_bytes + end) % tarfile.RECORDSIZE))


def lay_out(project_dir: str, install_dir: str, targets: Sequence[Target], skipped: Sequence[str], doing: str, max_bytes: int) -> Layout:
    """Decide what goes where. Raises PackagesError when it is too much, or goes nowhere."""
    if not is_clean(install_dir):
        raise PackagesError(doing, f"packages cannot go to `{install_dir}`", "Change `packages-install-path` in `dbt_project.yml`.")
    top = f"{tarball.ROOT}{install_dir}"
    trees = [(target, target.tree) for target in targets if target.tree is not None]
    if sum(tree.size_bytes for _, tree in trees) > max_bytes:
        biggest, _ = max(trees, key=lambda found: found[1].size_bytes)
        reason = f"the packages are over {max_bytes >> 20} MiB together, the biggest is {label(biggest.wanted)}"
        raise PackagesError(doing, reason, "Leave one out with `packages:` in `.github/freshet.yml`.")
    links = [
        (f"{top}/{target.name}", posixpath.relpath(target.directory or ".", install_dir))
        for target in targets
        if target.directory is not None
    ]
    return Layout(
        tuple(sorted(((f"{top}/{target.name}", tree) for target, tree in trees), key=lambda found: found[0])),
        tuple(sorted(links)),
        tuple(_stubs(top, skipped, {target.name for target in targets})),
        f"{tarball.ROOT}{posixpath.join(project_dir, LOCK)}",
    )


def _stubs(top: str, skipped: Sequence[str], taken: set[str]) -> list[tuple[str, str]]:
    found = []
    for address in skipped:
        last = re.sub(r"\W+", "_", address.rstrip("/").removesuffix(".git").rpartition("/")[2], flags=re.ASCII)
        name = last if re.match(r"[A-Za-z]", last) else f"skipped_{last}"
        while name in taken:
            name += "_skipped"
        taken.add(name)
        found.append((f"{top}/{name}", name))
    return found


def _write_text(writer: Writer, name: str, text: str) -> None:
    data = text.encode()
    tarball.write_entry(writer, name, len(data), tarball.MTIME_BASE, iter([data]))


def _copy(tree: Stored, name: str, writer: Writer) -> None:
    with tree.opened() as file:
        reader = tarball.TarReader(file, tarball.Bounds())
        for path, size, modified in reader:
            tarball.write_entry(writer, f"{name}/{path.removeprefix(tarball.ROOT)}", size, modified, reader.chunks(size))
