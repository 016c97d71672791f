"""Strangers with many sockets: silent ones, bodies that stop halfway, answers that nobody reads. Others are answered as without them."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Self

import aiohttp

from app.github.unverified import LIMIT
from tests.double import GitHubDouble
from tests.load import process
from tests.load.part import Outcome
from tests.load.world import opened
from tests.patience import HANGS_S
from tests.service import TOKEN, Service

SILENT = 1_100
HALF_SENT = 60
BODY = 24 << 20
"""Bytes that each half-sent body promises."""
SENT = 6 << 20
"""Bytes of it that are sent: of all together more than there is room for."""
GREEDY = 60
LARGE = b"GET /docs HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 7_900) for number in range(7)) + b"\r\n"
"""A request with almost the largest header."""
FILES = 1_024
"""Open files of the service: what a usual system gives a program."""
SIZES = (10, 100 << 10, 1 << 20, 8 << 20)
"""Bytes of deliveries that GitHub sends meanwhile."""
ROUNDS = 5
MEMORY_MIB = 160
"""How much memory the strangers may cost: 64 MiB of bodies, and what half of the open files take as connections."""


class Crowd:
    """Sockets of strangers."""

    def __init__(self, service: Service) -> None:
        self._port = int(service.url.rpartition(":")[2])
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for _, writer in self._streams:
            writer.transport.abort()
        for one in self._sockets:
            one.close()

    async def open(self, sent: bytes = b"") -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._streams.append((reader, writer))
        writer.write(sent)
        return writer

    async def half_a_body(self) -> None:
        """Begin a delivery with a signature that only its end could disprove."""
        head = [
            *("POST /api/webhooks/github HTTP/1.1", "Host: x", f"Content-Length: {BODY}", "Content-Type: application/json"),
            *("X-GitHub-Event: push", f"X-GitHub-Delivery: {uuid.uuid4()}", f"X-Hub-Signature-256: sha256={'0' * 64}", "", ""),
        ]
        writer = await self.open("\r\n".join(head).encode())
        with suppress(ConnectionError):
            for _ in range(SENT >> 16):
                writer.write(bytes(1 << 16))
                await writer.drain()

    async def ask_and_never_read(self) -> None:
        """Ask for pages again and again, with large headers, and read nothing."""
        one = socket.socket()
        self._sockets.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)  # noqa: FBT003 - it takes no keyword
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self._port))
        for sent in [b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 8, *[LARGE] * 40]:
            with suppress(BlockingIOError, ConnectionError):
                one.send(sent)
            await asyncio.sleep(0.01)

    def there(self) -> int:
        """How many of them are not disconnected."""
        return sum(not reader.at_eof() and reader.exception() is None for reader, _ in self._streams)


class Users:
    """What GitHub and people ask for meanwhile, each over a new connection, and how often they were not answered."""

    def __init__(self, github: GitHubDouble, service: Service, session: aiohttp.ClientSession) -> None:
        self._secret, self._url, self._session = github.app.webhook_secret.encode(), service.url, session
        self.asked = 0

    async def ask(self, rounds: int = ROUNDS) -> list[str]:
        """Ask for pages and the API, and send deliveries of all sizes; what was not answered as it should be."""
        refused = []
        for size in SIZES * rounds:
            answers = {
                f"a delivery of {size} bytes": (await self._deliver(size), 202),
                "/docs": (await self._get("/docs"), 200),
                "the API": (await self._get("/api/metadata/connections"), 200),
            }
            self.asked += len(answers)
            refused += [f"{what}: {answer}" for what, (answer, expected) in answers.items() if answer != expected]
        return refused

    async def _get(self, path: str) -> int | str:
        return await self._status("GET", path, {"Authorization": f"Bearer {TOKEN}"}, None)

    async def _deliver(self, size: int) -> int | str:
        body = json.dumps({"zen": "x" * size}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "ping",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": f"sha256={hmac.digest(self._secret, body, 'sha256').hex()}",
        }
        return await self._status("POST", "/api/webhooks/github", headers, io.BytesIO(body))

    async def _status(self, method: str, path: str, headers: Mapping[str, str], body: io.BytesIO | None) -> int | str:
        try:
            async with self._session.request(method, f"{self._url}{path}", headers=headers, data=body) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__


class Peaks:
    """The most open files and unnamed bytes that the service was seen with."""

    def __init__(self) -> None:
        self.files = self.unnamed = 0

    @asynccontextmanager
    async def watched(self, pid: int) -> AsyncIterator[None]:
        """Look all the time."""
        watching = asyncio.create_task(self._watch(pid))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, pid: int) -> None:
        while True:
            self.files = max(self.files, process.open_files(pid))
            self.unnamed = max(self.unnamed, process.unnamed_bytes(pid))
            await asyncio.sleep(0.05)


async def run(
    silent: int = SILENT, half_sent: int = HALF_SENT, greedy: int = GREEDY, rounds: int = ROUNDS, *, until_gone: bool = True
) -> Outcome:
    """Ask without strangers, beside silent ones, and beside all; with `until_gone`, wait until the silent ones are disconnected."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with opened(2, BENCH_FILES=f"{FILES}:{FILES}") as world, aiohttp.ClientSession(connector=connector) as session:
        users, peaks, pid, outcome = Users(world.github, world.service, session), Peaks(), world.service.process.pid, Outcome()
        missing = {"without strangers": await users.ask(rounds)}
        before_mib = process.peak_kib(pid) >> 10
        async with Crowd(world.service) as quiet, Crowd(world.service) as crowd, peaks.watched(pid):
            for _ in range(silent):
                await quiet.open()
            missing[f"beside {silent:,} silent connections"] = await users.ask(rounds)
            outcome.row("silent connections that are kept meanwhile", quiet.there())
            await asyncio.gather(*(crowd.half_a_body() for _ in range(half_sent)))
            await asyncio.gather(*(crowd.ask_and_never_read() for _ in range(greedy)))
            await world.push_to_all()
            missing[f"beside these, {half_sent} half-sent bodies and {greedy} who never read"] = await users.ask(rounds)
            await world.settled()
            if until_gone:
                async with asyncio.timeout(HANGS_S):
                    while quiet.there():
                        await asyncio.sleep(0.1)
        missing["after them"] = await users.ask(rounds)
        for when, refused in missing.items():
            outcome.row(f"requests and deliveries without their answer, {when}", f"{len(refused)} of {users.asked // len(missing)}")
            outcome.check(not refused, f"{when}: {refused[:5]}")
        _bounds(outcome, peaks, (process.peak_kib(pid) >> 10) - before_mib)
        outcome.check(await world.value("SELECT count(*) FROM extractions WHERE status = 'succeeded'") == 4, "a push was not extracted")
        outcome.check('"level": "error"' not in world.service.log, "the log has an error")
    return outcome


def _bounds(outcome: Outcome, peaks: Peaks, grown_mib: int) -> None:
    outcome.row("most open files, of 1,024", peaks.files)
    outcome.row("most bytes of bodies on disk, MiB, of 256", peaks.unnamed >> 20)
    outcome.row("memory beyond that of users alone, MiB", grown_mib)
    outcome.check(peaks.files < FILES * 3 // 4, f"{peaks.files} open files of {FILES}")
    outcome.check(peaks.unnamed <= LIMIT + (32 << 20), f"{peaks.unnamed:,} bytes of bodies on disk")
    outcome.check(grown_mib < MEMORY_MIB, f"{grown_mib} MiB more memory")
