"""What the container answers: lines of JSON, some with bytes after them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
from typing import BinaryIO

MAX_ERROR = 128 << 10
MAX_TEXT = 500
MAX_HEADER = 1 << 20
"""The other end takes no longer line: `app/dbt/command.py`."""
PEAK_MEMORY_FILES = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
"""The container's own control group, version 2 (Linux 5.19 and later) and version 1: files on its tmpfs count too."""


_spent_before = 0.0  # CPU seconds that no job is to blame for


def claim_stdout() -> BinaryIO:
    """Return standard output for results only: whatever else is written there from now on goes to standard error."""
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Line by line: of a container that is killed, the last lines tell why.
    sys.stdout.reconfigure(line_buffering=True, errors="replace")
    return results


def begin_counting() -> None:
    """Leave out of `cpu_seconds` what was spent until now."""
    global _spent_before  # noqa: PLW0603 - one process, one job
    _spent_before = _cpu_seconds()


def write_line(results: BinaryIO, answer: dict) -> None:
    """Write a line of its own, at once."""
    results.write(_line(answer))
    results.flush()


def write_file(results: BinaryIO, path: str, stages: dict, told: dict, placeholders: list) -> None:
    """Write a success and the file's contents. `told`: `dbt_version`, `warnings` (how often dbt warned), `partial` (a state was used).

    Each of the `placeholders` has `kind` (env_var or var), `name`, `value`, `path` in the repository and `line`; the last two may be None.
    """
    with open(path, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        _write_header(results, {"ok": True, "bytes": size, **told}, stages, placeholders)
        shutil.copyfileobj(source, results, 1 << 20)
    results.flush()


def write_state(results: BinaryIO, path: str | None) -> None:
    """Write the file that the next job of the connection can begin with; None when there is none."""
    with open(path or os.devnull, "rb") as source:
        write_line(results, {"state_bytes": os.fstat(source.fileno()).st_size})
        shutil.copyfileobj(source, results, 1 << 20)
    results.flush()


def write_refusal(results: BinaryIO, kind: str, error: str, stages: dict, placeholders: list) -> None:
    """Write why there is no result: `kind` is dbt (its own words), memory or space (something of the container's ran out)."""
    _write_header(results, {"ok": False, "kind": kind, "error": error[:MAX_ERROR], "bytes": 0}, stages, placeholders)


def _write_header(results: BinaryIO, header: dict, stages: dict, placeholders: list) -> None:
    header["placeholders"] = [{key: _cut(value) for key, value in record.items()} for record in placeholders]
    header["stages"] = {stage: round(seconds, 3) for stage, seconds in stages.items()}
    header["cpu_seconds"] = round(_cpu_seconds() - _spent_before, 3)
    header["peak_memory_bytes"] = peak_memory()
    results.write(_line(header))


def _line(header: dict) -> bytes:
    """Names in files are bytes, and what is no text among them cannot be sent on."""
    line = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_HEADER and header.get("placeholders"):
        return _line({**header, "placeholders": header["placeholders"][: len(header["placeholders"]) // 2]})
    return line


def _cut(value: object) -> object:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def peak_memory() -> int:
    """Return the most that the container has taken, in bytes."""
    for path in PEAK_MEMORY_FILES:
        try:
            with open(path) as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
