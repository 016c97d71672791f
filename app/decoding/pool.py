"""The processes that read manifests: one for each extraction that needs one at the time, started ahead, never outliving the service."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from app import log
from app.decoding.process import MAX_MESSAGE, Answer, Request
from app.decoding.spooled import SpooledLineage
from app.errors import ManifestError, UnavailableError
from app.spool import Spool, room

TIMEOUT_S = 300.0
KEPT_BYTES = 16 << 20
"""A process that read a bigger manifest is replaced: its memory goes back to the machine."""
END_S = 2.0
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
"""Nothing of ours is the business of who reads what strangers made."""
ROOT = Path(__file__).parents[2]

logger = log.get(__name__)


class Process:
    """One process, and our end of the socket that is its standard input."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self._process = process
        self._connection = connection

    @classmethod
    async def start(cls, environ: Mapping[str, str]) -> Process:
        """Start one: it takes a request at once, and works on it when it is ready."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - the name says it
        with its:
            # Ctrl-C at a terminal is for us.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app.decoding.process",
                stdin=its.fileno(),
                cwd=ROOT,
                env=environ,
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        """False once it is known that it ended."""
        return self._process.returncode is None

    def send(self, request: bytes, descriptors: list[int]) -> bool:
        """Give it a manifest; False when it is gone."""
        with suppress(BrokenPipeError, ConnectionResetError):
            return socket.send_fds(self._connection, [request], descriptors) > 0
        return False

    async def answer(self) -> bytes:
        """Return its answer, empty when it died over it."""
        with suppress(ConnectionResetError):
            return await asyncio.get_running_loop().sock_recv(self._connection, MAX_MESSAGE)
        return b""

    def close(self) -> None:
        """Let go of it: one that has nothing to do ends by itself."""
        self._connection.close()

    def kill(self) -> None:
        """Have it end at once."""
        self.close()
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end; return its status, as `subprocess` counts."""
        return await self._process.wait()


class Decoders:
    """Turns manifests into lineages, at most `size` at a time. The files that this takes are below `work_dir`, without names."""

    def __init__(self, work_dir: Path, size: int, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._work_dir = work_dir
        self._turns = asyncio.Semaphore(size)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def lineage(self, manifest: Spool, label: str, image: str) -> SpooledLineage:
        """Return the lineage of a manifest.

        Raises ManifestError, or UnavailableError when the process was killed or the disk is full: it can be tried again.
        """
        with room():
            rows = tempfile.TemporaryFile(dir=self._work_dir, prefix="lineage-")  # noqa: SIM115 - the lineage has it, and closes it
        try:
            descriptors = [await manifest.fileno(), rows.fileno()]
            request = msgspec.json.encode(Request(label[:1000], image[:1000]))
            async with self._turns:
                answer = await self._ask(request, descriptors, label, keep=manifest.size_bytes <= KEPT_BYTES)
            if answer.refusal:
                raise ManifestError(answer.refusal.doing, answer.refusal.reason, answer.refusal.next_step)
            if answer.sizes is None:
                raise UnavailableError(f"reading the manifest of {label}", answer.crash, "It is tried again by itself.")
            return await asyncio.to_thread(SpooledLineage, rows, answer.sizes)
        except BaseException:
            rows.close()
            raise

    async def _ask(self, request: bytes, descriptors: list[int], label: str, *, keep: bool) -> Answer:
        process = await self._given(request, descriptors)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await process.answer()
        except BaseException as error:
            process.kill()
            if isinstance(error, TimeoutError):
                raise _stopped(label, f"took longer than {TIMEOUT_S:g} seconds") from None
            raise
        if not answer:
            process.close()
            status = await process.ended()
            raise _stopped(label, _ending(status))
        if keep:
            self._idle.append(process)
        else:
            process.close()
        with suppress(UnavailableError):  # the next one will hear of it
            await self.prepare()
        return msgspec.json.decode(answer, type=Answer)

    async def _given(self, request: bytes, descriptors: list[int]) -> Process:
        """Return a process that has the request. One that died idle is no reason to fail."""
        while True:
            process = self._idle.pop() if self._idle else await self._started()
            if process.send(request, descriptors):
                return process
            logger.warning("a process that reads manifests was gone")
            process.kill()

    async def prepare(self) -> None:
        """Have a process ready for the next manifest."""
        gone = {process for process in self._all if not process.alive}
        for process in gone:
            process.close()
        self._all -= gone
        self._idle = [process for process in self._idle if process not in gone]
        if not self._idle:
            self._idle.append(await self._started())

    async def _started(self) -> Process:
        try:
            process = await Process.start(self._environ)
        except OSError as error:
            raise UnavailableError("starting a process that reads manifests", str(error), "It is tried again by itself.") from error
        self._all.add(process)
        return process

    async def stop(self) -> None:
        """End all of them."""
        for process in self._all:
            process.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await asyncio.gather(*(process.ended() for process in self._all))
        for process in self._all:
            process.kill()
            await process.ended()


@asynccontextmanager
async def serve(work_dir: Path, size: int, environ: Mapping[str, str] = ENVIRONMENT) -> AsyncIterator[Decoders]:
    """Yield the processes, which end when this is left. `environ` is all that they get of an environment."""
    decoders = Decoders(work_dir, size, environ)
    try:
        await decoders.prepare()
        yield decoders
    finally:
        await decoders.stop()


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, as it happens when the machine has no memory left"
    return f"ended by signal {-status}" if status < 0 else f"ended with exit status {status}"


def _stopped(label: str, how: str) -> UnavailableError:
    next_step = "It is tried again by itself. If it happens again, the machine that Freshet runs on may need more memory."
    return UnavailableError(f"reading the manifest of {label}", f"the process that reads it {how}", next_step)
