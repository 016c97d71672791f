"""One commit of a bare repository: its files, their contents, and the tar entries for a container.

Contents are always streamed from `git cat-file --batch`, https://git-scm.com/docs/git-cat-file#_batch_output.
"""

from __future__ import annotations

import asyncio
import re
import signal
import tarfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from app.core.errors import TreeTooBigError, UnavailableError
from app.core.models.extractions import CommitFacts
from app.github.git.commit_facts import commit_facts
from app.github.git.mirror import STREAMED
from app.github.git.partial_clone import lines_file
from app.github.git.process import Git, GitError, scrub
from app.project.checkout import UNKNOWN_SIZE, Entry
from app.project.read_files import MAX_BYTES, NOT_FETCHED, Member

FetchBlobs = Callable[[Sequence[str]], Awaitable[None]]
"""Fetches blobs by object id."""

CHUNK_BYTES = 128 << 10
READ_BYTES = 64 << 20
"""The most that `read` holds in memory."""
MAX_SKIPPED_BYTES = 2 << 30
"""The most that is read and dropped of truncated files per archive."""
MAX_ENTRIES = 500_000
"""Trees may repeat, so a few objects can expand to any number of files."""
MAX_LISTING_BYTES = 128 << 20
MAX_DIRECTORY_CHARACTERS = 1 << 30
"""In the names of the directories around all files, each counted for each file: deep trees repeat, and have more of them than files."""
MAX_PATH_BYTES = 4096
"""Linux's PATH_MAX: longer paths cannot exist."""
LISTING_S = 60.0
ROOT = "src/"
USER_ID = 10001
"""The user of the runner image."""
BLOCK = tarfile.BLOCKSIZE
LISTED_BYTES = 1 << 20
LISTED = {False: ("-r", "-z", "--full-tree"), True: ("-r", "-z", "--long", "--full-tree")}
SMALLER = "Remove files that are not source code from the repository."
_TOO_DEEP = re.compile(r"maximum allowed tree depth|too deep", re.IGNORECASE)


class CommitTree:
    """A commit (or a bare tree) in the repository at `git_dir`; implements `app.pipeline.ports.SourceTree`."""

    def __init__(
        self, git: Git, git_dir: str, sha: str, entries: Sequence[Entry], label: str, fetch_blobs: FetchBlobs | None = None
    ) -> None:
        """`fetch_blobs` fetches what a partial mirror lacks; None if the mirror is complete."""
        self.sha = sha
        self.entries = entries
        self.damaged = False
        """True if a listed file could not be read."""
        self.fetched_bytes = 0
        self._git = git
        self._git_dir = git_dir
        self._label = label
        self._fetch_blobs = fetch_blobs
        self._streams: list[AsyncGenerator[bytes, None]] = []

    async def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        """Sizes of blobs in bytes, by object id. Missing ones are fetched, all at once. Raises UnavailableError."""
        sizes = await _sizes(self._git, self._git_dir, oids)
        missing = [oid for oid in dict.fromkeys(oids) if oid not in sizes]
        if missing and self._fetch_blobs is not None:
            await self._fetch_blobs(missing)
            sizes |= await _sizes(self._git, self._git_dir, missing)
        if not sizes.keys() >= {*oids}:
            raise self._damaged()
        return sizes

    async def read(self, oids: Sequence[str]) -> Mapping[str, bytes]:
        """Contents of blobs by object id. Raises TreeTooBigError over `READ_BYTES`."""
        contents: dict[str, bytes] = {}
        total = 0
        if self._fetch_blobs is not None:
            await self.sizes(oids)
        async with self._blobs(list(dict.fromkeys(oids))) as blobs:
            for oid in dict.fromkeys(oids):
                size = await blobs.begin()
                total += size
                if total > READ_BYTES:
                    raise TreeTooBigError(f"reading {self._label}", f"its configuration files are over {READ_BYTES >> 20} MiB")
                contents[oid] = await blobs.take(size)
                await blobs.end()
        return contents

    def members(self, members: Sequence[Member]) -> AsyncIterator[bytes]:
        """Stream tar entries of the given files, named `src/...`, without the end of the archive."""
        stream = self._members(members)
        self._streams.append(stream)
        return stream

    async def commit_facts(self) -> CommitFacts | None:
        """What git says of the commit; None if it is none, or says too much."""
        return await commit_facts(self._git, self._git_dir, self.sha)

    async def fetch_submodules(self, paths: Sequence[str]) -> Mapping[str, str]:
        """None can be fetched: `submodules` does that."""
        return dict.fromkeys(paths, NOT_FETCHED)

    async def close(self) -> None:
        """Close streams that were not read to the end."""
        for stream in self._streams:
            await stream.aclose()

    async def _members(self, members: Sequence[Member]) -> AsyncGenerator[bytes, None]:
        buffer = bytearray()
        skipped, left = 0, MAX_BYTES
        oids = [member.oid for member in members if member.target is None]
        if self._fetch_blobs is not None:
            await self.sizes(oids)
        async with self._blobs(oids) as blobs:
            for member in members:
                if member.target is not None:
                    buffer += link_header(member.path, member.target)
                    continue
                size = await blobs.begin()
                left -= size if member.size == UNKNOWN_SIZE else min(size, member.size)
                if left < 0:
                    raise TreeTooBigError(f"reading {self._label}", f"dbt would read more than {MAX_BYTES >> 20} MiB", SMALLER)
                wanted = size if member.size == UNKNOWN_SIZE else min(size, member.size)
                skipped += size - wanted
                if skipped > MAX_SKIPPED_BYTES:
                    raise TreeTooBigError(f"reading {self._label}", f"its seeds are over {MAX_SKIPPED_BYTES >> 30} GiB", SMALLER)
                buffer += header(member.path, wanted)
                async for chunk in blobs.chunks(wanted):
                    buffer += chunk
                    if len(buffer) >= CHUNK_BYTES:
                        yield bytes(buffer)
                        buffer.clear()
                buffer += padding(wanted)
                await blobs.skip(size - wanted)
                await blobs.end()
                if len(buffer) >= CHUNK_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
        if buffer:
            yield bytes(buffer)

    @asynccontextmanager
    async def _blobs(self, oids: Sequence[str]) -> AsyncIterator[_Blobs]:
        with lines_file(oids) as lines:
            arguments = ("--git-dir", self._git_dir, "cat-file", "--batch", "--buffer")
            async with self._git.start(*arguments, stdin=lines, config=STREAMED) as process:
                try:
                    yield _Blobs(process)
                except (asyncio.IncompleteReadError, LookupError) as error:
                    raise self._damaged() from error

    def _damaged(self) -> UnavailableError:
        self.damaged = True
        return UnavailableError(f"reading {self._label}", "the local copy is damaged")


class _Blobs:
    """The output of `git cat-file --batch`, in the order of the requested ids."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        self._stdout = process.stdout

    async def begin(self) -> int:
        """The size of the next blob in bytes. Raises LookupError if it is missing."""
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
    """Sizes in bytes of the blobs that are present."""
    with lines_file(oids) as lines:
        arguments = ("--git-dir", git_dir, "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", "--buffer")
        output = (await git.run(*arguments, stdin=lines)).decode().splitlines()
    return {oid: int(size) for oid, kind, *rest in map(str.split, output) if kind == "blob" for size in rest}


async def list_entries(git: Git, git_dir: str, commit: str, timeout_s: float = LISTING_S, *, sized: bool = True) -> list[Entry]:
    """All blobs of a commit: https://git-scm.com/docs/git-ls-tree. Raises GitError, or TreeTooBigError over the limits above.

    Without `sized` the sizes are unknown, and the blobs may be missing.
    """
    doing = f"listing the files of {commit.rsplit('/', 1)[-1][:7]}"
    entries: list[Entry] = []
    spread = 0
    try:
        async with (
            asyncio.timeout(timeout_s),
            git.start("--git-dir", git_dir, "ls-tree", *LISTED[sized], commit, stderr=PIPE) as process,
        ):
            async for lines in _lines(process, doing):
                # In a thread: it takes up to a second.
                found, characters = await asyncio.to_thread(_parsed, lines)
                entries += found
                spread += characters
                if spread > MAX_DIRECTORY_CHARACTERS:
                    raise TreeTooBigError(doing, "its directories are nested too deep, or have names that are too long", SMALLER)
            await _check_exit(process, doing)
    except TimeoutError as error:
        raise TreeTooBigError(doing, f"listing them took longer than {timeout_s:g} seconds", SMALLER) from error
    return entries


async def _lines(process: Process, doing: str) -> AsyncIterator[bytes]:
    """Yield chunks of whole lines."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    count, total, rest = 0, 0, b""
    while chunk := await process.stdout.read(LISTED_BYTES):
        lines, end, rest = (rest + chunk).rpartition(b"\0")
        count, total = count + lines.count(b"\0") + len(end), total + len(chunk)
        if count > MAX_ENTRIES or total > MAX_LISTING_BYTES:
            reason = f"it has more than {MAX_ENTRIES:,} files, or more than {MAX_LISTING_BYTES >> 20} MiB of file names"
            raise TreeTooBigError(doing, reason, SMALLER)
        yield lines


async def _check_exit(process: Process, doing: str) -> None:
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    output = scrub((await process.stderr.read(LISTED_BYTES)).decode(errors="replace"))
    code = await process.wait()
    # Older versions of git overflow the stack, newer ones report it: https://git-scm.com/docs/git-config#Documentation/git-config.txt-coremaxTreeDepth
    if code == -signal.SIGSEGV or (code and _TOO_DEEP.search(output)):
        raise TreeTooBigError(doing, "its directories are nested too deep for git", SMALLER)
    if code:
        raise GitError("ls-tree", code, output)


def _parsed(listing: bytes) -> tuple[list[Entry], int]:
    """The entries, and at most how many characters the names of all directories around them have."""
    entries = parse_listing(listing)
    return entries, sum(len(entry.path) * entry.path.count("/") for entry in entries)


def parse_listing(listing: bytes) -> list[Entry]:
    """Parse `ls-tree -r -z [--long]`. Paths that cannot exist on Linux are skipped."""
    entries = []
    for line in listing.split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if not path or len(path) > MAX_PATH_BYTES:
            continue
        mode, kind, oid, *size = facts.decode("ascii").split()
        name = path.decode("utf-8", "surrogateescape")
        if kind == "blob":
            entries.append(Entry(name, mode, oid, int(size[0]) if size else UNKNOWN_SIZE))
        elif kind == "commit":
            entries.append(Entry(name, mode, oid, 0))
    return entries


def header(path: str, size: int) -> bytes:
    """The tar header of a regular file, with pax records if its name needs them."""
    info = tarfile.TarInfo(ROOT + path)
    info.size = size
    info.mode = 0o644
    info.uid = info.gid = USER_ID
    return info.tobuf(tarfile.PAX_FORMAT)


def link_header(path: str, target: str) -> bytes:
    """The tar header of a symbolic link."""
    info = tarfile.TarInfo(ROOT + path)
    info.type, info.linkname = tarfile.SYMTYPE, target
    info.uid = info.gid = USER_ID
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """Zeros that fill the last block."""
    return bytes(-size % BLOCK)
