"""How many warm containers are needed, and for what, from the times of recent jobs. Pure: callers pass the time in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

LATELY_S = 300.0
"""The most jobs that ran at the same time within this period decide how many containers are kept."""
RECENTLY_S = 3600.0
"""A kind without a job for this long gets no container, except the last one used: the first push of a day should find one too."""


class WarmKind(NamedTuple):
    """The jobs for which a container is warmed."""

    image: str
    """By name, which may move to another build."""
    adapter_type: str | None
    """None: unknown; kept only until the first job shows an adapter."""


@dataclass(slots=True)
class _Use:
    last_s: float
    running: int = 0
    peaks: deque[tuple[float, int]] = field(default_factory=deque)
    """When that number of jobs last ran at the same time; numbers fall, so the first is the highest."""

    def note(self, now_s: float) -> None:
        """Record that `running` jobs run at this time."""
        self.last_s = now_s
        while self.peaks and self.peaks[-1][1] <= self.running:
            self.peaks.pop()
        self.peaks.append((now_s, self.running))


class Demand:
    """Counts jobs as they start and end."""

    def __init__(self) -> None:
        self._uses: dict[WarmKind, _Use] = {}

    def expect(self, kind: WarmKind, now_s: float) -> None:
        """Treat a kind as recently used."""
        self._uses.setdefault(kind, _Use(now_s))

    def begin(self, kind: WarmKind, now_s: float) -> None:
        """Record the start of a job."""
        use = self._uses.setdefault(kind, _Use(now_s))
        use.running += 1
        use.note(now_s)

    def end(self, kind: WarmKind, now_s: float) -> None:
        """Record the end of a job."""
        use = self._uses[kind]
        use.note(now_s)
        use.running -= 1

    def containers(self, now_s: float, limit: int) -> Mapping[WarmKind, int]:
        """Return how many containers of each kind to keep, at most `limit` in total: first one of each, the last used first, then more."""
        self._forget(now_s)
        kinds = sorted(self._uses, key=lambda kind: self._uses[kind].last_s, reverse=True)
        more = chain.from_iterable([kind] * (self._at_once(self._uses[kind], now_s) - 1) for kind in kinds)
        counts: dict[WarmKind, int] = {}
        for kind in islice(chain(kinds, more), limit):
            counts[kind] = counts.get(kind, 0) + 1
        return counts

    @staticmethod
    def _at_once(use: _Use, now_s: float) -> int:
        while use.peaks and now_s - use.peaks[0][0] > LATELY_S:
            use.peaks.popleft()
        return max(use.peaks[0][1] if use.peaks else 0, use.running, 1)

    def _forget(self, now_s: float) -> None:
        known = any(kind.adapter_type for kind in self._uses)
        last = max(self._uses, key=lambda kind: (kind.adapter_type is not None, self._uses[kind].last_s), default=None)
        self._uses = {
            kind: use
            for kind, use in self._uses.items()
            if use.running or kind == last or (now_s - use.last_s <= RECENTLY_S and (kind.adapter_type is not None or not known))
        }
