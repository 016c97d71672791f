"""Filters of a lineage, compared with a simple model."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lineage.graph import Graph, GraphFilter, GraphNode

KINDS, PACKAGES, TAGS, NAMES = ("model", "test", "source"), ("shop", "utils"), ("nightly", "ünï"), ("orders", "items", 'a"b')


@dataclass(frozen=True)
class Model:
    """Nodes as (kind, package, tags, name), edges as (upstream, downstream), both by number."""

    nodes: list[tuple[str, str, list[str], str]]
    edges: frozenset[tuple[int, int]]

    def unique_id(self, number: int) -> str:
        return f"{number}.{self.nodes[number][3]}"

    def graph(self) -> Graph:
        shown = []
        for number, (kind, package, tags, name) in enumerate(self.nodes):
            content = json.dumps({"unique_id": self.unique_id(number), "tags": tags}, ensure_ascii=False).encode()
            shown.append(GraphNode(self.unique_id(number), kind, name, package, content))
        upstream = [[self.unique_id(up) for up, down in sorted(self.edges) if down == number] for number in range(len(shown))]
        return Graph(shown, upstream)

    def distance(self, first: int, last: int) -> float:
        """The length of the shortest path from one node down to another."""
        if first == last:
            return 0
        return min((1 + self.distance(first, up) for up, down in self.edges if down == last), default=float("inf"))

    def matches(self, number: int, part: GraphFilter, focus: int | None) -> bool:
        kind, package, tags, _ = self.nodes[number]
        if focus is not None:
            ways = {"upstream": self.distance(number, focus), "downstream": self.distance(focus, number)}
            far = min(ways.values()) if part.direction == "both" else ways[part.direction]
            if far > (float(len(self.nodes)) if part.depth is None else part.depth):
                return False
        return kind in (part.resource_types or KINDS) and part.package in (None, package) and part.tag in (None, *tags)


@st.composite
def models(draw: st.DrawFn) -> Model:
    node = st.tuples(st.sampled_from(KINDS), st.sampled_from(PACKAGES), st.lists(st.sampled_from(TAGS)), st.sampled_from(NAMES))
    nodes = draw(st.lists(node, max_size=7))
    pairs = [(up, down) for down in range(len(nodes)) for up in range(down)]
    return Model(nodes, draw(st.frozensets(st.sampled_from(pairs))) if pairs else frozenset())


PARTS = st.builds(
    GraphFilter,
    direction=st.sampled_from(["upstream", "downstream", "both"]),
    depth=st.none() | st.integers(0, 4),
    resource_types=st.lists(st.sampled_from(KINDS), unique=True, max_size=2).map(tuple),
    package=st.none() | st.sampled_from(PACKAGES),
    tag=st.none() | st.sampled_from(TAGS),
)


@given(models(), PARTS, st.integers(-1, 6), st.integers(1, 8))
def test_a_filter_selects_the_nodes_that_meet_all_conditions(model: Model, part: GraphFilter, place: int, most: int) -> None:
    graph, focus = model.graph(), place if 0 <= place < len(model.nodes) else None
    found = graph.select(part, None if focus is None else graph.around([focus], part))
    expected = [number for number in range(len(model.nodes)) if model.matches(number, part, focus)]
    assert [json.loads(text)["unique_id"] for text in found.nodes()] == [model.unique_id(number) for number in expected]
    edges = json.loads(b"[" + b",".join(found.edges()) + b"]")
    left = sorted((down, up) for up, down in model.edges if up in expected and down in expected)
    assert [(edge["downstream"], edge["upstream"]) for edge in edges] == [(model.unique_id(down), model.unique_id(up)) for down, up in left]
    if focus is not None:
        few = graph.select_small(GraphFilter(model.unique_id(focus), part.direction, part.depth), most)
        where = GraphFilter(direction=part.direction, depth=part.depth)
        around = list(graph.select(where, graph.around([focus], where)).nodes())
        assert (None if few is None else list(few.nodes())) == (around if len(around) <= most else None)


@given(models(), st.sampled_from([*NAMES, "0.orders", "1.items", ""]))
def test_a_focus_is_a_unique_id_or_a_name(model: Model, focus: str) -> None:
    ids = [model.unique_id(number) for number in range(len(model.nodes))]
    named = [number for number, node in enumerate(model.nodes) if node[3] == focus]
    assert model.graph().find(focus) == ([ids.index(focus)] if focus in ids else named)


NEAR = Graph(
    [
        GraphNode(f"model.shop.{name}", "model", name, "shop", b"{}")
        for name in ("orders", "stg_orders", "customers", "fct_customer_orders_daily", "x" * 500)
    ],
    [()] * 5,
)


@pytest.mark.parametrize(
    ("focus", "found"),
    [
        ("ordres", ["model.shop.orders"]),
        ("oders", ["model.shop.orders"]),
        ("Orders", ["model.shop.orders", "model.shop.stg_orders"]),
        ("model.shop.custmers", ["model.shop.customers"]),
        ("kunden", []),
        ("o" * 8000, []),
        ("\N{GRINNING FACE}", []),
    ],
)
def test_similar_names_are_suggested(focus: str, found: list[str]) -> None:
    assert NEAR.similar(focus)[: len(found) or None] == found
