"""The tar archive that follows a job's line: what an earlier container left, the project's files, and its packages."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from app.pipeline.ports import PackageTree, ParseState, TarStream

BLOCK = tarfile.BLOCKSIZE
CHUNK = 256 << 10


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier container left for this one."""

    state: ParseState | None = None
    columns: ParseState | None = None


async def archive(tree: TarStream, packages: PackageTree | None = None, earlier: Earlier | None = None) -> AsyncIterator[bytes]:
    """Stream the archive that follows a job, in chunks of about `CHUNK` bytes; `tree` yields tar entries named `src/...`."""
    async with aclosing(_archive(tree, packages, earlier or Earlier())) as parts:
        pending = bytearray()
        async for part in parts:
            pending += part
            if len(pending) >= CHUNK:
                yield bytes(pending)
                pending.clear()
        yield bytes(pending)


async def _archive(tree: TarStream, packages: PackageTree | None, earlier: Earlier) -> AsyncGenerator[bytes, None]:
    size = 0
    try:
        async for part in _parts(tree, packages, earlier):
            size += len(part)
            yield part
    finally:
        # A git process produces the commit's files: end it now, not when garbage is collected.
        if close := getattr(tree, "aclose", None):
            await close()
    # Readers of streams expect whole records: https://www.gnu.org/software/tar/manual/html_node/Blocking.html
    yield bytes(2 * BLOCK + -(size + 2 * BLOCK) % tarfile.RECORDSIZE)


async def _parts(tree: TarStream, packages: PackageTree | None, earlier: Earlier) -> AsyncIterator[bytes]:
    for name, file in (("state", earlier.state), ("columns", earlier.columns)):
        if file is not None:
            async for part in _file(name, file):
                yield part
    async for part in tree:
        yield part
    if packages is not None:
        async for part in _file("packages.tar", packages):
            yield part


async def _file(name: str, file: PackageTree | ParseState) -> AsyncIterator[bytes]:
    yield _header(name, file.size_bytes)
    async for part in file.stream():
        yield part
    yield _padding(file.size_bytes)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)
