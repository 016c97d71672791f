"""All nodes at once, for a drawing of the whole lineage."""

from __future__ import annotations

from itertools import chain
from typing import Any

from app.lineage.layout.coordinates import heights
from app.lineage.layout.layers import layers
from app.lineage.layout.ordering import rows
from app.lineage.layout.routes import routed
from app.lineage.layout.scene import SHOWN, Mark, Scene

NODE_WIDTH, NODE_HEIGHT = 160, 32
COLUMN, PITCH, STEP_PITCH = 260, 40, 8
"""Pixels from layer to layer, from node to node, and for an edge between nodes."""
MAX_STEPS = 30_000
MARKS: dict[Mark | None, int] = {None: 0, "added": 1, "removed": 2, "changed": 3}


def overview(scene: Scene) -> dict[str, Any]:
    """The layout of the API: nodes by layer and order in it, as lists of the same length."""
    found = routed(layers(scene.parents, scene.children), scene.parents, MAX_STEPS)
    order = rows(found)
    count = len(scene)
    middle = heights(found, order, [PITCH] * count + [STEP_PITCH] * (len(found.layers) - count))
    top = min((middle[node] for node in range(count)), default=0) - PITCH / 2
    columns = [[node for node in row if node < count] for row in order]
    shown = list(chain.from_iterable(columns))
    index = {node: place for place, node in enumerate(shown)}
    types = [name for name in SHOWN if any(scene.node(node).resource_type == name for node in shown)]
    types += sorted({scene.node(node).resource_type for node in shown} - {*types})
    groups = scene.groups()
    names = sorted({*groups})
    edges = [(parent, node) for node in shown for parent in scene.parents[node]]
    numbers = {name: number for number, name in enumerate(types)} | {}
    group_numbers = {name: number for number, name in enumerate(names)}
    y = [round(middle[node] - NODE_HEIGHT / 2 - top) for node in shown]
    starts = [0]
    for column in columns:
        starts.append(starts[-1] + len(column))
    return {
        "width": max(1, len(columns)) * COLUMN - (COLUMN - NODE_WIDTH),
        "height": max(y, default=0) + NODE_HEIGHT,
        "node_width": NODE_WIDTH,
        "node_height": NODE_HEIGHT,
        "resource_types": types,
        "groups": names,
        "nodes": {
            "unique_id": [scene.node(node).unique_id for node in shown],
            "name": [scene.node(node).name for node in shown],
            "resource_type": [numbers[scene.node(node).resource_type] for node in shown],
            "group": [group_numbers[groups[node]] for node in shown],
            "x": [found.layers[node] * COLUMN for node in shown],
            "y": y,
            "change": [MARKS[scene.mark(node)] for node in shown],
        },
        "edges": [end for parent, node in edges for end in (index[parent], index[node])],
        "edge_changes": [MARKS[scene.edge_mark(parent, node)] for parent, node in edges] if scene.marks.edges else [],
        "layers": [[starts[number], len(column), number * COLUMN] for number, column in enumerate(columns)],
    }
