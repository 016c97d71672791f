"""Changes of a model's SQL that change nothing. Each returns the new SQL, None where there is no place for it."""

from __future__ import annotations

import random
from collections.abc import Callable

from sqlglot import exp

from tests.accuracy import metamorphic
from tests.accuracy.impact import sql_edits
from tests.accuracy.impact.changes import parsed


def rewritten(name: str, sql: str, r: random.Random) -> str | None:
    """The SQL after a change of `NOTHING`; None where there is no place for it."""
    found = NOTHING[name](sql, r)
    return None if found == sql else found


def other_text(sql: str, r: random.Random) -> str | None:
    """Formatting, comments, case of keywords, parentheses: an edit of the text."""
    for name in r.sample([*sql_edits.EDITS], len(sql_edits.EDITS)):
        text = sql_edits.edited(sql, "duckdb", name, r)
        if text is not None and "{#" not in text:
            return text
    return None


def pretty(sql: str, r: random.Random) -> str | None:
    """Formatted by a program."""
    return metamorphic.reformatted(sql, "duckdb")


def other_ctes(sql: str, r: random.Random) -> str | None:
    """CTEs under other names."""
    return metamorphic.renamed_ctes(sql, "duckdb")


def passed_through(sql: str, r: random.Random) -> str | None:
    """A CTE or a subquery around the whole that changes nothing."""
    return r.choice([metamorphic.passed_through, metamorphic.in_parentheses])(sql, "duckdb")


def other_aliases(sql: str, r: random.Random) -> str | None:
    """Tables under other aliases."""
    names = sorted({name for name in _aliases(sql) if name[0] == "r" and name[1:].isdigit()})
    if not names:
        return None
    tree = parsed(sql)
    for identifier in tree.find_all(exp.Identifier):
        if identifier.this in names:
            identifier.set("this", f"other_{identifier.this}")
    return tree.sql("duckdb")


def without_ctes(sql: str, r: random.Random) -> str | None:
    """Each CTE that is no recursion in the place where it is read."""
    tree = parsed(sql)
    clause = tree.args.get("with_")
    if clause is None or clause.args.get("recursive") or len([*tree.find_all(exp.With)]) > 1:
        return None
    if any(cte.args["alias"].columns for cte in clause.expressions):
        return None
    queries = dict[str, exp.Expr]()
    clause.pop()
    for cte in clause.expressions:
        queries[cte.alias] = _inlined(cte.this, queries)
    return _inlined(tree, queries).sql("duckdb")


def _inlined(query: exp.Expr, queries: dict[str, exp.Expr]) -> exp.Expr:
    for table in [*query.find_all(exp.Table)]:
        if table.name in queries and not table.db:
            table.replace(exp.Subquery(this=queries[table.name].copy(), alias=exp.TableAlias(this=exp.to_identifier(table.alias_or_name))))
    return query


NOTHING: dict[str, Callable[[str, random.Random], str | None]] = {
    "an edit of the text": other_text,
    "formatted by a program": pretty,
    "renamed CTEs": other_ctes,
    "a CTE or subquery around it": passed_through,
    "other aliases of tables": other_aliases,
    "subqueries in place of CTEs": without_ctes,
}
"""Changes that change nothing."""


def _aliases(sql: str) -> set[str]:
    return {one.alias for one in parsed(sql).find_all(exp.Table, exp.Subquery) if one.alias}
