"""What decides which rows a query has, as a digest: sources and joins, conditions, groups, and limits with an order."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.canonical import AGGREGATE, LOOSE, MAYBE_AGGREGATE, ORDER, WINDOW, WRITTEN, digest, others
from freshet_columns.digests import Origin, made, text
from freshet_columns.projections import Projection
from freshet_columns.relations import Field, Relation
from freshet_columns.run import Run
from freshet_columns.scopes import Scope
from freshet_columns.stars import source_rows

_KNOWN = frozenset(
    """
    with_ kind expressions hint distinct from_ laterals joins prewhere where group having qualify windows order limit offset exclude match
    connect
    """.split()  # noqa: SIM905
)


def describe(node: Any, scope: Scope, relation: Relation, projection: Projection) -> None:
    """Give a SELECT its origin, and its columns the digests of the rows that they look at."""
    try:
        relation.origin = _origin(node, scope, relation, projection)
    except Exception:  # noqa: BLE001 - there are no digests then, but the rest is there
        scope.run.broken = True


def _origin(node: Any, scope: Scope, relation: Relation, projection: Projection) -> Origin:
    rows = _where("where", node, scope, _where("prewhere", node, scope, source_rows(scope)))
    rows, looks = _in_groups(node, scope, relation, projection, rows)
    rest = others(node, scope, _KNOWN)
    is_cut = is_limited(node)
    if scope.ordered and (looks & ORDER or (is_cut and node.args.get("order") is None)):
        rest.append(scope.run.statement())
    by_group = made("clauses", rows, *rest) if rest else rows
    rows = _where("having", node, scope, by_group)
    if looks:
        _look(projection.fields, by_group, rows)
    rows = _where("qualify", node, scope, rows)
    if scope.expanding:
        scope.tables |= scope.run.bit("expanded")
        rows = made("expanded", rows, *(of(field, scope.run) for field in scope.expanding))
    columns = _columns(node, projection, scope)
    rows = _distinct(node.args.get("distinct"), scope, relation, rows, columns)
    rows = limited_digest(node, scope, relation, rows) if is_cut else rows
    ordered = scope.ordered if node.args.get("order") is None else not is_cut
    return Origin(rows, columns, scope.tables, scope.marks, _mark(projection.marks), ordered)


def _where(clause: str, node: Any, scope: Scope, rows: str) -> str:
    condition = node.args.get(clause)
    return rows if condition is None else made(clause, rows, digest(condition.this, scope))


def of(field: Field, run: Run) -> str:
    """The digest of a column; the whole query where it is not known."""
    return field.digest if field.digest is not None else run.statement()


def _mark(marks: list[str]) -> str:
    """Which reading of open tables the columns come from that are not known."""
    if not marks:
        return ""
    return marks[0] if len(set(marks)) == 1 else made("marks", *marks)


def _columns(node: Any, projection: Projection, scope: Scope) -> str:
    written, args = projection.written, node.args
    kind, excluded = args.get("kind"), args.get("exclude")
    if len(written) == 1 and isinstance(written[0], str) and not kind and not excluded:
        return written[0]
    parts: list[str] = []
    for part in written:
        if isinstance(part, str):
            parts.append(part)
        else:
            parts += (text(part.key), part.digest if part.digest is not None else scope.run.statement())
    parts += [made("except", *(text(scope.run.folding.of(item)) for item in excluded))] if excluded else []
    return made("select", text(str(kind or "")), *parts)


# Groups


def _in_groups(node: Any, scope: Scope, relation: Relation, projection: Projection, rows: str) -> tuple[str, int]:
    """The rows in groups, and everything at which the columns look."""
    looks = 0
    for field in projection.fields:
        looks |= field.looks
    group, having = node.args.get("group"), node.args.get("having")
    if looks & MAYBE_AGGREGATE:
        looks = _decided(projection, is_aggregate=bool(looks & AGGREGATE) or group is not None or having is not None)
    if group is not None:
        if _has_sets(group):
            rows = made("sets", rows, *_by_name(node, scope, projection))
        return _grouped(group, scope, relation, projection, rows), looks
    return (made("one group", rows) if looks & AGGREGATE or having is not None else rows), looks


def _has_sets(group: Any) -> bool:
    kinds = (exp.Cube, exp.Rollup, exp.GroupingSets)
    beside = any(value for name, value in group.args.items() if name not in ("expressions", "all"))
    return beside or any(isinstance(item, kinds) for item in group.expressions)


def _by_name(node: Any, scope: Scope, projection: Projection) -> list[str]:
    """What ROLLUP and the like leave out of a group is NULL where it is named, and only there."""
    for field, item in zip(projection.fields, projection.items):  # noqa: B905 - `strict` needs Python 3.10
        if item is not None and field.digest is not None:
            field.digest, field.bare = made("grouped", field.digest, digest(item, scope, names=WRITTEN)), None
    clauses = [node.args[name] for name in ("group", "having", "qualify") if node.args.get(name) is not None]
    return [digest(clause, scope, names=WRITTEN) for clause in clauses]


def _grouped(group: Any, scope: Scope, relation: Relation, projection: Projection, rows: str) -> str:
    items = [by_position(item, scope, relation) for item in group.expressions]
    is_all = bool(group.args.get("all")) and not items
    if is_all:
        items = [of(field, scope.run) for field in projection.fields if not field.looks & AGGREGATE]
        items += [part for part in projection.written if isinstance(part, str)] if not relation.closed else []
    rest = others(group, scope, frozenset(("expressions", "all") if is_all else ("expressions",)))
    if _has_sets(group) and any(not item.is_string for item in group.find_all(exp.Literal)):
        rest += [of(field, scope.run) for field in relation.fields]  # there may be positions in ROLLUP and the like
    return made("group", rows, *sorted(items), *rest)


def _decided(projection: Projection, *, is_aggregate: bool) -> int:
    """Take functions that are not known for aggregates: in groups, and where there is nothing but such functions and constants."""
    fields = projection.fields
    is_aggregate = is_aggregate or all(field.looks or not field.value for field in fields)
    looks = 0
    for field in fields:
        if field.looks & MAYBE_AGGREGATE:
            field.looks ^= MAYBE_AGGREGATE
            field.looks |= AGGREGATE if is_aggregate else 0
            field.looks = field.looks if field.looks & (AGGREGATE | WINDOW) else 0
        looks |= field.looks
    return looks


def _look(fields: list[Field], by_group: str, by_window: str) -> None:
    """Make the rows at which expressions look part of their digests."""
    for field in fields:
        if field.looks:
            seen = by_window if field.looks & WINDOW else by_group
            field.digest = None if field.digest is None else made("over", field.digest, seen)
            field.bare = None if field.bare is None else made("over", field.bare, seen)
            field.looks = 0


def by_position(item: Any, scope: Scope, relation: Relation) -> str:
    """The digest of an expression, or of the column at a position."""
    if isinstance(item, exp.Literal) and not item.is_string and item.this.isdigit():
        is_known = 1 <= int(item.this) <= relation.fixed
        return of(relation.fields[int(item.this) - 1], scope.run) if is_known else scope.run.statement()
    return digest(item, scope)


# Rows that are taken out


def _distinct(clause: Any, scope: Scope, relation: Relation, rows: str, columns: str) -> str:
    if clause is None:
        return rows
    on = clause.args.get("on") if isinstance(clause, exp.Distinct) else None
    if on is None:
        return distinct_digest(relation, scope.run, rows, columns)
    items = on.expressions if isinstance(on, exp.Tuple) else [on]
    return made("distinct on", rows, *sorted(by_position(item, scope, relation) for item in items))


def distinct_digest(relation: Relation, run: Run, rows: str, columns: str) -> str:
    """The rows without those that are equal to others. `columns`: the list of columns as it is written."""
    fields = sorted({of(field, run) for field in relation.fields})
    return made("distinct", rows, *fields, *([] if relation.closed else [columns]))


def limited_digest(node: Any, scope: Scope, relation: Relation, rows: str) -> str:
    """The rows that LIMIT leaves, and those that DISTINCT ON chooses, both by an order."""
    parts = [digest(node.args[name], scope, names=LOOSE) for name in ("limit", "offset") if node.args.get(name) is not None]
    order = node.args.get("order")
    for item in order.expressions if order is not None else []:
        is_ordered = isinstance(item, exp.Ordered)
        key = by_position(item.this if is_ordered else item, scope, relation)
        parts.append(made("by", key, *(others(item, scope, frozenset(("this",))) if is_ordered else [])))
    return made("limit", rows, *parts)


def is_limited(node: Any) -> bool:
    """Whether an order decides about rows."""
    distinct = node.args.get("distinct")
    has_on = isinstance(distinct, exp.Distinct) and distinct.args.get("on") is not None
    return has_on or node.args.get("limit") is not None or node.args.get("offset") is not None


def describe_limited(node: Any, scope: Scope, relation: Relation, known: frozenset[str]) -> None:
    """Add the clauses behind a query in parentheses or a set operation to its origin."""
    try:
        origin = scope.run.origin(relation)
        beside = others(node, scope, known | {"order", "limit", "offset"})
        is_cut_as_it_is = is_limited(node) and node.args.get("order") is None
        beside += [scope.run.statement()] if origin.ordered and is_cut_as_it_is else []
        rows = made("clauses", origin.rows, *beside) if beside else origin.rows
        rows = limited_digest(node, scope, relation, rows) if is_limited(node) else rows
        ordered = origin.ordered if node.args.get("order") is None else not is_limited(node)
        relation.origin = origin._replace(rows=rows, ordered=ordered)
    except Exception:  # noqa: BLE001 - there are no digests then, but the rest is there
        scope.run.broken = True
