"""The result: a line of JSON, then the bytes it announces."""

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


def claim_stdout() -> BinaryIO:
    """Return standard output for results only: whatever else is written there from now on goes to standard error."""
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Line by line: of a container that is killed, the last lines tell why.
    sys.stdout.reconfigure(line_buffering=True, errors="replace")
    return results


def write_file(results: BinaryIO, path: str, stages: dict, told: dict, placeholders: list) -> None:
    """Write a success and the file's contents. `told`: `dbt_version` and `warnings`, how often dbt warned.

    Each of the `placeholders` has `kind` (env_var or var), `name`, `value`, `path` in the repository and `line`; the last two may be None.
    """
    with open(path, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        _write_header(results, {"ok": True, "bytes": size, **told}, stages, placeholders)
        shutil.copyfileobj(source, results, 1 << 20)


def write_refusal(results: BinaryIO, kind: str, error: str, stages: dict, placeholders: list) -> None:
    """Write why there is no result: `kind` is dbt (its own words), memory or space (something of the container's ran out)."""
    _write_header(results, {"ok": False, "kind": kind, "error": error[:MAX_ERROR], "bytes": 0}, stages, placeholders)


def _write_header(results: BinaryIO, header: dict, stages: dict, placeholders: list) -> None:
    header["placeholders"] = [{key: _cut(value) for key, value in record.items()} for record in placeholders]
    header["stages"] = {stage: round(seconds, 3) for stage, seconds in stages.items()}
    header["cpu_seconds"] = round(sum(_cpu_seconds(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)), 3)
    header["peak_memory_bytes"] = _peak_memory()
    results.write(_line(header))


def _line(header: dict) -> bytes:
    """Names in files are bytes, and what is no text among them cannot be sent on."""
    line = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_HEADER and header["placeholders"]:
        return _line({**header, "placeholders": header["placeholders"][: len(header["placeholders"]) // 2]})
    return line


def _cut(value: object) -> object:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _peak_memory() -> int:
    for path in PEAK_MEMORY_FILES:
        try:
            with open(path) as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
