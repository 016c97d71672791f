"""What the system says of a process of the service."""

from __future__ import annotations

import asyncio
import hashlib
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from app.runner.docker.backend import HOST_LABEL
from tests.service import Service

PAGE_KIB = resource.getpagesize() >> 10


@dataclass(frozen=True)
class Reading:
    """A moment of the service."""

    rss_kib: int
    """Of its first process."""
    child_rss_kib: int
    """Of a child, on average: how many there are is counted by itself."""
    files: int
    """Open files of its first process, connections included."""
    threads: int
    tasks: int
    children: int
    left: int
    """Files in its work directory beside the caches, and in its directory of temporary files."""
    containers: int


def rss_kib(pid: int) -> int:
    """Resident memory; 0 for a process that has ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB
    return 0


def peak_kib(pid: int) -> int:
    """The most resident memory that it has had."""
    return _status(pid, "VmHWM")


def open_files(pid: int) -> int:
    """How many files and sockets it has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def unnamed_bytes(pid: int) -> int:
    """Bytes of its open files that have no name any more: bodies that are being received, and results."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if str(entry.readlink()).endswith("(deleted)"):
                found += entry.stat().st_size
    return found


def children(pid: int) -> Iterator[int]:
    """All descendants."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from children(child)


async def samples(service: Service) -> dict[str, float]:
    """Its metrics without labels."""
    async with service.session.get(f"{service.url}/metrics") as response:
        text = await response.text()
    return {one.name: one.value for family in text_string_to_metric_families(text) for one in family.samples if not one.labels}


async def containers(directory: Path) -> int:
    """How many containers there are of the service with this data directory."""
    identity = (directory / "instance").read_text().strip()
    label = f"label={HOST_LABEL}={hashlib.sha256(f'{identity} service'.encode()).hexdigest()[:16]}"
    command = await asyncio.create_subprocess_exec(*("docker", "ps", "--all", "--quiet", "--filter", label), stdout=asyncio.subprocess.PIPE)
    output, _ = await command.communicate()
    return len(output.split())


async def read(service: Service, directory: Path, *, engine: bool = False) -> Reading:
    """Read all; `directory` is its data directory, with the temporary files in `tmp`. Containers only with an `engine`."""
    pid, metrics = service.process.pid, await samples(service)
    below = list(children(pid))
    return Reading(
        rss_kib=rss_kib(pid),
        child_rss_kib=sum(map(rss_kib, below)) // max(1, len(below)),
        files=open_files(pid),
        threads=_status(pid, "Threads"),
        tasks=int(metrics["freshet_tasks"]),
        children=len(below),
        left=sum(1 for name in ("tmp", "work") for _ in (directory / name).glob("*")),
        containers=await containers(directory) if engine else 0,
    )


def _status(pid: int, name: str) -> int:
    [found] = re.findall(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found)
