"""Connections of clients: a deadline for each request's header, and fewer connections than this process may open files.

When there are too many, the one that waits longest gives way: one without a request first, then one whose body is still arriving. aiohttp
has neither limit, and without free files nobody gets in any more, not even to ask whether the service lives.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import defaultdict
from collections.abc import Mapping
from itertools import chain
from typing import Any, cast

from aiohttp import web, web_protocol
from aiohttp.typedefs import Handler

from app.core import log
from app.web.auth.rate_limits import network_of

HEADER_S = 10.0
"""Time for the header of a request, from its first byte; for the first one, from the start of the connection."""
MAX_HEADER = 64 << 10
"""Bytes of a header."""
AIOHTTP: Mapping[str, Any] = {
    "keepalive_timeout": 600.0,  # for connections without requests, while there is room
    "lingering_time": 5.0,  # to read the rest of a refused body, so that the client sees why
    "max_line_size": 32 << 10,  # two parameters of the longest texts, percent-encoded
    "auto_decompress": False,  # signatures cover the raw bytes, and a small body must not become a large one
}
"""Settings of aiohttp's server."""
STALLED_S = 30.0
"""A client that reads nothing for this long is disconnected."""
QUEUED_REQUESTS = 2
"""Requests of one connection that wait for the answers before theirs. aiohttp takes 32, with a header of `MAX_HEADER` each."""
UNSENT = 128 << 10
"""Bytes that the kernel takes for a client and has not sent: without a limit it takes 4 MiB for somebody who reads nothing."""
MAX_CONNECTIONS = 4096
BACKLOG = 128
SAY_AGAIN_S = 60.0

web_protocol.MAX_MSG_QUEUE_SIZE = QUEUED_REQUESTS

logger = log.get(__name__)


def maximum() -> int:
    """How many connections there can be: half of the files, because databases, containers and git need some, and accepting takes some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, soft // 2))


class ClientConnection(asyncio.Protocol):
    """One client, before aiohttp's own protocol."""

    def __init__(self, limits: ConnectionLimits, inner: asyncio.Protocol, header_s: float) -> None:
        self._limits, self._inner, self._header_s = limits, inner, header_s
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._header: int | None = 0
        """Bytes of the header so far; None while no header is expected."""
        self._tail = b""
        self.transport: asyncio.Transport | None = None
        self.network = ""
        self.request: web.Request | None = None
        """What is being answered."""
        self.idle_since = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline of the first header."""
        self.transport = cast("asyncio.Transport", transport)
        _limit_unsent(transport.get_extra_info("socket"))
        peer = transport.get_extra_info("peername")
        self.network = network_of(peer[0]) if isinstance(peer, tuple) else ""
        self._deadline = self._loop.call_later(self._header_s, self.abort)
        self._inner.connection_made(transport)
        self._limits.add(self)

    def data_received(self, data: bytes) -> None:
        """Pass on bytes; look for the end of the header."""
        if self._header is not None:
            self._look_for_end(data)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._limits.remove(self)
        self._cancel_timers()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._inner.pause_writing()
        self._watch_reading(self._unsent())

    def resume_writing(self) -> None:
        """The client has read."""
        if self._stalled is not None:
            self._stalled.cancel()
        self._inner.resume_writing()

    def began(self, request: web.Request) -> None:
        """A request is being answered."""
        self.request, self._header = request, None
        if self._deadline is not None:
            self._deadline.cancel()

    def ended(self) -> None:
        """The request was answered. If its body has not arrived completely, the connection is closed; otherwise another may follow."""
        self._header = 0 if self.request is not None and self.request.content.is_eof() else None
        self.request, self._tail, self.idle_since = None, b"", self._loop.time()

    def abort(self) -> None:
        """Close the connection now, whatever is unsent."""
        if self.transport is not None:
            self.transport.abort()

    def can_give_way(self) -> bool:
        """Whether nothing is lost without this connection: no request, or one that has not arrived completely."""
        if self.request is not None:
            return not self.request.content.is_eof()
        return not self._unsent() or self._loop.time() - self.idle_since >= STALLED_S

    def _look_for_end(self, data: bytes) -> None:
        begins, seen = not self._header, self._tail + data
        self._header = (self._header or 0) + len(data)
        if seen.find(b"\r\n\r\n") >= 0:
            self._header = None
            if self._deadline is not None:
                self._deadline.cancel()
        elif self._header > MAX_HEADER:
            self.abort()
        elif begins:
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = self._loop.call_later(self._header_s, self.abort)
        self._tail = seen[-3:]

    def _watch_reading(self, before: int) -> None:
        self._stalled = self._loop.call_later(STALLED_S, self._check_reading, before)

    def _check_reading(self, before: int) -> None:
        unsent = self._unsent()
        if unsent >= before:
            self.abort()
        else:
            self._watch_reading(unsent)

    def _unsent(self) -> int:
        return 0 if self.transport is None or self.transport.is_closing() else self.transport.get_write_buffer_size()

    def _cancel_timers(self) -> None:
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()


def _limit_unsent(connection: socket.socket | None) -> None:
    """https://docs.kernel.org/networking/ip-sysctl.html (`tcp_notsent_lowat`): it does not slow down those who read."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if connection is not None and option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT)


class ConnectionLimits:
    """All connections of this process."""

    def __init__(self, limit: int | None = None, *, header_s: float = HEADER_S) -> None:
        self.limit, self.header_s = limit or maximum(), header_s
        self._by_transport: dict[asyncio.BaseTransport, ClientConnection] = {}
        self._waiting: defaultdict[str, dict[ClientConnection, None]] = defaultdict(dict)
        """Connections without a request by network, longest waiting first."""
        self._busy: dict[ClientConnection, None] = {}
        self._said_at = float("-inf")

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._by_transport)

    def add(self, connection: ClientConnection) -> None:
        """Count a new connection. If there are too many, another one is closed, or this one."""
        if len(self._by_transport) >= self.limit:
            self._make_room(connection)
        if connection.transport is not None:
            self._by_transport[connection.transport] = connection
            self._waiting[connection.network][connection] = None

    def remove(self, connection: ClientConnection) -> None:
        """Forget a closed connection."""
        if connection.transport is not None:
            self._by_transport.pop(connection.transport, None)
        self._busy.pop(connection, None)
        self._stop_waiting(connection)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note which connections have a request."""
        connection = self._by_transport.get(request.transport) if request.transport else None
        if connection is None:
            return await handler(request)
        self._stop_waiting(connection)
        self._busy[connection] = None
        connection.began(request)
        try:
            return await handler(request)
        finally:
            connection.ended()
            self._busy.pop(connection, None)
            if connection.transport in self._by_transport:
                self._waiting[connection.network][connection] = None

    def _stop_waiting(self, connection: ClientConnection) -> None:
        waiting = self._waiting.get(connection.network)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._waiting[connection.network]

    def _make_room(self, new: ClientConnection) -> None:
        """Close the longest waiting connection of the network that has most of them."""
        networks = sorted(self._waiting.values(), key=len, reverse=True)
        oldest = next((one for one in chain(*networks, self._busy) if one.can_give_way()), new)
        if oldest is not new and oldest.transport is not None:
            self._by_transport.pop(oldest.transport, None)
            self._stop_waiting(oldest)
            self._busy.pop(oldest, None)
        oldest.abort()
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= SAY_AGAIN_S:
            self._said_at = now
            logger.warning("too many connections: the longest waiting ones are closed", limit=self.limit)


class LimitedSite(web.BaseSite):
    """Listens on an address, with limits on connections."""

    def __init__(self, runner: web.BaseRunner, host: str, port: int, limits: ConnectionLimits) -> None:
        self._limits, self._host, self._port = limits, host, port
        super().__init__(runner, backlog=max(1, min(BACKLOG, limits.limit // 4)))

    @property
    def name(self) -> str:
        """The address."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Start to listen. Raises OSError."""
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")

        def connect() -> ClientConnection:
            return ClientConnection(self._limits, server(), self._limits.header_s)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connect, self._host, self._port, backlog=self._backlog)


LIMITS = web.AppKey("limits", ConnectionLimits)
