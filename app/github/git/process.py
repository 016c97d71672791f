"""Runs git with its own environment and a time limit. No process is left behind, whatever happens.

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

from app.core.errors import ConfigurationError

NETWORK_VARIABLES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_PROXY_SSL_CAINFO"),
)
"""The variables of the host that git receives: proxies and certificate authorities."""
CONFIG: Mapping[str, str] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",
    "gc.auto": "0",
    "gc.packRefs": "false",
    # A redirect would send the Authorization header to another host.
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "maintenance.auto": "false",
    # The directory may be a volume owned by another user; nothing in it is executed.
    "safe.directory": "*",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
}
"""No `transfer.fsckObjects`: it rejects some old, harmless histories, and nothing is ever checked out."""
PIPE_BYTES = 1 << 20
COMMAND_S = 60.0
MAX_OUTPUT_BYTES = 512 << 20
MAX_ERROR_BYTES = 1 << 20
"""The rest is dropped: a server can make git print anything."""
GRACE_S = 2.0
"""Time for a process to remove its lock files."""
_SECRETS = re.compile(
    r"(?i)(?P<before>authorization:\s*(?:basic|bearer|token)\s+|x-access-token:)[^\s@]+|(?<=://)[^/\s@]+(?=@)|\b(?:gh[a-z]_|github_pat_)[\w.-]+"
)


class GitError(Exception):
    """git failed. `output` is its standard error without secrets; outside of this room only `reason` is shown."""

    def __init__(self, command: str, code: int, output: str) -> None:
        super().__init__(f"git {command} ended with {code}: {output}")
        self.output = output

    @property
    def reason(self) -> str:
        """The message of git in one short line."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))]
        return "; ".join((telling or lines)[:3])[:400] or str(self)


class GitTimeoutError(GitError):
    """git was stopped because it exceeded its time limit."""


class Git:
    """Runs git with only `environ` and `config`, in the directory `cwd`."""

    def __init__(self, environ: Mapping[str, str], config: Mapping[str, str] = CONFIG, *, cwd: Path | None = None) -> None:
        executable = shutil.which("git", path=environ.get("PATH"))
        if executable is None:
            raise ConfigurationError("looking for git", "git is not on the PATH", "Install git 2.37 or later.")
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
        """Run a command and return its output. `config` is passed in the environment, since it may contain secrets. Raises GitError."""
        command = next((argument for argument in arguments if not argument.startswith("-")), "")
        async with self.start(*arguments, config=config, stdin=stdin, stderr=PIPE) as process:
            try:
                async with asyncio.timeout(timeout_s):
                    output, errors = await asyncio.gather(
                        _read_up_to(process.stdout, max_bytes + 1), _read_up_to(process.stderr, MAX_ERROR_BYTES)
                    )
                    await process.wait()
            except TimeoutError as error:
                raise GitTimeoutError(command, -signal.SIGKILL, f"stopped after {timeout_s:g} s") from error
        if process.returncode:
            raise GitError(command, process.returncode, scrub(errors.decode(errors="replace"), secrets))
        if len(output) > max_bytes:
            raise GitError(command, 0, f"fatal: its output is larger than {max_bytes >> 20} MiB")
        return output

    @asynccontextmanager
    async def start(
        self, *arguments: str, config: Mapping[str, str] | None = None, stdin: IO[bytes] | int = DEVNULL, stderr: int = DEVNULL
    ) -> AsyncIterator[Process]:
        """Start a command in its own process group, which is ended when the context exits."""
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
            # Shielded: if we are cancelled while the process starts, it must still be ended.
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(OSError):
                await _end(await starting)
            raise
        try:
            yield process
        finally:
            await asyncio.shield(_end(process))


async def _read_up_to(pipe: asyncio.StreamReader | None, max_bytes: int) -> bytes:
    """Read a pipe to its end; its first `max_bytes`."""
    data = bytearray()
    while pipe is not None and (chunk := await pipe.read(PIPE_BYTES)):
        data += chunk[: max_bytes - len(data)]
    return bytes(data)


async def _end(process: Process) -> None:
    """End a process and its children, and wait for them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S if number == signal.SIGTERM else None):
                await _wait(process)
                return


async def _wait(process: Process) -> None:
    for pipe in (process.stdout, process.stderr):
        # Read to the end, so that the event loop closes the pipe.
        while pipe is not None and await pipe.read(PIPE_BYTES):
            pass
    await process.wait()


def clean_environ(environ: Mapping[str, str], *, home: str, protocols: str = "https:http") -> dict[str, str]:
    """An environment in which git reads no configuration files, never prompts, and uses only `protocols`."""
    passed = {name: environ[name] for name in ("PATH", *NETWORK_VARIABLES) if environ.get(name)}
    # git's TLS library may not support OpenSSL's variables.
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
    """Variables that are also safe for a git with its user's configuration."""
    return {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def config_environ(config: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Configuration as environment variables, invisible to other users' `ps`; added to configuration that `environ` already has.

    https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT
    """
    count = environ.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdecimal() else 0
    numbered = [(f"GIT_CONFIG_KEY_{n}", f"GIT_CONFIG_VALUE_{n}", *pair) for n, pair in enumerate(config.items(), first)]
    variables: dict[str, str] = {"GIT_CONFIG_COUNT": str(first + len(numbered))}
    for key_name, value_name, key, value in numbered:
        variables |= {key_name: key, value_name: value}
    return variables


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace the given secrets, and everything that looks like one, with `***`."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return _SECRETS.sub(lambda match: f"{match['before'] or ''}***", text)
