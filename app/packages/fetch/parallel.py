"""Concurrent calls with the results in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def map_concurrently(items: Iterable[Item], do: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """Call `do` for all items at once; results in the items' order. The first error cancels the others."""

    async def one(item: Item) -> Result:
        return await do(item)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]
