"""What a container cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds from the job to its end, and what it took meanwhile; None where nobody told."""

    seconds: float
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
