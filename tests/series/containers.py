"""Jobs in forks of one warm container, over the service's own side of the protocol."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.pipeline.ports import DbtJob
from app.runner.job_archive import Earlier, archive
from app.runner.job_protocol import AnswerReader, MalformedResultError, Result, Sinks, job_line
from tests.engine.forks import Forks, forking
from tests.service import ROOT

PROGRAM = ROOT / "app" / "runner" / "program"
LINK = "-> "
"""The beginning of a text that stands for a symbolic link, whose target follows."""
CHUNK = 1 << 18


@dataclass(frozen=True)
class Tree:
    """A project as it reaches a container: tar entries, and the archive of its packages."""

    files: bytes
    packages: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """What a container answered to one job."""

    result: Result | None
    """None: it ended without one."""
    manifest: bytes
    state: bytes
    log: str = field(repr=False)
    status: int

    @property
    def ok(self) -> bool:
        return self.result is not None and self.result.ok


class Kept:
    """Bytes as `ports.ParseState` and `ports.PackageTree`."""

    def __init__(self, content: bytes) -> None:
        self._content, self.size_bytes = content, len(content)

    async def stream(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), CHUNK):
            yield self._content[start : start + CHUNK]

    def close(self) -> None:
        pass


class Container:
    """One warm container; its jobs run one after the other."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks

    async def parse(self, job: DbtJob, tree: Tree, state: bytes | None = None) -> Answer:
        """Run a job that leaves a state, with or without one from earlier."""
        kept: dict[str, bytearray] = {"manifest": bytearray(), "state": bytearray()}
        log, wrong, reader, answers = bytearray(), list[str](), asyncio.StreamReader(limit=1 << 30), AnswerReader()

        async def manifest(data: bytes) -> None:
            kept["manifest"] += data

        async def left(data: bytes) -> None:
            kept["state"] += data

        async def output(stream: int, data: bytes) -> None:
            if stream == 1 and not wrong:
                try:
                    await answers.feed(data)
                except MalformedResultError as error:
                    wrong.append(str(error))
            elif stream == 2:
                log.extend(data)

        answers.expect_result(Sinks(manifest, left if job.state else None))
        reader.feed_data(job_line("parse", job))
        packages = None if tree.packages is None else Kept(tree.packages)
        async for part in archive(_once(tree.files), packages, Earlier(None if state is None else Kept(state))):
            reader.feed_data(part)
        reader.feed_eof()
        status = await self._forks.run(object(), reader, output)
        text = "\n".join([log.decode(errors="replace"), *wrong])
        complete = answers.ended.is_set() if job.state else answers.delivered.is_set() or answers.ended.is_set()
        return Answer(answers.result if complete and not wrong else None, bytes(kept["manifest"]), bytes(kept["state"]), text, status)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


@asynccontextmanager
async def serving(image: str, adapter_type: str = "duckdb", program: Path = PROGRAM) -> AsyncIterator[Container]:
    """Yield a container of an image that runs `program`, which is this checkout's unless given."""
    async with forking(image, adapter_type, program) as forks:
        yield Container(forks)


def packed(files: Mapping[str, str], packages: Mapping[str, str]) -> Tree:
    """The files of a project, and those of its packages."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, packages)
    return Tree(_entries(files), content.getvalue())


def unpacked(tree: Tree) -> tuple[dict[str, str], dict[str, str]]:
    """The reverse of `packed`."""
    end = bytes(2 * tarfile.BLOCKSIZE)
    return _texts(tree.files + end), _texts(tree.packages or end)


def _texts(content: bytes) -> dict[str, str]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            path = member.name.removeprefix("src/")
            if member.issym():
                found[path] = LINK + member.linkname
            elif (file := tar.extractfile(member)) is not None:
                found[path] = file.read().decode("utf-8", "surrogateescape")
    return found


def _entries(files: Mapping[str, str]) -> bytes:
    """As `SourceTree.members`: without the end of an archive."""
    content = io.BytesIO()
    tar = tarfile.TarFile(fileobj=content, mode="w", format=tarfile.PAX_FORMAT)
    _add(tar, files)
    return content.getvalue()


def _add(tar: tarfile.TarFile, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        info = tarfile.TarInfo(f"src/{path}")
        if text.startswith(LINK):
            info.type, info.linkname = tarfile.SYMTYPE, text.removeprefix(LINK)
            tar.addfile(info)
        else:
            data = text.encode("utf-8", "surrogateescape")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
