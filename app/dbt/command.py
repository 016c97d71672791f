"""What goes into a container and what comes out of it: the other end of `app/dbt/runner`, whose `__main__` tells the protocol."""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Literal, TypeVar

import msgspec

from app.dbt.profile import stub
from app.ports import DbtJob, PackageTree, State, TarStream

Command = Literal["deps", "parse"]
Sink = Callable[[bytes], Awaitable[None]]

BLOCK = tarfile.BLOCKSIZE
CHUNK = 256 << 10
MAX_HEADER = 1 << 20
WARM_NAME = "freshet"
"""Profile and target while there is no job."""


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
    """The line of JSON that `bytes` follow. A project may have written it: each field is bounded."""

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
    partial: bool = False
    """dbt began with the state of an earlier parse."""


class Ready(msgspec.Struct, frozen=True):
    """It is warm."""

    ready: Literal[True]
    seconds: Seconds = 0.0
    memory_bytes: Count = 0
    """The most that it took on the way."""
    error: Text | None = None
    """Something did not work: it is less warm."""


class Taken(msgspec.Struct, frozen=True):
    """It has the job."""

    taken: Literal[True]


class StateFollows(msgspec.Struct, frozen=True):
    """As many bytes of state follow, perhaps none."""

    state_bytes: Count


Answer = Ready | Taken | Result | StateFollows
AnswerT = TypeVar("AnswerT", Ready, Taken, Result, StateFollows)


class MalformedResultError(Exception):
    """This is no answer, or not the one that it was time for: it is not our runner that wrote it."""


class Answers:
    """Takes what a container answers as it comes, checks that each is the one whose turn it is, and hands the bytes on."""

    def __init__(self) -> None:
        self.ready, self.taken, self.delivered, self.ended = (asyncio.Event() for _ in range(4))
        """`delivered`: all of a success is there; `ended`: of the state too."""
        self.warmth: Ready | None = None
        self.result: Result | None = None
        self.received_bytes = 0
        self._warming = self._has_job = False
        self._sink: Sink = _refuse
        self._state_sink: Sink | None = None
        self._head = bytearray()
        self._left = 0

    def expect_ready(self) -> None:
        """It was asked to get warm."""
        self._warming = True

    def expect_result(self, sink: Sink, state_sink: Sink | None) -> None:
        """It was given a job: the result's bytes go to `sink`, the state's, if it is to tell one, to `state_sink`."""
        self._sink, self._state_sink, self._has_job = sink, state_sink, True

    async def feed(self, data: bytes) -> None:
        """Take more of the output. Raises MalformedResultError, and what the sinks raise."""
        while data:
            if self.ended.is_set():
                raise MalformedResultError("it answers though nobody asked")
            if self._left:
                data = await self._bytes(data)
                continue
            # Only what is new is searched: it may come byte by byte.
            line, end, data = data.partition(b"\n")
            self._head += line
            if len(self._head) > MAX_HEADER:
                raise MalformedResultError("a line has no end")
            if end:
                text, self._head = bytes(self._head), bytearray()
                self._line(text)

    async def _bytes(self, data: bytes) -> bytes:
        """Hand on what was announced, return the rest."""
        part = data if len(data) <= self._left else data[: self._left]
        self._left -= len(part)
        if self.delivered.is_set():
            assert self._state_sink is not None  # noqa: S101 - else no state is read
            await self._state_sink(part)
        else:
            self.received_bytes += len(part)
            await self._sink(part)
        if not self._left:
            self._complete()
        return data[len(part) :]

    def _line(self, text: bytes) -> None:
        if self._warming and not self.ready.is_set():
            self.warmth = _decoded(text, Ready)
            self.ready.set()
        elif self._has_job and not self.taken.is_set():
            _decoded(text, Taken)
            self.taken.set()
        elif self.taken.is_set() and self.result is None:
            self.result = _decoded(text, Result)
            self._announced(self.result.bytes)
        elif self.delivered.is_set():
            self._announced(_decoded(text, StateFollows).state_bytes)
        else:
            raise MalformedResultError("it answers before it was asked")

    def _announced(self, count: int) -> None:
        self._left = count
        if not count:
            self._complete()

    def _complete(self) -> None:
        if self.delivered.is_set() or self._state_sink is None or self.result is None or not self.result.ok:
            self.ended.set()
        if self.result is not None and self.result.ok:
            self.delivered.set()


def _decoded(text: bytes, kind: type[AnswerT]) -> AnswerT:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResultError(str(error)) from error


async def _refuse(_: bytes) -> None:
    raise MalformedResultError("it has no job")


def warm_line(adapter_type: str | None) -> bytes:
    """Return the line that has a container get warm for jobs of an adapter; None: of any."""
    profiles = {} if adapter_type is None else stub(WARM_NAME, WARM_NAME, adapter_type)
    return _as_line({"warm": {"adapter_type": adapter_type, "profile": WARM_NAME, "target": WARM_NAME, "profiles": profiles}})


def job_line(command: Command, job: DbtJob) -> bytes:
    """Return the line that is the job. Raises ValueError for an adapter without a stub profile."""
    text = {
        "command": command,
        "project_dir": job.project_dir,
        "profile": job.profile,
        "target": job.target,
        "profiles": stub(job.profile, job.target, job.adapter_type),
        "variables": dict(job.variables),
        "environment": dict(job.environment),
        "keep_state": job.state is not None,
    }
    return _as_line(text)


def _as_line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


async def archive(tree: TarStream, packages: PackageTree | None = None, state: State | None = None) -> AsyncIterator[bytes]:
    """Stream the archive that follows a job, in chunks of about `CHUNK` bytes; `tree` gives tar entries named `src/...`."""
    async with aclosing(_archive(tree, packages, state)) as parts:
        pending = bytearray()
        async for part in parts:
            pending += part
            if len(pending) >= CHUNK:
                yield bytes(pending)
                pending.clear()
        yield bytes(pending)


async def _archive(tree: TarStream, packages: PackageTree | None, state: State | None) -> AsyncGenerator[bytes, None]:
    size = 0
    try:
        async for part in _parts(tree, packages, state):
            size += len(part)
            yield part
    finally:
        # The commit's files are read by a git process: do not leave it to the garbage collector.
        if close := getattr(tree, "aclose", None):
            await close()
    # Readers of streams ask for whole records: https://www.gnu.org/software/tar/manual/html_node/Blocking.html
    yield bytes(2 * BLOCK + -(size + 2 * BLOCK) % tarfile.RECORDSIZE)


async def _parts(tree: TarStream, packages: PackageTree | None, state: State | None) -> AsyncIterator[bytes]:
    if state is not None:
        async for part in _file("state", state):
            yield part
    async for part in tree:
        yield part
    if packages is not None:
        async for part in _file("packages.tar", packages):
            yield part


async def _file(name: str, file: PackageTree | State) -> AsyncIterator[bytes]:
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
