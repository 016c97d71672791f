"""A warm container of a runner image that does one job after the other."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.runner.docker.isolation import USER
from app.runner.job_protocol import WARM_NAME
from app.runner.profile import stub

HEAD = struct.Struct(">cI")
READ_BYTES = 1 << 16
RUNNER = "/opt/freshet/runner"
PROGRAM = (Path(__file__).parent / "program.py").read_text()
WALLS = (
    *("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--user={USER}", "--memory=2g"),
    *(f"--tmpfs={path}:mode=1777" for path in ("/work", "/tmp")),  # noqa: S108 - the container's
)

Output = Callable[[int, bytes], Awaitable[None]]
"""Takes the number of a stream, and what was written to it."""


class Forks:
    """One container; a job waits until the one before it has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._busy_with: object = None

    async def run(self, job: object, stdin: asyncio.StreamReader, output: Output) -> int:
        """Run a job; returns its exit status."""
        async with self._turn:
            self._busy_with = job
            self._send(b"S")
            feeding = asyncio.create_task(self._feed(stdin))
            try:
                while (frame := await self._frame())[0] != b"E":
                    await output(int(frame[0]), frame[1])
                return int(frame[1])
            finally:
                self._busy_with = None
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    def kill(self, job: object) -> bool:
        """End a job; False if it does not run."""
        if self._busy_with is not job:
            return False
        self._send(b"K")
        return True

    async def ready(self) -> None:
        """Wait until it is warm."""
        assert (await self._frame())[0] == b"R"

    async def _feed(self, stdin: asyncio.StreamReader) -> None:
        # A client that was killed with something unread resets the connection.
        with suppress(ConnectionError):
            while data := await stdin.read(1 << 18):
                self._send(b"I", data)
                assert self._process.stdin is not None
                await self._process.stdin.drain()
        self._send(b"C")

    def _send(self, kind: bytes, data: bytes = b"") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(HEAD.pack(kind, len(data)) + data)

    async def _frame(self) -> tuple[bytes, bytes]:
        assert self._process.stdout is not None
        kind, length = HEAD.unpack(await self._process.stdout.readexactly(HEAD.size))
        return kind, await self._process.stdout.readexactly(length)


@asynccontextmanager
async def forking(image: str, adapter_type: str = "duckdb", program: Path | None = None) -> AsyncIterator[Forks]:
    """Yield a warm container of an image; `program` is a directory with another runner program than the image's."""
    profiles = stub(WARM_NAME, WARM_NAME, adapter_type)
    warm = json.dumps({"adapter_type": adapter_type, "profile": WARM_NAME, "target": WARM_NAME, "profiles": profiles})
    mounted = () if program is None else (f"--volume={program.resolve()}:{RUNNER}:ro",)
    options = ("--rm", "--interactive", *WALLS, *mounted, "--env=WARM", "--entrypoint=/opt/dbt/bin/python")
    command = ("docker", "run", *options, image, "-s", "-c", PROGRAM)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={**os.environ, "WARM": warm})
    try:
        forks = Forks(process)
        await forks.ready()
        yield forks
    finally:
        assert process.stdin is not None
        process.stdin.close()
        # Unread output would keep it from ending.
        assert process.stdout is not None
        while await process.stdout.read(READ_BYTES):
            pass
        await process.wait()
