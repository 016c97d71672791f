"""What led to an extraction: a delivery of GitHub's, whose id is in every log line about it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Origin:
    """A delivery that led to extractions."""

    delivery_id: str
    received_s: float | None = field(default_factory=time.monotonic)
    """When it arrived, by this process's monotonic clock. None: the extraction follows from another one of the delivery."""
    traceparent: str | None = None
    """The trace of the delivery: https://www.w3.org/TR/trace-context/#traceparent-header."""

    @property
    def age(self) -> timedelta | None:
        """The time since it arrived. A duration, because the clocks of hosts and of the database differ."""
        return None if self.received_s is None else timedelta(seconds=time.monotonic() - self.received_s)
