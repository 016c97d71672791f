"""Ends a test that hangs, with what each task waited for: a run that never ends tells nobody why."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.patience import HANGS_S

LONGEST_S = HANGS_S + 60.0
"""Of one phase of a test: after what tests wait for by themselves, which say more."""
AGAIN_S = 5.0
"""Some code under test goes on after any error."""


class DeadlineError(Exception):
    """A test did not end."""


@contextmanager
def deadline(seconds: float = LONGEST_S) -> Iterator[None]:
    """Interrupt what the main thread does in this context after some seconds, by DeadlineError."""

    def interrupt(_number: int, _frame: object) -> None:
        with suppress(RuntimeError):  # no loop is running
            for task in asyncio.all_tasks():
                task.print_stack(file=sys.stderr)
        raise DeadlineError(f"did not end within {seconds:g} s; standard error has what each task waited for")

    before = signal.signal(signal.SIGALRM, interrupt)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *outer)
