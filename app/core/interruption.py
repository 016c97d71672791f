"""Ends a command cleanly when its terminal or its supervisor wants it to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Result = TypeVar("Result")


class InterruptedBySignal(Exception):  # noqa: N818 - it is no error
    """A signal ended the command; `status` is the exit status that shells expect for it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def heard() -> Iterator[signal.Signals]:
    """The signals that end a command. Under `nohup`, SIGHUP is ignored and stays so."""
    return (number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN)


async def until_interrupted(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work`, and cancel it at the first signal, so that it can clean up. Raises InterruptedBySignal."""
    received: list[int] = []
    task = asyncio.ensure_future(work)

    def interrupt(number: int) -> None:
        received.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in heard():
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise InterruptedBySignal(received[0]) from None
        raise
