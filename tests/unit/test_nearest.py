"""The order of nodes around a focus, and the shortest ways between two nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.lineage.graph import Graph, GraphNode
from app.lineage.nearest import MOST_COUNTED, by_distance, shortest_paths


def graph_of(upstream: Mapping[str, Sequence[str]]) -> Graph:
    return Graph([GraphNode(name, "model", name, "shop", b"{}") for name in upstream], [*upstream.values()])


def named(graph: Graph, numbers: Sequence[int]) -> str:
    return "".join(graph.nodes[one].unique_id for one in numbers)


DIAMOND = graph_of({"a": "", "b": "a", "c": "a", "d": "bc", "e": "da", "f": "c"})


def test_the_nearest_come_first_and_keep_the_order_of_the_graph() -> None:
    every = range(len(DIAMOND.nodes))
    assert [(DIAMOND.nodes[one].unique_id, far) for one, far in by_distance(DIAMOND, [3], every)] == [
        *(("d", 0), ("b", 1), ("c", 1), ("e", 1), ("a", 2), ("f", 2)),
    ]
    assert by_distance(DIAMOND, [3], [3, 1]) == [(3, 0), (1, 1)]


def test_all_shortest_ways_are_found_up_to_a_number() -> None:
    found = shortest_paths(DIAMOND, 0, 3, 10)
    assert ([named(DIAMOND, one) for one in found.paths], found.count) == (["abd", "acd"], 2)
    assert ([named(DIAMOND, one) for one in shortest_paths(DIAMOND, 0, 3, 1).paths], shortest_paths(DIAMOND, 0, 3, 1).count) == (["abd"], 2)
    assert named(DIAMOND, shortest_paths(DIAMOND, 0, 4, 10).paths[0]) == "ae", "the direct edge"
    assert shortest_paths(DIAMOND, 3, 0, 10).paths == shortest_paths(DIAMOND, 1, 2, 10).paths == []
    assert shortest_paths(DIAMOND, 2, 2, 10).paths == [[2]]


def test_more_ways_than_can_be_counted() -> None:
    layers = 60
    names = {"0": list[str]()} | {
        f"{layer}{side}": [f"{layer - 1}{one}" for one in "xy"] if layer > 1 else ["0"] for layer in range(1, layers) for side in "xy"
    }
    graph = graph_of(names)
    found = shortest_paths(graph, 0, len(names) - 1, 3)
    assert (len(found.paths), found.count) == (3, MOST_COUNTED)


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=2, max_size=30), st.data())
def test_a_way_is_made_of_edges(above: list[list[int]], data: st.DataObject) -> None:
    graph = graph_of({f"{one}": sorted({f"{parent}" for parent in parents if parent < one}) for one, parents in enumerate(above)})
    start, end = (data.draw(st.integers(0, len(above) - 1)) for _ in range(2))
    found = shortest_paths(graph, start, end, 5)
    assert bool(found.paths) == (start in graph.reach({end}, "upstream", None))
    for path in found.paths:
        assert (path[0], path[-1]) == (start, end)
        assert all(one in graph.parents[below] for one, below in pairwise(path))
    assert len({tuple(path) for path in found.paths}) == len(found.paths) == min(5, found.count)
    assert len({len(path) for path in found.paths}) <= 1
