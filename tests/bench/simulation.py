"""A simulated Freshet: pushes arrive, hosts claim and extract them. Seeded; times are seconds of a simulated clock.

The queue is `queue_simulation`; what an extraction costs is measured (`measured`).
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, count

from tests.bench import measured
from tests.bench.queue_simulation import Host, Job, Queue

REPOSITORIES = 10_000
INSTALLATIONS = 500
POPULARITY = 0.6
"""The exponent of Zipf's law for repositories: the busiest of 10,000 has one push in a hundred."""
SIZES = 0.8
"""The same for the number of repositories of an installation: the biggest of 500 has one repository in twenty."""
FOLLOWED = 0.3
"""The share of pushes to the followed branch; all others are to one of `SIDE_BRANCHES` of the repository."""
SIDE_BRANCHES = 4
WAVE_S, WAVE = 3600.0, 0.5
"""The rate swings by half around its mean, once in an hour or in the simulated time, if that is shorter."""
CROWD_S, CROWD, CROWD_TAKES_S = 600.0, 60, 20.0
"""Every ten minutes a program pushes to 60 repositories of one installation within 20 seconds."""
EARLIER = 100_000
"""Pushes before the simulated time, of which hosts have the parse states."""


@dataclass(frozen=True)
class Deployment:
    """`hosts` processes with `places` each; `spare` cores beside those of the places, for warming containers."""

    name: str
    hosts: int
    places: int
    warm: int
    """The most warm containers of a host."""
    spare: float = 0.0


@dataclass
class Result:
    """What came of the pushes of a simulated time."""

    deployment: Deployment
    per_minute: float
    simulated_s: float
    waited_s: list[float] = field(default_factory=list)
    """From the push to the end of its extraction, sorted at the end."""
    counts: Counter[str] = field(default_factory=Counter)
    """`pushed`, `superseded`, `cold` (no warm container was ready), `known` and `unknown` (with and without a parse state),
    `empty` (claims that found nothing)."""
    busy_s: float = 0.0
    lock_s: float = 0.0
    most_running: int = 0
    most_warm: float = 0.0
    left: int = 0
    late_installations: int = 0
    """Those with more check runs than GitHub accepts at once."""

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the pushes had their result."""
        return self.waited_s[min(int(share * len(self.waited_s)), len(self.waited_s) - 1)] if self.waited_s else math.inf

    @property
    def utilisation(self) -> float:
        """Of the places."""
        return self.busy_s / (self.simulated_s * self.deployment.hosts * self.deployment.places)

    @property
    def lock_share(self) -> float:
        """Of the time, that the lock of claims is taken."""
        return self.lock_s / self.simulated_s

    @property
    def keeps_up(self) -> bool:
        """Whether the backlog does not grow and the lock suffices."""
        return (
            self.left <= max(0.02 * self.counts["pushed"], self.deployment.hosts * self.deployment.places + CROWD) and self.lock_share < 1
        )


class World:
    """Repositories with their sizes, installations and popularity."""

    def __init__(self, seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311 - no secret
        homes = list(accumulate(1 / (one + 1) ** SIZES for one in range(INSTALLATIONS)))
        self.installation = choose.choices(range(INSTALLATIONS), cum_weights=homes, k=REPOSITORIES)
        self.models = choose.choices(measured.MODELS, k=REPOSITORIES)
        self.popularity = list(accumulate(1 / (one + 1) ** POPULARITY for one in range(REPOSITORIES)))
        self.of_installation: dict[int, list[int]] = {}
        for repository, installation in enumerate(self.installation):
            self.of_installation.setdefault(installation, []).append(repository)

    def pushes(self, choose: random.Random, per_minute: float, simulated_s: float) -> Iterator[tuple[float, int]]:
        """Times and repositories, in order."""
        crowds = []
        for begin in range(1, int(simulated_s // CROWD_S)):
            repositories = choose.choice([one for one in self.of_installation.values() if len(one) >= CROWD // 2])
            crowds += [(begin * CROWD_S + choose.random() * CROWD_TAKES_S, choose.choice(repositories)) for _ in range(CROWD)]
        rate, now = per_minute / 60 - len(crowds) / simulated_s, 0.0
        steady = []
        while True:
            now += choose.expovariate(rate * (1 + WAVE))
            if now >= simulated_s:
                break
            if choose.random() * (1 + WAVE) < 1 + WAVE * math.sin(2 * math.pi * now / min(WAVE_S, simulated_s)):
                steady.append(now)
        repositories = choose.choices(range(REPOSITORIES), cum_weights=self.popularity, k=len(steady))
        return heapq.merge(sorted(crowds), zip(steady, repositories, strict=True))


class Simulation:
    """One deployment under one load."""

    def __init__(self, deployment: Deployment, per_minute: float, simulated_s: float, seed: int = 1) -> None:
        self._choose = random.Random(seed)  # noqa: S311 - no secret
        self._world, self._queue = World(seed), Queue()
        self._hosts = [Host(deployment.places, measured.STATE_MODELS) for _ in range(deployment.hosts)]
        self._ready = [float(deployment.warm)] * deployment.hosts
        self._ready_s = [0.0] * deployment.hosts
        self._ends: list[tuple[float, int, int, Job]] = []
        """When an extraction ends, a number, its host and itself."""
        self._numbers, self._shas = count(), count()
        self._lock_free_s = 0.0
        self.result = Result(deployment, per_minute, simulated_s)

    def run(self) -> Result:
        """Simulate and count."""
        choose, world, result = self._choose, self._world, self.result
        for repository in choose.choices(range(REPOSITORIES), cum_weights=world.popularity, k=EARLIER):
            choose.choice(self._hosts).knows(repository, world.models[repository])
        writes: Counter[int] = Counter()
        for now, repository in world.pushes(choose, result.per_minute, result.simulated_s):
            self._end_until(now)
            kind = choose.choices(list(measured.MIX), weights=list(measured.MIX.values()))[0]
            branch = 0 if choose.random() < FOLLOWED else 1 + choose.randrange(SIDE_BRANCHES)
            installation = world.installation[repository]
            superseded = self._queue.push(installation, repository, branch, next(self._shas), now, kind)
            result.counts.update(pushed=1, superseded=len(superseded))
            writes[installation] += 2 if kind == "nothing" else 3
            for number in choose.sample(range(len(self._hosts)), len(self._hosts)):
                self._claim(number, now)
        self._end_until(result.simulated_s)
        result.left = self._queue.waiting
        result.late_installations = sum(one * 3600 / result.simulated_s > measured.WRITES_AN_HOUR for one in writes.values())
        result.waited_s.sort()
        return result

    def _end_until(self, until: float) -> None:
        while self._ends and self._ends[0][0] <= until:
            now, _, number, job = heapq.heappop(self._ends)
            self._warm(number, now)
            self._hosts[number].end(job)
            self._queue.finish(job)
            self.result.waited_s.append(now - job.pushed_s)
            self._claim(number, now)

    def _claim(self, number: int, now: float) -> None:
        """What a host does when it is woken: it claims until there is nothing, or no place."""
        host = self._hosts[number]
        while host.taken < host.places:
            job = self._queue.claim(host.full) if self._queue.waiting else None
            took = measured.CLAIM_S if job else measured.EMPTY_CLAIM_S
            self._lock_free_s = max(self._lock_free_s, now) + took
            self.result.lock_s += took
            if job is None:
                self.result.counts["empty"] += 1
                return
            self._warm(number, now)
            host.begin(job)
            took = self._duration(number, job)
            self.result.busy_s += took
            heapq.heappush(self._ends, (self._lock_free_s + took, next(self._numbers), number, job))
            self.result.most_running = max(self.result.most_running, sum(one.taken for one in self._hosts))
            self.result.most_warm = max(self.result.most_warm, sum(self._ready))

    def _duration(self, number: int, job: Job) -> float:
        models = self._world.models[job.connection]
        if job.kind == "nothing":
            return measured.seconds("nothing", models) * self._noise()
        known = self._hosts[number].knows(job.connection, models)
        self.result.counts["known" if known else "unknown"] += 1
        took = measured.seconds(job.kind if known else "first", models) * self._noise()
        if self._ready[number] >= 1:
            self._ready[number] -= 1
            return took
        self.result.counts["cold"] += 1
        return took + measured.COLD_S

    def _noise(self) -> float:
        return self._choose.lognormvariate(0.0, measured.SPREAD)

    def _warm(self, number: int, now: float) -> None:
        """Containers that got warm on idle processors since the last time."""
        deployment, host = self.result.deployment, self._hosts[number]
        idle_s = (now - self._ready_s[number]) * (host.places - host.taken + deployment.spare)
        self._ready[number] = min(self._ready[number] + max(idle_s, 0.0) / measured.WARMING_S, float(deployment.warm))
        self._ready_s[number] = max(now, self._ready_s[number])
