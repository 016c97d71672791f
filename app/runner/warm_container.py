"""A container of the warm pool, until it gets its job."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.project.runner_images import RunnerImage
from app.runner.container import Container
from app.runner.warm_demand import WarmKind


@dataclass(eq=False, slots=True)
class WarmContainer:
    """A container without a job yet."""

    kind: WarmKind
    image: RunnerImage
    container: Container
    since_s: float
    ready: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is ready, or has failed."""
    quick: bool = False
    """It has the priority of a container with a job."""
    reserved: bool = False
    """A job waits for it."""
    waited: bool = False
    """A job waited until it was ready."""
    slow: bool = False
    """A job waited for it in vain. It is used once it is ready, but no other job, and no other container, waits for it."""

    @property
    def memory_bytes(self) -> int:
        """What it took to warm up, as it says; 0 before."""
        warmth = self.container.answers.warmth
        return warmth.memory_bytes if warmth else 0
