"""How many warm containers are needed, and for what, from the times of recent jobs. Pure: callers pass the time in seconds."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

CROWD_S = 600.0
"""Jobs that begin within this time of each other are a crowd: each should find a container, though they may wait for their turns."""
CROWDS_S = 93_600.0
"""For how long crowds are remembered: 26 hours, so that the one of every morning finds its containers."""
MEMORY_SHARE = 0.25
"""Of the memory of the engine's host, for warm containers."""
USUAL_BYTES = 160 << 20
"""Of a warm container, until one says what it takes."""
AROUND_BYTES = 16 << 20
"""What the engine's own processes for a container take."""
SHORTEST_S, USUAL_S, LONGEST_S = 10.0, 60.0, 120.0
"""Bounds for `patience_with_warming_s`, and what it is as long as nothing is known about the host."""
MOST_KEPT = 256
"""The highest limit that can be configured: larger crowds need not be told apart."""
MOST = 64
"""More do not stand ready, however much memory there is: the engine has to start and watch them."""


def fitting(memory_bytes: int, one_bytes: int) -> int:
    """How many warm containers of `one_bytes` fit into their share of a host's memory: from 1 to `MOST`.

    >>> [fitting(gib << 30, 150 << 20) for gib in (1, 2, 4, 8, 24, 512)]
    [1, 3, 6, 12, 37, 64]
    """
    return max(1, min(int(memory_bytes * MEMORY_SHARE / ((one_bytes or USUAL_BYTES) + AROUND_BYTES)), MOST))


def patience_with_warming_s(took_s: Collection[float]) -> float:
    """How long to wait for a container that is getting warm: three times as long as the slowest of the last ones took on this host.

    >>> [patience_with_warming_s(took) for took in ((), (2.0, 1.5), (9.0, 20.0), (100.0,))]
    [60.0, 10.0, 60.0, 120.0]
    """
    return min(max(3 * max(took_s), SHORTEST_S), LONGEST_S) if took_s else USUAL_S


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
    began: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    """When the last jobs began, within `CROWD_S`."""
    crowds: deque[tuple[float, int]] = field(default_factory=deque)
    """When that number of jobs had last begun within `CROWD_S`; numbers fall, so the first is the highest."""

    def begin(self, now_s: float) -> None:
        """Record that a job begins."""
        self.running += 1
        self.last_s = now_s
        self.began.append(now_s)
        while now_s - self.began[0] > CROWD_S:
            self.began.popleft()
        while self.crowds and self.crowds[-1][1] <= len(self.began):
            self.crowds.pop()
        self.crowds.append((now_s, len(self.began)))

    def most(self, now_s: float) -> int:
        """The largest crowd that is remembered."""
        while self.crowds and now_s - self.crowds[0][0] > CROWDS_S:
            self.crowds.popleft()
        return self.crowds[0][1] if self.crowds else 1


class Demand:
    """Counts jobs as they start and end."""

    def __init__(self) -> None:
        self._uses: dict[WarmKind, _Use] = {}

    @property
    def running(self) -> int:
        """How many jobs run."""
        return sum(use.running for use in self._uses.values())

    def expect(self, kind: WarmKind, at_s: float) -> None:
        """Record a job of an earlier run of the service, older ones first."""
        self.begin(kind, at_s)
        self.end(kind, at_s)

    def begin(self, kind: WarmKind, now_s: float) -> None:
        """Record the start of a job."""
        self._uses.setdefault(kind, _Use(now_s)).begin(now_s)

    def end(self, kind: WarmKind, now_s: float) -> None:
        """Record the end of a job."""
        use = self._uses[kind]
        use.running -= 1
        use.last_s = now_s

    def containers(self, now_s: float, limit: int) -> Mapping[WarmKind, int]:
        """Return how many containers of each kind to keep, at most `limit` in total: of each one in turn, the last used first."""
        self._forget(now_s)
        return Counter(islice(self._turns(now_s), limit))

    def _turns(self, now_s: float) -> Iterator[WarmKind]:
        left = {kind: self._uses[kind].most(now_s) for kind in sorted(self._uses, key=lambda kind: self._uses[kind].last_s, reverse=True)}
        while left:
            yield from left
            left = {kind: count - 1 for kind, count in left.items() if count > 1}

    def _forget(self, now_s: float) -> None:
        known = any(kind.adapter_type for kind in self._uses)
        last = max(self._uses, key=lambda kind: (kind.adapter_type is not None, self._uses[kind].last_s), default=None)
        self._uses = {
            kind: use
            for kind, use in self._uses.items()
            if use.running or kind == last or (now_s - use.last_s <= CROWDS_S and (kind.adapter_type is not None or not known))
        }
