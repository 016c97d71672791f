"""Changes of a model's SQL, as people make them. Each returns the new SQL, None where the query does not lend itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

import sqlglot
from sqlglot import exp

from tests.accuracy.impact.expression_changes import OTHERS

Types = Mapping[str, str]
"""The types of the model's columns by name, in order."""


class Changed(NamedTuple):
    """The new SQL; `renamed`: the old names and the new ones; `retyped`: the columns with a cast."""

    sql: str
    renamed: Mapping[str, str] = {}
    retyped: tuple[str, ...] = ()


Change = Callable[[str, Types, random.Random], Changed | None]


def changed(name: str, sql: str, types: Types, r: random.Random) -> Changed | None:
    """The SQL after a change of `CHANGES`; None where there is no place for it."""
    found = CHANGES[name](sql, types, r)
    return None if found is None or found.sql == sql else found


def remove(sql: str, types: Types, r: random.Random) -> Changed | None:
    """A column is gone, or two."""
    if len(types) < 2:
        return None
    gone = set(r.sample([*types], 1 if len(types) < 4 or r.random() < 0.7 else 2))
    return _selecting(sql, types, r, lambda name, item: None if name in gone else item)


def rename(sql: str, types: Types, r: random.Random) -> Changed | None:
    """A column has another name."""
    old = r.choice([*types])
    new = r.choice([name for name in (f"{_plain(old)}_new", "renamed", "amount_2", "the_id") if name not in types])
    found = _selecting(sql, types, r, lambda name, item: exp.alias_(item.unalias(), new) if name == old else item)
    return None if found is None else found._replace(renamed={old: new})


def rename_in_turn(sql: str, types: Types, r: random.Random) -> Changed | None:
    """Two columns have each other's names."""
    if len(types) < 2:
        return None
    one, other = r.sample([*types], 2)
    names = {one: other, other: one}
    return _selecting(sql, types, r, lambda name, item: exp.alias_(item.unalias(), names[name], quoted=True) if name in names else item)


def retype(sql: str, types: Types, r: random.Random) -> Changed | None:
    """A column has another type."""
    name = r.choice([*types])
    kinds = [kind for kind in ("varchar", "bigint", "double", "decimal(18, 3)", "integer") if _kind(kind) != _kind(types[name])]
    if types[name] in ("VARCHAR", "BOOLEAN") or "[" in types[name]:
        kinds = ["varchar"] if types[name] != "VARCHAR" else []
    if not kinds:
        return None
    kind = r.choice(kinds)
    form = r.choice(["cast({} as {})", "{}::{}"])

    def with_cast(column: str, item: exp.Expr) -> exp.Expr:
        if column != name:
            return item
        text = form.format(f"({item.unalias().sql('duckdb')})", kind)
        return exp.alias_(sqlglot.parse_one(text, dialect="duckdb"), name, quoted=True)

    found = _selecting(sql, types, r, with_cast)
    return None if found is None else found._replace(retyped=(name,))


def predicate(sql: str, types: Types, r: random.Random) -> Changed | None:
    """Another condition: a new one, a changed one, or one that is gone."""
    return r.choice([_new_condition, _new_condition, _other_condition, _without_condition])(sql, r)


def join_kind(sql: str, types: Types, r: random.Random) -> Changed | None:
    """An inner join becomes a left one, or the other way round."""
    tree = parsed(sql)
    joins = [one for one in tree.find_all(exp.Join) if one.args.get("on") is not None and not one.args.get("method")]
    if not joins:
        return None
    join = r.choice(joins)
    join.set("side", None if join.side else r.choice(["LEFT", "RIGHT", "FULL"]))
    join.set("kind", None)
    return Changed(tree.sql("duckdb"))


def grouping(sql: str, types: Types, r: random.Random) -> Changed | None:
    """Rows are distinct, or no longer; a key is gone; groups are chosen."""
    tree = parsed(sql)
    place = r.choice([*tree.find_all(exp.Select, exp.SetOperation)])
    if isinstance(place, exp.SetOperation):
        place.set("distinct", not place.args.get("distinct"))
        return Changed(tree.sql("duckdb"))
    group = place.args.get("group")
    if group is not None and group.expressions and r.random() < 0.6:
        if len(group.expressions) > 1 and r.random() < 0.5:
            group.set("expressions", group.expressions[:-1])
        else:
            place.set("having", exp.Having(this=parsed("count(*) > 1")))
    elif place.args.get("distinct") is not None:
        place.set("distinct", None)
    elif group is None:
        place.set("distinct", exp.Distinct())
    return Changed(tree.sql("duckdb"))


def limit(sql: str, types: Types, r: random.Random) -> Changed | None:
    """Only some rows, or fewer."""
    tree = parsed(sql)
    limits = [*tree.find_all(exp.Limit)]
    if limits:
        limits[0].set("expression", exp.Literal.number(1))
        return Changed(tree.sql("duckdb"))
    return Changed(f"select * from ({sql}) as w order by all limit 2")


def expression(sql: str, types: Types, r: random.Random) -> Changed | None:
    """A column is computed in another way."""
    name = r.choice([*types])
    numeric = types[name] in ("INTEGER", "BIGINT", "DOUBLE", "HUGEINT")
    forms = ["{} + 1", "-({})", "coalesce({}, -1)", "try_cast({} % 2 as integer)"] if numeric else ["coalesce({}, null)"]
    forms = ["upper({})", "{} || '!'"] if types[name] == "VARCHAR" else forms
    form = r.choice(forms)

    def computed(column: str, item: exp.Expr) -> exp.Expr:
        text = form.format(f"({item.unalias().sql('duckdb')})")
        return exp.alias_(sqlglot.parse_one(text, dialect="duckdb"), name, quoted=True) if column == name else item

    return _selecting(sql, types, r, computed)


def deep_expression(sql: str, types: Types, r: random.Random) -> Changed | None:
    """An operator, an aggregate, a column, an order or a literal somewhere in the query is another one."""
    tree = parsed(sql)
    forms = [*OTHERS.items()]
    r.shuffle(forms)
    for kinds, other in forms:
        places = list(tree.find_all(*kinds))
        new = other(r.choice(places), r) if places else None
        if new is not None:
            return Changed(tree.sql("duckdb"))
    return None


def add(sql: str, types: Types, r: random.Random) -> Changed | None:
    """A new column, at the end or between others. Its name may be that of a column of a table."""
    name = r.choice([name for name in ("a", "b", "x", "y", "k", "m", "extra", "s", "the_sum") if name not in {*map(str.lower, types)}])
    place = r.choice([len(types), r.randrange(len(types))])
    value = r.choice(["1", "'new'", f'"{r.choice([*types])}"'])
    names = [f'w."{column}"' for column in types]
    names.insert(place, f"{value if value[0] != chr(34) else 'w.' + value} as {name}")
    return Changed(f"select {', '.join(names)} from ({sql}) as w")


def reorder(sql: str, types: Types, r: random.Random) -> Changed | None:
    """The columns in another order."""
    names = [*types]
    if len(names) < 2:
        return None
    r.shuffle(names)
    listed = ", ".join(f'w."{name}"' for name in names)
    return Changed(f"select {listed} from ({sql}) as w")


CHANGES: dict[str, Change] = {
    "a column removed": remove,
    "a column renamed": rename,
    "two columns under each other's names": rename_in_turn,
    "a column of another type": retype,
    "a predicate": predicate,
    "the kind of a join": join_kind,
    "grouping and distinct": grouping,
    "a limit": limit,
    "an expression": expression,
    "an expression inside": deep_expression,
    "a column added": add,
    "columns in another order": reorder,
}


def parsed(sql: str) -> exp.Expr:
    return sqlglot.parse_one(sql, dialect="duckdb")


def _selecting(sql: str, types: Types, r: random.Random, new: Callable[[str, exp.Expr], exp.Expr | None]) -> Changed | None:
    """The query with each column of its SELECT list replaced, or left out; a query around it if it has no such list."""
    tree = parsed(sql)
    items = tree.expressions if isinstance(tree, exp.Select) and not tree.is_star else []
    if (
        [item.alias_or_name for item in items] != [*types]
        or any(tree.args.get(key) for key in ("group", "order", "distinct"))
        or r.random() < 0.3
    ):
        tree = parsed(f"select {', '.join(f'w.{chr(34)}{name}{chr(34)}' for name in types)} from ({sql}) as w")
        items = tree.expressions
    found = [new(name, item) for name, item in zip(types, items, strict=True)]
    left = [item for item in found if item is not None]
    if not left:
        return None
    tree.set("expressions", left)
    return Changed(tree.sql("duckdb"))


def _new_condition(sql: str, r: random.Random) -> Changed | None:
    tree = parsed(sql)
    selects = [one for one in tree.find_all(exp.Select) if one.args.get("from_") is not None]
    if not selects:
        return None
    select = r.choice(selects)
    columns = [column for item in select.expressions for column in item.find_all(exp.Column) if column.find_ancestor(exp.Select) is select]
    if not columns:
        return None
    column = r.choice(columns).copy()
    text = r.choice(["{} is not null", "{} is not distinct from {}", "{} <> {}"]).format(*[column.sql("duckdb")] * 2)
    text = text if r.random() < 0.3 else f"try_cast({column.sql('duckdb')} as integer) > {r.randint(0, 4)}"
    select.where(text, dialect="duckdb", copy=False)
    return Changed(tree.sql("duckdb"))


def _other_condition(sql: str, r: random.Random) -> Changed | None:
    tree = parsed(sql)
    places = [
        one
        for clause in tree.find_all(exp.Where, exp.Having, exp.Qualify)
        for one in clause.find_all(exp.GT, exp.LT, exp.EQ, exp.GTE, exp.LTE)
    ]
    if not places:
        return None
    place = r.choice(places)
    kind = r.choice([one for one in (exp.GT, exp.LT, exp.EQ, exp.NEQ) if not isinstance(place, one)])
    place.replace(kind(this=place.this.copy(), expression=place.expression.copy()))
    return Changed(tree.sql("duckdb"))


def _without_condition(sql: str, r: random.Random) -> Changed | None:
    tree = parsed(sql)
    clauses = [*tree.find_all(exp.Where, exp.Having, exp.Qualify)]
    if not clauses:
        return None
    r.choice(clauses).pop()
    return Changed(tree.sql("duckdb"))


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())


def _kind(name: str) -> str:
    return name.lower().partition("(")[0]
