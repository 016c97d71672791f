"""A socket in front of another, which can be closed, cut and stalled: `python -m tests.chaos.relay PORT SOCKET` listens on a TCP port."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Self

READ_BYTES = 1 << 16


class Relay:
    """Listens on a socket at `path`, or on a TCP port, and passes everything on to the socket `behind`."""

    def __init__(self, behind: str | Path, path: Path | None = None, port: int = 0) -> None:
        self._behind, self._path, self._port = str(behind), path, port
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._connected, str(self._path))
        else:
            self._server = await asyncio.start_server(self._connected, "0.0.0.0", self._port)  # noqa: S104 - in a namespace of its own

    async def close(self) -> None:
        """Accept no more connections, and cut those there are."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.cut()

    def cut(self) -> None:
        for writer in [*self._writers]:
            writer.transport.abort()

    def stall(self) -> None:
        """Pass nothing on, and close nothing."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._flows.wait()
            behind_reader, behind_writer = await asyncio.open_unix_connection(self._behind)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(behind_writer)
        try:
            await asyncio.gather(self._copy(reader, behind_writer), self._copy(behind_reader, writer))
        finally:
            self._writers -= {writer, behind_writer}
            for one in (writer, behind_writer):
                one.transport.abort() if one.transport.is_closing() else one.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()


async def serve(port: int, behind: str) -> None:
    async with Relay(behind, port=port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
