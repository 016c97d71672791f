"""Unpacks the archive from standard input below /work, and packs what `dbt deps` has added."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

# Set FRESHET_WORK to try this outside of a container.
WORK = os.environ.get("FRESHET_WORK", "/work")
SOURCE = os.path.join(WORK, "src")
PACKAGES = "packages.tar"
STATE = os.path.join(WORK, "state")
"""The state from an earlier container of the same connection, if there is one."""
FROM_EARLIER = ("state", "columns")
"""Members of the archive that an earlier container of the same connection has made."""
CHUNK = 1 << 20
TIME = 1_000_000_000
"""The time of every file. Some of dbt's error messages name it, and a commit has the same ones each time."""


class UnusableError(Exception):
    """The archive cannot be unpacked."""


class Tree:
    """The unpacked files."""

    def __init__(self) -> None:
        self._seen = {}  # type: dict[str, int]
        self._made = set()  # type: set[str]

    def unpack(self, stream: BinaryIO) -> None:
        """Unpack an archive. Raises UnusableError, or OSError if the file system is full."""
        os.makedirs(SOURCE, exist_ok=True)
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                self._unpack(archive)
        except (OSError, ValueError, tarfile.TarError) as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            raise UnusableError(f"The files of the project and its packages cannot be unpacked: {error}") from error

    def _unpack(self, archive: tarfile.TarFile) -> None:
        for member in _members(archive):
            if member.name in FROM_EARLIER:
                with open(os.path.join(WORK, member.name), "wb") as target:
                    shutil.copyfileobj(archive.extractfile(member), target)
            elif member.name == PACKAGES:
                with tarfile.open(fileobj=archive.extractfile(member), mode="r|") as packages:
                    for inner in _members(packages):
                        self._put(packages, inner)
            elif member.isreg() or _leads_inside(member):
                path = self._put(archive, member)
                self._seen[path] = os.lstat(path).st_ino

    def pack_new_files(self) -> str:
        """Pack the files below `src/` that did not come with the job (packages and dbt's lock file), and return the archive's path.

        They are found by comparison, because the install path can be an expression in `dbt_project.yml`.
        """
        path = os.path.join(WORK, PACKAGES)
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            for file in _walk(SOURCE):
                if self._seen.get(file) != os.lstat(file).st_ino or os.path.basename(file) == "package-lock.yml":
                    archive.add(file, os.path.relpath(file, WORK), recursive=False)
        return path

    def _put(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
        path = os.path.join(WORK, member.name)
        if not path.startswith(SOURCE + "/") or ".." in member.name.split("/"):
            raise UnusableError(f"A package contains a path outside of its directory: {member.name[:200]!r}")
        parent = os.path.dirname(path)
        if parent not in self._made:
            os.makedirs(parent, exist_ok=True)
            if not (os.path.realpath(parent) + "/").startswith(os.path.realpath(SOURCE) + "/"):
                raise UnusableError(f"A package contains a path behind a link: {member.name[:200]!r}")
            self._made.add(parent)
        if member.isdir():
            os.makedirs(path, exist_ok=True)
        elif member.issym():
            # Unchanged, wherever it points: the container has nothing except this job. Hard links and devices are left out.
            os.symlink(member.linkname, path)
        elif member.isreg():
            self._write(path, archive, member)
        return path

    @staticmethod
    def _write(path: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            if member.size <= CHUNK and not member.issparse():
                # Most files are small: a file object for each, at both ends, takes longer than what it is for.
                archive.fileobj.seek(member.offset_data)
                content = archive.fileobj.read(member.size)
                if len(content) != member.size:
                    raise tarfile.ReadError("unexpected end of data")
                _write_all(target, content)
            else:
                with archive.extractfile(member) as content:
                    while True:
                        data = content.read(CHUNK)
                        if not data:
                            break
                        _write_all(target, data)
            os.utime(target, (TIME, TIME))
        finally:
            os.close(target)


def _leads_inside(member: tarfile.TarInfo) -> bool:
    """Whether a member is a symbolic link to a directory of the repository."""
    target = os.path.normpath(os.path.join(WORK, os.path.dirname(member.name), member.linkname))
    return member.issym() and (target + "/").startswith(SOURCE + "/")


def _write_all(target: int, content: bytes) -> None:
    while content:
        content = content[os.write(target, content) :]


def project(project_dir: str) -> str:
    """Return the path of a project directory of the repository."""
    return os.path.normpath(os.path.join(SOURCE, project_dir))


def is_full(error: OSError) -> bool:
    """Whether an error means that the file system in memory is full, or a file is over its limit."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in turn. A TarFile's own iterator reads past the archive's end, and would keep every header."""
    while True:
        member = archive.next()
        if member is None:
            return
        archive.members = []
        yield member


def _walk(top: str) -> Iterator[str]:
    """Files, symbolic links and empty directories, without git's own files."""
    for directory, names, files in os.walk(top):
        links = [name for name in names if os.path.islink(os.path.join(directory, name))]
        names[:] = sorted(name for name in names if name != ".git" and name not in links)
        for name in sorted(files + links):
            yield os.path.join(directory, name)
        if not names and not files and not links and directory != top:
            yield directory
