"""Fetching without files, and files by their ids: https://git-scm.com/docs/partial-clone.

git is told of it in the environment of each fetch, never in a mirror's own configuration: a git that reads does not know that files could
be had, so it fetches none by itself, one by one and without a token.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

FILTERED = ("--filter=blob:none",)
ASKED_OUTRIGHT: Mapping[str, str] = {"fetch.negotiationAlgorithm": "noop"}
"""What is missing is known: there is no need to tell GitHub what is there."""


def promisor(url: str) -> dict[str, str]:
    """Return the configuration of a git that leaves files out, or fetches them afterwards."""
    return {f"remote.{url}.promisor": "true", f"remote.{url}.partialCloneFilter": "blob:none"}


def is_partial(git_dir: Path) -> bool:
    """Tell whether files of its commits may be missing. A server that cannot leave them out has sent them nevertheless."""
    return next(git_dir.glob("objects/pack/*.promisor"), None) is not None


@contextmanager
def lines_of(oids: Sequence[str]) -> Iterator[IO[bytes]]:
    """Give git what to read from a file, not a pipe: nobody has to write while the answers are read."""
    with tempfile.TemporaryFile() as lines:
        lines.write("".join(f"{oid}\n" for oid in oids).encode())
        lines.seek(0)
        yield lines
