"""Part (c): changes of a query's text that change no dependence."""

from __future__ import annotations

from collections.abc import Callable

import sqlglot
from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

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


def with_unused_cte(sql: str, dialect: str) -> str:
    """One more CTE, which nothing reads."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    clause = tree.args.get("with_")
    if not isinstance(tree, exp.Select):
        return sql
    unused = exp.CTE(this=sqlglot.parse_one("select 1 as nothing"), alias=exp.TableAlias(this=exp.to_identifier("not_used")))
    tree.set("with_", exp.With(expressions=[*(clause.expressions if clause else []), unused], recursive=clause and clause.recursive))
    return tree.sql(dialect=dialect)


def in_capitals(sql: str, dialect: str) -> str:
    """Keywords and names without quotation marks in capital letters."""
    if dialect == "tsql":
        return sql
    parts, last = list[str](), 0
    for token in sqlglot.tokenize(sql, read=dialect):
        text = sql[token.start : token.end + 1]
        is_text = token.token_type == TokenType.STRING or text[:1] in "\"'`["
        parts += [sql[last : token.start], text if is_text else text.upper()]
        last = token.end + 1
    return "".join(parts) + sql[last:]


def with_other_aliases(sql: str, dialect: str) -> str:
    """Every alias of a table under another name, where no name could be that of a column or of a struct."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    aliases = [one for one in tree.find_all(exp.TableAlias) if one.this is not None and not isinstance(one.parent, exp.CTE)]
    names = {alias.name for alias in aliases}
    columns = list(tree.find_all(exp.Column))
    values = any(isinstance(alias.parent, exp.UDTF) for alias in aliases) or tree.find(exp.Dot, exp.Columns)
    if values or any(column.args.get("db") or (not column.table and column.name in names) for column in columns):
        return sql
    for alias in aliases:
        alias.this.set("this", f"other_{alias.name}")
    for column in columns:
        if column.table in names:
            column.args["table"].set("this", f"other_{column.table}")
    return tree.sql(dialect=dialect)


def with_more_parentheses(sql: str, dialect: str) -> str:
    """Conditions and sums in parentheses."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    for node in list(tree.find_all(exp.EQ, exp.GT, exp.LT, exp.Add, exp.And)):
        if isinstance(node.parent, (exp.Where, exp.Having, exp.And, exp.Or, exp.Alias)):
            node.replace(exp.Paren(this=node.copy()))
    return tree.sql(dialect=dialect)


def with_turned_conditions(sql: str, dialect: str) -> str:
    """The conditions of each AND in another order."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    for node in list(tree.find_all(exp.And)):
        left, right = node.this.copy(), node.expression.copy()
        node.set("this", exp.Paren(this=right) if isinstance(right, exp.Or) else right)
        node.set("expression", left)
    return tree.sql(dialect=dialect)


def with_cte_for_each_table(sql: str, dialect: str) -> str:
    """Every table behind a CTE that selects all of it."""
    tree = sqlglot.parse_one(sql, dialect=dialect)
    tables = [one for one in tree.find_all(exp.Table) if one.db and isinstance(one.parent, (exp.From, exp.Join)) and _is_plain(one)]
    if not isinstance(tree, exp.Select) or not tables:
        return sql
    made = []
    for number, table in enumerate(tables):
        name = f"all_of_{number}"
        alias = table.alias or table.name
        made.append(exp.CTE(this=exp.select("*").from_(exp.Table(this=table.this.copy(), db=table.args["db"].copy())), alias=name))
        made[-1].set("alias", exp.TableAlias(this=exp.to_identifier(name)))
        table.replace(exp.Table(this=exp.to_identifier(name), alias=exp.TableAlias(this=exp.to_identifier(alias))))
    clause = tree.args.get("with_")
    tree.set("with_", exp.With(expressions=made + (clause.expressions if clause else []), recursive=clause and clause.recursive))
    return tree.sql(dialect=dialect)


def _is_plain(table: exp.Table) -> bool:
    return not any(value for name, value in table.args.items() if name not in ("this", "db", "alias"))


MUTATIONS: dict[str, tuple[Callable[[str, str], str], frozenset[str]]] = {
    "formatting and comments": (reformatted, frozenset()),
    "renamed CTEs": (renamed_ctes, frozenset()),
    "a CTE that passes through": (passed_through, frozenset({"tsql"})),
    "in parentheses": (in_parentheses, frozenset({"tsql"})),
    "columns in another order": (reordered, frozenset()),
    "a CTE that is not used": (with_unused_cte, frozenset()),
    "capital letters": (in_capitals, frozenset()),
    "other aliases of tables": (with_other_aliases, frozenset()),
    "more parentheses": (with_more_parentheses, frozenset()),
    "conditions in another order": (with_turned_conditions, frozenset()),
    "a CTE for each table": (with_cte_for_each_table, frozenset({"tsql"})),
}
"""Each with the dialects that cannot have it."""


def mutations(sql: str, dialect: str) -> dict[str, str]:
    """The changed texts, those that are no different left out."""
    made = {name: change(sql, dialect) for name, (change, without) in MUTATIONS.items() if dialect not in without}
    return {name: text for name, text in made.items() if text != sql}


def same(edges: frozenset[Edge], others: frozenset[Edge]) -> bool:
    """Tell whether the edges are those of the original."""
    return edges == others
