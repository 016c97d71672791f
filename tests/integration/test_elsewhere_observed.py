"""Whether what is said to break elsewhere does: models of another project, traced by our engine, and run by DuckDB without the column."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pytest

from app.core.models.github import Repository
from app.lineage.column_document import FoundEdge
from app.lineage.impact.foreign import ForeignNode, ForeignProject, ForeignReader, ForeignSource, breaks_of_readers, handed_on
from app.lineage.impact.losses import LostColumn, LostTable
from app.lineage.impact.mentions import mentioned
from app.lineage.impact.model import Break
from tests.unit.columns.engine import Tables, engine, table

COLUMNS = "id amount status day"
ORDERS = "source.bi.shop.orders"
PROJECT = ForeignProject("c1", Repository(8, "octo/bi", 3), None, "postgres")
UNSEEN = {"a": "select id from orders order by amount"}
"""A sort that decides about no rows is no edge."""
CHAINS = (
    {"a": "select id, amount from orders"},
    {"a": "select id, status from orders"},
    {"a": "select * from orders"},
    {"a": "select * from orders", "b": "select amount from a"},
    {"a": "select * from orders", "b": "select id from a"},
    {"a": "select * from orders", "b": "select * from a", "c": "select sum(amount) as total from b"},
    {"a": "select * from orders", "b": "select id, amount as total from a", "c": "select total from b"},
    {"a": "with s as (select * from orders), r as (select id, amount from s) select * from r"},
    {"a": "with s as (select * from orders), r as (select id, day from s) select * from r", "b": "select * from a"},
    {"a": "select id from orders where amount > 1"},
    {"a": "select id from orders order by amount limit 3"},
    {"a": "select status, count(*) as n from orders group by status, amount"},
    {"a": "select o.id from orders o join orders p on o.amount = p.amount"},
    {"a": "select *, amount * 2 as twice from orders"},
    {"a": "select *, 1 as amount_ from orders"},
    {"a": "select *, amount as total from orders"},
    {"a": "select * from orders where amount is not null", "b": "select amount from a"},
    {"a": "select *, row_number() over (order by amount) as n from orders"},
    {"a": "select * from orders", "b": "select *, coalesce(amount, 0) as known from a"},
    {"a": "select * from orders -- amount", "b": "select id from a"},
    {"a": "select 'amount' as amount, id from orders"},
    {"a": "select 1 as amount from orders", "b": "select amount from a"},
    {"a": "select * from orders union all select * from orders", "b": "select id, amount from a"},
    {"a": "select id, AMOUNT from orders"},
    {"a": 'select id, "amount" from orders'},
    {"a": "select count(*) as n from orders"},
    {"a": "select (select max(amount) from orders) as most"},
    {"a": "select id from orders where id in (select amount from orders)"},
    {"a": "select s.* from (select id, status from orders) s"},
    {"a": "select s.* from (select * from orders) s", "b": "select max(amount) as most from a"},
    {"a": "select * from orders", "b": "select x.amount from a x join a y using (id)"},
    {"a": "select * from orders", "b": "select x.id from a x join a y using (id, amount)"},
    {"a": "select * exclude (day) from orders", "b": "select amount from a"},
    {"a": "select distinct * from orders", "b": "select id from a where amount > 0"},
    {"a": "select case when amount > 1 then id end as big from orders"},
)


def traced(chain: Mapping[str, str]) -> list[ForeignReader]:
    """The models as they are stored."""
    tables = {ORDERS: table("orders", open=True, ordered=False)._replace(unique_id=ORDERS)}
    names = {"orders": ORDERS}
    found = {}
    for name, sql in chain.items():
        catalog = Tables()
        catalog.table = lambda parts: tables.get(names.get(parts[-1][0].lower(), ""))  # type: ignore[method-assign]
        unique_id = f"model.bi.{name}"
        one = found[unique_id] = engine.analyse(sql, "duckdb", catalog)
        tables[unique_id] = engine.Table(unique_id, one.columns, open=one.open, ordered=one.ordered)
        names[name] = unique_id
    found = engine.carry_demand(found, {ORDERS: tables[ORDERS]}, "duckdb").analyses
    return [_reader(unique_id, one, chain[unique_id.rpartition(".")[2]]) for unique_id, one in found.items()]


def _reader(unique_id: str, one: object, sql: str) -> ForeignReader:
    edges = tuple(FoundEdge(*edge) for edge in one.edges)  # type: ignore[attr-defined]
    upstream = sorted({edge.upstream for edge in edges} | set(one.used))  # type: ignore[attr-defined]
    node = ForeignNode(unique_id, "model", unique_id.rpartition(".")[2], upstream)
    return ForeignReader(node, one.status, edges, frozenset(mentioned(sql)), is_open=one.open)  # type: ignore[attr-defined]


def said(chain: Mapping[str, str]) -> dict[str, Break]:
    """What breaks by model."""
    readers = traced(chain)
    matches = {ORDERS: LostTable("model.shop.orders", "orders", certain=True, columns={"amount": LostColumn("amount", None, certain=True)})}
    breaks: dict[str, Break] = {}
    while matches:
        sources = {one: ForeignSource(one, "orders") for one in matches}
        breaks |= {one.unique_id.rpartition(".")[2]: one for one in breaks_of_readers(PROJECT, "postgres", sources, matches, readers)}
        following = {one.node.unique_id: handed_on(matches, one, keeps_columns=False) for one in readers}
        matches = {unique_id: lost for unique_id, lost in following.items() if lost is not None}
    return breaks


def observed(chain: Mapping[str, str]) -> set[str]:
    """The models that fail although all that they read is there."""
    failed: set[str] = set()
    with duckdb.connect() as warehouse:
        warehouse.execute("create table orders (id int, status text, day date)")
        for name, sql in chain.items():
            try:
                warehouse.execute(f"create view {name} as {sql}")
            except duckdb.CatalogException:
                continue  # what it reads has failed
            except duckdb.Error:
                failed.add(name)
    return failed


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: "; ".join(chain.values()))
def test_what_certainly_breaks_does_and_nothing_else_breaks(chain: Mapping[str, str]) -> None:
    with duckdb.connect() as warehouse:
        warehouse.execute("create table orders (id int, amount int, status text, day date)")
        for name, sql in chain.items():
            warehouse.execute(f"create view {name} as {sql}")
    breaks, failed = said(chain), observed(chain)
    assert {name for name, one in breaks.items() if one.certain} <= failed
    assert failed <= set(breaks)


def test_a_sort_without_a_limit_is_not_seen() -> None:
    assert (said(UNSEEN), observed(UNSEEN)) == ({}, {"a"})
