"""Where nodes are drawn: order, places, neighbourhoods, and what hostile graphs cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lineage.graph import Graph, GraphFilter, GraphNode
from app.lineage.layout.layers import layers
from app.lineage.layout.neighbourhood import MAX_NODES, Expansion, around, neighbourhood
from app.lineage.layout.overview import LANE, NODE_HEIGHT, NODE_WIDTH, overview
from app.lineage.layout.scene import Scene, group

Upstream = Mapping[str, Sequence[str]]


def scene(upstream: Upstream, folder: Callable[[str], str] = lambda _: "models") -> Scene:
    """Models by name."""
    names = sorted({*upstream, *(one for above in upstream.values() for one in above)})
    nodes = [
        GraphNode(f"model.shop.{name}", "model", name, "shop", orjson.dumps({"original_file_path": f"{folder(name)}/{name}.sql"}))
        for name in names
    ]
    return Scene(Graph(nodes, [[f"model.shop.{one}" for one in sorted({*upstream.get(name, ())})] for name in names]), GraphFilter())


def shown(found: Scene) -> dict[str, tuple[int, int]]:
    """The places of nodes in the overview: layer, and order in it."""
    drawn = overview(found)
    names = drawn["nodes"]["name"]
    return {names[first + place]: (layer, place) for layer, (first, count, _) in enumerate(drawn["layers"]) for place in range(count)}


def near(found: Scene, name: str, upstream: int = 2, downstream: int = 2, *more: tuple[str, int, int]) -> dict[str, Any]:
    expansions = [Expansion(found.graph.find(node)[0], *depths) for node, *depths in ((name, upstream, downstream), *more)]
    return neighbourhood(around(found, expansions))


def names_of(drawn: Mapping[str, Any]) -> set[str]:
    return {node["name"] for node in drawn["nodes"]}


def crossings(places: Mapping[str, tuple[int, int]], edges: Iterable[tuple[str, str]]) -> int:
    ends = [(places[one], places[other]) for one, other in edges]
    return sum(a[0] == c[0] and b[0] == d[0] and (a[1] - c[1]) * (b[1] - d[1]) < 0 for (a, b), (c, d) in combinations(ends, 2))


def edges_of(upstream: Upstream) -> list[tuple[str, str]]:
    return [(above, name) for name, parents in upstream.items() for above in parents]


GRAPHS = st.integers(1, 30).flatmap(
    lambda count: st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=90).map(
        lambda pairs: {f"n{number:02}": [f"n{up:02}" for up, down in pairs if down == number] for number in range(count)}
    )
)
"""Circles and edges from a node to itself included: two lineages together can have them."""


# -- layers


@given(GRAPHS)
def test_edges_lead_to_the_right_unless_they_are_in_a_circle(upstream: Upstream) -> None:
    found = scene({name: [one for one in above if one < name] for name, above in upstream.items()})
    layer = layers(found.parents, found.children)
    assert all(layer[parent] < layer[node] for node, above in enumerate(found.parents) for parent in above)
    assert set(range(max(layer) + 1)) == {*layer}


def test_a_source_is_close_to_what_reads_it() -> None:
    chain = {f"n{number}": [f"n{number - 1}"] for number in range(1, 9)}
    places = shown(scene(chain | {"n8": ["n7", "stg"], "stg": ["source"]}))
    assert (places["stg"][0], places["source"][0]) == (7, 6)


# -- the overview


@given(GRAPHS)
def test_every_node_has_a_place_of_its_own(upstream: Upstream) -> None:
    found = scene(upstream)
    drawn = overview(found)
    nodes = drawn["nodes"]
    boxes = sorted(zip(nodes["x"], nodes["y"], strict=True))
    assert len(boxes) == len(found)
    assert all(x == left or y + NODE_HEIGHT <= below for (x, y), (left, below) in pairwise(boxes) if x == left)
    assert all(0 <= x <= drawn["width"] - NODE_WIDTH and 0 <= y <= drawn["height"] - NODE_HEIGHT for x, y in boxes)
    assert all(isinstance(number, int) for number in (*nodes["x"], *nodes["y"]))
    assert len(drawn["edges"]) == 2 * sum(map(len, found.parents))


def test_pipelines_that_have_nothing_in_common_do_not_cross() -> None:
    mixed = [f"{number * 7919 % 1000:03}" for number in range(40)]
    chains: dict[str, list[str]] = {
        f"{letter}{mixed[(number * step) % 40]}": [] for number in range(40) for step, letter in ((1, "a"), (3, "b"), (7, "c"))
    }
    chains |= {f"b{mixed[(number * 3) % 40]}": [f"a{mixed[number]}"] for number in range(40)}
    chains |= {f"c{mixed[(number * 7) % 40]}": [f"b{mixed[(number * 3) % 40]}"] for number in range(40)}
    assert crossings(shown(scene(chains)), edges_of(chains)) == 0


def test_nodes_of_a_folder_are_together_where_nothing_else_decides() -> None:
    places = shown(scene({f"n{number:02}": [] for number in range(30)}, lambda name: f"models/{int(name[1:]) % 3}"))
    by_place = sorted(places, key=places.__getitem__)
    assert [int(name[1:]) % 3 for name in by_place] == [0] * 10 + [1] * 10 + [2] * 10


def test_nodes_without_edges_come_last() -> None:
    places = shown(scene({"a": [], "b": ["x"], "c": [], "d": ["x"], "e": ["y"]}))
    assert sorted((name for name in places if places[name][0] == 0), key=places.__getitem__)[-2:] == ["a", "c"]


def test_a_layer_with_many_nodes_is_divided_so_that_the_drawing_is_no_thread() -> None:
    drawn = overview(scene({f"n{number:04}": ["hub"] for number in range(5000)}))
    assert 1 < drawn["width"] / drawn["height"] < 2
    assert len(drawn["layers"]) == 2
    x = drawn["nodes"]["x"][1:]
    assert {right - left for left, right in pairwise(sorted({*x}))} == {LANE}


def test_packages_are_groups_and_folders_of_the_project() -> None:
    assert group("shop", "models/marts/orders.sql", "shop") == "models/marts"
    assert group("dbt_utils", "models/x.sql", "shop") == "dbt_utils"
    assert group("shop", "", None) == ""


# -- stability


def project(random: Random) -> dict[str, list[str]]:
    """Twenty folders of models in six layers, that mostly read their own folder."""
    models = [
        (f"{random.getrandbits(32):08x}_{folder:02}_{layer}", folder, layer) for folder in range(20) for layer in range(6) for _ in range(4)
    ]

    def parents(folder: int, layer: int) -> list[str]:
        there = [name for name, other, depth in models if depth == layer - 1 and (other == folder or random.random() < 0.02)]
        return random.sample(there, min(len(there), random.randint(1, 3)))

    return {name: parents(folder, layer) for name, folder, layer in models}


def folder_of(name: str) -> str:
    return f"models/{name.split('_')[1]}"


def kept(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> float:
    """The share of pairs of nodes in a layer that kept their order."""
    both = [(before[name], after[name]) for name in before.keys() & after.keys()]
    pairs = [(a[1] - c[1]) * (b[1] - d[1]) > 0 for (a, b), (c, d) in combinations(both, 2) if (a[0], b[0]) == (c[0], d[0])]
    return sum(pairs) / len(pairs)


def edited(models: Mapping[str, list[str]], random: Random, count: int) -> dict[str, list[str]]:
    """Some models renamed, some removed, some added."""
    names = {name: f"{random.getrandbits(32):08x}{name[8:]}" for name in random.sample([*models], count)}
    gone = random.sample([*models], count)
    found = {
        names.get(name, name): [names.get(parent, parent) for parent in above if parent not in gone]
        for name, above in models.items()
        if name not in gone
    }
    added = {f"{random.getrandbits(32):08x}_{name[9:11]}_9": [name] for name in random.sample([*found], count)}
    return found | added


def test_an_ordinary_edit_keeps_the_order_of_other_nodes() -> None:
    shares = []
    for seed in range(10):
        random = Random(seed)  # noqa: S311 - reproducible, not secret
        models = project(random)
        shares.append(kept(shown(scene(models, folder_of)), shown(scene(edited(models, random, 2), folder_of))))
    assert sum(shares) / len(shares) >= 0.95
    assert min(shares) >= 0.9


def test_the_same_lineage_has_the_same_layout() -> None:
    models = project(Random(1))  # noqa: S311 - likewise
    turned = dict(sorted(models.items(), key=lambda item: item[0][::-1]))
    assert overview(scene(models, folder_of)) == overview(scene(turned, folder_of))


def test_an_edit_elsewhere_leaves_a_neighbourhood_as_it_is() -> None:
    models = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    before = near(scene(models), "b")
    assert near(scene(models | {"aa": [], "bb": ["aa"], "z": ["zz"]}), "b") == before


# -- neighbourhoods


def test_hops_are_counted_each_way() -> None:
    found = scene({f"n{number}": [f"n{number - 1}"] for number in range(1, 9)})
    assert names_of(near(found, "n4", 1, 2)) == {"n3", "n4", "n5", "n6"}
    assert names_of(near(found, "n4", 0, 0)) == {"n4"}
    assert names_of(near(found, "n4", 0, 0, ("n4", 1, 0), ("n3", 1, 0), ("n8", 1, 0))) == {"n2", "n3", "n4"}


@given(GRAPHS, st.integers(0, 4), st.integers(0, 4))
def test_shown_and_hidden_neighbours_are_all_neighbours(upstream: Upstream, up: int, down: int) -> None:
    found = scene(upstream)
    drawn = near(found, "n00", up, down)
    for node in drawn["nodes"]:
        [number] = found.graph.find(node["unique_id"])
        incoming = sum(edge["downstream"] == node["unique_id"] for edge in drawn["edges"])
        outgoing = sum(edge["upstream"] == node["unique_id"] for edge in drawn["edges"])
        assert (incoming + node["more_upstream"], outgoing + node["more_downstream"]) == (
            len(found.parents[number]),
            len(found.children[number]),
        )
    boxes = sorted((node["x"], node["y"]) for node in drawn["nodes"])
    assert all(x != left or y + 44 <= below for (x, y), (left, below) in pairwise(boxes))


def test_edges_begin_and_end_at_the_sides_and_pass_between_nodes() -> None:
    drawn = near(scene({"b": ["a"], "c": ["b", "a"], "d": ["c", "a"]}), "b")
    boxes = {node["unique_id"]: node for node in drawn["nodes"]}
    for edge in drawn["edges"]:
        upstream, downstream = boxes[edge["upstream"]], boxes[edge["downstream"]]
        assert edge["points"][0] == (upstream["x"] + upstream["width"], upstream["y"] + 22)
        assert edge["points"][-1] == (downstream["x"], downstream["y"] + 22)
        assert all(left[0] <= right[0] for left, right in pairwise(edge["points"]))
        inside = [
            (x, y)
            for x, y in edge["points"][1:-1]
            for box in boxes.values()
            if box["x"] <= x <= box["x"] + 200 and box["y"] <= y <= box["y"] + 44
        ]
        assert not inside
    assert max(len(edge["points"]) for edge in drawn["edges"]) == 6


def test_a_tree_has_no_crossings() -> None:
    upstream = {f"{number:03}": [f"{number // 3:03}"] for number in range(1, 40)}
    drawn = near(scene({name: above for name, above in upstream.items() if above != [name]}), "000", 0, 9)
    places = {node["name"]: (node["layer"], node["order"]) for node in drawn["nodes"]}
    assert crossings(places, [(above[0], name) for name, above in upstream.items()]) == 0


def test_both_sides_of_a_node_with_many_neighbours_are_shown() -> None:
    found = scene({"hub": [f"up{number:03}" for number in range(400)]} | {f"down{number:03}": ["hub"] for number in range(400)})
    drawn = near(found, "hub")
    assert (drawn["truncated"], len(drawn["nodes"])) == (True, MAX_NODES)
    [hub] = [node for node in drawn["nodes"] if node["name"] == "hub"]
    assert hub["more_upstream"] + hub["more_downstream"] == 801 - MAX_NODES
    assert abs(hub["more_upstream"] - hub["more_downstream"]) <= 1
    assert not near(found, "up001", 0, 1)["truncated"]


# -- what it costs


def star(count: int) -> Scene:
    return scene({"hub": [f"up{number}" for number in range(count // 2)]} | {f"down{number}": ["hub"] for number in range(count // 2)})


def chain(count: int) -> Scene:
    return scene({f"{number:06}": [f"{number - 1:06}"] for number in range(1, count)})


def shortcuts(count: int) -> Scene:
    """A chain whose every node is read by its end, too: edges as long as it."""
    return scene({f"{number:06}": [f"{number - 1:06}"] for number in range(1, count)} | {"z": [f"{number:06}" for number in range(count)]})


def bipartite(count: int) -> Scene:
    side = int(count**0.5)
    return scene({f"down{number}": [f"up{other}" for other in range(side)] for number in range(side)})


def circle(count: int) -> Scene:
    return scene({f"{number:06}": [f"{(number - 1) % count:06}"] for number in range(count)})


def alone(count: int) -> Scene:
    return scene({f"{number:06}": [] for number in range(count)})


@pytest.mark.growth
@pytest.mark.parametrize("make", [star, chain, shortcuts, bipartite, circle, alone])
def test_no_graph_costs_more_than_its_size(make: Callable[[int], Scene]) -> None:
    few, many = make(5_000), make(20_000)
    overview(few)
    assert cost_s(lambda: overview(many)) < 9 * cost_s(lambda: overview(few)) + 0.1, "four times the edges"


@pytest.mark.growth
@pytest.mark.parametrize("make", [star, shortcuts, bipartite])
def test_no_graph_makes_a_neighbourhood_dear(make: Callable[[int], Scene]) -> None:
    few, many = make(10_000), make(40_000)

    def dearest(found: Scene) -> float:
        hubs = sorted(range(len(found)), key=lambda number: len(found.parents[number]) + len(found.children[number]))[-3:]
        return max(cost_s(lambda hub=hub: neighbourhood(around(found, [Expansion(hub, 20, 20)]))) for hub in hubs)  # type: ignore[misc]

    dearest(few)
    assert dearest(many) < 3 * dearest(few) + 0.1, "as many nodes are shown"


def cost_s(work: Callable[[], object]) -> float:
    """CPU seconds, the least of two times: the first may wake the garbage collector."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once(), once())
