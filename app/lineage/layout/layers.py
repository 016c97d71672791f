"""The layer of each node: one after the last of what it depends on, and close to what depends on it."""

from __future__ import annotations

from collections.abc import Iterator

from app.lineage.layout.scene import Neighbours


def layers(parents: Neighbours, children: Neighbours) -> list[int]:
    """The layer of each node, from 0. Every edge leads to a later layer, apart from one of each circle."""
    found = [0] * len(parents)
    order = list(_placed(parents, children, found))
    for node in reversed(order):
        below = [found[child] for child in children[node] if found[child] > found[node]]
        if below and len(children[node]) >= len(parents[node]) and len(below) == len(children[node]):
            found[node] = min(below) - 1
    return found


def _placed(parents: Neighbours, children: Neighbours, found: list[int]) -> Iterator[int]:
    """Yield the nodes in an order in which edges lead, and write their layers. A circle is cut before its first node."""
    missing = [len(above) for above in parents]
    ready = [node for node, count in enumerate(missing) if not count]
    done = bytearray(len(parents))
    rest = iter(range(len(parents)))
    while True:
        while ready:
            node = ready.pop()
            done[node] = 1
            yield node
            for child in children[node]:
                if done[child]:
                    continue
                found[child] = max(found[child], found[node] + 1)
                missing[child] -= 1
                if not missing[child]:
                    ready.append(child)
        cut = next((node for node in rest if not done[node]), None)
        if cut is None:
            return
        missing[cut] = 0
        ready.append(cut)
