"""A fault: what it does to a world, and what of it is part of the fault and no violation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

NEEDS_ROOT = "root, for mounts and network namespaces"
NEEDS_DOCKER = "a Docker engine with a runner image"


@dataclass
class Outcome:
    """What came of one run: how often the fault struck, and every violation found."""

    strikes: int = 0
    violations: list[str] = field(default_factory=list)


Run = Callable[[int, int], Awaitable[Outcome]]
"""Takes a seed, and how many strikes are wanted."""


@dataclass(frozen=True)
class Fault:
    """`strikes`: how many `make chaos` makes; `share`: how many `make test` makes, 0: none."""

    name: str
    says: str
    """For the table, with how it ends."""
    run: Run
    strikes: int = 1
    share: int = 0
    needs: str = ""


FAULTS: dict[str, Fault] = {}


def fault(says: str, *, strikes: int = 1, share: int = 0, needs: str = "") -> Callable[[Run], Run]:
    """Add a fault, whose name is that of its function."""

    def add(run: Run) -> Run:
        name = run.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, says, run, strikes, share, needs)
        return run

    return add
