"""Units of time that stand in calls like names of columns: `dateadd(month, 1, a)`, `date_diff(a, b, day)`, `trunc(a, month)`.

sqlglot knows them in the functions of a dialect. A project that is read in another dialect than its own, and functions that sqlglot does
not know, leave them where columns are.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.choices import choose
from freshet_columns.expressions import Walk, children, handles
from freshet_columns.values import changed

UNITS = frozenset(
    """
    year years yyyy yy y yr quarter quarters qtr qq q month months mm mon m dayofyear doy dy day days dd d dayofmonth dayofweek dow
    weekday dw dayofweekiso dayofweek_iso isodow week weeks wk ww w weekofyear weekiso week_iso isoweek iso_week isowk isoyear iso_year
    hour hours hh h hr minute minutes mi min n second seconds ss s sec millisecond milliseconds ms microsecond microseconds us mcs usec
    nanosecond nanoseconds ns nsec decade decades century centuries millennium millennia epoch epoch_second epoch_millisecond
    """.split()  # noqa: SIM905
)
WEEKDAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday".split())  # noqa: SIM905
_THREE = frozenset(
    """
    dateadd date_add datediff date_diff datediff_big timestampadd timestamp_add timestampdiff timestamp_diff timeadd timediff
    datetime_add datetime_diff datetime_sub date_sub datesub timestampsub date_bucket age
    """.split()  # noqa: SIM905
)
"""Functions of three arguments, the first (or the last) of which is a unit."""
_TWO = frozenset("date_part datepart datename datetrunc date_trunc timestamp_trunc datetime_trunc".split())  # noqa: SIM905


def _is_unit(node: Any) -> bool:
    if isinstance(node, (exp.Week, exp.WeekStart)):
        return node.this.name.lower() in WEEKDAYS
    bare = isinstance(node, (exp.Var, exp.Literal)) or (type(node) is exp.Column and len(node.parts) == 1)
    return bare and node.name.lower() in UNITS


def _is_misplaced(node: Any) -> bool:
    return isinstance(node, (exp.Column, exp.Week)) and _is_unit(node) and not node.this.args.get("quoted")


@handles(exp.Anonymous)
def _unknown_function(walk: Walk, node: Any, kind: int) -> None:
    arguments, name = list(node.expressions), node.name.lower()
    if name == "multiif":
        choose(walk, arguments, kind)
        return
    places = {2: (0,) if name in _TWO else (1,) if name == "trunc" else (), 3: (0, 2) if name in _THREE else ()}.get(len(arguments), ())
    place = next((place for place in places if _is_misplaced(arguments[place])), None)
    if place is not None and not any(_is_unit(arguments[other]) and type(arguments[other]) is not exp.Column for other in places):
        del arguments[place]
    walk.push(arguments, changed(kind))


def with_unit(walk: Walk, node: Any, kind: int) -> None:
    """A function of which sqlglot knows that it has a unit: where that is none, it is the column, and another argument is the unit."""
    unit = node.args.get("unit")
    others = [child for name, child in node.args.items() if name != "unit" and isinstance(child, exp.Expr)]
    misplaced = next((child for child in others if _is_misplaced(child)), None)
    if unit is None or (misplaced is None and not _is_unit(unit)):
        children(walk, node, kind)
        return
    if not _is_unit(unit):
        others = [child for child in others if child is not misplaced] + _lost(walk, unit)
    walk.push(others, changed(kind))


def _lost(walk: Walk, unit: Any) -> list[Any]:
    """The argument that sqlglot has read as a unit, and of which it keeps only a name."""
    if unit.name.isidentifier():
        return [exp.column(unit.name)]
    walk.scope.run.note("a function of dates has its arguments in the order of another SQL dialect")
    return []


@handles(exp.Trunc)
def _trunc(walk: Walk, node: Any, kind: int) -> None:
    walk.push([child for child in node.args.values() if isinstance(child, exp.Expr) and child is not _unit_of(node)], changed(kind))


def _unit_of(node: Any) -> Any:
    last = node.args.get("decimals")
    return last if last is not None and _is_misplaced(last) else None


@handles(exp.Extract)
def _extract(walk: Walk, node: Any, kind: int) -> None:
    walk.push(node.expression, changed(kind))


for _kind in vars(exp).values():
    if isinstance(_kind, type) and issubclass(_kind, exp.Func) and "unit" in getattr(_kind, "arg_types", {}):
        handles(_kind)(with_unit)
