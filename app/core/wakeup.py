"""Waking a task that waits for work."""

from __future__ import annotations

from typing import Protocol


class Wakeup(Protocol):
    """Wakes a task when there may be work. A missed wakeup is harmless: the task also looks from time to time."""

    async def wait(self, timeout_s: float) -> None:
        """Return at the next wakeup since the last call, or after `timeout_s`."""

    def wake(self) -> None:
        """Wake the task that waits."""
