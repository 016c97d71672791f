"""A real PostgreSQL that can be killed, stopped and cut off."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from app.store import postmaster
from app.store.postmaster import Postmaster

OTHERS = "pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


class Server:
    """The server of one world. It is durable, as an operator's is."""

    def __init__(self, directory: Path) -> None:
        self.cluster, self._sockets = directory / "postgres", directory / "socket"
        self._sockets.mkdir(parents=True)
        postmaster.hand_over(self._sockets)
        postmaster.initialise(self.cluster)
        self._postmaster = Postmaster(self.cluster, self._sockets, durable=True)
        self.socket = self._sockets / ".s.PGSQL.5432"
        self.dsn = self._postmaster.dsn

    async def start(self) -> None:
        await self._postmaster.start()

    async def stop(self) -> None:
        await self._postmaster.stop()

    async def kill(self) -> None:
        """SIGKILL to its first process, whose others then end by themselves."""
        os.kill(self.pid(), signal.SIGKILL)
        await self._postmaster.ended()

    async def kill_one(self) -> None:
        """SIGKILL to a process that serves a connection: the server ends all others, and recovers."""
        row = await self.row(f"SELECT pid FROM {OTHERS} LIMIT 1")
        if row is not None:
            os.kill(row["pid"], signal.SIGKILL)

    async def cut(self) -> None:
        """End every connection."""
        await self.row(f"SELECT count(pg_terminate_backend(pid)) FROM {OTHERS}")

    def pid(self) -> int:
        return int((self.cluster / "postmaster.pid").read_text().split()[0])

    async def rows(self, statement: str, *args: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn, timeout=10)
        try:
            return list(await connection.fetch(statement, *args))
        finally:
            await connection.close()

    async def row(self, statement: str, *args: object) -> asyncpg.Record | None:
        return next(iter(await self.rows(statement, *args)), None)

    async def value(self, statement: str, *args: object) -> Any:
        row = await self.row(statement, *args)
        return None if row is None else row[0]


@asynccontextmanager
async def serving(directory: Path, *, disk_mib: int | None = None) -> AsyncIterator[Server]:
    """A server; with `disk_mib` its files are on a disk of that size (needs root)."""
    if disk_mib is not None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk_mib}m,mode=755", "chaos", directory], check=True)
    server: Server | None = None
    try:
        server = await asyncio.to_thread(Server, directory)
        await server.start()
        yield server
    finally:
        if server is not None:
            await server.stop()
        if disk_mib is not None:
            subprocess.run(["umount", "--lazy", directory], check=True)
