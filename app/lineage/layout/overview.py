"""All nodes at once, for a drawing of the whole lineage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

from app.lineage.layout.coordinates import middles
from app.lineage.layout.layers import layers
from app.lineage.layout.ordering import rows
from app.lineage.layout.scene import Mark, Scene
from app.lineage.resource_types import BY_NAME

NODE_WIDTH, NODE_HEIGHT = 160, 32
PITCH, LANE, GAP = 40, 176, 84
"""Pixels from node to node, from lane to lane of a layer, and between layers beside that."""
WIDTH_TO_HEIGHT = 1.5
"""Of the drawing: a layer with more nodes than its height has room for is divided into lanes."""
MIN_ROWS = 40
"""Nodes that a lane has room for, at least."""
MARKS: dict[Mark | None, int] = {None: 0, "added": 1, "removed": 2, "changed": 3}


def overview(scene: Scene) -> dict[str, Any]:
    """The layout of the API: nodes by layer and order in it, as lists of the same length."""
    groups = scene.groups()
    layer = layers(scene.parents, scene.children)
    order = rows(layer, scene.parents, scene.children, sorted(range(len(scene)), key=groups.__getitem__))
    lanes = _lanes([*map(len, order)])
    lefts = [0, *accumulate(count * LANE + GAP for count in lanes)]
    middle = middles(order, scene.parents, scene.children, [PITCH / lanes[one] for one in layer])
    shown = [*chain.from_iterable(order)]
    nodes = [scene.node(node) for node in shown]
    x = [lefts[number] + place % lanes[number] * LANE for number, row in enumerate(order) for place in range(len(row))]
    y = [round(middle[node]) for node in shown]
    types, names = _numbers([node.resource_type for node in nodes], [*BY_NAME]), _numbers(sorted({*groups}), [])
    return {
        "width": max(x, default=0) + NODE_WIDTH,
        "height": max(y, default=0) + NODE_HEIGHT,
        "node_width": NODE_WIDTH,
        "node_height": NODE_HEIGHT,
        "resource_types": [*types],
        "groups": [*names],
        "nodes": {
            "unique_id": [node.unique_id for node in nodes],
            "name": [node.name for node in nodes],
            "resource_type": [types[node.resource_type] for node in nodes],
            "group": [names[groups[node]] for node in shown],
            "x": x,
            "y": y,
            "change": [MARKS[scene.mark(node)] for node in shown],
        },
        **_edges(scene, shown),
        "layers": [[first, len(row), left] for first, row, left in zip(accumulate(map(len, order), initial=0), order, lefts, strict=False)],
    }


def _lanes(counts: Sequence[int]) -> list[int]:
    """The lanes of each layer: as few as give a drawing of the wanted proportions."""
    low, high = MIN_ROWS, max(counts, default=0)
    while low < high:
        rows_of_lane = (low + high + 1) // 2
        width = sum(-(-count // rows_of_lane) * LANE + GAP for count in counts)
        low, high = (rows_of_lane, high) if width >= WIDTH_TO_HEIGHT * rows_of_lane * PITCH else (low, rows_of_lane - 1)
    return [-(-count // low) for count in counts]


def _numbers(names: Sequence[str], first: Sequence[str]) -> dict[str, int]:
    """The places of different names, some first."""
    found = {*names}
    return {name: number for number, name in enumerate(dict.fromkeys([*(name for name in first if name in found), *names]))}


def _edges(scene: Scene, shown: Sequence[int]) -> dict[str, list[int]]:
    place = [0] * len(shown)
    for number, node in enumerate(shown):
        place[node] = number
    pairs = [(parent, node) for node in shown for parent in scene.parents[node]]
    return {
        "edges": [place[end] for pair in pairs for end in pair],
        "edge_changes": [MARKS[scene.edge_mark(*pair)] for pair in pairs] if scene.marks.edges else [],
    }
