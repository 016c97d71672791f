"""The result: a line of JSON, then the bytes it announces."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
from typing import BinaryIO

MAX_ERROR = 256 << 10
PEAK_MEMORY_FILES = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
"""The container's own control group, version 2 (Linux 5.19 and later) and version 1: files on its tmpfs count too."""


def claim_stdout() -> BinaryIO:
    """Return standard output for results only: whatever else is written there from now on goes to standard error."""
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Line by line: of a container that is killed, the last lines tell why.
    sys.stdout.reconfigure(line_buffering=True, errors="replace")
    return results


def write_file(results: BinaryIO, path: str, stages: dict, dbt_version: str, warnings: int) -> None:
    """Write a success and the file's contents."""
    with open(path, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        _write_header(results, {"ok": True, "bytes": size, "dbt_version": dbt_version, "warnings": warnings}, stages)
        shutil.copyfileobj(source, results, 1 << 20)


def write_refusal(results: BinaryIO, kind: str, error: str, stages: dict) -> None:
    """Write why there is no result: `kind` is dbt (its own words), memory or space (something of the container's ran out)."""
    _write_header(results, {"ok": False, "kind": kind, "error": error[:MAX_ERROR], "bytes": 0}, stages)


def _write_header(results: BinaryIO, header: dict, stages: dict) -> None:
    header["stages"] = {stage: round(seconds, 3) for stage, seconds in stages.items()}
    header["cpu_seconds"] = round(sum(_cpu_seconds(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)), 3)
    header["peak_memory_bytes"] = _peak_memory()
    results.write(json.dumps(header).encode() + b"\n")


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
