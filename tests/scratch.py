"""Where tests put their files: in memory, if the machine has enough of it.

A database is 300 small files. Making one takes 0.2 s on a slow disk and 10 ms in memory, and the tests make some 300.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - a mount point; everything below it has a random name
NEEDED_BYTES = 4 << 30
"""The lanes use less than 1 GiB together. The rest is for containers."""


def use() -> None:
    """Let `tempfile`, and the processes that tests start, use memory. A TMPDIR of the caller stays."""
    if "TMPDIR" not in os.environ and in_memory():
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # pytest has asked already, to capture output


def in_memory() -> bool:
    """Whether files in memory fit, and programs may run from there (containers often have 64 MiB without that right)."""
    if not os.access(MEMORY, os.W_OK):
        return False
    mount = os.statvfs(MEMORY)
    return mount.f_bavail * mount.f_frsize >= NEEDED_BYTES and not mount.f_flag & os.ST_NOEXEC and _free_bytes() >= NEEDED_BYTES


def _free_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)
