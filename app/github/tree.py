"""One commit of a bare repository: its listing, its blobs, and the tar entries that go into a container.

Contents are only ever streamed from `git cat-file --batch`, https://git-scm.com/docs/git-cat-file#_batch_output.
"""

from __future__ import annotations

import asyncio
import re
import signal
import tarfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from app.errors import TreeTooBigError, UnavailableError
from app.github.git import Git, GitError, scrub
from app.github.mirror import STREAMED
from app.github.partial import lines_of
from app.inference.project import MAX_BYTES, UNKNOWN_SIZE, Entry, Member

Bring = Callable[[Sequence[str]], Awaitable[None]]
"""Fetches blobs by object id."""

CHUNK_BYTES = 128 << 10
READ_BYTES = 64 << 20
"""Most that `read` keeps in memory at once."""
MAX_SKIPPED_BYTES = 2 << 30
"""Most that is read of an archive's cut files only to be thrown away."""
MAX_ENTRIES = 500_000
"""Directories may repeat: a few objects can stand for any number of files."""
MAX_LISTING_BYTES = 128 << 20
MAX_PATH_BYTES = 4096
"""Linux's PATH_MAX: a longer one is no file anywhere."""
LISTING_S = 60.0
ROOT = "src/"
USER_ID = 10001
"""The user of the runner image."""
MTIME_BASE = 1_000_000_000
BLOCK = tarfile.BLOCKSIZE
LISTED_BYTES = 1 << 20
LISTED = {False: ("-r", "-z", "--full-tree"), True: ("-r", "-z", "--long", "--full-tree")}
SMALLER = "Take what is no source code out of the repository."
_TOO_DEEP = re.compile(r"maximum allowed tree depth|too deep", re.IGNORECASE)


class CommitTree:
    """A commit (or a bare tree) in the repository at `git_dir`; implements `app.ports.SourceTree`."""

    def __init__(self, git: Git, git_dir: str, sha: str, entries: Sequence[Entry], label: str, bring: Bring | None = None) -> None:
        """`bring` fetches what a partial mirror does not hold; without it everything is there."""
        self.sha = sha
        self.entries = entries
        self.damaged = False
        """True when something that was listed could not be read."""
        self.fetched_bytes = 0
        self._git = git
        self._git_dir = git_dir
        self._label = label
        self._bring = bring
        self._streams: list[AsyncGenerator[bytes, None]] = []

    async def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        """Return the bytes of blobs by object id; those that are not there are fetched, all at once. Raises UnavailableError."""
        sizes = await _sizes(self._git, self._git_dir, oids)
        missing = [oid for oid in dict.fromkeys(oids) if oid not in sizes]
        if missing and self._bring is not None:
            await self._bring(missing)
            sizes |= await _sizes(self._git, self._git_dir, missing)
        if not sizes.keys() >= {*oids}:
            raise self._broken()
        return sizes

    async def read(self, oids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the contents of blobs by object id. Raises TreeTooBigError over `READ_BYTES`."""
        found: dict[str, bytes] = {}
        total = 0
        if self._bring is not None:
            await self.sizes(oids)
        async with self._blobs(list(dict.fromkeys(oids))) as blobs:
            for oid in dict.fromkeys(oids):
                size = await blobs.begin()
                total += size
                if total > READ_BYTES:
                    raise TreeTooBigError(f"reading {self._label}", f"its configuration files are over {READ_BYTES >> 20} MiB")
                found[oid] = await blobs.take(size)
                await blobs.end()
        return found

    def members(self, members: Sequence[Member]) -> AsyncIterator[bytes]:
        """Stream tar entries of the given files, named below `src/`, without the archive's end."""
        stream = self._members(members)
        self._streams.append(stream)
        return stream

    async def close(self) -> None:
        """End streams that were not read to their end."""
        for stream in self._streams:
            await stream.aclose()

    async def _members(self, members: Sequence[Member]) -> AsyncGenerator[bytes, None]:
        buffer = bytearray()
        skipped, left = 0, MAX_BYTES
        if self._bring is not None:
            await self.sizes([member.oid for member in members])
        async with self._blobs([member.oid for member in members]) as blobs:
            for member in members:
                size = await blobs.begin()
                left -= size if member.size == UNKNOWN_SIZE else min(size, member.size)
                if left < 0:
                    raise TreeTooBigError(f"reading {self._label}", f"dbt would read more than {MAX_BYTES >> 20} MiB", SMALLER)
                if UNKNOWN_SIZE != member.size < size:
                    skipped += size - member.size
                    if skipped > MAX_SKIPPED_BYTES:
                        raise TreeTooBigError(f"reading {self._label}", f"its seeds are over {MAX_SKIPPED_BYTES >> 30} GiB", SMALLER)
                    content = cut(await blobs.take(member.size))
                    await blobs.skip(size - member.size)
                    buffer += header(member.path, member.oid, len(content)) + content + padding(len(content))
                else:
                    buffer += header(member.path, member.oid, size)
                    async for chunk in blobs.chunks(size):
                        buffer += chunk
                        if len(buffer) >= CHUNK_BYTES:
                            yield bytes(buffer)
                            buffer.clear()
                    buffer += padding(size)
                await blobs.end()
                if len(buffer) >= CHUNK_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
        if buffer:
            yield bytes(buffer)

    @asynccontextmanager
    async def _blobs(self, oids: Sequence[str]) -> AsyncIterator[_Blobs]:
        with lines_of(oids) as wanted:
            arguments = ("--git-dir", self._git_dir, "cat-file", "--batch", "--buffer")
            async with self._git.started(*arguments, stdin=wanted, config=STREAMED) as process:
                try:
                    yield _Blobs(process)
                except (asyncio.IncompleteReadError, LookupError) as error:
                    raise self._broken() from error

    def _broken(self) -> UnavailableError:
        self.damaged = True
        return UnavailableError(f"reading {self._label}", "git's copy of it is damaged")


class _Blobs:
    """The answers of `git cat-file --batch`, in the order of the questions."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        self._stdout = process.stdout

    async def begin(self) -> int:
        """Return the size of the next blob in bytes. Raises LookupError when it is not there."""
        line = (await self._stdout.readuntil(b"\n")).split()
        if len(line) != 3 or line[1] != b"blob":  # noqa: PLR2004 - oid, type, size
            raise LookupError(line)
        return int(line[2])

    async def take(self, size: int) -> bytes:
        return await self._stdout.readexactly(size)

    async def chunks(self, size: int) -> AsyncIterator[bytes]:
        while size:
            chunk = await self._stdout.read(min(size, CHUNK_BYTES))
            if not chunk:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(chunk)
            yield chunk

    async def skip(self, size: int) -> None:
        async for _ in self.chunks(size):
            pass

    async def end(self) -> None:
        await self._stdout.readexactly(1)


async def _sizes(git: Git, git_dir: str, oids: Sequence[str]) -> dict[str, int]:
    """Return the bytes of those blobs that are there."""
    with lines_of(oids) as wanted:
        arguments = ("--git-dir", git_dir, "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", "--buffer")
        lines = (await git.run(*arguments, stdin=wanted)).decode().splitlines()
    return {oid: int(size) for oid, kind, *rest in map(str.split, lines) if kind == "blob" for size in rest}


async def list_entries(git: Git, git_dir: str, commit: str, timeout_s: float = LISTING_S, *, sized: bool = True) -> list[Entry]:
    """Return all blobs of a commit: https://git-scm.com/docs/git-ls-tree. Raises GitError, or TreeTooBigError over the bounds of above.

    Not `sized`: the blobs may be missing, and their sizes with them.
    """
    doing = f"listing the files of {commit.rsplit('/', 1)[-1][:7]}"
    entries: list[Entry] = []
    try:
        async with (
            asyncio.timeout(timeout_s),
            git.started("--git-dir", git_dir, "ls-tree", *LISTED[sized], commit, stderr=PIPE) as process,
        ):
            async for lines in _lines(process, doing):
                # Off the event loop: a second for the biggest.
                entries += await asyncio.to_thread(parse_listing, lines)
            await _ended(process, doing)
    except TimeoutError as error:
        raise TreeTooBigError(doing, f"git was not done with it after {timeout_s:g} seconds", SMALLER) from error
    return entries


async def _lines(process: Process, doing: str) -> AsyncIterator[bytes]:
    """Yield whole lines, many at once."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    count, total, rest = 0, 0, b""
    while chunk := await process.stdout.read(LISTED_BYTES):
        lines, end, rest = (rest + chunk).rpartition(b"\0")
        count, total = count + lines.count(b"\0") + len(end), total + len(chunk)
        if count > MAX_ENTRIES or total > MAX_LISTING_BYTES:
            reason = f"it has more than {MAX_ENTRIES:,} files, or names of more than {MAX_LISTING_BYTES >> 20} MiB together"
            raise TreeTooBigError(doing, reason, SMALLER)
        yield lines


async def _ended(process: Process, doing: str) -> None:
    assert process.stderr is not None  # noqa: S101 - it was asked for
    output = scrub((await process.stderr.read(LISTED_BYTES)).decode(errors="replace"))
    code = await process.wait()
    # Older versions of git run out of stack, newer ones say so: https://git-scm.com/docs/git-config#Documentation/git-config.txt-coremaxTreeDepth
    if code == -signal.SIGSEGV or (code and _TOO_DEEP.search(output)):
        raise TreeTooBigError(doing, "its directories are nested too deep for git", SMALLER)
    if code:
        raise GitError("ls-tree", code, output)


def parse_listing(listing: bytes) -> list[Entry]:
    """Return the entries of `ls-tree -r -z [--long]`. Submodules, and paths that are not UTF-8 or too long for a file, are left out."""
    entries = []
    for line in listing.split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if not path or len(path) > MAX_PATH_BYTES:
            continue
        mode, kind, oid, *size = facts.decode("ascii").split()
        if kind != "blob":
            continue
        try:
            entries.append(Entry(path.decode(), mode, oid, int(size[0]) if size else UNKNOWN_SIZE))
        except UnicodeDecodeError:
            continue
    return entries


def header(path: str, oid: str, size: int) -> bytes:
    """Return the tar header of a regular file, with pax records where its name needs them."""
    info = tarfile.TarInfo(ROOT + path)
    info.size = size
    info.mode = 0o644
    info.uid = info.gid = USER_ID
    info.mtime = mtime(oid)
    return info.tobuf(tarfile.PAX_FORMAT)


def mtime(oid: str) -> int:
    """Return a time that changes when the content does: dbt's partial parsing trusts the times of YAML files."""
    return MTIME_BASE + int(oid[:7], 16)


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block."""
    return bytes(-size % BLOCK)


def cut(content: bytes) -> bytes:
    r"""Return the beginning of a longer file up to its last line end.

    >>> cut(b"id,name\n1,a\n2,")
    b'id,name\n1,a\n'
    """
    end = content.rfind(b"\n") + 1
    return content[:end] if end else content
