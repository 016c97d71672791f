"""The processes that decode: one per running extraction that needs one, started ahead, ended with the service."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from app.core import log
from app.core.errors import ColumnsError, ManifestError, UnavailableError
from app.core.models.quality import USUAL, QualitySettings
from app.core.models.warehouse import WarehouseNames
from app.core.spool import FinishedSpool, Spool, disk_errors
from app.lineage.manifest_comparison import ManifestDifferences
from app.lineage.nodes import StorableLineage
from app.lineage.owners import CodeOwners
from app.pipeline.decoding.process import MAX_MESSAGE, DecodingResult, Request
from app.pipeline.decoding.spooled import ManifestScope, SpooledLineage
from app.pipeline.decoding.spooled_columns import ColumnsScope, SpooledColumns
from app.pipeline.decoding.spooled_rows import Sizes, SpooledRows

Rows = TypeVar("Rows", bound=SpooledRows)

TIMEOUT_S = 300.0
KEPT_BYTES = 16 << 20
"""A process that read a bigger manifest is replaced, to free its memory."""
END_S = 2.0
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
"""The whole environment of the processes: they read untrusted files, so they get no secrets of ours."""
RETRIES = "Freshet retries automatically."
ROOT = Path(__file__).parents[3]

logger = log.get(__name__)


class Process:
    """One process, and our end of the socket on its standard input."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self._process = process
        self._connection = connection

    @classmethod
    async def start(cls, environ: Mapping[str, str]) -> Process:
        """Start a process. It accepts a request immediately, and works on it once it is ready."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - the name says it
        with its:
            # In a session of its own, it does not receive Ctrl-C.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app.pipeline.decoding.process",
                stdin=its.fileno(),
                cwd=ROOT,
                env=environ,
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        """False once we know that it has ended."""
        return self._process.returncode is None

    def send(self, request: bytes, descriptors: list[int]) -> bool:
        """Send a request; False if the process has ended."""
        with suppress(BrokenPipeError, ConnectionResetError):
            return socket.send_fds(self._connection, [request], descriptors) > 0
        return False

    async def answer(self) -> bytes:
        """The answer; empty if the process died."""
        with suppress(ConnectionResetError):
            return await asyncio.get_running_loop().sock_recv(self._connection, MAX_MESSAGE)
        return b""

    def close(self) -> None:
        """Close the socket: the process then ends after its current request."""
        self._connection.close()

    def kill(self) -> None:
        """End the process immediately."""
        self.close()
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for the end; the status as in `subprocess`."""
        return await self._process.wait()


class Decoders:
    """Decodes up to `size` manifests at a time. Its files are unnamed, in `work_dir`."""

    def __init__(self, work_dir: Path, size: int, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._work_dir = work_dir
        self._turns = asyncio.Semaphore(size)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def lineage(
        self,
        manifest: Spool,
        names: WarehouseNames,
        label: str,
        image: str,
        code_owners: CodeOwners | None = None,
        quality: QualitySettings = USUAL,
    ) -> SpooledLineage:
        """The lineage of a manifest.

        Raises ManifestError, or UnavailableError (retryable) if the process was killed or the disk is full.
        """
        request = Request(label[:1000], image[:1000], names)
        with self._file() as scope:
            await asyncio.to_thread(_write, msgspec.json.encode(ManifestScope(code_owners, quality)), scope)
            rows, answer = await self._rows(manifest, request, scope)
        if answer.sizes is not None:
            return await _read(SpooledLineage, rows, answer.sizes)
        rows.close()
        if answer.refusal:
            raise ManifestError(answer.refusal.doing, answer.refusal.reason, answer.refusal.next_step)
        raise UnavailableError(f"reading the manifest of {label}", answer.crash, RETRIES)

    async def columns(
        self, document: Spool, lineage: StorableLineage, label: str, image: str, secrets: Collection[str] = ()
    ) -> SpooledColumns:
        """The columns of a lineage's nodes. Raises ColumnsError."""
        doing = f"reading the columns of {label}"
        try:
            with self._file() as scope:
                await asyncio.to_thread(_write_scope, lineage, secrets, scope)
                rows, answer = await self._rows(document, Request(label[:1000], image[:1000], None), scope)
        except UnavailableError as error:
            raise ColumnsError(doing, error.reason, temporary=True) from error
        if answer.sizes is not None:
            return await _read(SpooledColumns, rows, answer.sizes)
        rows.close()
        if answer.refusal:
            raise ColumnsError(answer.refusal.doing, answer.refusal.reason, answer.refusal.next_step)
        raise ColumnsError(doing, answer.crash, temporary=True)

    async def differences(self, manifest: Spool, other: FinishedSpool, label: str, image: str) -> ManifestDifferences:
        """What two manifests of one input do not have in common. Raises like `lineage`."""
        request = Request(label[:1000], image[:1000], None, compares=True)
        with self._file() as rows:
            async with self._turns:
                descriptors = [await manifest.fileno(), rows.fileno(), other.fileno()]
                keep = manifest.size_bytes + other.size_bytes <= KEPT_BYTES
                answer = await self._ask(msgspec.json.encode(request), descriptors, label, keep=keep)
        if answer.differences is not None:
            return answer.differences
        if answer.refusal:
            raise ManifestError(answer.refusal.doing, answer.refusal.reason, answer.refusal.next_step)
        raise UnavailableError(f"comparing the manifests of {label}", answer.crash, RETRIES)

    async def _rows(self, content: Spool, request: Request, scope: IO[bytes]) -> tuple[IO[bytes], DecodingResult]:
        """A file, and what the process has written into it."""
        rows = self._file()
        try:
            descriptors = [await content.fileno(), rows.fileno(), scope.fileno()]
            async with self._turns:
                keep = content.size_bytes <= KEPT_BYTES
                answer = await self._ask(msgspec.json.encode(request), descriptors, request.label, keep=keep)
        except BaseException:
            rows.close()
            raise
        return rows, answer

    def _file(self) -> IO[bytes]:
        with disk_errors():
            return tempfile.TemporaryFile(dir=self._work_dir, prefix="lineage-")

    async def _ask(self, request: bytes, descriptors: list[int], label: str, *, keep: bool) -> DecodingResult:
        process = await self._send(request, descriptors)
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
        with suppress(UnavailableError):  # the next request will report it
            await self.prepare()
        return msgspec.json.decode(answer, type=DecodingResult)

    async def _send(self, request: bytes, descriptors: list[int]) -> Process:
        """The process that has received the request. Idle processes that have died are replaced."""
        while True:
            process = self._idle.pop() if self._idle else await self._start()
            if process.send(request, descriptors):
                return process
            logger.warning("an idle process that decodes manifests had died")
            process.kill()

    async def prepare(self) -> None:
        """Start a process for the next manifest, unless one is idle."""
        gone = {process for process in self._all if not process.alive}
        for process in gone:
            process.close()
        self._all -= gone
        self._idle = [process for process in self._idle if process not in gone]
        if not self._idle:
            self._idle.append(await self._start())

    async def _start(self) -> Process:
        try:
            process = await Process.start(self._environ)
        except OSError as error:
            raise UnavailableError("starting a process that decodes manifests", str(error), RETRIES) from error
        self._all.add(process)
        return process

    async def stop(self) -> None:
        """End all processes."""
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
    """The pool, whose processes end with the context. `environ` is their whole environment."""
    decoders = Decoders(work_dir, size, environ)
    try:
        await decoders.prepare()
        yield decoders
    finally:
        await decoders.stop()


async def _read(kind: Callable[[IO[bytes], Sizes], Rows], rows: IO[bytes], sizes: Sizes) -> Rows:
    """The rows, which own the file; nobody does if this is cancelled before."""
    try:
        return await asyncio.to_thread(kind, rows, sizes)
    except BaseException:
        rows.close()
        raise


def _write_scope(lineage: StorableLineage, secrets: Collection[str], file: IO[bytes]) -> None:
    _write(msgspec.json.encode(ColumnsScope(lineage.unique_ids(), lineage.external, frozenset(secrets))), file)


def _write(content: bytes, file: IO[bytes]) -> None:
    with disk_errors():
        file.write(content)
        file.flush()


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, which happens when the machine runs out of memory"
    return f"ended by signal {-status}" if status < 0 else f"ended with exit status {status}"


def _stopped(label: str, how: str) -> UnavailableError:
    next_step = "Freshet retries automatically. If it happens again, this machine may need more memory."
    return UnavailableError(f"reading the manifest of {label}", f"the process that decodes it {how}", next_step)
