"""Writes the container's answers: lines of JSON, some followed by bytes."""

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
"""The longest line that `app/runner/job_protocol.py` accepts."""
PEAK_MEMORY_FILES = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
"""Of the container's control group, in version 2 (Linux 5.19 and later) and version 1. Files on tmpfs count too."""


_spent_before = 0.0  # CPU seconds before the job


def claim_stdout() -> BinaryIO:
    """Return standard output for results, and redirect everything else that is printed to standard error."""
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Line by line, so that the last lines of a killed container are not lost.
    sys.stdout.reconfigure(line_buffering=True, errors="replace")
    return results


def begin_counting() -> None:
    """Start counting `cpu_seconds` now."""
    global _spent_before  # noqa: PLW0603 - one process, one job
    _spent_before = cpu_seconds()


def write_line(results: BinaryIO, answer: dict) -> None:
    """Write an answer that is one line, at once."""
    results.write(_line(answer))
    results.flush()


def write_file(results: BinaryIO, path: str, stages: dict, facts: dict, placeholders: list) -> None:
    """Write a success, and a file's contents.

    `facts`: `dbt_version`, `warnings` (their number), `partial` (whether most nodes came from a state), and `ignored`, the checks that were
    asked for and not made: their `kind` is `version` (`name` is the project or package, `value` the required dbt) or `warn_error` (`name`:
    the flag). Each of the `placeholders` has `kind` (env_var or var), `name`, `value`, `path` in the repository and `line`; the last two
    may be None.
    """
    with open(path, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        _write_header(results, {"ok": True, "bytes": size, **facts}, stages, placeholders)
        shutil.copyfileobj(source, results, 1 << 20)
    results.flush()


def write_state(results: BinaryIO, path: str | None) -> None:
    """Write the state for the connection's next job; None: there is none."""
    with open(path or os.devnull, "rb") as source:
        write_line(results, {"state_bytes": os.fstat(source.fileno()).st_size})
        shutil.copyfileobj(source, results, 1 << 20)
    results.flush()


def write_columns(results: BinaryIO, path: str | None, facts: dict) -> None:
    """Write the columns document; None: there is none, and `facts` has an `error`. Also in `facts`: `seconds`, `cpu_seconds`."""
    with open(path or os.devnull, "rb") as source:
        line = {key: round(value, 3) if isinstance(value, float) else _cut(value) for key, value in facts.items()}
        write_line(results, {"columns_bytes": os.fstat(source.fileno()).st_size, **line, "peak_memory_bytes": peak_memory()})
        shutil.copyfileobj(source, results, 1 << 20)
    results.flush()


def write_failure(results: BinaryIO, kind: str, error: str, stages: dict, placeholders: list, ignored: list = ()) -> None:
    """Write a failure. `kind` is dbt (`error` is its message), or memory or space if the container ran out of that."""
    _write_header(results, {"ok": False, "kind": kind, "error": error[:MAX_ERROR], "bytes": 0, "ignored": ignored}, stages, placeholders)


def _write_header(results: BinaryIO, header: dict, stages: dict, placeholders: list) -> None:
    for name, records in (("placeholders", placeholders), ("ignored", header.get("ignored", ()))):
        header[name] = [{key: _cut(value) for key, value in record.items()} for record in records]
    header["stages"] = {stage: round(seconds, 3) for stage, seconds in stages.items()}
    header["cpu_seconds"] = round(cpu_seconds() - _spent_before, 3)
    header["peak_memory_bytes"] = peak_memory()
    results.write(_line(header))


def _line(header: dict) -> bytes:
    """Encode a line: invalid characters are replaced, and placeholders are dropped until it is short enough."""
    line = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_HEADER and header.get("placeholders"):
        return _line({**header, "placeholders": header["placeholders"][: len(header["placeholders"]) // 2]})
    return line


def _cut(value: object) -> object:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def peak_memory() -> int:
    """Return the container's peak memory in bytes."""
    for path in PEAK_MEMORY_FILES:
        try:
            with open(path) as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
