"""How long to wait before a retry."""

from __future__ import annotations

from datetime import timedelta


def retry_delay(attempt: int, asked_s: float | None) -> timedelta:
    """The wait after attempt number `attempt` (from 0): 1 s, 4 s, 16 s and so on, and at least `asked_s`."""
    return timedelta(seconds=max(asked_s or 0.0, 4.0 ** min(attempt, 12)))
