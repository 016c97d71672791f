"""The queue of extractions as values: what `queries/extractions.sql` and `pipeline/worker.py` decide, for a simulated clock.

`tests/integration/test_simulated_queue.py` runs the same pushes through this and through PostgreSQL, and compares who is claimed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count


@dataclass(slots=True)
class Job:
    """One extraction. Times are seconds of the simulated clock."""

    number: int
    installation: int
    connection: int
    branch: int
    sha: int
    pushed_s: float
    kind: str = ""
    superseded: bool = False

    @property
    def key(self) -> tuple[int, int, int]:
        return self.connection, self.branch, self.sha


class Queue:
    """The statements `supersede`, `enqueue`, `claim` and `finish` for what is pushed to known projects.

    Forks, the background, retries and suspensions are left out: nobody waits for the first two, and the others are rare.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, dict[int, Job]] = defaultdict(dict)
        """By installation and number, in the order of numbers."""
        self._of_branch: dict[tuple[int, int], list[Job]] = defaultdict(list)
        self._active: set[tuple[int, int, int]] = set()
        """Connection, branch and commit of what waits or runs: one extraction at a time."""
        self._running: Counter[int] = Counter()
        """By installation."""
        self._busy: set[int] = set()
        """Connections with a running extraction."""
        self._served: dict[int, int] = {}
        """The order in which installations were served last."""
        self._claims = count(1)
        self.waiting = 0

    def push(self, installation: int, connection: int, branch: int, sha: int, now_s: float, kind: str = "") -> list[Job]:
        """Queue the newest commit of a branch; returns what it superseded."""
        queued = self._of_branch.get((connection, branch), [])
        superseded = [job for job in queued if job.sha != sha]
        for job in superseded:
            job.superseded = True
            self._take(job)
            self._active.discard(job.key)
        if (connection, branch, sha) not in self._active:
            self._active.add((connection, branch, sha))
            job = Job(next(self._numbers), installation, connection, branch, sha, now_s, kind)
            self._waiting[installation][job.number] = job
            self._of_branch[connection, branch].append(job)
            self.waiting += 1
        return superseded

    def claim(self, full: Collection[int] = ()) -> Job | None:
        """The next extraction: of the installation with the fewest running ones, and of those the one that was served least recently, its
        oldest; never two of one connection at a time."""
        best: tuple[int, int, int] | None = None
        head: Job | None = None
        for installation, jobs in self._waiting.items():
            if installation in full:
                continue
            first = next((job for job in jobs.values() if job.connection not in self._busy), None)
            if first is not None:
                turn = (self._running[installation], self._served.get(installation, 0), first.number)
                if best is None or turn < best:
                    best, head = turn, first
        if head is not None:
            self._take(head)
            self._running[head.installation] += 1
            self._busy.add(head.connection)
            self._served[head.installation] = next(self._claims)
        return head

    def finish(self, job: Job) -> None:
        """End a claimed extraction."""
        self._running[job.installation] -= 1
        self._busy.discard(job.connection)
        self._active.discard(job.key)

    def _take(self, job: Job) -> None:
        self.waiting -= 1
        jobs = self._waiting[job.installation]
        del jobs[job.number]
        if not jobs:
            del self._waiting[job.installation]
        queued = self._of_branch[job.connection, job.branch]
        queued.remove(job)
        if not queued:
            del self._of_branch[job.connection, job.branch]


class Host:
    """One process: its places, and what it remembers of repositories. `state_models`: the models in all parse states that it keeps."""

    def __init__(self, places: int, state_models: int) -> None:
        self.places, self.per_installation = places, max(places - 1, 1)
        self.running: Counter[int] = Counter()
        """By installation."""
        self.taken = 0
        self._states: dict[int, int] = {}
        """Models by connection with a parse state, the least recently used first."""
        self._room = state_models

    @property
    def full(self) -> list[int]:
        """Installations that have all their places of this process."""
        return [installation for installation, taken in self.running.items() if taken >= self.per_installation]

    def knows(self, connection: int, models: int) -> bool:
        """Whether there is a parse state of a connection; from now on there is one, in place of the least recently used ones."""
        size = self._states.pop(connection, None)
        self._states[connection] = models
        self._room -= models - (size or 0)
        while self._room < 0:
            self._room += self._states.pop(next(iter(self._states)))
        return size is not None

    def begin(self, job: Job) -> None:
        """Take a place."""
        self.taken += 1
        self.running[job.installation] += 1

    def end(self, job: Job) -> None:
        """Leave it."""
        self.taken -= 1
        self.running[job.installation] -= 1
        if not self.running[job.installation]:
            del self.running[job.installation]
