"""The columns of a lineage: merged with YAML files, descriptions passed on, and followed."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lineage import column_reach, node_selectors
from app.lineage.column_graph import ColumnGraph, ColumnPlace, ColumnSelection, TracedColumn
from app.lineage.column_merge import column_graph
from app.lineage.graph import Direction, Graph, GraphNode
from app.lineage.node_selectors import NodeReference, parse
from app.store.shared_loads import KEPT_BYTES
from tests.bench.impact import SIZES, Project

Edge = tuple[str, str, str | None, str, bool]
RAW, STG, ORDERS, MART = "source.shop.erp.orders", "model.shop.stg_orders", "model.shop.orders", "model.shop.mart"


def yaml(name: str, description: str = "", data_type: str | None = None) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "description": description, "tests": []}


def node(unique_id: str, *columns: dict[str, Any]) -> GraphNode:
    kind, package, *rest = unique_id.split(".")
    return GraphNode(unique_id, kind, rest[-1], package, orjson.dumps({"unique_id": unique_id, "columns": columns}))


def line(
    unique_id: str, columns: Sequence[str | tuple[str, str]], edges: Sequence[Edge] = (), *, status: str = "exact", **more: Any
) -> tuple[str, str, bytes]:
    named = [[one, None] if isinstance(one, str) else [*one] for one in columns]
    return unique_id, status, orjson.dumps({"columns": named, "edges": edges, **more})


def graph_of(nodes: Sequence[GraphNode], lines: Sequence[tuple[str, str, bytes]]) -> ColumnGraph:
    above: dict[str, set[str]] = {}
    for unique_id, _, content in lines:
        above[unique_id] = {edge[0] for edge in orjson.loads(content).get("edges", ())} - {unique_id}
    there = {one.unique_id for one in nodes}
    return column_graph(Graph(nodes, [sorted(above.get(one.unique_id, set()) & there) for one in nodes]), lines)


def shown(columns: ColumnGraph, unique_id: str) -> dict[str, TracedColumn]:
    position = columns.graph.position(unique_id)
    assert position is not None
    return {one.name: one for one in map(columns.column, columns.nodes[position].columns)}


def named(selection: ColumnSelection) -> tuple[dict[str, list[str]], set[tuple[str, str, str]]]:
    """Nodes with their columns, and edges as (upstream, downstream, subtype)."""
    columns = selection.columns
    nodes = {columns.unique_id(position): list(map(columns.name, numbers)) for position, numbers in selection.nodes.items()}
    edges: set[tuple[str, str, str]] = {
        (f"{one.upstream}.{one.upstream_column}", f"{one.downstream}.{one.downstream_column}", one.subtype)
        for one in selection.edges_by_name()
    }
    return nodes, edges


def shop() -> ColumnGraph:
    nodes = [node(MART), node(ORDERS, yaml("STATUS", "How far it is.")), node(STG), node(RAW, yaml("id", "The key.", "int"))]
    return graph_of(
        nodes,
        [
            line(
                MART,
                ["order_id", "total"],
                [(ORDERS, "id", "order_id", "IDENTITY", True), (ORDERS, "amount", "total", "AGGREGATION", True)],
            ),
            line(
                ORDERS,
                ["id", ("amount", "numeric"), "status"],
                [
                    (STG, "deleted", None, "FILTER", True),
                    (STG, "status", "status", "TRANSFORMATION", True),
                    (STG, "id", "id", "IDENTITY", True),
                    (STG, "amount", "amount", "IDENTITY", False),
                ],
            ),
            line(
                STG,
                ["id", "amount", "status", "deleted"],
                [(RAW, name, name, "IDENTITY", True) for name in ("id", "amount", "status", "deleted")],
            ),
            line(RAW, ["id", "amount", "status", "deleted", "never_read"], open=True),
        ],
    )


def position(columns: ColumnGraph, unique_id: str) -> int:
    found = columns.graph.position(unique_id)
    assert found is not None
    return found


def follow(columns: ColumnGraph, unique_id: str, column: str | None, direction: Direction = "both", depth: int | None = None) -> Any:
    place = position(columns, unique_id)
    start = None if column is None else column_reach.find_columns(columns, place, column)
    return named(column_reach.around(columns, [place], start, direction, depth))


# -- merging


def test_columns_of_the_sql_and_of_the_yaml_file_are_one_list() -> None:
    columns = graph_of(
        [node(ORDERS, yaml("ID", "The key.", "bigint"), yaml("typo"), yaml("Amount"))],
        [line(ORDERS, [("id", "integer"), ("amount", "numeric"), "status"])],
    )
    found = shown(columns, ORDERS)
    assert list(found) == ["id", "amount", "status", "typo"], "the order and the spelling of the SQL, then what only YAML has"
    assert (found["id"].description, found["id"].data_type, found["id"].documented, found["id"].in_sql) == (
        "The key.",
        "bigint",
        True,
        True,
    )
    assert (found["amount"].data_type, found["amount"].documented) == ("numeric", False)
    assert [found[name].in_sql for name in ("status", "typo")] == [True, False]


def test_names_that_differ_in_case_only_are_columns_of_their_own_in_quotes() -> None:
    columns = graph_of([node(ORDERS, yaml("Id", "One."), yaml("iD"), yaml('"ID"'))], [line(ORDERS, ["id", "Id"])])
    found = shown(columns, ORDERS)
    assert list(found) == ["id", "Id", "iD", "ID"]
    assert (found["Id"].documented, found["id"].documented) == (True, False)
    quoted = graph_of([node(ORDERS, yaml('"Order ID"', "Odd."))], [line(ORDERS, ["Order ID"])])
    assert shown(quoted, ORDERS)["Order ID"].description == "Odd."


@pytest.mark.parametrize(
    ("unique_id", "status", "more", "in_sql"),
    [
        (ORDERS, "exact", {"open": False}, [True, False]),
        (ORDERS, "exact", {"open": True}, [True, None]),
        (ORDERS, "approximate", {"open": False}, [True, None]),
        (ORDERS, "unknown", {"open": True}, [None, None]),
        ("seed.shop.rates", "exact", {"open": False}, [True, False]),
        ("seed.shop.rates", "exact", {"open": True}, [None, None]),
        (RAW, "exact", {"open": True}, [None, None]),
    ],
)
def test_whether_the_sql_has_a_column_is_only_said_where_it_is_known(
    unique_id: str, status: str, more: dict[str, Any], in_sql: list[Any]
) -> None:
    columns = graph_of([node(unique_id, yaml("b"))], [line(unique_id, ["a"], status=status, **more)])
    assert [one.in_sql for one in shown(columns, unique_id).values()] == in_sql


def test_a_source_has_the_columns_that_sql_certainly_reads() -> None:
    found = shown(shop(), RAW)
    assert {name: one.in_sql for name, one in found.items()} == {
        **dict.fromkeys(("id", "amount", "status", "deleted"), True),
        "never_read": None,
    }


def test_a_reference_that_differs_in_case_means_the_same_column() -> None:
    columns = graph_of([node(MART), node(RAW)], [line(MART, ["x"], [(RAW, "ID", "X", "IDENTITY", True)]), line(RAW, ["id"], open=True)])
    [edge] = columns.whole().edges_by_name()
    assert (edge.upstream_column, edge.downstream_column) == ("id", "x")
    assert [list(shown(columns, one)) for one in (MART, RAW)] == [["x"], ["id"]]


def test_a_column_that_only_a_reader_names_is_a_column_that_may_be_there() -> None:
    columns = graph_of([node(MART), node(STG)], [line(MART, ["x"], [(STG, "y", "x", "IDENTITY", False)]), line(STG, [], open=True)])
    assert {name: one.in_sql for name, one in shown(columns, STG).items()} == {"y": None}


def test_nodes_without_a_line_are_unknown_and_nodes_that_are_no_tables_are_absent() -> None:
    columns = graph_of([node("exposure.shop.board"), node(ORDERS, yaml("id"))], [line("model.shop.gone", ["x"])])
    assert named(columns.whole()) == ({ORDERS: ["id"]}, set())
    assert (columns.nodes[1].status, columns.nodes[1].reason) == ("unknown", "The columns document has no line for this node.")


# -- descriptions


def test_descriptions_are_inherited_along_certain_identities_from_the_nearest() -> None:
    columns = shop()
    key = shown(columns, MART)["order_id"]
    assert (key.description, key.documented, key.inherited_from) == ("The key.", False, ColumnPlace(RAW, "id"))
    assert shown(columns, MART)["total"].inherited_from is None
    assert shown(columns, ORDERS)["status"].inherited_from is None
    nearer = graph_of(
        [node(MART), node(ORDERS, yaml("id", "Nearer.")), node(RAW, yaml("id", "Farther."))],
        [
            line(MART, ["id", "rows"], [(ORDERS, "id", "id", "IDENTITY", True), (ORDERS, "id", "rows", "IDENTITY", False)]),
            line(ORDERS, ["id"], [(RAW, "id", "id", "IDENTITY", True)]),
            line(RAW, ["id"]),
        ],
    )
    found = shown(nearer, MART)
    assert (found["id"].description, found["id"].inherited_from) == ("Nearer.", ColumnPlace(ORDERS, "id"))
    assert (found["rows"].description, found["rows"].inherited_from) == ("", None), "uncertain"
    assert shown(nearer, ORDERS)["id"].inherited_from is None


def test_circles_end() -> None:
    columns = graph_of(
        [node(MART), node(ORDERS)],
        [line(MART, ["a"], [(ORDERS, "a", "a", "IDENTITY", True)]), line(ORDERS, ["a"], [(MART, "a", "a", "IDENTITY", True)])],
    )
    assert shown(columns, MART)["a"].description == ""
    assert follow(columns, MART, "a")[0] == {MART: ["a"], ORDERS: ["a"]}


@pytest.mark.growth
def test_many_columns_take_linear_time() -> None:
    def seconds(count: int) -> float:
        nodes = [node(RAW, yaml("c", "Told once.")), *(node(f"model.shop.m{number:06}") for number in range(count))]
        ids = [one.unique_id for one in nodes]
        lines = [line(ids[0], ["c"])]
        lines += [line(ids[n], ["c"], [(ids[n - 1], "c", "c", "IDENTITY", True)]) for n in range(1, count + 1)]
        graph = Graph(nodes, [[]] * len(nodes))
        began = time.process_time()
        columns = column_graph(graph, lines)
        last = columns.column(columns.nodes[count].columns[0])
        assert last.description == "Told once."
        assert len(follow(columns, ids[0], "c", "downstream")[0]) == count + 1
        return time.process_time() - began

    small, large = min(seconds(3_000) for _ in range(3)), seconds(30_000)
    assert large < 60 * small, "a quadratic step would take a hundred times as long"


# -- following


def test_a_column_is_followed_to_its_source_with_what_decides_on_rows_beside_it() -> None:
    nodes, edges = follow(shop(), MART, "ORDER_ID", "upstream")
    assert nodes == {MART: ["order_id"], ORDERS: ["id"], STG: ["id", "deleted"], RAW: ["id"]}
    assert edges == {
        (f"{ORDERS}.id", f"{MART}.order_id", "IDENTITY"),
        (f"{STG}.id", f"{ORDERS}.id", "IDENTITY"),
        (f"{STG}.deleted", f"{ORDERS}.None", "FILTER"),
        (f"{RAW}.id", f"{STG}.id", "IDENTITY"),
    }


def test_rows_are_shown_downstream_and_not_followed() -> None:
    nodes, edges = follow(shop(), STG, "deleted", "downstream")
    assert nodes == {STG: ["deleted"], ORDERS: []}
    assert edges == {(f"{STG}.deleted", f"{ORDERS}.None", "FILTER")}


def test_depth_counts_nodes() -> None:
    columns = shop()
    assert follow(columns, MART, "total", depth=0) == ({MART: ["total"]}, set())
    assert follow(columns, MART, "total", "upstream", 1)[0] == {MART: ["total"], ORDERS: ["amount"]}
    assert follow(columns, MART, "total", "upstream", 2)[0] == {MART: ["total"], ORDERS: ["amount"], STG: ["amount", "deleted"]}
    assert follow(columns, RAW, "amount", "downstream", 2)[0] == {RAW: ["amount"], STG: ["amount"], ORDERS: ["amount"]}


def test_a_node_means_all_of_its_columns() -> None:
    nodes, edges = follow(shop(), ORDERS, None, depth=1)
    assert nodes == {MART: ["order_id", "total"], ORDERS: ["id", "amount", "status"], STG: ["id", "amount", "status", "deleted"]}
    assert len(edges) == 6
    assert follow(shop(), ORDERS, None, "upstream", 0) == ({ORDERS: ["id", "amount", "status"]}, set())


def test_graph_operators_mean_what_they_mean_in_dbt() -> None:
    columns = shop()

    def reached(text: str, column: str) -> set[str]:
        reference = parse(text)
        places = node_selectors.find(columns.graph, reference.node)
        start = column_reach.find_columns(columns, places[0], column)
        return set(named(column_reach.reach(columns, places, start, reference))[0])

    assert reached("+orders", "id") == {ORDERS, STG, RAW}
    assert reached("1+orders+", "id") == {STG, ORDERS, MART}
    assert reached("@stg_orders", "amount") == {STG, ORDERS, MART, RAW}
    assert NodeReference("x").has_operators is False


def test_a_selection_between_nodes_has_only_the_edges_between_them() -> None:
    columns = shop()
    nodes, edges = named(columns.between([position(columns, one) for one in (MART, ORDERS)]))
    assert (set(nodes), {subtype for *_, subtype in edges}) == ({MART, ORDERS}, {"IDENTITY", "AGGREGATION"})


def test_columns_are_found_by_name_and_similar_ones_are_listed() -> None:
    columns = graph_of([node(ORDERS)], [line(ORDERS, ["order_id", "Id", "id"])])
    find = column_reach.find_columns
    assert [columns.name(one) for one in find(columns, 0, "ORDER_ID")] == ["order_id"]
    assert [columns.name(one) for one in find(columns, 0, "Id")] == ["Id"]
    assert len(find(columns, 0, "ID")) == 2
    assert find(columns, 0, '"ORDER_ID"') == []
    assert [columns.name(one) for one in find(columns, 0, '"id"')] == ["id"]
    assert column_reach.similar_columns(columns, [0], "orderid") == ["order_id"]


# -- any graph


@st.composite
def worlds(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, int, int | None, str]]]:
    """The number of nodes, and edges (upstream node and column, downstream node and column, subtype)."""
    count = draw(st.integers(1, 5))
    place = st.tuples(st.integers(0, count - 1), st.integers(0, 2))
    down = st.tuples(st.integers(0, count - 1), st.one_of(st.none(), st.integers(0, 2)))
    drawn = draw(st.lists(st.tuples(place, down, st.sampled_from(["IDENTITY", "WINDOW", "FILTER"])), max_size=12))
    return count, [(*up, *below, kind) for up, below, kind in drawn if up[0] != below[0]]


@given(worlds(), st.integers(0, 2), st.one_of(st.none(), st.integers(0, 4)), st.sampled_from(["upstream", "downstream"]))
def test_following_agrees_with_a_walk_over_pairs(
    world: tuple[int, list[tuple[int, int, int, int | None, str]]], column: int, depth: int | None, direction: Direction
) -> None:
    count, edges = world
    ids = [f"model.shop.m{number}" for number in range(count)]
    own: Mapping[int, list[Edge]] = {
        n: [(ids[up], f"c{a}", None if b is None else f"c{b}", kind, True) for up, a, below, b, kind in edges if below == n]
        for n in range(count)
    }
    columns = graph_of([node(one) for one in ids], [line(one, ["c0", "c1", "c2"], own[n]) for n, one in enumerate(ids)])
    reached, expected = {(0, column)}, set()
    for _ in range(20 if depth is None else depth):
        if direction == "upstream":
            step = [e for e in edges if (e[2], e[3]) in reached or (e[3] is None and any(n == e[2] for n, _ in reached))]
            more = {(e[0], e[1]) for e in step if e[3] is not None}
        else:
            step = [e for e in edges if (e[0], e[1]) in reached]
            more = {(e[2], e[3]) for e in step if e[3] is not None}
        expected |= {(f"{ids[e[0]]}.c{e[1]}", f"{ids[e[2]]}.{None if e[3] is None else f'c{e[3]}'}", e[4]) for e in step}
        reached |= more
    assert follow(columns, ids[0], f"c{column}", direction, depth)[1] == expected


def test_both_sides_of_a_comparison_with_a_million_edges_stay_in_memory() -> None:
    whole, parts = SIZES["10,000 nodes"], 20
    project = Project(replace(whole, models=whole.models // parts))
    lineage = project.lineage()
    nodes = [GraphNode(one.unique_id, one.resource_type, one.name, one.package_name, one.content) for one in lineage.nodes]
    graph = Graph(nodes, [one.upstream for one in lineage.nodes])
    lines = [(str(line["unique_id"]), "exact", orjson.dumps(line)) for line in map(project.line, range(project.size.models))]
    tracemalloc.start()
    found = column_graph(graph, lines)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert found.edge_count > 700_000 / parts
    assert used < 1.3 * found.nbytes
    assert 2 * parts * (found.nbytes + graph.nbytes) < KEPT_BYTES
