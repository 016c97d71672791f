"""Columns on a console: how many are exact, where each comes from, one column as a tree, and what `--select` means."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest

from app.lineage import column_selectors
from app.lineage.column_graph import ColumnGraph
from app.lineage.node_selectors import SelectorError
from app.reports import column_listing, column_tree
from app.reports.column_words import Line
from tests.unit.test_column_graph import MART, ORDERS, RAW, STG, graph_of, line, named, node, position, shop, yaml

DEEP = 3_000


def text(lines: Iterable[Line]) -> list[str]:
    return ["".join(part for part, _ in one).rstrip() for one in lines]


def listed(columns: ColumnGraph, *unique_ids: str, width: int | None = None) -> list[str]:
    return text(column_listing.nodes(columns, [position(columns, one) for one in unique_ids], width))[1:]


def drawn(columns: ColumnGraph, selection: str) -> list[str]:
    found = column_selectors.select(columns.graph, columns, selection)
    return [one for followed in found.followed for one in text(column_tree.tree(columns, followed, None))[1:]]


def project(*names: str) -> ColumnGraph:
    """Models in a row, each of which reads the one before it."""
    ids = [f"model.shop.{name}" for name in names]
    lines = [line(ids[0], ["id"])]
    lines += [line(here, ["id"], [(above, "id", "id", "IDENTITY", True)]) for above, here in pairwise(ids)]
    return graph_of([node(one) for one in ids], lines)


# -- the list


def test_the_first_line_counts_models_by_status() -> None:
    assert column_listing.summary(shop()) == "Columns: 3 models, all exact; 9 columns, 10 edges, 1 of them not certain (?)."
    one = graph_of([node(ORDERS), node(STG)], [line(ORDERS, ["id"]), line(STG, [], status="unknown", reason="No parser.")])
    assert column_listing.summary(one) == "Columns: 2 models, 1 exact, 1 unknown; 1 column, 0 edges."
    snapshot = graph_of([node("snapshot.shop.old")], [line("snapshot.shop.old", ["id"], status="approximate")])
    assert column_listing.summary(snapshot) == "Columns: 1 snapshot, 1 approximate; 1 column, 0 edges."
    assert column_listing.summary(graph_of([node(RAW)], [])) == "Columns: the project has no models."


def test_each_column_says_where_it_comes_from() -> None:
    assert listed(shop(), ORDERS) == [
        "orders  exact",
        "  id               <- stg_orders.id",
        "  amount  numeric  <- stg_orders.amount?",
        "  status           <- computed from stg_orders.status",
        "  rows: FILTER stg_orders.deleted",
    ]
    assert listed(shop(), MART)[1:] == ["  order_id  <- orders.id", "  total     <- aggregated from orders.amount"]


def test_a_source_lists_its_columns_alone() -> None:
    lines = listed(shop(), RAW)
    assert (lines[0], lines[1], lines[-1]) == ("erp.orders  source", "  id          int", "  and perhaps more columns")
    assert not [one for one in lines if "<-" in one]


def test_kinds_of_edges_are_told_apart() -> None:
    edges = [
        *((STG, name, "total", kind, True) for name, kind in (("b", "TRANSFORMATION"), ("a", "IDENTITY"), ("day", "WINDOW"))),
        *((STG, name, None, kind, True) for name, kind in (("a", "JOIN"), ("b", "GROUP_BY"), ("c", "JOIN"))),
    ]
    columns = graph_of([node(ORDERS), node(STG)], [line(ORDERS, ["total"], edges), line(STG, ["a", "b", "c", "day"])])
    assert listed(columns, ORDERS)[1:] == [
        "  total  <- stg_orders.a; computed from stg_orders.b; WINDOW stg_orders.day",
        "  rows: JOIN stg_orders.a, stg_orders.c",
        "  rows: GROUP_BY stg_orders.b",
    ]


def test_what_is_not_exact_says_why_and_nothing_is_claimed() -> None:
    rendered = "`get_column_values` reads rows from the warehouse."
    columns = graph_of(
        [node(ORDERS, yaml("typo")), node(STG, yaml("id")), node(MART, yaml("typo"))],
        [
            line(ORDERS, ["id"], status="approximate", reason=rendered, open=True),
            line(STG, ["id"], status="unknown", reason="The SQL could not be parsed.", open=True),
            line(MART, ["counted"]),
        ],
    )
    assert listed(columns, ORDERS) == [
        "orders  approximate",
        f"  {rendered}",
        "  id    <- not known",
        "  typo  <- not known",
        "  and perhaps more columns",
    ]
    assert listed(columns, STG) == ["stg_orders  unknown", "  The SQL could not be parsed.", "  id", "  and perhaps more columns"]
    assert listed(columns, MART)[1:] == ["  counted  <- no column", "  typo     <- nothing: only a YAML file names it"]


def test_tables_that_dbt_does_not_know_are_named() -> None:
    columns = graph_of([node(ORDERS)], [line(ORDERS, ["id"], hard_coded=["legacy.crm.accounts", "old.t"])])
    assert listed(columns, ORDERS)[1:] == ["  id  <- no column that dbt knows", "  not in dbt's graph: legacy.crm.accounts, old.t"]


def test_long_lines_are_broken_between_columns_below_their_beginning() -> None:
    names = [f"column_{number}" for number in range(6)]
    edges = [(STG, name, "total", "TRANSFORMATION", True) for name in names]
    columns = graph_of([node(ORDERS), node(STG)], [line(ORDERS, ["total"], edges), line(STG, names)])
    lines = listed(columns, ORDERS, width=60)[1:]
    assert max(map(len, lines)) <= 60
    assert all(one.startswith(" " * 12 + "stg_orders.") for one in lines[1:])
    assert len(lines) > 2
    assert len(listed(columns, ORDERS)) == 2, "a file or a pipe gets one line for each column"


def test_names_cannot_change_the_line_they_are_on() -> None:
    columns = graph_of([node(ORDERS)], [line(ORDERS, ["a\nb", "Total, net", "ok\x1b[31m"])])
    assert [one.split("  <-")[0].strip() for one in listed(columns, ORDERS)[1:]] == ['"a␊b"', '"Total, net"', '"ok␛[31m"']


def test_huge_nodes_are_cut_and_the_rest_is_counted() -> None:
    names = [f"c{number}" for number in range(3_000)]
    edges = [(STG, name, "all_of_them", "TRANSFORMATION", True) for name in names]
    columns = graph_of([node(ORDERS), node(STG)], [line(ORDERS, ["all_of_them"], edges), line(STG, names)])
    assert listed(columns, ORDERS)[1].endswith("stg_orders.c19 and 2,980 more")
    assert listed(columns, STG)[-1] == "  and 2,800 more columns: --json lists all"


def test_a_big_project_shows_only_what_is_not_exact_and_how_to_see_the_others() -> None:
    ids = [f"model.shop.m{number}" for number in range(100)]
    broken = [line(one, [], status="unknown", reason="No parser.", hard_coded=["old.t"]) for one in ids[:5]]
    columns = graph_of([node(one) for one in ids], [*broken, *(line(one, ["id"]) for one in ids[5:])])
    assert text(column_listing.project(columns, None)) == [
        "  5 unknown (m0, m1, m2 and 2 more): No parser.",
        "  not in dbt's graph: old.t in m0, m1, m2 and 2 more",
        "",
        "100 are too many to list here. --select NAME lists some of them, --select '*' all.",
    ]
    assert len(text(column_listing.project(shop(), None))) == sum(len(listed(shop(), one)) + 1 for one in (MART, ORDERS, STG))


# -- the tree


def test_a_column_is_followed_to_its_sources() -> None:
    assert drawn(shop(), "mart.total") == [
        "mart.total",
        "└─ aggregated from orders.amount",
        "   └─ stg_orders.amount?",
        "      └─ erp.orders.amount  source",
        "rows of the models on the way:",
        "  orders: FILTER stg_orders.deleted",
    ]


def test_operators_say_how_far_and_in_which_direction() -> None:
    assert drawn(shop(), "1+mart.total") == ["mart.total", "└─ aggregated from orders.amount"]
    assert drawn(shop(), "stg_orders.status+") == ["stg_orders.status  goes into", "└─ computed into orders.status"]
    assert drawn(shop(), "stg_orders.deleted+") == ["stg_orders.deleted  goes into", "└─ FILTER for the rows of orders"]
    both = drawn(shop(), "1+orders.id+1")
    assert both[:2] == ["orders.id", "└─ stg_orders.id"]
    assert both[-2:] == ["orders.id  goes into", "└─ mart.order_id"]
    assert drawn(shop(), "mart.total+") == ["mart.total  goes into no other column"]


def test_a_column_that_is_reached_twice_has_its_branches_once() -> None:
    columns = graph_of(
        [node(MART), node(ORDERS), node(STG)],
        [
            line(MART, ["x"], [(ORDERS, "a", "x", "TRANSFORMATION", True), (ORDERS, "b", "x", "TRANSFORMATION", True)]),
            line(ORDERS, ["a", "b"], [(STG, "id", "a", "IDENTITY", True), (ORDERS, "a", "b", "IDENTITY", True)]),
            line(STG, ["id"]),
        ],
    )
    assert drawn(columns, "mart.x") == [
        "mart.x",
        "├─ computed from orders.a",
        "│  └─ stg_orders.id",
        "└─ computed from orders.b",
        "   └─ orders.a …",
    ]


def test_a_tree_says_which_models_on_the_way_are_not_exact() -> None:
    columns = graph_of(
        [node(ORDERS), node(STG)],
        [
            line(ORDERS, ["id"], [(STG, "id", "id", "IDENTITY", True)]),
            line(STG, ["id"], status="approximate", reason="`star` asks."),
        ],
    )
    assert drawn(columns, "orders.id") == ["orders.id", "└─ stg_orders.id  approximate", "stg_orders is approximate: `star` asks."]
    assert drawn(columns, "stg_orders.id")[0] == "stg_orders.id  approximate  <- not known"


def test_a_deep_project_does_not_exceed_the_screen_or_the_stack() -> None:
    lines = drawn(project(*(f"m{number}" for number in range(DEEP))), f"m{DEEP - 1}.id")
    assert (len(lines), lines[-1]) == (column_tree.MAX_LINES + 1, "… and more: --json has all")


# -- what is selected


def test_names_with_dots_and_spaces_are_found() -> None:
    source = node(RAW)
    columns = graph_of([source, node(ORDERS)], [line(RAW, ["id", "a.b", "net total"]), line(ORDERS, ["id"])])
    for selection in ("source:erp.orders.id", f"{RAW}.id", 'source:erp.orders."a.b"', 'source:erp.orders."net total"'):
        assert drawn(columns, selection)[0].startswith("erp.orders."), selection
    whole = column_selectors.select(columns.graph, columns, f"orders {RAW}")
    assert (len(whole.nodes), whole.followed) == (2, ())


def test_a_quote_in_a_name_is_doubled_as_in_sql_where_it_is_shown_and_where_it_is_selected() -> None:
    columns = graph_of([node(ORDERS)], [line(ORDERS, ['x.y"z', "net total"])])
    for selection in ('orders."x.y""z"', 'orders."x.y"z"', 'orders.x.y"z'):
        assert drawn(columns, selection)[0].startswith('orders."x.y""z"'), selection
    with pytest.raises(SelectorError) as raised:
        column_selectors.select(columns.graph, columns, "orders.net_total")
    assert raised.value.candidates == ('orders."net total"',)


def test_the_selected_part_has_the_edges_into_nodes_and_along_columns() -> None:
    columns = shop()
    nodes, edges = named(column_selectors.select(columns.graph, columns, "mart orders.status").part(columns))
    assert nodes == {MART: ["order_id", "total"], ORDERS: ["id", "amount", "status"], STG: ["status", "deleted"], RAW: ["status"]}
    assert len(edges) == 5
    assert ("model.shop.stg_orders.deleted", "model.shop.orders.None", "FILTER") in edges


@pytest.mark.parametrize(
    ("selection", "reason", "candidates"),
    [
        ("mart.totl", "names no column of mart", ("mart.total",)),
        ("mart.zzz", "names no column of mart, which has order_id, total", ()),
        (f"{RAW}.zzz", f"names no known column of {RAW}, which may have more than id, amount, status, deleted, never_read", ()),
        ("+ordrs.status", "matches no node", ("model.shop.orders.status",)),
        ("nowhere", "matches no node", ()),
        ("mart.", "matches no node", (MART,)),
    ],
)
def test_what_is_not_there_names_candidates(selection: str, reason: str, candidates: tuple[str, ...]) -> None:
    columns = shop()
    with pytest.raises(SelectorError) as raised:
        column_selectors.select(columns.graph, columns, selection)
    assert raised.value.reason == reason
    assert raised.value.candidates[:1] == candidates


def test_a_column_selects_its_node_where_no_columns_are_known() -> None:
    graph = shop().graph
    found = column_selectors.select(graph, None, "+mart.total")
    assert ({graph.nodes[one].name for one in found.nodes}, found.followed) == ({"mart"}, ())
