"""The program that reads manifests: `pool` starts it with a socket as its standard input, and it ends when that is closed.

A request is a message (`Request`) with two descriptors, of the manifest and of an empty file for the lineage; the answer is an `Answer`.
"""

from __future__ import annotations

import gc
import os
import resource
import socket
from contextlib import ExitStack, suppress
from mmap import PROT_READ, mmap
from pathlib import Path

import msgspec

from app import manifest
from app.decoding import spooled
from app.decoding.spooled import Sizes
from app.errors import ManifestError

MAX_MESSAGE = 1 << 16
MAX_WORDS = 2000
MEMORY_BASE, MEMORY_FACTOR = 256 << 20, 2
"""Memory that a manifest may take here: so many bytes, and so many times its size. The file itself, mapped, does not count.

The known ones take about once their size: what takes more is made to, and has the process to itself."""


class Request(msgspec.Struct, frozen=True):
    """What is to be read: `label` and `image` are for people."""

    label: str
    image: str


class Refusal(msgspec.Struct, frozen=True):
    """What is said of a manifest that cannot be read: the facts of a `FreshetError`."""

    doing: str
    reason: str
    next_step: str


class Answer(msgspec.Struct, frozen=True):
    """One of three: the lineage is in the file, the manifest is none, or the program stumbled."""

    sizes: Sizes | None = None
    refusal: Refusal | None = None
    crash: str = ""


def serve(service: socket.socket) -> None:
    """Answer requests until there are no more."""
    while True:
        message, descriptors, *_ = socket.recv_fds(service, MAX_MESSAGE, 2)
        if not message:
            return
        service.send(msgspec.json.encode(_answer(msgspec.json.decode(message, type=Request), descriptors)))
        gc.collect()


def _answer(request: Request, descriptors: list[int]) -> Answer:
    with ExitStack() as files:
        content, rows = (files.enter_context(os.fdopen(one, mode)) for one, mode in zip(descriptors, ("rb", "wb"), strict=True))
        size = os.fstat(content.fileno()).st_size
        limit = MEMORY_BASE + MEMORY_FACTOR * size
        _limit_memory(limit)
        try:
            return Answer(spooled.write(manifest.decode(_mapped(content.fileno(), size)), rows))
        except manifest.WRONG as error:
            return _refused(manifest.refusal(error, size, request.label, request.image))
        except MemoryError:
            _limit_memory(2 * limit)  # or there is none for the answer
            reason = f"the {size:,} bytes that the runner image {request.image} left take more than {limit >> 20:,} MiB of memory to read"
            return _refused(ManifestError(f"reading the manifest of {request.label}", reason, "It can be split into several projects."))
        except OSError as error:
            return Answer(crash=f"{type(error).__name__}: {error}"[:MAX_WORDS])


def _mapped(descriptor: int, size: int) -> bytes | mmap:
    """Return the file without reading it: what is not looked at stays where it is."""
    return mmap(descriptor, size, prot=PROT_READ) if size else b""


def _limit_memory(limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _refused(error: ManifestError) -> Answer:
    return Answer(refusal=Refusal(error.doing[:MAX_WORDS], error.reason[:MAX_WORDS], error.next_step))


if __name__ == "__main__":
    # One job at a time, all of it needed until its end: collecting garbage on the way is work for nothing.
    gc.disable()
    # When the machine runs out of memory, this is what it can do without: what was begun here is tried again.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    # The service may be gone before the answer is there.
    with socket.socket(fileno=0) as connected, suppress(BrokenPipeError, ConnectionResetError):
        serve(connected)
