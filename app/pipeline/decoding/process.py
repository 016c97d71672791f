"""The program that decodes: `pool` starts it with a socket as its standard input; it ends when the socket is closed.

A request is a message (`Request`) with three descriptors: the manifest or columns document, an empty file for the rows, and a file with the
rest of the request as JSON: for columns a `ColumnsScope`, for a manifest a `ManifestScope`; to compare it, the other manifest. The
answer is a `DecodingResult`.
"""

from __future__ import annotations

import gc
import os
import resource
import socket
from contextlib import ExitStack, suppress
from mmap import PROT_READ, mmap
from pathlib import Path
from typing import IO

import msgspec

from app.core.errors import FreshetError
from app.core.models.warehouse import WarehouseNames
from app.lineage import manifest, manifest_comparison
from app.lineage.column_document import MalformedColumnsError, malformed_columns
from app.lineage.manifest_comparison import ManifestDifferences
from app.pipeline.decoding import spooled, spooled_columns
from app.pipeline.decoding.spooled_rows import Sizes

MODES = ("rb", "wb", "rb")
"""Of the three files."""
MAX_MESSAGE = 1 << 16
MAX_WORDS = 2000
MEMORY_BASE, MEMORY_FACTOR = 256 << 20, 2
"""The memory limit of a manifest: this number of bytes plus this many times its size. The mapped file itself does not count.

Known manifests take about their own size in memory; one that takes more is likely an attack."""


class Request(msgspec.Struct, frozen=True):
    """What to decode; `label` (commit) and `image` (runner image) are for error messages."""

    label: str
    image: str
    names: WarehouseNames | None
    """Of the job, for a manifest; None: decode a columns document."""
    compares: bool = False
    """Compare two manifests, which are not decoded to rows."""


class Refusal(msgspec.Struct, frozen=True):
    """Why something cannot be read: the fields of a `ManifestError` or `ColumnsError`."""

    doing: str
    reason: str
    next_step: str


class DecodingResult(msgspec.Struct, frozen=True):
    """One of four: the rows are in the file (`sizes`), what differs, the input is invalid (`refusal`), or the program failed (`crash`)."""

    sizes: Sizes | None = None
    differences: ManifestDifferences | None = None
    refusal: Refusal | None = None
    crash: str = ""


def serve(service: socket.socket) -> None:
    """Answer requests until the socket is closed."""
    while True:
        message, descriptors, *_ = socket.recv_fds(service, MAX_MESSAGE, len(MODES))
        if not message:
            return
        service.send(msgspec.json.encode(_answer(msgspec.json.decode(message, type=Request), descriptors)))
        gc.collect()


def _answer(request: Request, descriptors: list[int]) -> DecodingResult:
    with ExitStack() as files:
        content, rows, scope = (files.enter_context(os.fdopen(one, mode)) for one, mode in zip(descriptors, MODES, strict=True))
        size = os.fstat(content.fileno()).st_size + (os.fstat(scope.fileno()).st_size if request.compares else 0)
        limit = MEMORY_BASE + MEMORY_FACTOR * size
        _limit_memory(limit)
        try:
            mapped = _mapped(content)
            if request.compares:
                return DecodingResult(differences=manifest_comparison.compare(mapped, _mapped(scope)))
            return DecodingResult(_columns(mapped, scope, rows) if request.names is None else _lineage(mapped, request.names, scope, rows))
        except (*manifest.DECODE_ERRORS, MalformedColumnsError) as error:
            return DecodingResult(refusal=_malformed(request, error, size))
        except MemoryError:
            _limit_memory(2 * limit)  # otherwise there is no memory for the answer
            return DecodingResult(refusal=_too_big(request, size, limit))
        except OSError as error:
            return DecodingResult(crash=f"{type(error).__name__}: {error}"[:MAX_WORDS])


def _lineage(content: bytes | mmap, names: WarehouseNames, scope: IO[bytes], rows: IO[bytes]) -> Sizes:
    return spooled.write(manifest.decode(content), names, rows, msgspec.json.decode(_mapped(scope), type=spooled.ManifestScope))


def _columns(content: bytes | mmap, scope: IO[bytes], rows: IO[bytes]) -> Sizes:
    return spooled_columns.write(content, msgspec.json.decode(_mapped(scope), type=spooled_columns.ColumnsScope), rows)


def _malformed(request: Request, error: Exception, size: int) -> Refusal:
    if request.names is None and not request.compares:
        return _refusal(malformed_columns(error, request.label, request.image))
    return _refusal(manifest.manifest_error(error, size, request.label, request.image))


def _too_big(request: Request, size: int, limit: int) -> Refusal:
    what, remedy = (
        ("columns", "") if request.names is None and not request.compares else ("manifest", "Split it into several dbt projects.")
    )
    reason = f"reading the {size:,} bytes from the runner image {request.image} takes more than {limit >> 20:,} MiB of memory"
    return Refusal(f"reading the {what} of {request.label}"[:MAX_WORDS], reason[:MAX_WORDS], remedy)


def _refusal(error: FreshetError) -> Refusal:
    return Refusal(error.doing[:MAX_WORDS], error.reason[:MAX_WORDS], error.next_step)


def _mapped(file: IO[bytes]) -> bytes | mmap:
    """The file, memory-mapped: only what is used is read."""
    size = os.fstat(file.fileno()).st_size
    return mmap(file.fileno(), size, prot=PROT_READ) if size else b""


def _limit_memory(limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1]))


if __name__ == "__main__":
    # One job at a time, and all of it is needed until its end: garbage collection would be wasted work.
    gc.disable()
    # If the machine runs out of memory, this process should be killed first: its work is retried.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    # The service may have ended before the answer is sent.
    with socket.socket(fileno=0) as connected, suppress(BrokenPipeError, ConnectionResetError):
        serve(connected)
