"""What goes into a container and what comes out of it: the other end of `app/dbt/runner`.

In: one tar archive: `job.json`, the repository's files, perhaps `packages.tar`. Out: a line of JSON, then the bytes that it announces.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Literal

import msgspec

from app.dbt.profile import stub
from app.ports import DbtJob, PackageTree, TarStream

Command = Literal["deps", "parse"]
Sink = Callable[[bytes], Awaitable[None]]

BLOCK = tarfile.BLOCKSIZE
CHUNK = 256 << 10
MAX_HEADER = 1 << 20


Text = Annotated[str, msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class Invented(msgspec.Struct, frozen=True):
    """A placeholder, as `ports.Placeholder`."""

    kind: Literal["env_var", "var"]
    name: Text
    value: Text
    path: Text | None = None
    line: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] | None = None


class Result(msgspec.Struct, frozen=True):
    """The line of JSON at the head of the output. `bytes` follow it. A project may have written it: each field is bounded."""

    ok: bool
    bytes: Count
    kind: Literal["dbt", "memory", "space"] = "dbt"
    error: Annotated[str, msgspec.Meta(max_length=256 << 10)] = ""
    dbt_version: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    warnings: Count = 0
    cpu_seconds: Seconds | None = None
    peak_memory_bytes: Count | None = None
    stages: Annotated[dict[Annotated[str, msgspec.Meta(max_length=50)], Seconds], msgspec.Meta(max_length=20)] = {}
    placeholders: Annotated[tuple[Invented, ...], msgspec.Meta(max_length=500)] = ()
    """Also of a refusal."""


class MalformedResultError(Exception):
    """The output does not begin with a result: it is not our runner that wrote it."""


class ResultReader:
    """Takes the output as it comes, keeps its head as `result` and hands the bytes after it on."""

    def __init__(self, sink: Sink) -> None:
        self.result: Result | None = None
        self.received_bytes = 0
        self._sink = sink
        self._head = bytearray()

    @property
    def complete(self) -> bool:
        """True when all that was announced has come."""
        return self.result is not None and self.received_bytes == self.result.bytes

    async def feed(self, data: bytes) -> None:
        """Take more of the output. Raises MalformedResultError."""
        if self.result is None:
            # Only what is new is searched: it may come byte by byte.
            line, end, data = data.partition(b"\n")
            self._head += line
            if not end and len(self._head) <= MAX_HEADER:
                return
            try:
                self.result = msgspec.json.decode(self._head, type=Result)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise MalformedResultError(str(error)) from error
        self.received_bytes += len(data)
        if data:
            await self._sink(data)


def job_json(command: Command, job: DbtJob) -> bytes:
    """Return `job.json`. Raises ValueError for an adapter without a stub profile."""
    text = {
        "command": command,
        "project_dir": job.project_dir,
        "profile": job.profile,
        "target": job.target,
        "profiles": stub(job.profile, job.target, job.adapter_type),
        "variables": dict(job.variables),
        "environment": dict(job.environment),
    }
    return json.dumps(text).encode()


async def archive(job: bytes, tree: TarStream, packages: PackageTree | None = None) -> AsyncIterator[bytes]:
    """Stream the archive for standard input in chunks of about `CHUNK` bytes, from `job_json` and tar entries named `src/...`."""
    async with aclosing(_archive(job, tree, packages)) as parts:
        pending = bytearray()
        async for part in parts:
            pending += part
            if len(pending) >= CHUNK:
                yield bytes(pending)
                pending.clear()
        yield bytes(pending)


async def _archive(job: bytes, tree: TarStream, packages: PackageTree | None) -> AsyncGenerator[bytes, None]:
    size = 0
    try:
        async for part in _parts(job, tree, packages):
            size += len(part)
            yield part
    finally:
        # The commit's files are read by a git process: do not leave it to the garbage collector.
        if close := getattr(tree, "aclose", None):
            await close()
    # Readers of streams ask for whole records: https://www.gnu.org/software/tar/manual/html_node/Blocking.html
    yield bytes(2 * BLOCK + -(size + 2 * BLOCK) % tarfile.RECORDSIZE)


async def _parts(job: bytes, tree: TarStream, packages: PackageTree | None) -> AsyncIterator[bytes]:
    yield _header("job.json", len(job)) + job + _padding(len(job))
    async for part in tree:
        yield part
    if packages is not None:
        yield _header("packages.tar", packages.size_bytes)
        async for part in packages.stream():
            yield part
        yield _padding(packages.size_bytes)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)
