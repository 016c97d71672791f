"""What a change takes away from other projects, and what breaks there: values in, values out."""

from __future__ import annotations

import msgspec
import pytest

from app.core.models.github import Repository
from app.lineage.column_document import FoundEdge
from app.lineage.impact.elsewhere import MAX_LISTED, BrokenProject, Elsewhere, with_elsewhere
from app.lineage.impact.foreign import (
    ForeignNode,
    ForeignProject,
    ForeignReader,
    ForeignSource,
    SourceColumn,
    SourceTest,
    breaks_of_readers,
    exposures_below,
    handed_on,
    sources_of,
)
from app.lineage.impact.losses import LostColumn, LostTable, MadeTable, lost_tables, takes_away
from app.lineage.impact.model import Break, Change, ChangeClass, Impact
from app.lineage.impact.tables import same_table, same_warehouse

ORDERS, TABLE = "model.shop.orders", "db.prod.orders"
SOURCE, MODEL = "source.bi.shop.orders", "model.bi.revenue"
BI = ForeignProject("c1", Repository(8, "octo/bi", 3, "main"), "transform", "snowflake")
AMOUNT = LostColumn("amount", None, certain=True)


def change(kind: ChangeClass, *columns: str, new: tuple[str, ...] = (), unique_id: str = ORDERS, certain: bool = True) -> Change:
    return Change(unique_id=unique_id, change_class=kind, certain=certain, columns=columns, new_columns=new, reason="")


def lost(*columns: LostColumn, keeps_columns: bool = False, name: str = TABLE) -> LostTable:
    return LostTable(ORDERS, name, certain=True, columns={one.name.casefold(): one for one in columns}, keeps_columns=keeps_columns)


def reader(
    *edges: tuple[str, bool], status: str | None = "exact", words: set[str] | None = None, kind: str = "model", name: str = "revenue"
) -> ForeignReader:
    found = tuple(FoundEdge(SOURCE, column, column, "IDENTITY", certain) for column, certain in edges)
    node = ForeignNode(f"{kind}.bi.{name}", kind, name, [SOURCE])
    return ForeignReader(node, status, found, None if words is None else frozenset(words))


def broken(
    table: LostTable, *readers: ForeignReader, source: ForeignSource | None = None, adapter: str | None = "snowflake"
) -> list[Break]:
    sources = {SOURCE: source or ForeignSource(SOURCE, TABLE)}
    return breaks_of_readers(BI, adapter, sources, sources_of(sources.values(), BI.adapter_type, [table], adapter), readers)


@pytest.mark.parametrize(
    ("one", "other", "adapter", "same"),
    [
        ('"db"."prod"."orders"', '"db"."prod"."orders"', "postgres", True),
        ('"db"."prod"."orders"', '"db"."prod"."Orders"', "postgres", False),
        ('"db"."prod"."orders"', "DB.Prod.Orders", "postgres", True),
        ("DB.PROD.ORDERS", "db.prod.orders", "snowflake", True),
        ('DB.PROD."orders"', 'DB.PROD."ORDERS"', "snowflake", False),
        ("`p`.`d`.`Orders`", "`p`.`d`.`orders`", "bigquery", False),
        ("`p`.`d`.`Orders`", "p.d.orders", "bigquery", False),
        ("`c`.`d`.`Orders`", "`c`.`d`.`orders`", "databricks", True),
        ('"db"."dbo"."Orders"', "[db].[dbo].[orders]", "sqlserver", True),
        ('"a.b"."orders"', '"a"."b.orders"', "postgres", False),
        ('"prod"."orders"', '"db"."prod"."orders"', "postgres", False),
        ('"db"."prod"."a""b"', '"db"."prod"."ab"', "postgres", False),
        ("(select 1)", "(select 1)", "postgres", False),
        ("", "", "postgres", False),
    ],
)
def test_names_of_one_table(one: str, other: str, adapter: str, same: bool) -> None:  # noqa: FBT001 - a row of a table
    assert same_table(one, adapter, other, adapter) == same_table(other, adapter, one, adapter) == same


def test_the_same_name_in_two_kinds_of_warehouse_or_in_a_file_is_not_certainly_one_table() -> None:
    pairs = [("snowflake", "snowflake"), ("postgres", "snowflake"), ("duckdb", "duckdb"), (None, None)]
    assert [same_warehouse(*pair) for pair in pairs] == [True, False, False, False]
    for adapter in ("postgres", None):
        [one] = broken(lost(AMOUNT), reader(("amount", True)), adapter=adapter)
        assert not one.certain


@pytest.mark.parametrize("kind", ["added", "retyped", "rows", "logic", "none"])
def test_what_takes_nothing_away(kind: ChangeClass) -> None:
    assert not takes_away([change(kind, "amount")])
    assert not takes_away([change("removed", unique_id="test.shop.a"), change("removed", unique_id="exposure.shop.b")])
    assert takes_away([change(kind), change("renamed", "amount", new=("total",))])


def test_columns_are_lost_where_the_table_is_the_same() -> None:
    table = {ORDERS: MadeTable(TABLE, "view")}
    changes = [change("removed", "Amount", certain=False), change("renamed", "id", "Day", new=("order_id", "day")), change("added", "n")]
    [found] = lost_tables(changes, table, table)
    assert found.columns == {
        "amount": LostColumn("Amount", None, certain=False),
        "id": LostColumn("id", "order_id", certain=True),
        "day": LostColumn("Day", "day", certain=False),
    }
    assert (found.name, found.keeps_columns) == (TABLE, False)
    assert lost_tables(changes, {ORDERS: MadeTable(None)}, table) == []
    assert lost_tables(changes, table, {ORDERS: MadeTable(None)}) == [], "it may be the same table"


def test_a_table_is_lost_if_no_node_makes_it_any_more() -> None:
    old = {ORDERS: MadeTable(TABLE)}
    assert [one.name for one in lost_tables([], old, {})] == [TABLE]
    assert [one.name for one in lost_tables([], old, {ORDERS: MadeTable("db.prod.orders_v2")})] == [TABLE]
    assert lost_tables([], old, {"model.shop.sales": MadeTable("DB.PROD.ORDERS")}) == []
    [found] = lost_tables([], old, {"model.shop.sales": MadeTable(None)})
    assert not found.certain, "a name that is not known may be this one"


def test_a_break_names_who_reads_what_of_which_table() -> None:
    [one] = broken(lost(AMOUNT, LostColumn("day", "date", certain=True)), reader(("DAY", True), ("amount", True), ("other", True)))
    assert one == Break(
        unique_id=MODEL,
        kind="column_removed",
        certain=True,
        reason="`revenue` in `octo/bi` (`transform`) reads `day` (now `date`) and `amount` of `db.prod.orders`, which no longer has them.",
        cause=ORDERS,
        column="day",
        connection_id="c1",
    )
    [one] = broken(lost(LostColumn("day", "date", certain=True)), reader(("day", True)))
    assert one.kind == "column_renamed"


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (lost(AMOUNT), reader(("amount", False))),
        (lost(AMOUNT, keeps_columns=True), reader(("amount", True))),
        (lost(LostColumn("amount", None, certain=False)), reader(("amount", True))),
        (lost(AMOUNT), reader(status="approximate", words={"amount"})),
        (lost(AMOUNT), reader(status=None)),
    ],
    ids=["edge", "incremental", "change", "mentioned", "nothing is known"],
)
def test_what_is_only_possible(table: LostTable, found: ForeignReader) -> None:
    [one] = broken(table, found)
    assert (one.kind, one.certain) == ("column_removed", False)
    assert "may read `amount`" in one.reason


def test_who_does_not_read_the_column_is_left_alone() -> None:
    assert broken(lost(AMOUNT), reader(("id", True)), reader(status="unknown", words=set())) == []
    other = ForeignSource(SOURCE, "db.prod.customers")
    assert broken(lost(AMOUNT), reader(("amount", True)), source=other) == []


STAR = FoundEdge(SOURCE, "amount", "amount", "IDENTITY", True)  # noqa: FBT003 - `certain`


@pytest.mark.parametrize(
    ("edge", "words", "breaks", "hands_on"),
    [
        (STAR, set(), [], ["amount"]),
        (STAR, {"amount"}, [False], []),
        (msgspec.structs.replace(STAR, column="total"), {"amount"}, [True], []),
        (msgspec.structs.replace(STAR, subtype="AGGREGATION", column="total"), {"amount"}, [True], []),
        (msgspec.structs.replace(STAR, subtype="FILTER", column=None), {"amount"}, [True], []),
    ],
    ids=["star", "star and name", "another name", "expression", "filter"],
)
def test_who_selects_everything_hands_columns_on(edge: FoundEdge, words: set[str], breaks: list[bool], hands_on: list[str]) -> None:
    """`select * from source` still works without a column: what breaks is who names it further down."""
    node = ForeignNode(MODEL, "model", "revenue", [SOURCE])
    one = ForeignReader(node, "exact", (edge,), frozenset(words), is_open=True)
    assert [found.certain for found in broken(lost(AMOUNT), one)] == breaks
    table = handed_on({SOURCE: lost(AMOUNT)}, one, keeps_columns=False)
    assert list(table.columns if table else []) == hands_on


def test_a_column_that_was_handed_on_is_lost_as_certainly_as_all_on_the_way() -> None:
    node = ForeignNode(MODEL, "model", "revenue", [SOURCE])
    for edge, keeps, certain in ((STAR, False, True), (STAR, True, False), (msgspec.structs.replace(STAR, certain=False), False, False)):
        table = handed_on({SOURCE: lost(AMOUNT)}, ForeignReader(node, "exact", (edge,), frozenset(), is_open=True), keeps_columns=keeps)
        assert table is not None
        mart = ForeignReader(
            ForeignNode("model.bi.mart", "model", "mart", [MODEL]), "exact", (FoundEdge(MODEL, "AMOUNT", "n", "AGGREGATION", certain=True),)
        )
        [one] = breaks_of_readers(BI, "snowflake", {MODEL: ForeignSource(MODEL, TABLE)}, {MODEL: table}, [mart])
        assert (one.unique_id, one.cause, one.certain) == ("model.bi.mart", ORDERS, certain)
        assert "read `amount` of `db.prod.orders` through `revenue`, which no longer has it" in one.reason.replace("reads", "read")


def test_tests_of_a_lost_column() -> None:
    source = ForeignSource(
        SOURCE, TABLE, (SourceColumn("AMOUNT", (SourceTest("test.bi.not_null"),)), SourceColumn("id", (SourceTest("test.bi.unique"),)))
    )
    readers = [
        reader(kind="test", name=name, status=None, words=words)
        for name, words in (("not_null", set()), ("unique", {"amount"}), ("singular", {"amount"}), ("other", set()), ("unread", None))
    ]
    found = broken(lost(AMOUNT), *readers, source=source)
    assert [(one.unique_id, one.kind, one.certain) for one in found] == [
        ("test.bi.not_null", "test", True),
        ("test.bi.singular", "test", False),
    ]


def test_exposures_of_the_source_and_below_what_breaks() -> None:
    direct = reader(kind="exposure", name="sheet")
    found = broken(lost(AMOUNT), reader(("amount", True)), direct)
    nodes = [
        ForeignNode(MODEL, "model", "revenue", [SOURCE]),
        ForeignNode("model.bi.mart", "model", "mart", [MODEL]),
        ForeignNode("exposure.bi.board", "exposure", "board", ["model.bi.mart"]),
        ForeignNode("exposure.bi.sheet", "exposure", "sheet", [SOURCE, MODEL]),
        ForeignNode("exposure.bi.other", "exposure", "other", ["model.bi.other"]),
    ]
    assert [(one.unique_id, one.certain) for one in found] == [(MODEL, True), ("exposure.bi.sheet", False)]
    [board] = exposures_below(BI, found, nodes)
    assert (board.unique_id, board.kind, board.certain, board.cause, board.column) == (
        "exposure.bi.board",
        "exposure",
        False,
        ORDERS,
        "amount",
    )
    assert board.reason == "`board` in `octo/bi` (`transform`) depends on `revenue`, which breaks."


def test_a_table_that_is_gone_breaks_its_readers_whatever_they_read() -> None:
    found = broken(lost(), reader(), reader(kind="exposure", name="sheet"), reader(kind="test", name="not_null", words={"amount"}))
    assert [(one.unique_id, one.kind, one.certain) for one in found] == [
        (MODEL, "node_removed", True),
        ("exposure.bi.sheet", "exposure", False),
    ]


def test_one_node_that_reads_a_table_twice_breaks_once() -> None:
    again = "source.bi.again.orders"
    node = ForeignNode(MODEL, "model", "revenue", [SOURCE, again])
    sources = {one: ForeignSource(one, TABLE) for one in (SOURCE, again)}
    edges = (FoundEdge(SOURCE, "amount", "amount", "IDENTITY", True),)  # noqa: FBT003 - `certain`
    matches = sources_of(sources.values(), "snowflake", [lost(AMOUNT)], "snowflake")
    assert len(breaks_of_readers(BI, "snowflake", sources, matches, [ForeignReader(node, "exact", edges)])) == 1


def test_names_of_strangers_stay_within_their_quotes() -> None:
    evil = ForeignProject("c1", Repository(8, "octo/bi", 3), "`x`\n# y", "snowflake")
    sources = {SOURCE: ForeignSource(SOURCE, TABLE)}
    column = LostColumn("a`\n\n![x](y)" + "z" * 200, None, certain=True)
    [one] = breaks_of_readers(evil, "snowflake", sources, {SOURCE: lost(column)}, [reader((column.name, True))])
    assert "\n" not in one.reason
    assert one.reason.count("`") == 10
    assert len(one.reason) < 300


def test_hidden_projects_are_numbers_and_the_rest_keeps_its_order() -> None:
    def of(name: str, *, certain: bool = True, number: int = 0) -> Break:
        return Break(unique_id=f"model.{name}.m{number}", kind="column_removed", certain=certain, reason=name, connection_id=name)

    own = Break(unique_id="model.shop.a", kind="test", certain=True, reason=""), Break(unique_id="b", kind="test", certain=False, reason="")
    impact = Impact(breaks=own, counts={"breaks": {"test": 2}, "certain": {"breaks": 1, "changes": 4}})
    secret, public, mine = Repository(1, "o/secret", 3), Repository(2, "o/public", 3, private=False), Repository(3, "o/mine", 3)
    found = Elsewhere(
        (
            BrokenProject(secret, (of("secret"), of("secret", certain=False))),
            BrokenProject(secret, (of("twin"),)),
            BrokenProject(public, (of("public", certain=False, number=-1), *(of("public", number=number) for number in range(MAX_LISTED)))),
        ),
        not_searched=5,
    )
    assert found.readable_with(mine) == {2}
    assert found.readable_with(secret) == {1, 2}
    shown = with_elsewhere(impact, found, found.readable_with(mine))
    assert (shown.breaks[0], shown.breaks[-1]) == own
    assert [one.certain for one in shown.breaks] == [True] * (MAX_LISTED + 1) + [False]
    assert shown.counts == {
        "breaks": {"column_removed": MAX_LISTED + 1, "test": 2},
        "certain": {"breaks": MAX_LISTED + 1, "changes": 4},
        "elsewhere": {"breaks": MAX_LISTED + 1, "repositories": 1, "hidden_nodes": 2, "hidden_repositories": 1, "not_searched": 5},
    }
    assert shown.left_out == {"breaks": 1}
    assert impact.counts["breaks"] == {"test": 2}, "the impact itself stays as it is"
    assert with_elsewhere(impact, Elsewhere(), ()) is impact
