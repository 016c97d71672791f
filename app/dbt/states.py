"""What dbt may begin the next parse of a connection with: a file for each branch, which a container wrote and only containers read.

    DBT_WORK_DIR/states/INSTALLATION/REPOSITORY/CONNECTION/BRANCH.KEY.SINCE

BRANCH begins with `f` for the one that the connection follows, with `b` for others. KEY is all that makes a state useless when it is
another (`key`). SINCE is when dbt last read everything anew: after `FULL_AGAIN_S` it does so again, whatever the state says.
What a branch wrote is for that branch alone, but another one that has nothing yet may begin with that of the followed branch.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from app import metrics
from app.ports import DbtJob, StateScope

MAX_STATE = 128 << 20
MAX_TOTAL = 2 << 30
FULL_AGAIN_S = 7 * 86400
WAIT_S = 5.0
"""The next extraction of a connection waits so long for the state that the one before is still writing."""
LEFT_OVER_S = 3600
"""After this long a file that is being written has been given up."""
CHUNK = 1 << 20
WRITING = "writing-"
NOTHING = "nothing"


def key(job: DbtJob) -> str:
    """Return a text that is another one when dbt would read everything anew, or should.

    What is in there besides what dbt itself compares: the image and its adapter, since states are not made to be read by others.
    """
    parts = [job.image.id, job.adapter_type, job.profile, job.target, job.project_dir, dict(job.variables), dict(job.environment)]
    return _digest(json.dumps(parts, sort_keys=True, default=str))


class StateFile:
    """A state that there is (`ports.State`)."""

    def __init__(self, file: BinaryIO, since: int) -> None:
        self._file = file
        self.since = since
        self.size_bytes = os.fstat(file.fileno()).st_size

    async def stream(self) -> AsyncIterator[bytes]:
        """Give it in chunks, exactly `size_bytes`."""
        while data := await asyncio.to_thread(self._file.read, CHUNK):
            yield data

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class Saving:
    """A state that is being written; nothing of it counts before `keep`."""

    def __init__(self, directory: Path, name: str, max_bytes: int) -> None:
        self._directory, self._name, self._max_bytes = directory, name, max_bytes
        self._file: BinaryIO | None = None
        self._path = ""
        self._lock, self._closed = threading.Lock(), False
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Add to it. Raises ValueError when it gets too big, and OSError."""
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            message = f"it is bigger than {self._max_bytes >> 20} MiB"
            raise ValueError(message)
        await asyncio.to_thread(self._write, data)

    async def keep(self) -> None:
        """Put it in the place of what the branch had."""
        if self._file is not None:
            await asyncio.to_thread(self._keep)

    def close(self) -> None:
        """Give it up, unless it is kept."""
        # A thread may still be writing for somebody who was cancelled.
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
                Path(self._path).unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                # mkstemp's files are for their owner only.
                descriptor, self._path = tempfile.mkstemp(prefix=WRITING, dir=self._directory)
                self._file = os.fdopen(descriptor, "wb")
            self._file.write(data)

    def _keep(self) -> None:
        assert self._file is not None  # noqa: S101 - `keep` has looked
        self._file.flush()
        Path(self._path).replace(self._directory / self._name)
        for other in _of_branch(self._directory, self._name.split(".")[0]):
            if other.name != self._name:
                other.unlink(missing_ok=True)


class States:
    """All states of this host: bounded, the longest unused go first."""

    def __init__(self, work_dir: Path, *, max_state_bytes: int = MAX_STATE, max_total_bytes: int = MAX_TOTAL) -> None:
        self._top = work_dir / "states"
        self._max_state_bytes, self._max_total_bytes = max_state_bytes, max_total_bytes
        self._added_bytes = max_total_bytes
        """Since it was tidied; at the start nobody knows."""
        self._writing: dict[str, asyncio.Event] = {}
        """By connection: set when its last extraction's state is written."""

    async def open(self, job: DbtJob) -> StateFile | None:
        """Return what the job may begin with, to be closed."""
        scope = job.state
        if scope is None or scope.fresh:
            return None
        if (writing := self._writing.get(scope.connection_id)) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await writing.wait()
        found = await asyncio.to_thread(self._open, scope, key(job))
        metrics.CACHE_REQUESTS.labels(cache="states", result="hit" if found else "miss").inc()
        return found

    def saving(self, job: DbtJob, begun_with: StateFile | None) -> Saving | None:
        """Return what takes the state that the job leaves, to be closed; None when it is not to leave one."""
        if job.state is None:
            return None
        since = begun_with.since if begun_with else int(time.time())
        return Saving(self._directory(job.state), f"{_branch(job.state)}.{key(job)}.{since}", self._max_state_bytes)

    def begin_writing(self, scope: StateScope) -> Callable[[], None]:
        """Have the next job of the connection wait from now on; return what ends that."""
        event = self._writing[scope.connection_id] = asyncio.Event()

        def end() -> None:
            event.set()
            if self._writing.get(scope.connection_id) is event:
                del self._writing[scope.connection_id]

        return end

    async def keep(self, saving: Saving) -> None:
        """Put it in the place of what the branch had."""
        await saving.keep()
        self._added_bytes += saving.size_bytes
        if self._added_bytes > self._max_total_bytes // 16:
            await self.tidy()

    async def forget(self, scope: StateScope) -> None:
        """Remove what the job of this branch may have begun with: dbt did not come to an end with it."""
        await asyncio.to_thread(self._forget, scope)

    async def remove(self, repository_id: int) -> None:
        """Remove what is kept of a repository."""
        for directory in self._top.glob(f"*/{repository_id}"):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def remove_installation(self, installation_id: int) -> None:
        """Remove what is kept for an installation."""
        await asyncio.to_thread(shutil.rmtree, self._top / str(installation_id), ignore_errors=True)

    async def tidy(self) -> None:
        """Keep all of it within its bounds."""
        self._added_bytes = 0
        await asyncio.to_thread(self._tidy)

    def _directory(self, scope: StateScope) -> Path:
        return self._top / str(scope.installation_id) / str(scope.repository_id) / scope.connection_id

    def _open(self, scope: StateScope, wanted: str) -> StateFile | None:
        directory = self._directory(scope)
        own = _of_branch(directory, _branch(scope))
        for path in own or _followed(directory):
            _, name, since = path.name.split(".")
            if name == wanted and time.time() - int(since) < FULL_AGAIN_S:
                with contextlib.suppress(OSError):
                    file = path.open("rb")
                    os.utime(path)
                    return StateFile(file, int(since))
        return None

    def _forget(self, scope: StateScope) -> None:
        directory, branch = self._directory(scope), _branch(scope)
        for path in _of_branch(directory, branch):
            path.unlink(missing_ok=True)
        # Not that of the followed branch, which is not another branch's to remove: this one has a state now that fits nothing.
        with contextlib.suppress(FileNotFoundError):
            (directory / f"{branch}.{NOTHING}.0").touch(mode=0o600)

    def _tidy(self) -> None:
        files = sorted(self._files(), key=lambda found: found[1].st_mtime)
        total = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            given_up = path.name.startswith(WRITING) and time.time() - stat.st_mtime > LEFT_OVER_S
            if total > self._max_total_bytes or given_up:
                path.unlink(missing_ok=True)
                total -= stat.st_size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._top.glob("*/*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _branch(scope: StateScope) -> str:
    return ("f" if scope.followed else "b") + _digest(scope.branch)


def _of_branch(directory: Path, branch: str) -> list[Path]:
    return sorted(directory.glob(f"{branch}.*.*"))


def _followed(directory: Path) -> list[Path]:
    return sorted(directory.glob("f*.*.*"))
