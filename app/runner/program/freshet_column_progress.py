"""What the process that finds columns is doing, in memory that it shares with the one that limits it. Independent of dbt.

The phases are written there, and not to a pipe: each message would wake the other process up, twice for each node.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import select
import struct
import time
from contextlib import suppress

START, RENDER, AGAIN, ENGINE, DECIDE, CARRY, WRITE = "start", "render", "again", "engine", "decide", "carry", "write"
"""What the process is doing."""
PHASES = (START, RENDER, AGAIN, ENGINE, DECIDE, CARRY, WRITE)
PLACE = struct.Struct("<QIdQ")
"""The number of the step, its phase, the CPU seconds of the process when it began, and the number of its node; then the number again."""
NUMBER = struct.Struct("<Q")
TRIES = 100
LIMITING, WORKING, HELPING = 100, 200, 1000
"""Which process the kernel ends if memory runs out, of those that find columns: the helpers first."""


class ColumnProgress:
    """The progress of one process."""

    def __init__(self, unique_ids: list) -> None:
        """`unique_ids`: of all nodes that it may name."""
        self._unique_ids = ["", *unique_ids]
        self._numbers = {unique_id: number for number, unique_id in enumerate(self._unique_ids)}
        self._shared = mmap.mmap(-1, PLACE.size + NUMBER.size)
        self._step = 0
        self._read, self._write = os.pipe()
        self._text = b""

    def at(self, phase: str, unique_id: str) -> None:
        """A step begins."""
        self._step += 1
        PLACE.pack_into(self._shared, 0, self._step, PHASES.index(phase), time.process_time(), self._numbers[unique_id])
        NUMBER.pack_into(self._shared, PLACE.size, self._step)

    def end(self, why: str, text: str) -> None:
        """Say how it ends: `done`, `memory` or `error`."""
        os.write(self._write, json.dumps([why, text]).encode("utf-8", "replace") + b"\n")

    def place(self) -> tuple:
        """The step, its phase, the CPU seconds when it began, and the unique_id of its node."""
        for _ in range(TRIES):
            step, phase, cpu_s, node = PLACE.unpack_from(self._shared, 0)
            if NUMBER.unpack_from(self._shared, PLACE.size) == (step,):
                break
        # A process that is killed may leave half of a step.
        return step, PHASES[phase], cpu_s, self._unique_ids[node]

    def is_written_here(self) -> None:
        """This is the process."""
        os.close(self._read)

    def is_read_here(self) -> None:
        """This is the one that limits it."""
        os.close(self._write)

    def is_of_another(self) -> None:
        """This is one that the process has started: its end is not that of the process."""
        os.close(self._write)

    def listen(self, seconds: float) -> list | None:
        """How the process ends, after at most `seconds`: empty while it works on, None if it has ended without saying so."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        if not ready:
            return []
        text = os.read(self._read, 1 << 16)
        self._text += text
        line, found, _ = self._text.partition(b"\n")
        return json.loads(line) if found else [] if text else None

    def close(self) -> None:
        """Nobody reads on."""
        os.close(self._read)
        self._shared.close()


def prepare(victim: int) -> None:
    """Let this process be one that the kernel ends if memory runs out; collect garbage seldom, since there is little."""
    gc.set_threshold(100_000, 20, 100)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(victim))
