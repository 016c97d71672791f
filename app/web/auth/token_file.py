"""Service tokens in a file, which is read again when it changes, so that tokens can be rotated without a restart."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.core import log, token_digest
from app.core.errors import ConfigurationError

VARIABLE = "FRESHET_API_TOKENS_FILE"
CHECK_S = 1.0
"""How often the file is checked for changes, at most."""
MIN_LENGTH = 16
MAX_BYTES = 1 << 20

logger = log.get(__name__)

_Version = tuple[int, int, int]
"""Inode, size and modification time in nanoseconds: they differ when the content does."""


class TokenFile:
    """One token a line; empty lines and lines that begin with `#` are ignored. Only digests stay in memory."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises ConfigurationError that names the variable."""
        self._path, self._clock = path, clock
        self._checking, self._checked_at = False, clock()
        self._digests: Sequence[bytes] = ()
        self._version: _Version | None = None
        self._last_error = ""
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError("reading the configuration", f"{VARIABLE}: {_message(error, path)}") from error

    async def digests(self) -> Sequence[bytes]:
        """Digests of the tokens, at most a second old. If the file becomes unusable, the previous tokens stay valid, which is logged."""
        # One check at a time: a disk that hangs must not take a thread for each request.
        if not self._checking and self._clock() - self._checked_at >= CHECK_S:
            self._checking = True
            try:
                await asyncio.to_thread(self._check)
            finally:
                self._checking, self._checked_at = False, self._clock()
        return self._digests

    def _check(self) -> None:
        message = ""
        try:
            if self._read():
                logger.info("service tokens read", file=str(self._path), tokens=len(self._digests))
        except (OSError, ValueError) as error:
            message = _message(error, self._path)
        if message and message != self._last_error:
            logger.warning("cannot read the service tokens; the previous ones stay valid", reason=message, variable=VARIABLE)
        self._last_error = message

    def _read(self) -> bool:
        """Read the file if it has changed; returns whether it had. Raises OSError, or ValueError that names the line."""
        with self._path.open("rb") as file:
            stat = os.fstat(file.fileno())
            version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if version == self._version:
                return False
            content = file.read(MAX_BYTES + 1)
        self._digests, self._version = [token_digest.digest(token) for token in _tokens(content)], version
        return True


def _tokens(content: bytes) -> list[str]:
    """Parse a file. Raises ValueError that never quotes a token."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES >> 20} MiB")
    tokens = []
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").splitlines(), start=1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if not token_digest.is_usable(token):
            raise ValueError(f"line {number} is not a token: at most {token_digest.MAX_LENGTH} printable ASCII characters without spaces")
        if len(token) < MIN_LENGTH:
            raise ValueError(f"the token in line {number} is shorter than {MIN_LENGTH} characters")
        tokens.append(token)
    return tokens


def _message(error: OSError | ValueError, path: Path) -> str:
    if isinstance(error, OSError):
        return f"{path} cannot be read ({error.strerror})"
    return f"{path}: {error}"
