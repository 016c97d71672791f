"""What a container leaves for the connection's next one: dbt's parse state, and the columns document. Read by containers only.

    DBT_WORK_DIR/states/INSTALLATION/REPOSITORY/CONNECTION/BRANCH.KEY.SINCE

There is one file per branch and kind. BRANCH starts with `c` for a columns document, then with `f` for the followed branch, with `b` for
others: what a branch left before or after it was followed is not what it leaves as the followed branch. KEY is a hash of everything that
makes a state unusable if it changes (`key`). SINCE is the time of the last job that started without one: after `FULL_AGAIN_S` there is
another one in any case. A branch uses its own state, or that of the branch that is followed now while it has none.
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
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from app.core import metrics
from app.core.eviction import Cached, evicted
from app.pipeline.ports import DbtJob, StateScope

MAX_STATE = 128 << 20
"""Of one file. A columns document that is bigger is received (up to `column_document.MAX_DOCUMENT`) and stored, but not kept: the next
container has a kept one in its memory, decoded, which takes five times its size. Without it, that container reads all columns again."""
MAX_TOTAL = 2 << 30
FULL_AGAIN_S = 7 * 86400
WAIT_S = 5.0
"""How long an extraction waits for the state that the previous one is still writing."""
LEFT_OVER_S = 3600
"""The age at which an unfinished file counts as abandoned."""
CHUNK = 1 << 20
WRITING = "writing-"
NOTHING = "nothing"
DISTRUSTED = "distrusted"
"""In place of a branch: states that go back to a full parse before SINCE are not used."""

Kind = Literal["state", "columns"]
KINDS: tuple[Kind, ...] = ("state", "columns")
CACHES: dict[Kind, str] = {"state": "states", "columns": "columns"}
"""Names in metrics."""
_PREFIXES: dict[Kind, str] = {"state": "", "columns": "c"}


def key(job: DbtJob) -> str:
    """Return a hash of everything after whose change dbt needs a full parse.

    This adds the image and the adapter to what dbt compares itself: a state is not portable between dbt versions.
    """
    parts = [
        job.image.id,
        job.adapter_type,
        job.profile,
        job.target,
        repr(job.names),
        job.project_dir,
        dict(job.variables),
        dict(job.environment),
    ]
    return _digest(json.dumps(parts, sort_keys=True, default=str))


class StateFile:
    """An existing state or columns document (`ports.ParseState`)."""

    def __init__(self, file: BinaryIO, since: int, branch: str) -> None:
        self._file = file
        self.since, self.branch = since, branch
        """`branch`: which one left it, as in `StateScope`."""
        self.size_bytes = os.fstat(file.fileno()).st_size

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield exactly `size_bytes`, in chunks."""
        while data := await asyncio.to_thread(self._file.read, CHUNK):
            yield data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StateWriter:
    """Writes a state, which takes effect with `save`."""

    def __init__(self, directory: Path, name: str, max_bytes: int) -> None:
        self._directory, self._name, self._max_bytes = directory, name, max_bytes
        self._file: BinaryIO | None = None
        self._path = ""
        self._lock, self._closed = threading.Lock(), False
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Append to it. Raises ValueError if it gets too big, and OSError."""
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            message = f"it is bigger than {self._max_bytes >> 20} MiB"
            raise ValueError(message)
        await asyncio.to_thread(self._write, data)

    async def save(self) -> None:
        """Replace the state of the branch."""
        if self._file is not None:
            await asyncio.to_thread(self._save)

    def close(self) -> None:
        """Discard it, unless it was saved."""
        # After a cancellation a thread may still be writing.
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
                # mkstemp makes the file readable to its owner only.
                descriptor, self._path = tempfile.mkstemp(prefix=WRITING, dir=self._directory)
                self._file = os.fdopen(descriptor, "wb")
            self._file.write(data)

    def _save(self) -> None:
        assert self._file is not None  # noqa: S101 - checked by `save`
        self._file.flush()
        Path(self._path).replace(self._directory / self._name)
        for other in _of_branch(self._directory, self._name.split(".")[0]):
            if other.name != self._name:
                other.unlink(missing_ok=True)


class ParseStates:
    """The states on this host, limited in size: the least recently used are deleted first, fairly between installations."""

    def __init__(self, work_dir: Path, *, max_state_bytes: int = MAX_STATE, max_total_bytes: int = MAX_TOTAL) -> None:
        self._top = work_dir / "states"
        self._max_state_bytes, self._max_total_bytes = max_state_bytes, max_total_bytes
        self._added_bytes = max_total_bytes
        """Since the last `tidy`; unknown at the start."""
        self._writing: dict[tuple[str, Kind], asyncio.Event] = {}
        """By connection: set once that of its last extraction is written."""

    async def open(self, job: DbtJob, kind: Kind = "state") -> StateFile | None:
        """Return what there is for a job. The caller closes it."""
        scope = job.state
        if scope is None or scope.fresh:
            return None
        if (writing := self._writing.get((scope.connection_id, kind))) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await writing.wait()
        found = await asyncio.to_thread(self._open, scope, kind, key(job))
        metrics.CACHE_REQUESTS.labels(cache=CACHES[kind], result="hit" if found else "miss").inc()
        return found

    def new_writer(self, job: DbtJob, initial: StateFile | None, kind: Kind = "state") -> StateWriter | None:
        """Return a writer for what a job leaves; None if it leaves nothing. `initial`: what it started with. The caller closes it."""
        if job.state is None or not job.state.leaves:
            return None
        since = initial.since if initial else int(time.time())
        name = f"{_own(job.state, kind)}.{key(job)}.{since}"
        return StateWriter(self._directory(job.state), name, self._max_state_bytes)

    def begin_writing(self, scope: StateScope, kind: Kind = "state") -> Callable[[], None]:
        """Make the next job of the connection wait in `open`, until the returned function is called."""
        place = (scope.connection_id, kind)
        event = self._writing[place] = asyncio.Event()

        def end() -> None:
            event.set()
            if self._writing.get(place) is event:
                del self._writing[place]

        return end

    async def save(self, writer: StateWriter) -> None:
        """Replace that of the branch by a written one."""
        await writer.save()
        self._added_bytes += writer.size_bytes
        if self._added_bytes > self._max_total_bytes // 16:
            await self.tidy()

    async def forget(self, scope: StateScope, kinds: Iterable[Kind] = KINDS) -> None:
        """Make sure that the next job of this branch does not use what the last one failed with."""
        for kind in kinds:
            await asyncio.to_thread(self._forget, scope, kind)

    async def distrust(self, scope: StateScope) -> None:
        """Make sure that no job of the connection starts with what was made of any of its states until now (`ports.ParseStateCache`).

        That includes what a running job, which started with one of them, leaves later.
        """
        await asyncio.to_thread(self._distrust, scope)

    async def remove(self, repository_id: int) -> None:
        """Delete the states of a repository."""
        for directory in self._top.glob(f"*/{repository_id}"):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def remove_installation(self, installation_id: int) -> None:
        """Delete the states of an installation."""
        await asyncio.to_thread(shutil.rmtree, self._top / str(installation_id), ignore_errors=True)

    async def tidy(self) -> None:
        """Delete abandoned files, states that are too old to be used, and those beyond the limit."""
        self._added_bytes = 0
        await asyncio.to_thread(self._tidy)

    def _directory(self, scope: StateScope) -> Path:
        return self._top / str(scope.installation_id) / str(scope.repository_id) / scope.connection_id

    def _open(self, scope: StateScope, kind: Kind, expected: str) -> StateFile | None:
        directory = self._directory(scope)
        distrusted = max((int(path.suffix[1:]) for path in _of_branch(directory, DISTRUSTED)), default=0)
        own = _of_branch(directory, _own(scope, kind))
        branch = scope.own if own else scope.followed
        for path in own or _of_branch(directory, _followed(scope, kind)):
            _, name, since = path.name.split(".")
            if name == expected and int(since) >= distrusted and time.time() - int(since) < FULL_AGAIN_S:
                with contextlib.suppress(OSError):
                    file = path.open("rb")
                    os.utime(path)
                    return StateFile(file, int(since), branch)
        return None

    def _forget(self, scope: StateScope, kind: Kind) -> None:
        directory, branch = self._directory(scope), _own(scope, kind)
        for path in _of_branch(directory, branch):
            path.unlink(missing_ok=True)
        # A side branch must not delete the followed branch's state. A file that never matches keeps it from using that one.
        with contextlib.suppress(FileNotFoundError):
            (directory / f"{branch}.{NOTHING}.0").touch(mode=0o600)

    def _distrust(self, scope: StateScope) -> None:
        directory = self._directory(scope)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / f"{DISTRUSTED}.{NOTHING}.{int(time.time())}").touch(mode=0o600)
        for path in directory.glob("*.*.*"):
            if not path.name.startswith(DISTRUSTED):
                path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        files, now = list(self._files()), time.time()
        limits = ((file, LEFT_OVER_S if file.item.name.startswith(WRITING) else FULL_AGAIN_S) for file in files)
        useless = {file.item for file, limit_s in limits if now - file.used_at > limit_s}
        for path in (*useless, *evicted((file for file in files if file.item not in useless), self._max_total_bytes)):
            path.unlink(missing_ok=True)

    def _files(self) -> Iterator[Cached[Path]]:
        for path in self._top.glob("*/*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                yield Cached(path, path.relative_to(self._top).parts[0], facts.st_mtime, facts.st_size)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _own(scope: StateScope, kind: Kind) -> str:
    return _followed(scope, kind) if scope.own == scope.followed else f"{_PREFIXES[kind]}b{_digest(scope.own)}"


def _followed(scope: StateScope, kind: Kind) -> str:
    return f"{_PREFIXES[kind]}f{_digest(scope.followed)}"


def _of_branch(directory: Path, branch: str) -> list[Path]:
    return sorted(directory.glob(f"{branch}.*.*"))
