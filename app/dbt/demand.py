"""How many containers are to stand ready, and for what: decided from when jobs came. Pure: the time is told, in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

LATELY_S = 300.0
"""As many as ran at once within this long are kept ready."""
RECENTLY_S = 3600.0
"""After this long without a job none is kept, but for the kind that was used last: the first push of a day is to find one too."""


class Kind(NamedTuple):
    """What a container gets warm for."""

    image: str
    """Its name, under which another image may stand one day."""
    adapter_type: str | None
    """None: any. Kept only while no other kind was ever asked for."""


@dataclass(slots=True)
class _Use:
    last_s: float
    running: int = 0
    peaks: deque[tuple[float, int]] = field(default_factory=deque)
    """Until when, and how many ran at once; falling, so that the first is the most."""

    def note(self, now_s: float) -> None:
        """As many run now as `running` says."""
        self.last_s = now_s
        while self.peaks and self.peaks[-1][1] <= self.running:
            self.peaks.pop()
        self.peaks.append((now_s, self.running))


class Demand:
    """Counts jobs as they begin and end."""

    def __init__(self) -> None:
        self._uses: dict[Kind, _Use] = {}

    def expect(self, kind: Kind, now_s: float) -> None:
        """Take it for recently used."""
        self._uses.setdefault(kind, _Use(now_s))

    def begin(self, kind: Kind, now_s: float) -> None:
        """A job begins."""
        use = self._uses.setdefault(kind, _Use(now_s))
        use.running += 1
        use.note(now_s)

    def end(self, kind: Kind, now_s: float) -> None:
        """A job has ended."""
        use = self._uses[kind]
        use.note(now_s)
        use.running -= 1

    def wanted(self, now_s: float, limit: int) -> Mapping[Kind, int]:
        """Return how many of each kind are to stand ready, `limit` together at most: one of each, the last used first, then the others."""
        self._forget(now_s)
        kinds = sorted(self._uses, key=lambda kind: self._uses[kind].last_s, reverse=True)
        more = chain.from_iterable([kind] * (self._at_once(self._uses[kind], now_s) - 1) for kind in kinds)
        wanted: dict[Kind, int] = {}
        for kind in islice(chain(kinds, more), limit):
            wanted[kind] = wanted.get(kind, 0) + 1
        return wanted

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
