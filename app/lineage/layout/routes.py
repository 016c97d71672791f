"""Long edges, divided into steps from layer to layer, so that they have a place of their own between the nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.lineage.layout.scene import Neighbours


@dataclass(slots=True)
class Routed:
    """Nodes by number, then the steps of long edges; `above` and `below` have the neighbours in earlier and later layers."""

    layers: list[int]
    above: list[list[int]]
    below: list[list[int]]
    steps: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """The steps of an edge (upstream, downstream), from left to right."""

    def connect(self, left: int, right: int) -> None:
        """Make two of them neighbours."""
        self.below[left].append(right)
        self.above[right].append(left)

    def step(self, layer: int) -> int:
        """Add a step."""
        self.layers.append(layer)
        self.above.append([])
        self.below.append([])
        return len(self.layers) - 1


def routed(layers: list[int], parents: Neighbours, max_steps: int) -> Routed:
    """Divide edges, the shortest first, until there are `max_steps`; the others stay whole."""
    found = Routed([*layers], [[] for _ in layers], [[] for _ in layers])
    long: list[tuple[int, int, int]] = []
    for node, above in enumerate(parents):
        for parent in above:
            span = layers[node] - layers[parent]
            if abs(span) > 1:
                long.append((abs(span), parent, node))
            elif span:
                found.connect(*((parent, node) if span > 0 else (node, parent)))
    if sum(span - 1 for span, _, _ in long) > max_steps:
        long.sort()
    left = max_steps
    for span, parent, node in long:
        first, last = (parent, node) if layers[parent] < layers[node] else (node, parent)
        left -= span - 1
        if left >= 0:
            steps = [found.step(layer) for layer in range(layers[first] + 1, layers[last])]
            for one, other in zip([first, *steps], [*steps, last], strict=True):
                found.connect(one, other)
            found.steps[parent, node] = steps if first == parent else steps[::-1]
        else:
            found.connect(first, last)
    return found
