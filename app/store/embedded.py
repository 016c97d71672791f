"""The embedded PostgreSQL: a server of our own, started and stopped together with this process, and started again if it dies.

The wheel's own Python layer mistakes recycled pids for a live server, so only its programs are used (`postmaster`). The server listens on a
Unix socket in a private directory.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from app.core import log
from app.core.errors import ConfigurationError, FreshetError, UnavailableError
from app.store import postmaster
from app.store.postmaster import DOING, Postmaster

MAX_SOCKET_PATH_BYTES = 100
"""Of the path including PostgreSQL's file name. The kernel allows 107."""
GIVE_UP_S = 60.0
"""How long attempts to start a dead server go on. Then the service ends, and its supervisor acts."""
STABLE_S = 60.0
MAX_ENDS = 10
"""So many ends in a row, each within `STABLE_S` of a start, are treated like a server that does not start."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
BOUND_LOG_S = 30.0

logger = log.get(__name__)


class InUseError(ConfigurationError):
    """Another process uses the directory. `dsn` is that of its server; `pid` and `dsn` are not known yet while it starts."""

    def __init__(self, data_dir: Path, pid: str = "", dsn: str | None = None) -> None:
        reason = f"FRESHET_DATA_DIR: another Freshet {f'(process {pid}) ' if pid else ''}uses {data_dir}"
        super().__init__(DOING, reason, "Stop it, or use another directory.")
        self.pid, self.dsn = pid, dsn


OnFailure = Callable[[FreshetError], None]


@asynccontextmanager
async def serve(data_dir: Path, *, durable: bool = True, on_failure: OnFailure = lambda _: None) -> AsyncIterator[str]:
    """Run PostgreSQL on `data_dir/postgres` and yield the DSN of its database `freshet`; stop it on leaving.

    If the server dies, it is started again; `on_failure` is called if that is impossible for long. `durable=False`, for tests, gives up
    safety against crashes of the machine. Raises ConfigurationError if another process uses the directory or the programs are missing,
    UnavailableError if the server does not start.
    """
    # PostgreSQL runs in another working directory.
    data_dir = data_dir.resolve()
    async with AsyncExitStack() as stack:
        with _os_errors(data_dir):
            data_dir.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(_locked(data_dir))
            sockets = stack.enter_context(_socket_dir(data_dir))
            await asyncio.to_thread(postmaster.initialise, data_dir / "postgres")
            server = Postmaster(data_dir / "postgres", sockets, durable=durable)
            lock.write(f"{os.getpid()}\n{server.dsn}\n")
            lock.flush()
        await server.start()
        logger.info("embedded PostgreSQL is up", directory=str(data_dir / "postgres"))
        tasks = [asyncio.create_task(_keep_running(server, on_failure)), asyncio.create_task(_bound_log(server))]
        try:
            yield server.dsn
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.stop()


async def _keep_running(server: Postmaster, on_failure: OnFailure) -> None:
    """Start the server again whenever it ends, with growing pauses."""
    ends = 0
    while True:
        began_s = time.monotonic()
        status = await server.ended()
        ended_s = time.monotonic()
        ends = 1 if ended_s - began_s > STABLE_S else ends + 1
        if ends > MAX_ENDS:
            on_failure(UnavailableError("running the embedded PostgreSQL", f"it ended {ends} times, shortly after each start"))
            return
        logger.warning("the embedded PostgreSQL ended and is started again", exit_status=status)
        error = await _start_again(server, min(FIRST_PAUSE_S * 2 ** (ends - 1), LONGEST_PAUSE_S))
        if error is not None:
            on_failure(error)
            return
        logger.info("the embedded PostgreSQL is up again", seconds=round(time.monotonic() - ended_s, 1))


async def _start_again(server: Postmaster, pause_s: float) -> FreshetError | None:
    """Start the server, in several attempts if necessary; the last error if that is impossible for long."""
    until_s = time.monotonic() + GIVE_UP_S
    while True:
        await asyncio.sleep(pause_s)
        try:
            await server.start()
        except FreshetError as error:
            logger.warning("the embedded PostgreSQL does not start", reason=error.reason)
            if time.monotonic() > until_s:
                return error
        except Exception as error:  # otherwise nobody would start it again
            logger.exception("starting the embedded PostgreSQL failed")
            return UnavailableError(DOING, str(error) or type(error).__name__)
        else:
            return None
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def _bound_log(server: Postmaster) -> None:
    while True:
        await asyncio.sleep(BOUND_LOG_S)
        try:
            await asyncio.to_thread(server.bound_log)
        except OSError as error:
            logger.warning("the log of the embedded PostgreSQL cannot be shortened", reason=str(error))


@contextmanager
def _os_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"FRESHET_DATA_DIR: {error.filename or data_dir} cannot be used ({error.strerror or error})"
        raise UnavailableError(DOING, reason) from error


@contextmanager
def _locked(data_dir: Path) -> Iterator[IO[str]]:
    """Lock the directory for this process, and yield the file. The kernel releases the lock when the process dies."""
    # Not "w": it would empty the file of the process that has the lock.
    with (data_dir / "postgres.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise InUseError(data_dir, *lock.read().splitlines()[:2]) from error
        lock.truncate(0)
        try:
            yield lock
        finally:
            lock.truncate(0)


@contextmanager
def _socket_dir(data_dir: Path) -> Iterator[Path]:
    directory = data_dir.resolve() / "socket"
    if len(bytes(directory)) > MAX_SOCKET_PATH_BYTES - len("/.s.PGSQL.5432"):
        with tempfile.TemporaryDirectory(prefix="freshet-") as short:
            postmaster.hand_over(Path(short))
            yield Path(short)
    else:
        directory.mkdir(exist_ok=True)
        postmaster.hand_over(directory)
        yield directory
