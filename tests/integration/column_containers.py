"""Runs one job in one container by hand, and reads the columns document that it writes after the manifest and the state."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from app.runner.profile import stub
from tests.engine.forks import Forks
from tests.integration.runner_images import RUNNER_IMAGE
from tests.patience import HANGS_S

Node = dict[str, Any]
STDOUT = 1


@dataclass(frozen=True)
class Written:
    """What a container has written."""

    result: dict[str, Any]
    manifest: bytes
    state: bytes
    announced: dict[str, Any]
    document: bytes
    rest: bytes
    status: int

    @property
    def nodes(self) -> dict[str, Node]:
        """The document's lines by unique_id without the project's name: `model.orders`."""
        _, *lines = (json.loads(line) for line in self.document.splitlines())
        return {line["unique_id"].replace(".shop.", ".", 1): line for line in lines}

    def columns(self, node: str) -> list[str]:
        """The names of a node's columns."""
        return [name for name, _, _ in self.nodes[node]["columns"]]

    def sources_of(self, node: str, column: str | None) -> set[str]:
        """What a column depends on, as `model.orders.id`."""
        edges = self.nodes[node]["edges"]
        return {f"{upstream.replace('.shop.', '.', 1)}.{name}" for upstream, name, target, _, _ in edges if target == column}


async def written(
    files: Mapping[str, str],
    *,
    image: str = RUNNER_IMAGE,
    adapter: str = "duckdb",
    previous: Written | None = None,
    memory: str = "1g",
    forks: Forks | None = None,
    **changed: Any,
) -> Written:
    """Parse a project, after `previous` if there was one: in a fork, else in a container that is isolated as those of the service are."""
    job = {
        "command": "parse",
        "project_dir": "",
        "profile": "shop",
        "target": "dev",
        "profiles": stub("shop", "dev", adapter),
        "variables": {},
        "environment": {},
        "keep_state": True,
        "columns": True,
        **changed,
    }
    sent = json.dumps(job).encode() + b"\n" + _archive(files, previous)
    async with asyncio.timeout(HANGS_S):
        output, ended = await (_in_container(image, memory, sent) if forks is None else _in_fork(forks, sent))
        assert json.loads(await output.readline()) == {"taken": True}
        result, manifest = await _answer(output, "bytes")
        assert result["ok"], result["error"]
        state, document = b"", b""
        announced: dict[str, Any] = {}
        if job["keep_state"]:
            _, state = await _answer(output, "state_bytes")
        if job["columns"]:
            announced, document = await _answer(output, "columns_bytes")
        rest = await output.read()
        return Written(result, manifest, state, announced, document, rest, await ended)


async def _in_container(image: str, memory: str, sent: bytes) -> tuple[asyncio.StreamReader, Awaitable[int]]:
    walls = ["--network=none", "--read-only", "--cap-drop=ALL", "--user=10001:10001", "--security-opt=no-new-privileges"]
    limits = [f"--memory={memory}", f"--memory-swap={memory}", "--pids-limit=256", "--tmpfs=/work:mode=1777", "--tmpfs=/tmp:mode=1777"]
    command = ["docker", "run", "--rm", "--interactive", *walls, *limits, image]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=1 << 26)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(sent)
    return process.stdout, process.wait()


async def _in_fork(forks: Forks, sent: bytes) -> tuple[asyncio.StreamReader, Awaitable[int]]:
    given, output = asyncio.StreamReader(), asyncio.StreamReader(limit=1 << 26)
    given.feed_data(sent)

    async def take(stream: int, data: bytes) -> None:
        if stream == STDOUT:
            output.feed_data(data)

    status = await forks.run(object(), given, take)
    output.feed_eof()
    return output, _known(status)


async def _known(status: int) -> int:
    return status


async def _answer(stream: asyncio.StreamReader, size: str) -> tuple[dict[str, Any], bytes]:
    line = json.loads(await stream.readline())
    return line, await stream.readexactly(line[size])


def _archive(files: Mapping[str, str], previous: Written | None) -> bytes:
    members = {} if previous is None else {"state": previous.state, "columns": previous.document}
    members |= {f"src/{path}": text.encode() for path, text in files.items()}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()
