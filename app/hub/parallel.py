"""Several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def each(items: Iterable[Item], do: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """Do something with all items at once and return what came of it, in their order. The first error ends the others."""

    async def one(item: Item) -> Result:
        return await do(item)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]
