"""Fetches commits without files, and files by their ids: https://git-scm.com/docs/partial-clone.

This is configured in the environment of each fetch, never in a mirror's own configuration: otherwise a git that only reads would fetch
missing files automatically, one by one and without a token.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

FILTERED = ("--filter=blob:none",)
NO_NEGOTIATION: Mapping[str, str] = {"fetch.negotiationAlgorithm": "noop"}
"""The missing objects are known, so GitHub need not learn which ones are present."""


def promisor(url: str) -> dict[str, str]:
    """Configuration of git for fetching without files, or missing files afterwards."""
    return {f"remote.{url}.promisor": "true", f"remote.{url}.partialCloneFilter": "blob:none"}


def is_partial(git_dir: Path) -> bool:
    """True if files of the commits may be missing; a server without support for filters has sent them anyway."""
    return next(git_dir.glob("objects/pack/*.promisor"), None) is not None


@contextmanager
def lines_file(oids: Sequence[str]) -> Iterator[IO[bytes]]:
    """The ids as lines in a file, for git's stdin: a pipe would have to be written while the output is read."""
    with tempfile.TemporaryFile() as lines:
        lines.write("".join(f"{oid}\n" for oid in oids).encode())
        lines.seek(0)
        yield lines
