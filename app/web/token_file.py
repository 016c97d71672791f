"""Service tokens in a file: read again when it changes, so that they are rotated without a restart."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app import log, tokens
from app.errors import ConfigurationError

VARIABLE = "FRESHET_API_TOKENS_FILE"
LOOK_S = 1.0
SHORTEST = 16
MAX_BYTES = 1 << 20

logger = log.get(__name__)

_State = tuple[int, int, int]
"""What tells one content of a file from another without reading it: inode, size, time of change in nanoseconds."""


class TokenFile:
    """One token a line; empty lines and those that begin with `#` say nothing. Kept are digests only."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises ConfigurationError that names the variable."""
        self._path, self._clock = path, clock
        self._looking, self._looked_at = False, clock()
        self._digests: Sequence[bytes] = ()
        self._state: _State | None = None
        self._complaint = ""
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError("reading the configuration", f"{VARIABLE}: {_words(error, path)}") from error

    async def digests(self) -> Sequence[bytes]:
        """Return the digests of the tokens, as of a second ago at most. What cannot be used keeps those of before, and is logged."""
        # One look at a time: a disk that hangs must not take a thread for each request.
        if not self._looking and self._clock() - self._looked_at >= LOOK_S:
            self._looking = True
            try:
                await asyncio.to_thread(self._look)
            finally:
                self._looking, self._looked_at = False, self._clock()
        return self._digests

    def _look(self) -> None:
        complaint = ""
        try:
            if self._read():
                logger.info("service tokens read", file=str(self._path), tokens=len(self._digests))
        except (OSError, ValueError) as error:
            complaint = _words(error, self._path)
        if complaint and complaint != self._complaint:
            logger.warning("the service tokens of before stay good", reason=complaint, variable=VARIABLE)
        self._complaint = complaint

    def _read(self) -> bool:
        """Read the file if it is another one than before. Raises OSError, or ValueError that names the line."""
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            state = (found.st_ino, found.st_size, found.st_mtime_ns)
            if state == self._state:
                return False
            content = file.read(MAX_BYTES + 1)
        self._digests, self._state = [tokens.digest(token) for token in _tokens(content)], state
        return True


def _tokens(content: bytes) -> list[str]:
    """Return the tokens of a file. Raises ValueError; a token is never quoted."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES >> 20} MiB")
    found = []
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").splitlines(), start=1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if not tokens.is_usable(token):
            raise ValueError(f"line {number} is not one token: visible ASCII characters, {tokens.MAX_LENGTH} at most")
        if len(token) < SHORTEST:
            raise ValueError(f"the token in line {number} is shorter than {SHORTEST} characters")
        found.append(token)
    return found


def _words(error: OSError | ValueError, path: Path) -> str:
    if isinstance(error, OSError):
        return f"{path} cannot be read ({error.strerror})"
    return f"{path}: {error}"
