"""Which files of a cache to delete when it is full: one tenant must not push out what the others use."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Cached(Generic[Item]):
    """One file, or what is deleted together, of the tenant `owner`."""

    item: Item
    owner: Hashable
    used_at: float
    size_bytes: int


def evicted(cached: Iterable[Cached[Item]], max_bytes: int) -> list[Item]:
    """Return what to delete so that the rest fits into `max_bytes`: always the least recently used of the owner that then uses the most.

    An owner who uses no more than an equal share of the cache loses nothing.

    >>> evicted([Cached("a1", "a", 1, 40), Cached("b1", "b", 2, 40), Cached("b2", "b", 3, 40)], 100)
    ['b1']
    """
    owned: defaultdict[Hashable, list[Cached[Item]]] = defaultdict(list)
    for one in cached:
        owned[one.owner].append(one)
    queues = [sorted(of_owner, key=lambda one: -one.used_at) for of_owner in owned.values()]
    # The index makes entries comparable.
    biggest = [(-sum(one.size_bytes for one in queue), index) for index, queue in enumerate(queues)]
    heapq.heapify(biggest)
    excess, found = -sum(size for size, _ in biggest) - max_bytes, []
    while excess > 0 and biggest:
        size, index = heapq.heappop(biggest)
        oldest = queues[index].pop()
        found.append(oldest.item)
        excess -= oldest.size_bytes
        if queues[index]:
            heapq.heappush(biggest, (size + oldest.size_bytes, index))
    return found
