"""Digests of columns and rows: equal where only the text differs, and different exactly where a query means something else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from app.lineage.column_digests import hands_on
from tests.unit.columns.engine import PACKAGE, TABLES, Tables, analyse, engine, table


def digests(sql: str, dialect: str = "duckdb", tables: Tables | None = None) -> dict[str, str | None]:
    """All digests of a query: of its columns by name, `*` for the rows, and `sql`."""
    found = analyse(sql, dialect, tables) if tables is not None else analyse(sql, dialect)
    assert found.status != "unknown", found.reason
    return {**{column.name.lower(): column.value for column in found.columns}, "*": found.rows, "sql": found.sql}


def changed(before: str, after: str, dialect: str = "duckdb") -> set[str]:
    """What differs between two queries, without `sql`, which has to differ where anything else does."""
    one, other = digests(before, dialect), digests(after, dialect)
    names = {name for name in {**one, **other} if one.get(name) != other.get(name)}
    assert ("sql" in names) >= bool(names - {"sql"})
    return names - {"sql"}


SAME = {
    "formatting and comments": ("select a,b from t where a>1", "-- first\nSELECT a , b /* second */\nFROM t\nWHERE (a) > 1"),
    "names without quotation marks": ("select a from t", "select A from T"),
    "parentheses": ("select a + b * c as x from t where a > 1 and b > 2", "select (a + (b * c)) as x from t where ((a > 1) and (b > 2))"),
    "order of conditions": ("select a from t where a > 1 and (b > 2 and c > 3)", "select a from t where c > 3 and a > 1 and b > 2"),
    "order of a list": ("select a from t where s in ('x', 'y')", "select a from t where s in ('y', 'x')"),
    "ways to count rows": ("select a, count(*) as n from t group by a", "select a, count(1) as n from t group by a"),
    "aliases of tables": ("select x.a from t as x where x.b > 1", "select t.a from t where t.b > 1"),
    "qualified names": ("select t.a from t where t.b > 1", "select a from t where b > 1"),
    "names of CTEs": ("with q as (select a from t) select a from q", "with r as (select a from t) select a from r"),
    "a CTE that passes through": (
        "select a + 1 as x from t where b > 1",
        "with q as (select * from t) select a + 1 as x from q where b > 1",
    ),
    "columns that nobody reads": ("with q as (select a from t) select a from q", "with q as (select b + 1 as c, a from t) select a from q"),
    "a subquery that passes through": ("select a from t where b > 1", "select q.a from (select a, b as k from t) as q where q.k > 1"),
    "CTEs that are not used": ("select a from t", "with q as (select count(*) as n from u) select a from t"),
    "order of CTEs": (
        "with q as (select a from t), r as (select x from u) select a, x from q cross join r",
        "with r as (select x from u), q as (select a from t) select a, x from q cross join r",
    ),
    "an expression in a CTE": ("select (a + b) * 2 as x from t", "with q as (select a + b as s from t) select s * 2 as x from q"),
    "spelling of operators": ("select a::int as i, a <> 1 as n from t", "select cast(a as integer) as i, a != 1 as n from t"),
    "words without meaning": (
        "select a from t inner join u on t.id = u.id left outer join wide on true order by a asc",
        "select a from t join u on t.id = u.id left join wide on true order by a",
    ),
    "an order that no limit uses": ("select a from t order by b", "select a from t"),
    "positions": ("select a, b, count(*) as n from t group by 1, 2", "select a, b, count(*) as n from t group by b, a"),
    "GROUP BY ALL": ("select a, count(*) as n from t group by all", "select a, count(*) as n from t group by a"),
    "aliases of columns": ("select a + 1 as k, count(*) as n from t group by k", "select a + 1 as k, count(*) as n from t group by a + 1"),
    "windows with names": (
        "select sum(a) over w as s from t window w as (partition by b order by c)",
        "select sum(a) over (partition by b order by c) as s from t",
    ),
    "what counts rows": (
        "select a, count(1) over (partition by b) as n from t",
        "select a, count(*) over (partition by b) as n from t",
    ),
    "what EXISTS selects": (
        "select a from t where exists (select 1 from u where u.id = t.id)",
        "select a from t where exists (select x from u where u.id = t.id)",
    ),
    "names of parameters' places": ("select q.a from t as q join t as r on q.id = r.b", "select l.a from t as l join t as m on l.id = m.b"),
    "a recursive CTE by another name": (
        "with recursive r as (select 1 as n union all select n + 1 from r where n < 9) select n from r",
        "with recursive s as (select 1 as m union all select m + 1 from s where m < 9) select m as n from s",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_in_other_words_has_the_same_digests(name: str) -> None:
    before, after = SAME[name]
    assert digests(before) == digests(after)
    assert not any((digest or "~").startswith("~") for digest in digests(before).values())


CHANGES = {
    "a literal": ("select a, b + 1 as c from t", "select a, b + 2 as c from t", "c"),
    "an operator": ("select a, b + 1 as c from t", "select a, b - 1 as c from t", "c"),
    "a function": ("select a, lower(s) as c from t", "select a, upper(s) as c from t", "c"),
    "a function that is not known": ("select a, tidy(s) as c from t", "select a, polish(s) as c from t", "c"),
    "the case of a literal": ("select a, s || 'x' as c from t", "select a, s || 'X' as c from t", "c"),
    "a text for a number": ("select a, coalesce(b, 1) as c from t", "select a, coalesce(b, '1') as c from t", "c"),
    "a column": ("select a, b from t", "select a, c as b from t", "b"),
    "two columns": ("select a as x, b as y from t", "select b as x, a as y from t", "x y"),
    "a cast within": ("select a, b::int + 1 as c from t", "select a, b::bigint + 1 as c from t", "c"),
    "a cast that may fail": ("select a, b::int as c from t", "select a, try_cast(b as int) as c from t", "c"),
    "a condition": ("select a from t where b > 1", "select a from t where b > 2", "*"),
    "a list": ("select a from t where b in (1, 2)", "select a from t where b in (1, 3)", "*"),
    "what is in a list": ("select a from t where b in (1, 2)", "select a from t where c in (1, 2)", "*"),
    "NOT IN": ("select a from t where b in (1, 2)", "select a from t where b not in (1, 2)", "*"),
    "what is counted": ("select a, count(*) as n from t group by a", "select a, count(b) as n from t group by a", "n"),
    "counting nothing": ("select a, count(*) as n from t group by a", "select a, count(null) as n from t group by a", "n"),
    "counting distinct": ("select a, count(*) as n from t group by a", "select a, count(distinct 1) as n from t group by a", "n"),
    "a condition more": ("select a from t where b > 1", "select a from t where b > 1 and c = 2", "*"),
    "OR for AND": ("select a from t where b > 1 and c = 2", "select a from t where b > 1 or c = 2", "*"),
    "NULL": ("select a from t where b is null", "select a from t where b is not null", "*"),
    "the kind of a join": ("select t.a, u.x from t join u on t.id = u.id", "select t.a, u.x from t left join u on t.id = u.id", "*"),
    "the condition of a join": ("select t.a from t join u on t.id = u.id", "select t.a from t join u on t.id = u.x", "*"),
    "a join more": ("select t.a, t.b from t", "select t.a, t.b from t left join u on t.id = u.id", "*"),
    "USING": ("select t.a from t join u using (id)", "select t.a from t join u on t.id = u.id", "*"),
    "DISTINCT": ("select a, b from t", "select distinct a, b from t", "*"),
    "a column more": ("select a from t", "select a, b from t", "b"),
    "a column more that counts": ("select distinct a from t", "select distinct a, b from t", "b *"),
    "a limit": ("select a from t order by a limit 5", "select a from t order by a limit 6", "*"),
    "an order with a limit": ("select a from t order by a limit 5", "select a from t order by b limit 5", "*"),
    "a direction with a limit": ("select a from t order by a limit 5", "select a from t order by a desc limit 5", "*"),
    "UNION": ("select a from t union all select x from u", "select a from t union select x from u", "*"),
    "EXCEPT": ("select a from t except select x from u", "select a from t intersect select x from u", "*"),
    "a sample": ("select a from t", "select a from t tablesample 10%", "*"),
    "a query's group": ("select a, b from t group by a, b", "select a, b from t", "*"),
    "a group of aggregates": ("select sum(a) as s from t group by b", "select sum(a) as s from t group by c", "s *"),
    "the rows below an aggregate": (
        "select b, sum(a) as s from t group by b",
        "select b, sum(a) as s from t where c > 1 group by b",
        "s *",
    ),
    "HAVING": ("select b, sum(a) as s from t group by b", "select b, sum(a) as s from t group by b having count(*) > 1", "*"),
    "QUALIFY": (
        "select a, rank() over (order by b) as r from t",
        "select a, rank() over (order by b) as r from t qualify rank() over (order by b) = 1",
        "*",
    ),
    "a window": ("select a, sum(a) over (order by b) as s from t", "select a, sum(a) over (order by c) as s from t", "s"),
    "a named window": (
        "select a, sum(a) over w as s from t window w as (order by b)",
        "select a, sum(a) over w as s from t window w as (order by c)",
        "s",
    ),
    "a frame": (
        "select a, sum(a) over (order by b rows 1 preceding) as s from t",
        "select a, sum(a) over (order by b rows 2 preceding) as s from t",
        "s",
    ),
    "a filter": ("select sum(a) filter (where b > 1) as s from t", "select sum(a) filter (where b > 2) as s from t", "s"),
    "a subquery's condition": (
        "select a, (select max(x) from u where u.id = t.id) as m from t",
        "select a, (select max(x) from u where u.id = t.id and y > 1) as m from t",
        "m",
    ),
    "a subquery's table around it": (
        "select a, (select max(v.x) from u as v where v.id = t.id) as m from t",
        "select a, (select max(v.x) from u as v where v.id = v.y) as m from t",
        "m",
    ),
    "which of two readings": (
        "select l.a as x, r.a as y from t as l join t as r on l.id = r.b",
        "select r.a as x, l.a as y from t as l join t as r on l.id = r.b",
        "x y",
    ),
    "which of two CTEs over one table": (
        "with p as (select id, a from t where b > 1), q as (select id, a from t where b < 1) select p.a as x from p join q on p.id = q.id",
        "with p as (select id, a from t where b > 1), q as (select id, a from t where b < 1) select q.a as x from p join q on p.id = q.id",
        "x",
    ),
    "where an outer join leaves NULL": (
        "with q as (select id, coalesce(x, 0) as x from u) select t.a, q.x from t left join q on t.id = q.id",
        "with q as (select id, x from u) select t.a, coalesce(q.x, 0) as x from t left join q on t.id = q.id",
        "x",
    ),
    "a window before a condition": (
        "select n from (select b, row_number() over (order by a) as n from t) where b > 1",
        "select row_number() over (order by a) as n from t where b > 1",
        "n",
    ),
    "a CTE's column": (
        "with q as (select a + 1 as k, b + 1 as l from t) select k, l, k + l as m from q",
        "with q as (select a + 1 as k, b + 2 as l from t) select k, l, k + l as m from q",
        "l m",
    ),
    "a CTE's rows": (
        "with q as (select a from t where b > 1) select a from q",
        "with q as (select a from t where b > 2) select a from q",
        "*",
    ),
    "a branch of a union": (
        "select a, b from t union all select x, y from u",
        "select a, b from t union all select x, z from u",
        "b",
    ),
    "a table that is not in the graph": ("select a from crm.one", "select a from crm.two", "a *"),
    "functions that make rows": ("select a from t", "select a, unnest(s) as e from t", "e *"),
    "a recursive CTE": (
        "with recursive r as (select 1 as n, 1 as m union all select n + 1, m * 2 from r where n < 9) select n from r",
        "with recursive r as (select 1 as n, 1 as m union all select n + m, m * 2 from r where n < 9) select n from r",
        "n *",
    ),
    "a recursive CTE's other column": (
        "with recursive r as (select 1 as n, 1 as m union all select n + m, m * 2 from r where n < 9) select n from r",
        "with recursive r as (select 1 as n, 1 as m union all select n + m, m * 3 from r where n < 9) select n from r",
        "n *",
    ),
    "an order below an aggregate": (
        "select list(a) as l from (select a from t order by b)",
        "select list(a) as l from (select a from t order by c)",
        "l *",
    ),
    "values": ("select v from (values (1), (2)) as q (v)", "select v from (values (1), (3)) as q (v)", "v"),
    "what a star replaces": ("select * replace (a + 1 as a) from t", "select * replace (a + 2 as a) from t", "a"),
    "a lambda": ("select list_transform(s, x -> x + a) as l from t", "select list_transform(s, x -> x + b) as l from t", "l"),
    "which of two equal columns is left out of a group": (
        "select g, count(*) as n from (select a as g, a as h from t) group by rollup (g, h)",
        "select h as g, count(*) as n from (select a as g, a as h from t) group by rollup (g, h)",
        "g",
    ),
    "names that become values": (
        "unpivot (select a as g, b from t) on g, b into name n value v",
        "unpivot (select a as h, b from t) on h, b into name n value v",
        "n v *",
    ),
    "names of a struct's fields": (
        "select struct_pack(g) as s from (select a as g from t)",
        "select struct_pack(h) as s from (select a as h from t)",
        "s",
    ),
    "a row's names": ("select q as s from (select a as g from t) as q", "select q as s from (select a as h from t) as q", "s"),
    "which of two lists of constants": (
        "with q as (select 1 as n union all select 2) select l.n as x, r.n as y from q as l cross join q as r",
        "with q as (select 1 as n union all select 2) select r.n as x, l.n as y from q as l cross join q as r",
        "x y",
    ),
    "a column behind a star in a function": (
        "select hash(q.*) as x from (select a, b + 1 as k from t) as q",
        "select hash(q.*) as x from (select a, b + 2 as k from t) as q",
        "x",
    ),
    "a pivot": (
        "select * from (select a, b, c from t) pivot (sum(a) for b in (1, 2))",
        "select * from (select a, b, c from t) pivot (max(a) for b in (1, 2))",
        "1 2 *",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_changes_exactly_what_is_made_of_it(name: str) -> None:
    before, after, expected = CHANGES[name]
    assert changed(before, after) == set(expected.split())


def test_a_column_under_another_name_has_the_same_digest() -> None:
    assert digests("select a + 1 as old from t")["old"] == digests("select a + 1 as new from t")["new"]


def test_the_type_of_an_outermost_cast_is_no_part_of_the_value() -> None:
    before, after = analyse("select a::int as x from t"), analyse("select a::bigint as x from t")
    assert before.columns[0].value == after.columns[0].value == analyse("select a as x from t").columns[0].value
    assert (before.columns[0].type, after.columns[0].type) == ("int", "bigint")
    assert before.sql != after.sql


def test_a_star_over_a_table_is_the_same_sql_whatever_columns_the_table_has() -> None:
    sql = "with q as (select * from t) select *, a + 1 as more from q"
    before, after = (analyse(sql, tables=Tables(table("t", columns))) for columns in ("a b", "a b c"))
    assert (before.sql, before.rows) == (after.sql, after.rows)
    assert [column.name for column in after.columns] == ["a", "b", "c", "more"]


def test_a_column_of_an_open_table_has_the_digest_of_the_known_one() -> None:
    known, opened = Tables(table("t", "a b")), Tables(table("t", open=True, ordered=False))
    sql = "select a, b + 1 as c from t where b > 1"
    assert digests(sql, tables=known) == digests(sql, tables=opened)
    carried = engine.carry_demand(
        {
            "m": analyse("select * from t", tables=opened),
            "n": analyse("select a from m", tables=Tables(table("m", open=True, ordered=False))),
        },
        {"t": opened.tables["t"]},
        "duckdb",
    )
    [column] = carried.analyses["m"].columns
    assert column.value == analyse("select a from t", tables=known).columns[0].value


def test_a_column_of_one_of_several_tables_is_imprecise() -> None:
    found = digests("select x, raw.k as k from raw join half on true")
    assert (found["x"] or "").startswith("~")
    assert not (found["k"] or "~").startswith("~")
    assert found == digests("select  x, r.k from raw as r join half on true")


PERHAPS_OTHERS = {
    "columns in common that are not known": (
        "with q as (select a, b from raw) select 1 as one from q natural join half",
        "with q as (select a, c from raw) select 1 as one from q natural join half",
        "*",
    ),
    "a column that the other side of a natural join may have": (
        "select k from raw natural left join half",
        "select half.k from raw natural left join half",
        "k",
    ),
    "an alias that a later column names": (
        "select a + 1 as x, x * 2 as y from raw",
        "select a + 1 as x, (a + 1) * 2 as y from raw",
        "y",
    ),
    "an alias that a condition names": ("select a + 1 as x from raw where x > 1", "select a + 1 as x from raw where a + 1 > 1", "*"),
    "an alias of a group": ("select a + 1 as x from raw group by x", "select a + 1 as x from raw group by a + 1", "*"),
    "an alias of an aggregate": (
        "select a, sum(b) as x from raw group by a having x > 1",
        "select a, sum(b) as x from raw group by a having sum(b) > 1",
        "*",
    ),
    "an alias beside a function whose columns are not known": (
        "select f.a + 1 as x, x * 2 as y from read_csv('f') as f",
        "select f.a + 1 as x, (f.a + 1) * 2 as y from read_csv('f') as f",
        "y",
    ),
    "a column around a condition": (
        "with q as (select a + 1 as x from t) select x from q where exists (select 1 from raw where raw.k = x)",
        "with q as (select a + 2 as x from t) select x from q where exists (select 1 from raw where raw.k = x)",
        "x *",
    ),
    "a column around a subquery": (
        "with q as (select a, b + 1 as x from t) select a from q where a in (select x from raw)",
        "with q as (select a, b + 2 as x from t) select a from q where a in (select x from raw)",
        "*",
    ),
    "a table by its alias": (
        "select q as x from raw as q cross join half as h",
        "select q as x from raw as h cross join half as q",
        "x",
    ),
}


@pytest.mark.parametrize("name", PERHAPS_OTHERS)
def test_what_an_open_table_decides_is_never_called_the_same(name: str) -> None:
    before, after, expected = PERHAPS_OTHERS[name]
    assert changed(before, after) == set(expected.split())
    last = expected.split()[-1]
    assert "~" in {(digests(sql)[last] or "")[:1] for sql in (before, after)}


def test_what_another_reference_shows_is_precise() -> None:
    found = digests(
        "select lower(x) as x, x as y, k from raw where x > 1 and b in (select b from raw as r)"
        " and a in (select b from half as r where r.x = 1 and x > 2 and r.b = 1)"
    )
    assert not any((digest or "~").startswith("~") for digest in found.values())


IMPRECISE = [
    "select id, gone from t where and a > 0",
    "create temp function f(x int64) as (x + 1); select f(a) as a from t",
]


@pytest.mark.parametrize("sql", IMPRECISE)
def test_what_is_not_understood_is_part_of_every_digest(sql: str) -> None:
    before, after = digests(sql, "bigquery"), digests(sql.replace("0", "1").replace("x + 1", "x + 2"), "bigquery")
    assert all((digest or "").startswith("~") for digest in before.values())
    assert not set(before.values()) & set(after.values())


HANDED_ON = {
    "select * from t": "duckdb",
    "select x.* from t as x order by a": "duckdb",
    "with q as (select * from t), r as (select * from q) select * from r": "duckdb",
    "select id, a, b, c, d, s from t": "duckdb",
    "with q as (select * from t), r as (select id, t.a, b, c, d, s from q as t) select * from r": "snowflake",
    "select ID, A, B, C, D, S from t": "bigquery",
    "select * from u": "duckdb",
    "select * from raw": "duckdb",
}
NOT_HANDED_ON = [
    *("select id, a, b, c, d from t", "select a, id, b, c, d, s from t", "select b as a, id, a as b, c, d, s from t"),
    *("select * from t where a = 1", "select * from t limit 5", "select distinct * from t", "select * from t tablesample 10%"),
    *("select *, 1 as one from t", "select * exclude (a) from t", "select * replace (b as a) from t", "select * from t, t as x"),
    *("select id, a::text as a, b, c, d, s from t", "select * from t union all select * from t", "select * from t union select * from t"),
    *("select * from t qualify row_number() over (order by a) = 1", "select * from t as q (k)", "select * from t offset 1"),
    *("select * from t group by all", "select * from elsewhere.t2", "select t as t from t", "select * from t where true"),
]


@pytest.mark.parametrize("sql", HANDED_ON)
def test_a_query_that_hands_everything_on_is_known_by_its_digest(sql: str) -> None:
    table = "u" if sql.endswith(" u") else "raw" if sql.endswith(" raw") else "t"
    names = [column.name for column in TABLES.tables[table].columns] if table != "raw" else None
    assert hands_on(digests(sql, HANDED_ON[sql])["sql"] or "", table, names)


@pytest.mark.parametrize("sql", NOT_HANDED_ON)
def test_a_query_that_does_more_is_not_taken_for_one_that_hands_on(sql: str) -> None:
    found = digests(sql)["sql"] or ""
    assert not hands_on(found, "t", ["id", "a", "b", "c", "d", "s"])
    assert not hands_on(digests("select * from raw")["sql"] or "", "t", None)


def test_long_lists_of_columns_are_handed_on() -> None:
    names = [f"column_{number}" for number in range(300)]
    found = digests(f"select {', '.join(names)} from t", tables=Tables(table("t", " ".join(names))))["sql"] or ""  # noqa: S608 - no query of ours
    assert hands_on(found, "t", names)
    assert not hands_on(found, "t", names[:-1])


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import freshet_columns
class Catalog:
    def table(self, parts):
        return freshet_columns.Table(parts[-1][0], (freshet_columns.Column("a"), freshet_columns.Column("b")))
found = freshet_columns.analyse(sys.argv[2], "duckdb", Catalog())
print(found.sql, found.rows, [column.value for column in found.columns])
"""


def test_every_process_makes_the_same_digests() -> None:
    sql = (
        "with q as (select t.a, u.b from t join u using (a) where t.b in (1, 2) or u.b > 3) select a, b + 1 as c from q, t where q.a = t.b"
    )

    def said(seed: str) -> str:
        environment: dict[str, Any] = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", PROGRAM, str(PACKAGE.parent), sql], env=environment, capture_output=True, check=True)
        return run.stdout.decode()

    assert said("1") == said("2")


CTES = ", ".join(f"q{n + 1} as (from q{n} select *, a + {n} as c{n % 7} where b > {n})" for n in range(1000))
CHAINS = {
    "CTEs": f"with q0 as (from t), {CTES} from q1000",
    "operators": "from t select " + " + ".join(f"a * {n}" for n in range(5000)),
    "conditions": "from t where " + " and ".join(f"b <> {n}" for n in range(5000)),
    "unions": " union all ".join(f"from t select a + {n} as x" for n in range(1500)),
}


@pytest.mark.growth
@pytest.mark.parametrize("name", CHAINS)
def test_long_chains_have_digests_of_all_their_links(name: str) -> None:
    before, after = digests(CHAINS[name]), digests(CHAINS[name].replace("700", "699", 1))
    assert None not in before.values()
    assert before["sql"] != after["sql"]
