"""The standard streams of a program in a pod, over one WebSocket: the first byte of a message is the number of its stream.

Protocol v4.channel.k8s.io: https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/util/wsstream/doc.go
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp

STDIN, STDOUT, STDERR, STATUS = range(4)
MAX_MESSAGE: Final = 64 << 10
"""Bytes of standard input in one message."""
END: Final = b"\0freshet: exit "
_SCRIPT: Final = '"$@"; s=$?; printf "\\000freshet: exit %d\\n" $s; printf "\\000freshet: exit %d\\n" $s >&2; exec cat >/dev/null'
_ENDED: Final = re.compile(rb"\0freshet: exit (\d{1,3})\n")


def watched(command: Sequence[str]) -> tuple[str, ...]:
    """Wrap a program so that its end is said on both of its streams, and what it has not read is read.

    Otherwise the node closes the connection over unread input, and what was written last is lost with it, the exit status too.
    """
    return ("sh", "-c", _SCRIPT, "sh", *command)


class ExecConnection:
    """A `streams.Connection`. `status` is the exit status of a program that ended; None: it goes on, or nobody knows.

    A project can say the end itself: it can only spoil its own job.
    """

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._ends = {STDOUT: _EndFinder(), STDERR: _EndFinder()}
        self.status: int | None = None
        self.ended = asyncio.Event()
        """The program has ended."""

    async def read(self) -> tuple[int, bytes] | None:
        """More output and its stream; None at the end."""
        while not all(end.status is not None for end in self._ends.values()):
            message = await self._websocket.receive()
            if message.type not in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}:
                return None
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            stream, data = data[:1], data[1:]
            if stream == bytes([STATUS]):
                self._end(exit_status(data))
                return None
            if stream and stream[0] in self._ends and (output := self._ends[stream[0]].output(data)):
                return stream[0], output
        self._end(self._ends[STDOUT].status)
        return None

    async def write(self, data: bytes) -> None:
        """Write to standard input."""
        for start in range(0, len(data), MAX_MESSAGE):
            await self._websocket.send_bytes(bytes([STDIN]) + data[start : start + MAX_MESSAGE])

    async def close(self) -> None:
        """Disconnect at once, without a handshake: the other end may be dead."""
        self._websocket._response.close()  # noqa: SLF001 - closing alone waits for the answer
        with suppress(aiohttp.ClientError, OSError, RuntimeError):
            await self._websocket.close()

    def _end(self, status: int | None) -> None:
        if status is not None:
            self.status = status
            self.ended.set()


class _EndFinder:
    """Finds the end of one stream, which may arrive in parts."""

    def __init__(self) -> None:
        self.status: int | None = None
        self._held = b""

    def output(self, data: bytes) -> bytes:
        """The data without the end, or what may be the beginning of it."""
        if self.status is not None:
            return b""
        data, self._held = self._held + data, b""
        if found := _ENDED.search(data):
            self.status = int(found[1])
            return data[: found.start()]
        start = data.rfind(END[:1], -len(END) - 4)
        if start >= 0 and (data.startswith(END, start) or END.startswith(data[start:])):
            data, self._held = data[:start], data[start:]
        return data


def exit_status(text: bytes) -> int | None:
    """Return the exit status in the `Status` that ends a program: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/.

    >>> exit_status(b'{"status": "Success"}'), exit_status(b'{"status": "Failure", "message": "container not found"}')
    (0, None)
    """
    try:
        status: Any = json.loads(text)
        if status.get("status") == "Success":
            return 0
        causes = status["details"]["causes"]
        return next((int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"), None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
