"""Files in and out: the archive on standard input is laid out below /work, what `dbt deps` added is packed again."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

# Another place is for trying it outside of a container.
WORK = os.environ.get("FRESHET_WORK", "/work")
SOURCE = os.path.join(WORK, "src")
PACKAGES = "packages.tar"
STATE = os.path.join(WORK, "state")
"""What an earlier container of the same connection left, where there is one: dbt begins with it."""
DIGESTS = {}  # type: dict[str, str]
"""Of what every file and link below `SOURCE` holds, by its path there."""
CHUNK = 1 << 20


class UnusableError(Exception):
    """What came in cannot be laid out."""


class Tree:
    """What came in."""

    def __init__(self) -> None:
        self._seen = {}  # type: dict[str, int]
        self._made = set()  # type: set[str]

    def unpack(self, stream: BinaryIO) -> None:
        """Lay out the archive that comes in. Modification times stand for contents: dbt's partial parsing trusts them.

        Raises UnusableError, or the OSError of a file system that is full.
        """
        os.makedirs(SOURCE, exist_ok=True)
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                self._unpack(archive)
        except (OSError, ValueError, tarfile.TarError) as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            raise UnusableError(f"The files of the project and its packages cannot be laid out: {error}") from error

    def _unpack(self, archive: tarfile.TarFile) -> None:
        for member in _members(archive):
            if member.name == os.path.basename(STATE):
                with open(STATE, "wb") as target:
                    shutil.copyfileobj(archive.extractfile(member), target)
            elif member.name == PACKAGES:
                with tarfile.open(fileobj=archive.extractfile(member), mode="r|") as packages:
                    for inner in _members(packages):
                        self._put(packages, inner)
            elif member.isreg():
                path = self._put(archive, member)
                self._seen[path] = os.stat(path).st_ino

    def pack_new_files(self) -> str:
        """Return the path of an archive of what is below `src/` and did not come with the job: packages and dbt's lock file.

        By comparison, since where packages go can be an expression in `dbt_project.yml`.
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
            raise UnusableError(f"A package holds a path outside of its own: {member.name[:200]!r}")
        parent = os.path.dirname(path)
        if parent not in self._made:
            os.makedirs(parent, exist_ok=True)
            if not (os.path.realpath(parent) + "/").startswith(os.path.realpath(SOURCE) + "/"):
                raise UnusableError(f"A package holds a path behind a link: {member.name[:200]!r}")
            self._made.add(parent)
        if member.isdir():
            os.makedirs(path, exist_ok=True)
        elif member.issym():
            # As it is, wherever it leads: the container holds nothing but this job. Hard links and devices are left out.
            os.symlink(member.linkname, path)
            DIGESTS[os.path.relpath(path, SOURCE)] = "-> " + member.linkname
        elif member.isreg():
            digest = hashlib.blake2b(digest_size=16)
            with open(path, "wb", opener=_not_behind_a_link) as target, archive.extractfile(member) as content:
                for chunk in iter(lambda: content.read(CHUNK), b""):
                    target.write(chunk)
                    digest.update(chunk)
            DIGESTS[os.path.relpath(path, SOURCE)] = digest.hexdigest()
            os.utime(path, ns=(0, _time_of(digest.digest())))
        return path


def _time_of(digest: bytes) -> int:
    """Return nanoseconds that stand for a content: 51 bits of it, as many as dbt's floating point seconds can tell apart."""
    return int.from_bytes(digest[:8], "big") % (1_000_000 << 32) * 1000


def _not_behind_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)


def project(project_dir: str) -> str:
    """Return the path of a project, given relative to the repository."""
    return os.path.normpath(os.path.join(SOURCE, project_dir))


def is_full(error: OSError) -> bool:
    """Tell whether an error says that the file system in memory is full, or that a file is bigger than all of it may be."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members in turn. A TarFile keeps every header that it has read, and its own iterator reads past the archive's end."""
    while True:
        member = archive.next()
        if member is None:
            return
        archive.members = []
        yield member


def _walk(top: str) -> Iterator[str]:
    """Yield files, symbolic links and empty directories; git's own files are of no use to dbt."""
    for directory, names, files in os.walk(top):
        links = [name for name in names if os.path.islink(os.path.join(directory, name))]
        names[:] = sorted(name for name in names if name != ".git" and name not in links)
        for name in sorted(files + links):
            yield os.path.join(directory, name)
        if not names and not files and not links and directory != top:
            yield directory
