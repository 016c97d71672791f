"""One git process at a time: an environment of our own, a time limit, and nothing left behind, whatever happens.

https://git-scm.com/docs/git#_environment_variables
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from app.errors import ConfigurationError

NETWORK_VARIABLES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_PROXY_SSL_CAINFO"),
)
"""What of the host's environment git gets to see: how to reach the network, and whom to believe there."""
CONFIG: Mapping[str, str] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",
    "gc.auto": "0",
    "gc.packRefs": "false",
    # A redirect would carry the Authorization header to wherever it leads.
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "maintenance.auto": "false",
    # The directory may be a volume that another user owns; nothing in it is executed.
    "safe.directory": "*",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
}
"""Beside these: no `transfer.fsckObjects`. It refuses old but honest histories, and nothing is ever checked out."""
PIPE_BYTES = 1 << 20
COMMAND_S = 60.0
MAX_OUTPUT_BYTES = 512 << 20
MAX_ERROR_BYTES = 1 << 20
"""What is printed beyond is thrown away: a server can have git print whatever it likes."""
GRACE_S = 2.0
"""Time that a process has to take its lock files with it."""
_SECRETS = re.compile(
    r"(?i)(?P<before>authorization:\s*(?:basic|bearer|token)\s+|x-access-token:)[^\s@]+|(?<=://)[^/\s@]+(?=@)|\b(?:gh[a-z]_|github_pat_)[\w.-]+"
)


class GitError(Exception):
    """git ended with an error. `output` is its standard error, scrubbed; it never leaves this package unread."""

    def __init__(self, command: str, code: int, output: str) -> None:
        super().__init__(f"git {command} ended with {code}: {output}")
        self.output = output

    @property
    def reason(self) -> str:
        """Git's own words in one short line."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))]
        return "; ".join((telling or lines)[:3])[:400] or str(self)


class GitTimeoutError(GitError):
    """git was stopped because its time was over."""


class Git:
    """Runs git with `environ` and `config` and nothing else, in the directory `cwd`."""

    def __init__(self, environ: Mapping[str, str], config: Mapping[str, str] = CONFIG, *, cwd: Path | None = None) -> None:
        executable = shutil.which("git", path=environ.get("PATH"))
        if executable is None:
            raise ConfigurationError("looking for git", "there is no git on the PATH", "Install git 2.37 or later.")
        self._executable = executable
        self._environ = environ
        self._config = config
        self._cwd = cwd

    async def run(
        self,
        *arguments: str,
        stdin: IO[bytes] | int = DEVNULL,
        config: Mapping[str, str] | None = None,
        timeout_s: float = COMMAND_S,
        secrets: Iterable[str] = (),
        max_bytes: int = MAX_OUTPUT_BYTES,
    ) -> bytes:
        """Run one command and return what it printed. `config` goes by the environment: it may hold secrets. Raises GitError."""
        command = next((argument for argument in arguments if not argument.startswith("-")), "")
        async with self.started(*arguments, config=config, stdin=stdin, stderr=PIPE) as process:
            try:
                async with asyncio.timeout(timeout_s):
                    output, errors = await asyncio.gather(_taken(process.stdout, max_bytes + 1), _taken(process.stderr, MAX_ERROR_BYTES))
                    await process.wait()
            except TimeoutError as error:
                raise GitTimeoutError(command, -signal.SIGKILL, f"stopped after {timeout_s:g} s") from error
        if process.returncode:
            raise GitError(command, process.returncode, scrub(errors.decode(errors="replace"), secrets))
        if len(output) > max_bytes:
            raise GitError(command, 0, f"fatal: it printed more than {max_bytes >> 20} MiB")
        return output

    @asynccontextmanager
    async def started(
        self, *arguments: str, config: Mapping[str, str] | None = None, stdin: IO[bytes] | int = DEVNULL, stderr: int = DEVNULL
    ) -> AsyncIterator[Process]:
        """Start a command in a process group of its own, which is gone when the context is left."""
        environ = {**self._environ, **config_environ({**self._config, **(config or {})}, self._environ)}
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *(self._executable, *arguments),
                stdin=stdin,
                stdout=PIPE,
                stderr=stderr,
                env=environ,
                cwd=self._cwd,
                limit=PIPE_BYTES,
                start_new_session=True,
            )
        )
        try:
            # Shielded: a process that is being started when we are cancelled has to be known to be ended.
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(OSError):
                await _end(await starting)
            raise
        try:
            yield process
        finally:
            await asyncio.shield(_end(process))


async def _taken(pipe: asyncio.StreamReader | None, max_bytes: int) -> bytes:
    """Read a pipe to its end and return the beginning."""
    taken = bytearray()
    while pipe is not None and (chunk := await pipe.read(PIPE_BYTES)):
        taken += chunk[: max_bytes - len(taken)]
    return bytes(taken)


async def _end(process: Process) -> None:
    """End what still runs of a process and its children, and wait for it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S if number == signal.SIGTERM else None):
                await _ended(process)
                return


async def _ended(process: Process) -> None:
    for pipe in (process.stdout, process.stderr):
        # Read to the end, so that the event loop closes its side.
        while pipe is not None and await pipe.read(PIPE_BYTES):
            pass
    await process.wait()


def clean_environ(environ: Mapping[str, str], *, home: str, protocols: str = "https:http") -> dict[str, str]:
    """Return an environment in which git follows nobody's configuration, asks nothing, and speaks only `protocols`."""
    passed = {name: environ[name] for name in ("PATH", *NETWORK_VARIABLES) if environ.get(name)}
    # git's TLS library may be one that does not know OpenSSL's variables.
    for ours, theirs in (("GIT_SSL_CAINFO", "SSL_CERT_FILE"), ("GIT_SSL_CAPATH", "SSL_CERT_DIR")):
        if theirs in passed:
            passed.setdefault(ours, passed[theirs])
    return {
        "PATH": os.defpath,
        **passed,
        **safe_environ(protocols),
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


def safe_environ(protocols: str) -> dict[str, str]:
    """Return what also holds for a git that follows its user's configuration."""
    return {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def config_environ(config: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return configuration as environment, where no other user's `ps` sees it; it comes after what `environ` has of that kind.

    https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT
    """
    count = environ.get("GIT_CONFIG_COUNT", "")
    given = int(count) if count.isdecimal() else 0
    numbered = [(f"GIT_CONFIG_KEY_{n}", f"GIT_CONFIG_VALUE_{n}", *pair) for n, pair in enumerate(config.items(), given)]
    variables: dict[str, str] = {"GIT_CONFIG_COUNT": str(given + len(numbered))}
    for key_name, value_name, key, value in numbered:
        variables |= {key_name: key, value_name: value}
    return variables


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without the given secrets and without anything that looks like one."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return _SECRETS.sub(lambda match: f"{match['before'] or ''}***", text)
