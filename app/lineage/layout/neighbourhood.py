"""The nodes around one, for a drawing that people read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

import msgspec

from app.lineage.layout.coordinates import middles
from app.lineage.layout.layers import layers
from app.lineage.layout.routes import Routed, routed
from app.lineage.layout.scene import Neighbours, Scene, group
from app.lineage.layout.untangling import rows

MAX_NODES = 300
MAX_STEPS = 3000
MAX_DESCRIPTION = 200
"""Characters."""
WIDTH, HEIGHT = 200, 44
COLUMN, PITCH, STEP_PITCH = 280, 60, 16
"""Pixels from layer to layer, from node to node, and for an edge between nodes."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """A node, by its position in the graph, and how far its neighbours are shown, in edges."""

    position: int
    upstream: int = 0
    downstream: int = 0


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The numbers of the nodes around a focus, in the scene's order."""

    scene: Scene
    nodes: Sequence[int]
    truncated: bool
    """Whether `MAX_NODES` left some out."""


class _Content(msgspec.Struct, gc=False):
    original_file_path: str = ""
    materialized: str | None = None
    owner: str | None = None
    description: str = ""
    tags: list[str] = []
    columns: list[msgspec.Raw] = []


_CONTENT = msgspec.json.Decoder(_Content)


def around(scene: Scene, expansions: Sequence[Expansion], also: Sequence[int] = ()) -> Neighbourhood:
    """The nodes around the first one, and around each of the others that is among the nodes before it.

    And those at positions `also`, with the exposures that read them, as far as there is room.
    """
    starts = [scene.number(one.position) for one in expansions]
    chosen = {start: None for start in starts[:1] if start is not None}
    truncated = False
    for start, one in zip(starts, expansions, strict=True):
        for number in _nearest(scene, start, one) if start is not None and start in chosen else ():
            if number not in chosen:
                truncated = truncated or len(chosen) == MAX_NODES
                if truncated:
                    break
                chosen[number] = None
    shown = [number for number in map(scene.number, also) if number is not None]
    readers = (child for number in shown for child in scene.children[number] if scene.node(child).resource_type == "exposure")
    for found in chain(shown, readers):
        if len(chosen) == MAX_NODES:
            break
        chosen[found] = None
    return Neighbourhood(scene, sorted(chosen), truncated)


def _nearest(scene: Scene, start: int, one: Expansion) -> Iterator[int]:
    """Yield nodes by distance, upstream and downstream in turn; each at most twice."""
    ways = [
        (scene.parents, one.upstream, {start}, [start]),
        (scene.children, one.downstream, {start}, [start]),
    ]
    for distance in range(max(one.upstream, one.downstream)):
        hops = [list(_hop(neighbours, edge, seen)) if distance < depth else [] for neighbours, depth, seen, edge in ways]
        if not any(hops):
            return
        yield from (number for pair in zip_longest(*hops) for number in pair if number is not None)
        for (_, _, _, edge), hop in zip(ways, hops, strict=True):
            edge[:] = hop


def _hop(neighbours: Neighbours, edge: Iterable[int], seen: set[int]) -> Iterator[int]:
    """Yield what is one edge further: more than `MAX_NODES` is never needed."""
    for number in islice(chain.from_iterable(map(neighbours.__getitem__, edge)), MAX_NODES * MAX_NODES):
        if number not in seen:
            seen.add(number)
            yield number
            if len(seen) > MAX_NODES:
                return


def edges(found: Neighbourhood) -> list[tuple[int, int]]:
    """The edges between the nodes, by numbers of the scene, without looking through all neighbours of a node with many."""
    parents, children = found.scene.parents, found.scene.children
    inside = set(found.nodes)

    def above(node: int) -> Iterator[int]:
        if len(parents[node]) <= MAX_NODES:
            return (parent for parent in parents[node] if parent in inside)
        return (parent for parent in found.nodes if _has(children[parent], node))

    return [(parent, node) for node in found.nodes for parent in above(node)]


def _has(numbers: Sequence[int], number: int) -> bool:
    place = bisect_left(numbers, number)
    return place < len(numbers) and numbers[place] == number


def neighbourhood(found: Neighbourhood) -> dict[str, Any]:
    """The layout of the API: nodes by layer and order in it, and edges with the points that a curve leads through."""
    pairs = edges(found)
    local = {node: place for place, node in enumerate(found.nodes)}
    parents: list[list[int]] = [[] for _ in found.nodes]
    children: list[list[int]] = [[] for _ in found.nodes]
    for parent, node in pairs:
        parents[local[node]].append(local[parent])
        children[local[parent]].append(local[node])
    graph = routed(layers(parents, children), parents, MAX_STEPS)
    order = rows(graph)
    count = len(found.nodes)
    middle = middles(order, graph.above, graph.below, [PITCH] * count + [STEP_PITCH] * (len(graph.layers) - count))
    y = [round(one) for one in middle]
    columns = [[node for node in row if node < count] for row in order]
    nodes = [
        _node(found, node, parents, children) | _box(layer, place, y[node])
        for layer, row in enumerate(columns)
        for place, node in enumerate(row)
    ]
    return {
        "width": (len(columns) - 1) * COLUMN + WIDTH,
        "height": max(y) + HEIGHT // 2,
        "truncated": found.truncated,
        "nodes": nodes,
        "edges": [_edge(found.scene, pair, (local[pair[0]], local[pair[1]]), graph, y) for pair in pairs],
    }


def _box(layer: int, place: int, middle: int) -> dict[str, int]:
    corner = {"x": layer * COLUMN, "y": middle - HEIGHT // 2}
    return {**corner, "width": WIDTH, "height": HEIGHT, "layer": layer, "order": place}


def _node(found: Neighbourhood, local: int, parents: Neighbours, children: Neighbours) -> dict[str, Any]:
    scene, number = found.scene, found.nodes[local]
    node = scene.node(number)
    content = _CONTENT.decode(node.content)
    return {
        "unique_id": node.unique_id,
        "name": node.name,
        "resource_type": node.resource_type,
        "package_name": node.package_name,
        "group": group(node.package_name, content.original_file_path, scene.project),
        "original_file_path": content.original_file_path,
        "materialized": content.materialized,
        "owner": content.owner,
        "description": content.description[:MAX_DESCRIPTION],
        "tags": content.tags,
        "tests": scene.tests[scene.positions[number]],
        "columns": len(content.columns),
        "change": scene.mark(number),
        "more_upstream": len(scene.parents[number]) - len(parents[local]),
        "more_downstream": len(scene.children[number]) - len(children[local]),
    }


def _edge(scene: Scene, pair: tuple[int, int], local: tuple[int, int], graph: Routed, y: Sequence[int]) -> dict[str, Any]:
    """From the right side of the upstream node to the left side of the other one."""
    upstream, downstream = local
    points = [(graph.layers[upstream] * COLUMN + WIDTH, y[upstream])]
    for step in graph.steps.get(local, ()):
        left = graph.layers[step] * COLUMN
        points += [(left, y[step]), (left + WIDTH, y[step])]
    points.append((graph.layers[downstream] * COLUMN, y[downstream]))
    ends = {"upstream": scene.node(pair[0]).unique_id, "downstream": scene.node(pair[1]).unique_id}
    return {**ends, "points": points, "change": scene.edge_mark(*pair)}
