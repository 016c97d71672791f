"""The engine: answers itself what is about runner containers without a network, and passes everything else on to the real engine.

https://docs.docker.com/reference/api/engine/version/v1.41/
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import aiodocker

from app.runner.docker.engine import SOCKETS, connect
from app.runner.docker.images import PROTOCOL, RUNNER_LABEL
from app.runner.docker.isolation import NO_NETWORK
from tests.engine.forks import Forks, forking

PROGRAM = ["/opt/dbt/bin/python", "-s", "/opt/freshet/runner"]
"""What an image starts that can be forked: images of tests start programs of their own."""
KILLED = 137
HEAD_BYTES = 1 << 16


KEPT = object()
"""An answer: the connection is not HTTP's any more."""
NO_CONTENT = 204


class PassOnError(Exception):
    """A request for the real engine."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `raw` is its head as it was sent."""

    method: str
    path: str
    query: Mapping[str, str]
    raw: bytes
    body: bytes


@dataclass(eq=False)
class Container:
    """A container that is a fork."""

    id: str
    name: str
    config: dict[str, Any]
    forks: Forks
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    running: asyncio.Task[None] | None = None
    status: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def labels(self) -> dict[str, str]:
        """As they were given."""
        return dict(self.config.get("Labels") or {})

    async def run(self) -> None:
        """Do what its image does, and hang up."""
        assert self.reader is not None
        try:
            self.status = await self.forks.run(self, self.reader, self._write)
        except asyncio.IncompleteReadError:
            self.status = KILLED
        finally:
            self.ended.set()
            self.hang_up()

    def hang_up(self) -> None:
        """Close its streams."""
        if self.writer is not None:
            self.writer.close()

    async def _write(self, stream: int, data: bytes) -> None:
        assert self.writer is not None
        with suppress(ConnectionError):
            self.writer.write(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)
            await self.writer.drain()


class EngineDouble:
    """Listens on a socket, `url`; `started` counts its containers."""

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, f"unix://{path}"
        self.started = 0
        self._containers: dict[str, Container] = {}
        self._forks: dict[str, asyncio.Task[Forks]] = {}
        self._stack = AsyncExitStack()
        self._docker: aiodocker.Docker
        self._real = next(path for path in SOCKETS if Path(path).is_socket())

    async def __aenter__(self) -> Self:
        self._docker = await self._stack.enter_async_context(connect())
        listening = await asyncio.start_unix_server(self._serve, self.path, limit=HEAD_BYTES)
        self._stack.callback(listening.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        for container in [*self._containers.values()]:
            await self._remove(container)
        await self._stack.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and hang up whatever came of it, but for the streams of a container."""
        answer: Any = None
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                request = await _read(reader)
                try:
                    answer = await self._answer(request, reader, writer)
                except PassOnError:
                    await self._pass_on(request, reader, writer)
                    return
                if answer is not KEPT:
                    _respond(writer, NO_CONTENT if answer is None else 200, answer)
        finally:
            if answer is not KEPT:
                writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        match [request.method, *request.path.strip("/").split("/")]:
            case ["POST", "containers", "create"]:
                return await self._create(request)
            case ["GET", "containers", "json"]:
                return await self._list(request)
            case [method, "containers", name, *action]:
                return await self._about(self._found(name), [method, *action], request, reader, writer)
        raise PassOnError

    async def _create(self, request: Request) -> Any:
        config = json.loads(request.body)
        image = await self._forkable(config["Image"])
        if image is None or config["HostConfig"]["NetworkMode"] != NO_NETWORK:
            raise PassOnError
        forks = await self._forks_of(image)
        container = Container(secrets.token_hex(32), request.query["name"], config, forks)
        self._containers[container.id] = container
        return {"Id": container.id, "Warnings": []}

    async def _about(
        self, container: Container, asked: list[str], request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Any:
        match asked:
            case ["POST", "attach"]:
                container.reader, container.writer = reader, writer
                writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
                return KEPT
            case ["GET", "json"]:
                return _details(container)
            case ["POST", "wait"]:
                await container.ended.wait()
                return {"StatusCode": container.status}
            case ["POST", "update"]:
                container.config["HostConfig"] |= json.loads(request.body)
                return {"Warnings": []}
            case _:
                return await self._change(container, asked, request)

    async def _change(self, container: Container, asked: list[str], request: Request) -> None:
        match asked:
            case ["POST", "start"]:
                self.started += 1
                container.running = asyncio.create_task(container.run())
            case ["POST", "rename"]:
                container.name = request.query["name"]
            case ["DELETE"]:
                await self._remove(container)
            case _:
                raise NotImplementedError(f"the double of the engine does not know {asked}")

    async def _list(self, request: Request) -> Any:
        filters = json.loads(request.query.get("filters", "{}"))
        real = await self._docker.containers.list(all=True, filters=filters)
        wanted = dict(label.split("=", 1) for label in filters.get("label", ()))
        ours = [one for one in self._containers.values() if wanted.items() <= one.labels.items()]
        return [*(one._container for one in real), *({"Id": one.id, "Names": [f"/{one.name}"], "Labels": one.labels} for one in ours)]

    async def _remove(self, container: Container) -> None:
        if container.running is not None and not container.ended.is_set():
            if not container.forks.kill(container):
                container.running.cancel()
            await asyncio.wait([container.running])
        container.hang_up()
        self._containers.pop(container.id, None)

    def _found(self, name: str) -> Container:
        for one in self._containers.values():
            if name in (one.id, one.name):
                return one
        raise PassOnError

    async def _forkable(self, name: str) -> str | None:
        """The id of an image that can be forked."""
        try:
            image = await self._docker.images.inspect(name)
        except aiodocker.DockerError:
            return None
        config = image["Config"]
        ours = (config.get("Labels") or {}).get(RUNNER_LABEL) == PROTOCOL and config.get("Entrypoint") == PROGRAM
        return str(image["Id"]) if ours else None

    async def _forks_of(self, image: str) -> Forks:
        if image not in self._forks:
            self._forks[image] = asyncio.create_task(self._stack.enter_async_context(forking(image)))
        return await asyncio.shield(self._forks[image])

    async def _pass_on(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._real)
        engine_writer.write(request.raw + request.body)
        await asyncio.gather(_copy(reader, engine_writer), _copy(engine_reader, writer))


async def _read(reader: asyncio.StreamReader) -> Request:
    """Read a request; its connection is closed after it, so that the next one comes to us again."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    upgraded = "upgrade" in headers
    kept = [line for line in lines if upgraded or not line.lower().startswith("connection:")]
    raw = "\r\n".join([first, *kept, *([] if upgraded else ["Connection: close"]), "", ""]).encode()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    address = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    return Request(method, re.sub(r"^/v[\d.]+/", "/", address.path), query, raw, body)


def _respond(writer: asyncio.StreamWriter, status: int, content: Any) -> None:
    body = b"" if status == NO_CONTENT else json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)


def _details(container: Container) -> dict[str, Any]:
    state = {"Running": not container.ended.is_set(), "ExitCode": container.status, "OOMKilled": False}
    return {
        "Id": container.id,
        "Name": f"/{container.name}",
        "State": state,
        "Config": container.config,
        "HostConfig": container.config["HostConfig"],
        "Image": container.config["Image"],
    }


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
