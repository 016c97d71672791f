"""The order within each layer of a whole lineage: near to neighbours, and the same before and after an ordinary edit.

The usual sweeps (each layer sorted by the middle of its neighbours, again and again) give other orders for almost the same graph, because
each of them works on places, which are far apart even where nothing decides between two nodes. So nodes have a value instead: a place in
a walk through a tree, from which neighbours pull it away in small steps. A node that comes or goes changes the values near to it, a
little. The tree is a choice of each node alone, too: one parent, the nearest. Its branches are then sorted by their values, and walked
through again.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.lineage.layout.scene import Neighbours

WALKS = 3
STEPS = 8
"""Times that neighbours pull, after each walk."""
PULL = 0.95
"""The part of a value that is the middle of the neighbours; the rest is the node's own place."""

_Tree = tuple[list[int], list[list[int]]]
"""The roots, and the branches of each node."""


def rows(layers: Sequence[int], parents: Neighbours, children: Neighbours, names: Sequence[int]) -> list[list[int]]:
    """The nodes of each layer, in order. `names` are all nodes by group and name: what nothing else decides."""
    value = _values(_tree(layers, parents, children, names), parents, children)
    for place, node in enumerate(names):
        if not parents[node] and not children[node]:
            value[node] = 1.0 + place  # after all that are connected
    found: list[list[int]] = [[] for _ in range(max(layers, default=-1) + 1)]
    for node in names:
        found[layers[node]].append(node)
    for row in found:
        row.sort(key=value.__getitem__)
    return found


def _tree(layers: Sequence[int], parents: Neighbours, children: Neighbours, names: Sequence[int]) -> _Tree:
    """Each node hangs on one of those before it: in the nearest layer, with the fewest others, the first by name."""
    rank = [0] * len(names)
    for place, node in enumerate(names):
        rank[node] = place
    roots: list[int] = []
    branches: list[list[int]] = [[] for _ in names]
    for node in names:
        before = [parent for parent in parents[node] if layers[parent] < layers[node]]
        if before:
            branches[min(before, key=lambda parent: (-layers[parent], len(children[parent]), rank[parent]))].append(node)
        else:
            roots.append(node)
    return roots, branches


def _values(tree: _Tree, parents: Neighbours, children: Neighbours) -> list[float]:
    beside = [[*above, *below] for above, below in zip(parents, children, strict=True)]
    value = _pulled(_walk(tree), beside)
    for _ in range(WALKS - 1):
        _sort(tree, value)
        value = _pulled(_walk(tree), beside)
    return value


def _walk(tree: _Tree) -> list[float]:
    """Places from 0 to 1, each node before its branches."""
    roots, branches = tree
    found = [0.0] * len(branches)
    for place, node in enumerate(_in_order(roots, branches)):
        found[node] = place / len(branches)
    return found


def _in_order(roots: Sequence[int], branches: Neighbours) -> list[int]:
    order: list[int] = []
    stack = [*reversed(roots)]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(reversed(branches[node]))
    return order


def _pulled(own: list[float], beside: Neighbours) -> list[float]:
    value = own
    for _ in range(STEPS):
        get = value.__getitem__
        value = [
            (1 - PULL) * place + PULL * sum(map(get, near)) / len(near) if near else place for place, near in zip(own, beside, strict=True)
        ]
    return value


def _sort(tree: _Tree, value: Sequence[float]) -> None:
    """Sort roots and branches by the mean value of all that hangs on them."""
    roots, branches = tree
    total, count = [*value], [1] * len(value)
    for node in reversed(_in_order(roots, branches)):
        for branch in branches[node]:
            total[node] += total[branch]
            count[node] += count[branch]
    mean = [one / number for one, number in zip(total, count, strict=True)]
    for siblings in (roots, *branches):
        siblings.sort(key=mean.__getitem__)
