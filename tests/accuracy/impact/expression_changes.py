"""Small changes of an expression somewhere in a query: each makes another one of a place in the tree; None where that is not possible."""

from __future__ import annotations

import random
from collections.abc import Callable

from sqlglot import exp


def _other_literal(place: exp.Expr, r: random.Random) -> exp.Expr:
    new = exp.Literal.string(f"{place.this}x") if place.is_string else exp.Literal.number(int(float(place.this)) + 1)
    return _put(place, new)


def _other_operator(place: exp.Expr, r: random.Random) -> exp.Expr:
    if isinstance(place, exp.Sub) and r.random() < 0.5:
        return _put(place, exp.Sub(this=exp.paren(place.expression.copy()), expression=exp.paren(place.this.copy())))
    kind = r.choice([one for one in (exp.Add, exp.Sub, exp.Mul) if not isinstance(place, one)])
    return _put(place, kind(this=place.this.copy(), expression=place.expression.copy()))


def _other_aggregate(place: exp.Expr, r: random.Random) -> exp.Expr:
    kind = r.choice([one for one in (exp.Sum, exp.Max, exp.Min, exp.Count) if not isinstance(place, one)])
    return _put(place, kind(this=place.this.copy()))


def _without_default(place: exp.Expr, r: random.Random) -> exp.Expr:
    return _put(place, place.this.copy())


def _other_default(place: exp.Expr, r: random.Random) -> exp.Expr:
    place.set("default", exp.Literal.number(99))
    return place


def _other_order(place: exp.Expr, r: random.Random) -> exp.Expr:
    place.set("desc", not place.args.get("desc"))
    return place


def _other_column(place: exp.Expr, r: random.Random) -> exp.Expr | None:
    """Another column of the same relation."""
    tree = place.root()
    others = sorted({one.name for one in tree.find_all(exp.Column) if one.table == place.text("table") and one.name != place.name})
    if not others:
        return None
    new = exp.column(r.choice(others), table=place.text("table") or None)
    return _put(place, exp.alias_(new, place.name, quoted=True) if isinstance(place.parent, exp.Select) else new)


def _put(place: exp.Expr, new: exp.Expr) -> exp.Expr:
    place.replace(new)
    return new


OTHERS: dict[tuple[type[exp.Expr], ...], Callable[[exp.Expr, random.Random], exp.Expr | None]] = {
    (exp.Literal,): _other_literal,
    (exp.Add, exp.Sub, exp.Mul): _other_operator,
    (exp.Sum, exp.Max, exp.Min): _other_aggregate,
    (exp.Coalesce,): _without_default,
    (exp.Case,): _other_default,
    (exp.Ordered,): _other_order,
    (exp.Column,): _other_column,
}
"""The kinds of places, and what is made of them."""
