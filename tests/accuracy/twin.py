"""The twin of a query: the same one without its conditions, so that what changes in it is about values."""

from __future__ import annotations

import sqlglot
from sqlglot import exp


def twin(sql: str) -> str | None:
    """Every WHERE, HAVING, QUALIFY and ON is TRUE and every LIMIT gone; None for recursive queries, which would not end."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    clause = tree.args.get("with_")
    if clause is not None and clause.args.get("recursive"):
        return None
    for condition in [*tree.find_all(exp.Where, exp.Having, exp.Qualify)]:
        condition.set("this", exp.true())
    for join in tree.find_all(exp.Join):
        if join.args.get("on") is not None and join.args.get("method") != "ASOF":
            join.set("on", exp.true())
    for limit in [*tree.find_all(exp.Limit, exp.Offset)]:
        limit.pop()
    return tree.sql(dialect="duckdb")
