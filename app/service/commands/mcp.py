"""`mcp`: the tools for agents over standard input and output, for clients that start a program. A running service answers.

https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/stdio: a message a line, and nothing else on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson

from app.core import log
from app.core.errors import ConfigurationError
from app.service.commands import Commands
from app.service.config import Settings
from app.web.mcp import jsonrpc
from app.web.mcp.endpoint import PATH

MAX_LINE = 1 << 20
"""Bytes. The service takes less, and says so."""
AT_ONCE = 8
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
DOING = "passing on messages of an agent"

logger = log.get(__name__)


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("mcp", help="let an agent call the tools of a running service over standard input and output")
    parser.add_argument("--url", metavar="URL", help="the address of the service; default: FRESHET_MCP_URL, else BACKEND_URL")
    parser.set_defaults(command=serve, without_directories=True)


async def serve(options: argparse.Namespace, settings: Settings) -> int:
    """Pass on messages until standard input ends. The exit status is 1 if a line is too long to be one."""
    url, token = options.url or settings.freshet_mcp_url or settings.public_url, settings.freshet_mcp_token
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(DOING, f"--url: {url} is no address that begins with http:// or https://")
    if token is None:
        raise ConfigurationError(DOING, "FRESHET_MCP_TOKEN: is required, a GitHub token or a service token")
    lines = asyncio.StreamReader(limit=MAX_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    headers = {"Authorization": f"Bearer {token.get_secret_value()}", "Accept": "application/json, text/event-stream"}
    async with aiohttp.ClientSession(timeout=TIMEOUT, headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
        return await Relay(session, url.rstrip("/") + PATH, _print).run(lines)


class Relay:
    """Sends each line to the service, and writes each answer as a line."""

    def __init__(self, session: aiohttp.ClientSession, url: str, write: Callable[[bytes], None]) -> None:
        self._session, self._url, self._write = session, url, write
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._version: str | None = None
        """What `initialize` agreed on, for the headers of what follows."""

    async def run(self, lines: asyncio.StreamReader) -> int:
        """Several messages at once, until the input ends and all are answered."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    line = await lines.readline()
                except ValueError:
                    self._write(_problem(None, jsonrpc.INVALID_REQUEST, f"A message may have {MAX_LINE:,} bytes"))
                    return 1
                if not line:
                    return 0
                if line.strip():
                    await self._slots.acquire()
                    tasks.create_task(self._pass_on(line)).add_done_callback(lambda _: self._slots.release())

    async def _pass_on(self, line: bytes) -> None:
        try:
            message = orjson.loads(line)
        except orjson.JSONDecodeError:
            self._write(_problem(None, jsonrpc.PARSE_ERROR, "The line must be JSON"))
            return
        id_ = jsonrpc.id_of(message)
        try:
            headers = {"Content-Type": "application/json", **jsonrpc.headers_of(message, self._version)}
            async with self._session.post(self._url, data=line.strip(), headers=headers, allow_redirects=False) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self._answer(id_, _problem(id_, jsonrpc.INTERNAL_ERROR, f"Freshet at {self._url} did not answer: {error or 'timeout'}"))
            return
        answer = _decoded(body)
        if isinstance(answer, list) or (isinstance(answer, dict) and answer.get("jsonrpc") == "2.0"):
            self._remember(message, answer)
            self._answer(id_ if isinstance(answer, dict) else 0, orjson.dumps(answer))
        elif not response.ok or body:
            said = f"{answer.get('title')}: {answer.get('detail')}" if isinstance(answer, dict) else f"HTTP status {response.status}"
            self._answer(id_, _problem(id_, jsonrpc.INTERNAL_ERROR, f"Freshet at {self._url} refused this: {said}"))

    def _remember(self, message: Any, answer: Any) -> None:
        if isinstance(message, dict) and message.get("method") == "initialize" and isinstance(answer, dict):
            self._version = answer.get("result", {}).get("protocolVersion")

    def _answer(self, id_: object, line: bytes) -> None:
        """Nobody waits for the answer to a notification."""
        if id_ is None:
            logger.warning("a message without an id was not accepted", reason=line.decode())
        else:
            self._write(line)


def _problem(id_: str | int | None, code: int, text: str) -> bytes:
    return orjson.dumps(jsonrpc.RpcError(code, text).response(id_))


def _decoded(body: bytes) -> Mapping[str, Any] | list[Any] | None:
    try:
        found: Mapping[str, Any] | list[Any] | None = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found


def _print(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
