"""Part (c): changes of a query's text that change no dependence."""

from __future__ import annotations

from collections.abc import Callable

import sqlglot
from sqlglot import exp

from tests.accuracy.truth import Edge


def reformatted(sql: str, dialect: str) -> str:
    """Other line breaks, and a comment."""
    return "-- a comment; select 1\n" + sqlglot.transpile(sql, read=dialect, write=dialect, pretty=True)[0] + "\n/* the end */"


def renamed_ctes(sql: str, dialect: str) -> str:
    """Every CTE, and every alias-free reference to it, under another name."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    names = {cte.alias for cte in tree.find_all(exp.CTE)} - {"t"}
    for cte in tree.find_all(exp.CTE):
        if cte.alias in names:
            cte.args["alias"].set("this", exp.to_identifier(f"renamed_{cte.alias}"))
    for table in tree.find_all(exp.Table):
        if table.name in names and not table.db:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("this", exp.to_identifier(f"renamed_{table.name}"))
    return tree.sql(dialect=dialect)


def passed_through(sql: str, dialect: str) -> str:
    """The whole query within a CTE that changes nothing."""
    return f"with the_whole as (\n{sql}\n) select * from the_whole"


def in_parentheses(sql: str, dialect: str) -> str:
    """The whole query in parentheses, as a subquery."""
    return f"select around_it.* from (\n{sql}\n) as around_it"


def reordered(sql: str, dialect: str) -> str:
    """The columns of a query in another order, where the order means nothing."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    by_place = isinstance(tree, exp.Select) and any(
        item.is_int for name in ("group", "order") if tree.args.get(name) for item in tree.args[name].find_all(exp.Literal)
    )
    aliases_used = dialect in ("duckdb", "snowflake", "databricks")
    if not isinstance(tree, exp.Select) or by_place or aliases_used or tree.is_star:
        return sql
    tree.set("expressions", [*reversed(tree.expressions)])
    return tree.sql(dialect=dialect)


MUTATIONS: dict[str, tuple[Callable[[str, str], str], frozenset[str]]] = {
    "formatting and comments": (reformatted, frozenset()),
    "renamed CTEs": (renamed_ctes, frozenset()),
    "a CTE that passes through": (passed_through, frozenset({"tsql"})),
    "in parentheses": (in_parentheses, frozenset({"tsql"})),
    "columns in another order": (reordered, frozenset()),
}
"""Each with the dialects that cannot have it."""


def mutations(sql: str, dialect: str) -> dict[str, str]:
    """The changed texts, those that are no different left out."""
    made = {name: change(sql, dialect) for name, (change, without) in MUTATIONS.items() if dialect not in without}
    return {name: text for name, text in made.items() if text != sql}


def same(edges: frozenset[Edge], others: frozenset[Edge]) -> bool:
    """Tell whether the edges are those of the original."""
    return edges == others
