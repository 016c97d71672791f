"""Processes that parse nodes ahead: forks of this one, which go through the files from the end while dbt goes through them from the start.

What they find arrives like nodes from the state (`freshet_node_memory`), so dbt does everything in its own order, with the same result. A
worker that fails, hangs or is slow costs nothing else: dbt parses what has not arrived itself.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import freshet_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_WORKERS = 7
ENOUGH = 30
"""Nodes to parse for which it is worth to start workers."""
MAX_SHARE = 0.7
"""Of the container's memory, if all memory of this process were copied for each worker."""
HEAD = struct.Struct("<Q")
QUOTAS = (("/sys/fs/cgroup/cpu.max", None), ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


class ForkedWorker(NamedTuple):
    """A process, and the file in memory to which it writes."""

    pid: int
    file: int


class Workers:
    """The workers of one stage of a parse."""

    def __init__(self) -> None:
        self._workers = []  # type: list[ForkedWorker]
        self._read = {}  # type: dict[int, int]
        self._at = None  # type: mmap.mmap | None
        self._order = {}  # type: dict[object, int]
        self.sends = None  # type: Callable[[object], None] | None
        """In a worker: sends something to the process that started it."""

    def start(self, items: list, work: Callable[[Iterator], None]) -> None:
        """Start as many workers as there are more processors. `work` gets the items from the end, until this process comes to them."""
        count = 0 if self.sends is not None else _workers()
        if not count or not items:
            return
        self.end()
        self._order = {item: number for number, item in enumerate(items)}
        self._at = mmap.mmap(-1, HEAD.size)
        for number in range(count):
            file = os.memfd_create("nodes")
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if not pid:
                self._become(file, list(reversed(items))[number::count], work)
            self._workers.append(ForkedWorker(pid, file))

    def is_at(self, item: object) -> None:
        """Tell the workers how far this process is."""
        if self._at is not None and self.sends is None and item in self._order:
            self._at[:] = HEAD.pack(self._order[item])

    def arrived(self) -> list:
        """Return what workers have sent since the last call."""
        found = []
        for worker in self._workers:
            at, size = self._read.get(worker.file, 0), os.fstat(worker.file).st_size
            while at + HEAD.size <= size:
                (length,) = HEAD.unpack(os.pread(worker.file, HEAD.size, at))
                if at + HEAD.size + length > size:
                    break
                value, templates = pickle.loads(os.pread(worker.file, length, at + HEAD.size))  # noqa: S301 - from a fork of this process
                freshet_templates.TEMPLATES.arrive(templates)
                found.append(value)
                at += HEAD.size + length
            self._read[worker.file] = at
        return found

    def end(self) -> None:
        """Stop all workers."""
        for worker in self._workers:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
            os.close(worker.file)
        self.__init__()

    def _become(self, file: int, items: list, work: Callable[[Iterator], None]) -> None:
        """Be a worker, and end."""
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(silence, number)
            self._workers, self.sends = [], lambda value: _write(file, (value, freshet_templates.TEMPLATES.fresh()))
            freshet_templates.TEMPLATES.fresh()
            work(self._until_met(items))
        finally:
            os._exit(0)

    def _until_met(self, items: list) -> Iterator:
        for item in items:
            if self._order[item] <= HEAD.unpack(self._at[:])[0]:
                return
            yield item


def _write(file: int, value: Any) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    # The length first, so a reader knows how much is still to come.
    os.write(file, HEAD.pack(len(data)))
    while data:
        data = data[os.write(file, data) :]


def _workers() -> int:
    """How many workers this container has processors and memory for."""
    if not hasattr(os, "memfd_create"):
        return 0
    count = min(_processors() - 1, MAX_WORKERS)
    limit, used = _number(LIMITS), _number(USED)
    own = _resident()
    while count > 0 and limit is not None and used is not None and used + count * own > MAX_SHARE * limit:
        count -= 1
    return max(count, 0)


def _processors() -> int:
    found = len(os.sched_getaffinity(0))
    for path, period_path in QUOTAS:
        try:
            with open(path) as file:
                quota = file.read().split()
            if period_path is not None:
                with open(period_path) as file:
                    quota.append(file.read().strip())
            if quota[0] not in ("max", "-1"):
                found = min(found, max(round(int(quota[0]) / int(quota[1])), 1))
        except (OSError, ValueError, IndexError):
            continue
    return found


def _number(paths: tuple) -> int | None:
    for path in paths:
        try:
            with open(path) as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return None


def _resident() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
