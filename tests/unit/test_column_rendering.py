"""The parts of the program in the runner image that prepare and judge renderings: order, names, notes, reasons, lines of the document."""

from __future__ import annotations

import doctest
import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.columns.engine import engine
from tests.unit.test_runner_placeholders import load

order, notes, judgement = (load(f"freshet_{name}") for name in ("column_order", "render_notes", "column_judgement"))
catalog, records, evidence = (load(f"freshet_column_{name}") for name in ("catalog", "records", "evidence"))
listing = load("freshet_render_listing")

INTERNAL = ("dbt", "dbt_duckdb")


def node(unique_id: str, *parents: str, **more: Any) -> Any:
    kind, _, name = unique_id.split(".")
    config = SimpleNamespace(materialized="table")
    fields = {
        "unique_id": unique_id,
        "resource_type": kind,
        "name": name,
        "alias": name,
        "database": "db",
        "schema": "main",
        "relation_name": f'"db"."main"."{name}"',
        "config": config,
        "columns": {},
        "depends_on": SimpleNamespace(nodes=parents),
    }
    return SimpleNamespace(**{**fields, **more})


def ids(found: list[Any]) -> list[str]:
    return [one.unique_id for one in found]


def test_examples() -> None:
    for module in (notes, catalog, judgement):
        assert doctest.testmod(module).failed == 0


def test_each_node_comes_after_what_it_reads_in_whatever_order_they_were_parsed() -> None:
    nodes = [node("model.p.c", "model.p.a", "source.p.s"), node("model.p.a", "model.p.b"), node("model.p.b"), node("model.p.d")]
    expected = ["model.p.b", "model.p.a", "model.p.c", "model.p.d"]
    for mixed in (nodes, nodes[::-1]):
        assert ids(order.in_order({one.unique_id: one for one in mixed})) == expected


def test_circles_and_very_long_chains_have_an_order_too() -> None:
    circle = {one.unique_id: one for one in (node("model.p.a", "model.p.b"), node("model.p.b", "model.p.a"))}
    assert ids(order.in_order(circle)) == ["model.p.b", "model.p.a"]
    chain = {f"model.p.{n:05}": node(f"model.p.{n:05}", f"model.p.{n + 1:05}") for n in range(20_000)}
    assert ids(order.in_order(chain))[0] == "model.p.19999"


def test_a_name_in_sql_finds_its_table_with_or_without_what_the_target_says() -> None:
    tables = [node("model.p.orders"), node("source.p.orders", schema="raw", relation_name='"db"."raw"."orders"')]
    found = catalog.Catalog(tables, "DB", "main")
    assert [found.find(names) for names in (("db", "main", "orders"), ("MAIN", "Orders"), ("orders",))] == ["model.p.orders"] * 3
    assert found.find(("raw", "orders")) == "source.p.orders"
    assert found.find(("elsewhere", "main", "orders")) is None
    assert found.table((("nowhere", False), ("t", False))) is None
    assert found.misses == [("nowhere", "t")]


def test_of_two_nodes_with_one_table_that_is_meant_on_which_the_reader_depends() -> None:
    tables = [node("model.p.orders"), node("source.p.orders")]
    found = catalog.Catalog(tables, "db", "main")
    assert found.find(("orders",)) == "model.p.orders"
    found.begin(node("model.p.reader", "source.p.orders"))
    assert found.find(("orders",)) == "source.p.orders"


def test_a_model_with_stars_lacks_what_all_of_them_leave_out() -> None:
    star = engine.Star("source.p.s", ("a", "b"))
    found = engine.Analysis("exact", None, open=True, rest=((star, star._replace(excluded=("b", "c"))),))
    assert catalog.model_table(node("model.p.m"), found).lacks == ("b",)
    assert catalog.model_table(node("model.p.m"), engine.Analysis("exact", None)).lacks == ()


def test_a_seed_has_the_columns_of_its_header_and_of_yaml_if_that_is_unreadable(tmp_path: Any) -> None:
    seed = node("seed.p.s", original_file_path="s.csv", columns={"a": SimpleNamespace(name="a", data_type="int")})
    seed.config = SimpleNamespace(delimiter=";", column_types={"B": "date"})
    (tmp_path / "s.csv").write_text('\ufeffa;"b"\n1;2\n')
    assert catalog.seed_table(seed, str(tmp_path)) == engine.Table("seed.p.s", (engine.Column("a"), engine.Column("b", "date")))
    (tmp_path / "s.csv").unlink()
    assert catalog.seed_table(seed, str(tmp_path)) == engine.Table("seed.p.s", (engine.Column("a", "int"),), open=True, ordered=False)


def test_the_digest_of_a_seed_is_of_its_content_and_not_of_its_line_ends(tmp_path: Any) -> None:
    seed, path = node("seed.p.s", original_file_path="s.csv"), tmp_path / "s.csv"

    def digest(content: bytes) -> str | None:
        path.write_bytes(content)
        found: str | None = catalog.seed_digest(seed, str(tmp_path))
        return found

    known = digest(b'a,b\n1,"x\ny"\n')
    assert known is not None
    assert known == digest(b'a,b\r\n1,"x\ny"\r\n') == digest(b'a,b\n1,"x\ny"')
    assert known not in {digest(b'a,b\r\n1,"x\r\ny"\r\n'), digest(b'a,b\n2,"x\ny"\n'), digest(b'a,b\n1,"x\ny"\n\n')}
    path.unlink()
    assert catalog.seed_digest(seed, str(tmp_path)) is None


@pytest.mark.parametrize(
    ("stack", "who"),
    [
        ([], "The SQL file"),
        (["macro.dbt.run_query", "macro.dbt.statement"], "`run_query`"),
        (["macro.p.mine", "macro.tools.values", "macro.tools.duckdb__values", "macro.dbt.statement"], "`tools.values`"),
        (["macro.p.mine"], "`mine`"),
    ],
)
def test_the_macro_that_asked_is_the_innermost_one_that_is_not_dbts(stack: list[str], who: str) -> None:
    taken = notes.Notes("p", INTERNAL)
    for macro in stack:
        taken.enter(macro)
    assert taken.caller() == who


def test_an_answer_that_only_counts_rows_makes_no_column_doubtful() -> None:
    taken = notes.Notes("p", INTERNAL)
    taken.enter("macro.dbt_utils.default__get_intervals_between")
    taken.invent("reads rows from the warehouse")
    taken.leave()
    assert taken.reasons == []
    taken.invent("reads rows from the warehouse")
    assert taken.reasons == ["The SQL file reads rows from the warehouse."]


def test_what_was_invented_makes_a_node_approximate_and_open() -> None:
    exact = engine.Analysis("exact", None, (engine.Column("a", "text"), engine.Column("b", "int")))
    found = judgement.judged(exact, judgement.Rendered("full", ("`m` reads rows from the warehouse.",), ("text",)))
    assert (found.status, found.open) == ("approximate", True)
    assert found.reason.startswith("`m` reads rows from the warehouse. ")
    assert found.columns == (engine.Column("a", None), engine.Column("b", "int"))
    assert judgement.judged(exact, judgement.Rendered("full")) == exact
    plain = judgement.judged(exact, judgement.Rendered("without_execute", failed="no such month"))
    assert (plain.status, plain.reason) == ("approximate", "dbt could not render it in full without a warehouse: no such month")


def test_a_snapshot_that_records_deletions_has_a_column_for_them() -> None:
    names = SimpleNamespace(dbt_valid_from="since", dbt_is_deleted=None)
    config = SimpleNamespace(_extra={"hard_deletes": "new_record"}, snapshot_meta_column_names=names)
    found = judgement.snapshot(engine.Analysis("exact", None, (engine.Column("a"),)), config)
    assert [column.name for column in found.columns] == ["a", "dbt_scd_id", "dbt_updated_at", "since", "dbt_valid_to", "dbt_is_deleted"]


def test_a_line_says_the_same_after_it_was_read_again() -> None:
    edges = (engine.Edge("model.p.a", "x", "y", "IDENTITY", certain=True), engine.Edge("model.p.a", "z", None, "FILTER", certain=False))
    rest = ((engine.Star("model.p.a", ("x",)),),)
    read = {"hard_coded": ("a.b",), "used": ("model.p.a",), "demands": {"model.p.a": ("z",)}, "rest": rest}
    told = {"sql": "1a", "rows": "~1b", "missing": ("gone",), "uneven": True}
    found = engine.Analysis("exact", "Why", (engine.Column("y", "int", "1c"),), open=True, ordered=False, edges=edges, **read, **told)
    line = records.line("model.p.m", found, {"compiled_code": "select 'é\n'", "rendered": "full"}, {"key": "k"})
    assert b"\n" not in line
    assert records.analysis(records.decoded(line)) == found


def test_what_utf_8_does_not_have_is_replaced() -> None:
    found = engine.Analysis("exact", None, (engine.Column("a\ud800b"),))
    assert json.loads(records.line("model.p.m", found, {}, {}))["columns"] == [["a?b", None, None]]


def test_a_line_keeps_within_the_limits_of_its_reader() -> None:
    many = tuple(engine.Column(f"c{number}") for number in range(10_001))
    read = json.loads(records.line("model.p.m", engine.Analysis("exact", "w" * 900, many), {"compiled_code": "x" * (17 << 20)}, {}))
    assert (read["status"], len(read["columns"]), read["open"], read["compiled_code"]) == ("approximate", 10_000, True, None)
    assert len(read["reason"]) <= 500
    assert read["compiled_reason"] == "The compiled SQL is too long to be kept."


def test_what_is_left_out_beyond_the_limits_costs_nothing_else() -> None:
    many = tuple(engine.Column(f"c{number}") for number in range(10_001))
    edges = tuple(engine.Edge("source.p.s", one.name, one.name, "IDENTITY", certain=True) for one in many)
    read = records.decoded(records.line("model.p.m", engine.Analysis("exact", None, many, edges=edges), {}, {}))
    assert (read["status"], len(read["edges"]), read["reason"].partition(" or ")[2]) == (
        "approximate",
        10_000,
        "too long names: the others are left out.",
    )
    long = "x" * 1001
    named = (engine.Column(long), engine.Column("a"))
    edges = tuple(engine.Edge("source.p.s", *pair, "IDENTITY", certain=True) for pair in ((long, long), ("a", "a"), (long, None)))
    read = records.decoded(records.line("model.p.m", engine.Analysis("unknown", None, named, edges=edges), {}, {}))
    assert (read["status"], read["columns"], read["edges"]) == (
        "unknown",
        [["a", None, None]],
        [["source.p.s", "a", "a", "IDENTITY", True]],
    )


def test_a_type_that_is_too_long_is_left_out() -> None:
    found = engine.Analysis("exact", None, (engine.Column("a", "struct<" + "x" * 1000), engine.Column("b", "int")))
    read = records.decoded(records.line("model.p.m", found, {}, {}))
    assert (read["status"], read["columns"]) == ("exact", [["a", None, None], ["b", "int", None]])


def test_lines_that_are_not_complete_are_not_read() -> None:
    assert list(records.lines(b"one\ntwo\nthr")) == [(0, 3), (4, 7)]


TABLES = [listing.Listed("LAKE", "events", name, "external") for name in ("page_view", "click", "other")] + [
    listing.Listed("lake", "main", "orders", "table")
]


def listed(sql: str, dialect: str, tables: Any) -> Any:
    found = listing.rows(sql, dialect, tables)
    return None if found is None else listing.distinct(found)


def test_a_list_of_tables_is_without_the_node_that_asks_and_tells_when_it_is_another_one() -> None:
    nodes = {one.unique_id: one for one in (node("model.p.a"), node("model.p.b"), node("model.p.c"))}
    nodes["model.p.c"].config.materialized = "ephemeral"
    sql = "select table_name from information_schema.tables where table_name like '%'"
    lists = listing.Lists(nodes, "duckdb")
    assert [row["table_name"] for row in lists.rows("model.p.x", sql)] == ["a", "b"]
    assert [row["table_name"] for row in lists.rows("model.p.a", sql)] == ["b"]
    assert lists.rows("model.p.a", "select 1") is None
    before = listing.digest(lists.rows("model.p.a", sql))
    assert listing.digest(listing.Lists(dict(reversed(nodes.items())), "duckdb").rows("model.p.a", sql)) == before
    nodes["model.p.d"] = node("model.p.d")
    assert listing.digest(listing.Lists(nodes, "duckdb").rows("model.p.a", sql)) != before


@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "bigquery", "redshift", "tsql", "athena"])
def test_a_list_of_tables_has_those_of_the_project_that_the_query_names(dialect: str) -> None:
    def names(condition: str) -> list[str]:
        sql = "select distinct table_schema, table_name as n from information_schema.tables where "
        return [row["n"] for row in listed(sql + condition, dialect, TABLES)]

    assert names("table_schema like 'EVENTS' and table_name like '%' and table_name not like 'other%'") == ["page_view", "click"]
    assert names("lower(table_schema) = 'events' and not (table_name in ('click', 'other'))") == ["page_view"]
    assert names("table_schema <> 'events' or table_name = upper('click')") == ["click", "orders"]
    assert names("table_name like '_rders'") == ["orders"]
    assert names("table_schema = 'main' and row_count > 0 and table_type = 'BASE TABLE'") == ["orders"], "what is not known may be true"


def test_a_list_of_tables_says_what_they_are_as_dbt_does() -> None:
    sql = """
        select table_schema as "s", case table_type when 'BASE TABLE' then 'table' end as "table_type"
        from lake.information_schema.tables"""
    assert listed(sql, "snowflake", TABLES) == [{"s": "events", "table_type": "external"}, {"s": "main", "table_type": "table"}]
    assert listed("select table_name from sea.information_schema.tables", "snowflake", TABLES) == []
    sql = "select table_name from `lake`.`events`.INFORMATION_SCHEMA.TABLES where table_name = 'click'"
    assert listed(sql, "bigquery", TABLES) == [{"table_name": "click"}]
    found = listed("select schema_name from `lake`.INFORMATION_SCHEMA.SCHEMATA", "bigquery", TABLES)
    assert found == [{"schema_name": "events"}, {"schema_name": "main"}]
    both = "select table_name from main.information_schema.tables union all select table_name from lake.information_schema.tables"
    assert len(listed(both, "snowflake", iter(TABLES))) == len(TABLES)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from orders",
        "select from where information_schema.tables",
        "select t.table_name from information_schema.tables t join orders on true",
    ],
)
def test_other_queries_list_no_tables(sql: str) -> None:
    assert listed(sql, "duckdb", TABLES) is None


def test_a_node_s_doubts_are_decided_by_what_other_nodes_show_and_by_its_own_references_first() -> None:
    found = engine.Analysis("exact", None, doubts={"source.p.a": ("x", "y"), "source.p.b": ("x", "y")})
    shows = [("a", found._replace(doubts={}, shown={"source.p.a": ("z",), "source.p.b": ("y", "x")})), ("b", found._replace(doubts={}))]
    for mixed in (shows, shows[::-1]):
        known = evidence.Evidence(dict(mixed))
        assert known.proof(found) == [["source.p.b", "x"], ["source.p.b", "y"]]
        assert known.proof(found._replace(shown={"source.p.a": ("x",)})) == [["source.p.b", "y"]]


def test_what_is_shown_of_one_table_is_shown_of_those_before_and_behind_its_star() -> None:
    nothing = engine.Analysis("exact", None)
    starred = nothing._replace(rest=((engine.Star("source.a", ("left_out",)),),))
    joined = nothing._replace(rest=((engine.Star("source.a", ()), engine.Star("source.b", ())),))
    reader = nothing._replace(shown={"model.starred": ("x", "left_out"), "model.joined": ("y",), "source.a": ("z",)})
    known = evidence.Evidence({"model.starred": starred, "model.joined": joined, "model.reader": reader})
    asked = dict.fromkeys(("source.a", "source.b", "model.starred", "model.joined"), ("left_out", "x", "y", "z"))
    assert known.proof(nothing._replace(doubts=asked)) == [
        ["model.joined", "x"],
        ["model.joined", "y"],
        ["model.joined", "z"],
        ["model.starred", "left_out"],
        ["model.starred", "x"],
        ["model.starred", "z"],
        ["source.a", "x"],
        ["source.a", "z"],
    ]


def test_what_was_rendered_with_invented_answers_shows_nothing() -> None:
    found = engine.Analysis("exact", None, shown={"source.p.a": ("x",)})
    assert judgement.judged(found, judgement.Rendered("full")).shown
    assert not judgement.judged(found, judgement.Rendered("full", ("It asks.",))).shown
    assert not judgement.judged(found, judgement.Rendered("without_execute", failed="no")).shown
    starred = judgement.judged(found._replace(rest=((engine.Star("source.p.a", ()),),)), judgement.Rendered("full", ("It asks.",)))
    assert evidence.Evidence({"m": starred, "n": found}).proof(found._replace(shown={}, doubts={"m": ("x",)})) == []
