"""Changes of a query that may change its result: another literal, operator, column, join; a clause more or less.

Each takes a syntax tree and changes one place that is chosen at random. It says whether it found one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

Tree = Any
Change = Callable[[Tree, random.Random], bool]


def changes(sql: str, dialect: str, seed: int) -> dict[str, str]:
    """The query with each change that there is a place for."""
    made: dict[str, str] = {}
    for name, change in CHANGES.items():
        tree = sqlglot.parse_one(sql, dialect=dialect)
        if change(tree, random.Random(f"{seed} {name}")):
            text = tree.sql(dialect=dialect)
            if not _is_same(text, sql, dialect):
                made[name] = text
    return made


def _is_same(text: str, sql: str, dialect: str) -> bool:
    """Whether the change has changed nothing, or made no SQL."""
    try:
        return bool(sqlglot.parse_one(text, dialect=dialect) == sqlglot.parse_one(sql, dialect=dialect))
    except SqlglotError:
        return True


def one_of(nodes: Iterable[Tree], r: random.Random) -> Tree | None:
    """One node; None of none."""
    found = list(nodes)
    return r.choice(found) if found else None


def all_of(tree: Tree, *kinds: type) -> list[Tree]:
    """The nodes of some kinds, without those that say nothing: an order that no limit uses, and what EXISTS selects."""
    idle = {id(node) for order in tree.find_all(exp.Order) if _is_idle(order) for node in order.walk()}
    idle |= {id(node) for found in tree.find_all(exp.Exists) for item in found.this.expressions for node in item.walk()}
    return [node for node in tree.find_all(*kinds) if id(node) not in idle]


def _is_idle(order: Tree) -> bool:
    query = order.parent
    if not isinstance(query, exp.Query):
        return False
    distinct = query.args.get("distinct")
    has_on = isinstance(distinct, exp.Distinct) and distinct.args.get("on")
    return not (query.args.get("limit") or query.args.get("offset") or has_on)


def another_number(tree: Tree, r: random.Random) -> bool:
    positions = (exp.Group, exp.Ordered, exp.DataTypeParam)
    node = one_of((one for one in all_of(tree, exp.Literal) if one.is_int and not isinstance(one.parent, positions)), r)
    if node is not None:
        node.set("this", str(int(node.this) + 7))
    return node is not None


def another_text(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in all_of(tree, exp.Literal) if one.is_string), r)
    if node is not None:
        node.set("this", node.this + "x")
    return node is not None


OPERATORS: dict[type, type] = {
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
    exp.LT: exp.LTE,
    exp.EQ: exp.NEQ,
    exp.Add: exp.Sub,
    exp.Sub: exp.Add,
    exp.Mul: exp.Add,
    exp.And: exp.Or,
    exp.Or: exp.And,
}
FUNCTIONS: dict[type, type] = {
    exp.Sum: exp.Max,
    exp.Max: exp.Min,
    exp.Min: exp.Max,
    exp.Avg: exp.Sum,
    exp.Lower: exp.Upper,
    exp.Upper: exp.Lower,
    exp.Abs: exp.Neg,
    exp.Lag: exp.Lead,
    exp.Lead: exp.Lag,
}


def another_operator(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in all_of(tree, exp.Binary) if type(one) in OPERATORS), r)
    if node is not None:
        node.replace(OPERATORS[type(node)](this=node.this.copy(), expression=node.expression.copy()))
    return node is not None


def another_function(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in all_of(tree, exp.Func) if type(one) in FUNCTIONS), r)
    if node is not None:
        parts = {name: value.copy() if isinstance(value, exp.Expr) else value for name, value in node.args.items()}
        kind = FUNCTIONS[type(node)]
        node.replace(kind(**(parts if kind in (exp.Lag, exp.Lead) else {"this": parts["this"]})))
    return node is not None


def another_column(tree: Tree, r: random.Random) -> bool:
    """A column of the same table that the query names too."""
    columns = [one for one in all_of(tree, exp.Column) if one.table and isinstance(one.this, exp.Identifier)]
    r.shuffle(columns)
    for node in columns:
        query = node.find_ancestor(exp.Select)
        others = [one for one in columns if one.table == node.table and one.name != node.name and one.find_ancestor(exp.Select) is query]
        if others:
            node.set("this", others[0].this.copy())
            return True
    return False


def another_table(tree: Tree, r: random.Random) -> bool:
    """The column of this name of another table, as in a join of a table with itself."""
    columns = [one for one in all_of(tree, exp.Column) if one.table]
    r.shuffle(columns)
    for node in columns:
        query = node.find_ancestor(exp.Select)
        near = [one for one in tree.find_all(exp.TableAlias) if one.this is not None and one.find_ancestor(exp.Select) is query]
        others = [one.name for one in near if not isinstance(one.parent, exp.CTE) and one.name != node.table]
        if others:
            node.set("table", exp.to_identifier(r.choice(others)))
            return True
    return False


def two_columns_in_turn(tree: Tree, r: random.Random) -> bool:
    queries = [one for one in all_of(tree, exp.Select) if sum(isinstance(item, exp.Alias) for item in one.expressions) > 1]
    query = one_of(queries, r)
    if query is None:
        return False
    one, other = r.sample([item for item in query.expressions if isinstance(item, exp.Alias)], 2)
    first, second = one.this.copy(), other.this.copy()
    one.set("this", second)
    other.set("this", first)
    return True


def a_larger_column(tree: Tree, r: random.Random) -> bool:
    """3 is added where a column stands."""
    outside = (exp.Column, exp.Dot, exp.Star, exp.Kwarg, exp.PropertyEQ, exp.Struct)
    columns = [one for one in all_of(tree, exp.Column) if isinstance(one.this, exp.Identifier) and not isinstance(one.parent, outside)]
    node = one_of((one for one in columns if one.arg_key != "using" and one.find_ancestor(exp.Pivot, exp.Unnest) is None), r)
    if node is None:
        return False
    larger: Tree = exp.Paren(this=exp.Add(this=node.copy(), expression=exp.Literal.number(3)))
    node.replace(exp.alias_(larger, node.this.copy()) if isinstance(node.parent, exp.Select) and node.arg_key == "expressions" else larger)
    return True


def another_cast(tree: Tree, r: random.Random) -> bool:
    node = one_of(all_of(tree, exp.Cast), r)
    if node is not None:
        node.set("to", exp.DataType.build("varchar" if node.to.this != exp.DataType.Type.VARCHAR else "double"))
    return node is not None


def another_join(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in tree.find_all(exp.Join) if one.args.get("on") and one.kind not in ("SEMI", "ANTI")), r)
    if node is not None:
        node.set("side", None if node.side else "LEFT")
        node.set("kind", None)
    return node is not None


def distinct_rows(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in all_of(tree, exp.Select) if not one.args.get("distinct")), r)
    if node is not None:
        node.set("distinct", exp.Distinct())
    return node is not None


def without_a_condition(tree: Tree, r: random.Random) -> bool:
    node = one_of(tree.find_all(exp.Where, exp.Having, exp.Qualify), r)
    if node is not None:
        node.parent.set(node.arg_key, None)
    return node is not None


def another_union(tree: Tree, r: random.Random) -> bool:
    node = one_of(tree.find_all(exp.Union), r)
    if node is not None:
        node.set("distinct", not node.args.get("distinct"))
    return node is not None


def another_source(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in tree.find_all(exp.Table) if one.db), r)
    if node is not None:
        node.set("this", exp.to_identifier(f"{node.name}_too"))
    return node is not None


def another_direction(tree: Tree, r: random.Random) -> bool:
    node = one_of(all_of(tree, exp.Ordered), r)
    if node is not None:
        node.set("desc", not node.args.get("desc"))
    return node is not None


def a_coarser_group(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in tree.find_all(exp.Group) if len(one.expressions) > 1), r)
    if node is not None:
        node.set("expressions", node.expressions[:-1])
    return node is not None


def a_larger_window(tree: Tree, r: random.Random) -> bool:
    node = one_of((one for one in all_of(tree, exp.Window) if one.args.get("partition_by")), r)
    if node is not None:
        node.set("partition_by", None)
    return node is not None


CHANGES: dict[str, Change] = {
    change.__name__.replace("_", " "): change
    for change in (
        another_number,
        another_text,
        another_operator,
        another_function,
        another_column,
        another_table,
        two_columns_in_turn,
        a_larger_column,
        another_cast,
        another_join,
        distinct_rows,
        without_a_condition,
        another_union,
        another_source,
        another_direction,
        a_coarser_group,
        a_larger_window,
    )
}
