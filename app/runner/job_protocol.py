"""The service's side of the protocol with `app/runner/program`, whose `__main__` describes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, TypeVar

import msgspec

from app.pipeline.ports import DbtJob
from app.runner.profile import stub

Command = Literal["deps", "parse"]
Sink = Callable[[bytes], Awaitable[None]]

MAX_HEADER = 1 << 20
WARM_NAME = "freshet"
"""The profile and target while warming."""


Text = Annotated[str, msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class ReportedPlaceholder(msgspec.Struct, frozen=True):
    """A placeholder, as the container reports it."""

    kind: Literal["env_var", "var"]
    name: Text
    value: Text
    path: Text | None = None
    line: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] | None = None


class ReportedIgnoredCheck(msgspec.Struct, frozen=True):
    """A check that dbt did not make, as the container reports it."""

    kind: Literal["version", "warn_error"]
    name: Text
    value: Text = ""


class Result(msgspec.Struct, frozen=True):
    """The line of JSON before `bytes` of output. A project may have written it, so each field is limited."""

    ok: bool
    bytes: Count
    kind: Literal["dbt", "memory", "space"] = "dbt"
    error: Annotated[str, msgspec.Meta(max_length=256 << 10)] = ""
    dbt_version: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    warnings: Count = 0
    cpu_seconds: Seconds | None = None
    peak_memory_bytes: Count | None = None
    stages: Annotated[dict[Annotated[str, msgspec.Meta(max_length=50)], Seconds], msgspec.Meta(max_length=20)] = {}
    placeholders: Annotated[tuple[ReportedPlaceholder, ...], msgspec.Meta(max_length=500)] = ()
    """With an error too."""
    ignored: Annotated[tuple[ReportedIgnoredCheck, ...], msgspec.Meta(max_length=50)] = ()
    """With an error too."""
    partial: bool = False
    """Whether dbt used the state of an earlier parse."""


class Ready(msgspec.Struct, frozen=True):
    """The container is warm."""

    ready: Literal[True]
    seconds: Seconds = 0.0
    memory_bytes: Count = 0
    """The peak while warming."""
    error: Text | None = None
    """Why warming was incomplete."""


class Taken(msgspec.Struct, frozen=True):
    """The container has the job."""

    taken: Literal[True]


class StateFollows(msgspec.Struct, frozen=True):
    """The size of the state that follows, possibly 0."""

    state_bytes: Count


class ColumnsFollow(msgspec.Struct, frozen=True):
    """The size of the columns document that follows, and what it took; 0 if there is none because of `error`."""

    columns_bytes: Count
    seconds: Seconds = 0.0
    cpu_seconds: Seconds | None = None
    peak_memory_bytes: Count | None = None
    """Of the container from its start."""
    error: Text | None = None


AnswerT = TypeVar("AnswerT", Ready, Taken, Result, StateFollows, ColumnsFollow)


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where the bytes of a job's answers go. None: the job does not ask for them."""

    result: Sink
    state: Sink | None = None
    columns: Sink | None = None


class MalformedResultError(Exception):
    """The answer is invalid, or comes at the wrong time: our program did not write it."""


class AnswerReader:
    """Reads a container's answers from its output, checks their order, and passes their bytes on."""

    def __init__(self) -> None:
        self.ready, self.taken, self.delivered, self.state_ended, self.ended = (asyncio.Event() for _ in range(5))
        """`delivered`: the whole result was read; `state_ended`: the state too, if there is one; `ended`: the columns too, if wanted."""
        self.warmth: Ready | None = None
        self.result: Result | None = None
        self.columns: ColumnsFollow | None = None
        self.received_bytes = 0
        self._warming = self._has_job = False
        self._sinks = Sinks(_refuse)
        self._sink: Sink = _refuse
        self._head = bytearray()
        self._left = 0

    def expect_ready(self) -> None:
        """Call this before asking the container to get warm."""
        self._warming = True

    def expect_result(self, sinks: Sinks) -> None:
        """Call this before sending a job."""
        self._sinks, self._has_job = sinks, True

    @property
    def within_answer(self) -> bool:
        """Whether more of a line or of announced bytes has to follow."""
        return bool(self._head) or self._left > 0

    async def feed(self, data: bytes) -> None:
        """Read more of the output. Raises MalformedResultError, and what the sinks raise."""
        while data:
            if self.ended.is_set():
                raise MalformedResultError("output after the last answer")
            if self._left:
                data = await self._bytes(data)
                continue
            # Search new data only: it may arrive byte by byte.
            line, end, data = data.partition(b"\n")
            self._head += line
            if len(self._head) > MAX_HEADER:
                raise MalformedResultError("a line is too long")
            if end:
                text, self._head = bytes(self._head), bytearray()
                self._line(text)

    async def _bytes(self, data: bytes) -> bytes:
        """Pass announced bytes on, and return the rest."""
        part = data if len(data) <= self._left else data[: self._left]
        self._left -= len(part)
        if not self.delivered.is_set():
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
            self._announced(self.result.bytes, self._sinks.result)
        elif self.delivered.is_set() and not self.state_ended.is_set():
            self._announced(_decoded(text, StateFollows).state_bytes, self._sinks.state)
        elif self.state_ended.is_set():
            self.columns = _decoded(text, ColumnsFollow)
            self._announced(self.columns.columns_bytes, self._sinks.columns)
        else:
            raise MalformedResultError("an answer before the request")

    def _announced(self, count: int, sink: Sink | None) -> None:
        self._left, self._sink = count, sink or _refuse
        if not count:
            self._complete()

    def _complete(self) -> None:
        """Set the events of what is complete now. After a failure, nothing else comes."""
        if self.result is None or not self.result.ok:
            self.ended.set()
            return
        if self.delivered.is_set() or self._sinks.state is None:
            self.state_ended.set()
        if self.columns is not None or (self.state_ended.is_set() and self._sinks.columns is None):
            self.ended.set()
        self.delivered.set()


def _decoded(text: bytes, kind: type[AnswerT]) -> AnswerT:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResultError(str(error)) from error


async def _refuse(_: bytes) -> None:
    raise MalformedResultError("a result without a job")


def warm_line(adapter_type: str | None) -> bytes:
    """Return the request to get warm for an adapter (None: unknown)."""
    profiles = {} if adapter_type is None else stub(WARM_NAME, WARM_NAME, adapter_type)
    return _as_line({"warm": {"adapter_type": adapter_type, "profile": WARM_NAME, "target": WARM_NAME, "profiles": profiles}})


def job_line(command: Command, job: DbtJob) -> bytes:
    """Return the request to do a job. Raises ValueError for an adapter without a stub profile."""
    text = {
        "command": command,
        "project_dir": job.project_dir,
        "install_dir": job.install_dir,
        "profile": job.profile,
        "target": job.target,
        "profiles": stub(job.profile, job.target, job.adapter_type, job.names),
        "variables": dict(job.variables),
        "environment": dict(job.environment),
        "keep_state": job.state is not None,
        "columns": command == "parse" and job.columns and job.image.gives_columns,
        "any_version": job.any_version,
        "external_nodes": [asdict(model) for model in job.external_nodes],
    }
    return _as_line(text)


def _as_line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
