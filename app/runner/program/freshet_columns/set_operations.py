"""UNION, EXCEPT and INTERSECT, by position or by name."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.ctes import with_ctes
from freshet_columns.digests import Origin, alike, made, text, united
from freshet_columns.digests import doubtful as doubtful_digest
from freshet_columns.orders import limited
from freshet_columns.queries import Query, Work, evaluates
from freshet_columns.relations import Field, Relation, distinct
from freshet_columns.row_digests import distinct_digest, of
from freshet_columns.run import Run
from freshet_columns.values import EMPTY, FILTER, GROUP_BY, Value, doubtful, merge, through, union

Part = tuple[Any, Relation]


@evaluates(exp.SetOperation)
def set_operation(query: Query) -> Work:
    """All branches of a chain at once, since long chains nest to the left."""
    environment = yield from with_ctes(query.node, query.environment, query.outer)
    chain: list[Any] = []
    node = query.node
    while isinstance(node, exp.SetOperation) and (node is query.node or not _is_own(node)):
        chain.append(node)
        node = node.this
    relation = yield Query(node, environment, query.outer)
    parts: list[Part] = []
    for operation in reversed(chain):
        right = yield Query(operation.expression, environment, query.outer)
        parts.append((operation, right))
    combined = _combined(relation, parts, environment.run)
    return (yield from limited(query, combined, _OF_SET_OPERATION))


_OF_SET_OPERATION = frozenset(("with_", "this", "expression", "distinct", "by_name", "side", "kind", "on"))


def _is_own(node: Any) -> bool:
    """A set operation with clauses of its own is a query of its own."""
    return any(node.args.get(name) for name in ("with_", "order", "limit", "offset"))


def _combined(relation: Relation, parts: list[Part], run: Run) -> Relation:
    """Runs of unions by the same matching are combined at once; EXCEPT and INTERSECT one at a time."""
    number = 0
    while number < len(parts):
        operation = parts[number][0]
        if isinstance(operation, exp.Union):
            end = number
            while end < len(parts) and isinstance(parts[end][0], exp.Union) and _by_name(parts[end][0]) == _by_name(operation):
                end += 1
            relation = _union(relation, parts[number:end], run)
            number = end
        else:
            relation = _difference(relation, parts[number], run)
            number += 1
    return relation


def _by_name(operation: Any) -> bool:
    return bool(operation.args.get("by_name"))


def _union(first: Relation, parts: list[Part], run: Run) -> Relation:
    relations = [first] + [relation for _, relation in parts]
    if _by_name(parts[0][0]):
        result = _named(relations)
    elif len({relation.layout for relation in relations}) == 1 and first.layout is not None:
        result = _named(relations)
        result.fixed, result.layout = first.fixed, first.layout
    else:
        result = _positional(relations, run)
    result.rows = union(relation.rows for relation in relations)
    is_distinct = any(operation.args.get("distinct") for operation, _ in parts)
    for operation, _ in parts:
        if operation.args.get("side") or operation.args.get("kind") or operation.args.get("on"):
            run.note("a set operation keeps only some columns, which is read only in part")
    result.origin = _origin(relations, parts, run)
    if is_distinct:
        result.origin = result.origin._replace(rows=distinct_digest(result, run, result.origin.rows, result.origin.columns))
        if result.rest:
            run.note("UNION compares all columns, and not all of them are known")
        merge(result.rows, through(union(field.value for field in result.fields), GROUP_BY))
    return result


def _origin(relations: list[Relation], parts: list[Part], run: Run) -> Origin:
    origins = [run.origin(relation) for relation in relations]
    kinds = [text(" ".join(f"{name}={operation.args.get(name)}" for name in _KIND if operation.args.get(name))) for operation, _ in parts]
    columns = {origin.columns for origin in origins}
    written = columns.pop() if len(columns) == 1 else made("union", *(origin.columns for origin in origins))
    rows = made(type(parts[0][0]).__name__, *kinds, *(origin.rows for origin in origins))
    found = alike(origins, rows, written)
    return found._replace(tables=found.tables | run.bit(rows))


_KIND = ("distinct", "by_name", "side", "kind", "on")


def _named(relations: list[Relation]) -> Relation:
    """Columns by their names. A column that a branch has only through an open table is looked up there when it is read."""
    fields: dict[str, Field] = {}
    values: dict[str, Value] = {}
    made_of: dict[str, dict[int, str | None]] = {}
    for number, relation in enumerate(relations):
        for field in relation.fields:
            fields.setdefault(field.key, field)
            merge(values.setdefault(field.key, {}), field.value)
            made_of.setdefault(field.key, {}).setdefault(number, field.digest)
    count = len(relations)
    return _opened([_joined(field, values[key], made_of[key], count) for key, field in fields.items()], relations)


def _joined(field: Field, value: Value, made_of: dict[int, str | None], count: int) -> Field:
    """A column of some or all of the branches."""
    if None in made_of.values():
        return Field(field.name, field.key, value, field.type)
    branches = [made_of.get(number) or made("none") for number in range(count)]
    return Field(field.name, field.key, value, field.type, digest=united(branches))


def _opened(fields: list[Field], relations: list[Relation]) -> Relation:
    wild = [relation.wild for relation in relations if relation.wild is not None]
    rest = distinct([group for relation in relations for group in relation.rest])
    return Relation(fields, rest, EMPTY, union(wild) if wild else None)


def _positional(relations: list[Relation], run: Run) -> Relation:
    """Columns by position as far as positions are certain, the others by name."""
    first = relations[0]
    closed = all(relation.closed for relation in relations)
    fixed = min(relation.fixed for relation in relations)
    whole = closed and all(relation.fixed == len(relation.fields) for relation in relations)
    if whole and len({len(relation.fields) for relation in relations}) > 1:
        _differ(run)
        most = max(len(relation.fields) for relation in relations)
        return Relation([_at([one for one in relations if number < len(one.fields)], number) for number in range(most)])
    head = [_at(relations, number) for number in range(min(fixed, len(first.fields)))]
    if whole:
        return Relation(head)
    tail = _tails(relations, len(head), run)
    result = _opened(head + tail.fields, relations)
    result.rest = tuple(group._replace(certain=False) for group in result.rest)
    result.fixed = len(head)
    return result


def _differ(run: Run) -> None:
    run.note("the branches of a set operation have different numbers of columns")
    run.uneven = True


def _at(relations: list[Relation], number: int) -> Field:
    value: Value = {}
    for relation in relations:
        merge(value, relation.fields[number].value)
    fields = [relation.fields[number] for relation in relations]
    types = {field.type for field in fields}
    found = Field(fields[0].name, fields[0].key, value, types.pop() if len(types) == 1 else None)
    branches = [field.digest for field in fields if field.digest is not None]
    if len(branches) == len(fields):
        found.digest = united(branches)
        found.bare = united([field.bare or field.digest or "" for field in fields]) if found.type is not None else None
    return found


def _tails(relations: list[Relation], number: int, run: Run) -> Relation:
    run.note("a set operation matches columns by position, but their order is not known: they were matched by name")
    tails = [
        Relation([field.valued(doubtful(field.value)).known_as(_doubted(field)) for field in relation.fields[number:]])
        for relation in relations
    ]
    return _named(tails)


def _doubted(field: Field) -> str | None:
    return None if field.digest is None else doubtful_digest(field.digest)


def _compared(relation: Relation, run: Run) -> str:
    """The rows of a relation and all of its columns, by position."""
    origin = run.origin(relation)
    columns = [of(field, run) for field in relation.fields] if relation.closed else [origin.columns]
    return made("compared", origin.rows, *columns)


def _difference(left: Relation, part: Part, run: Run) -> Relation:
    """EXCEPT and INTERSECT: values come from the left, and both sides decide about the rows."""
    right = part[1]
    rows = union([left.rows, right.rows])
    for relation in (left, right):
        merge(rows, through(union(field.value for field in relation.fields), FILTER))
        if not relation.closed:
            run.note("EXCEPT or INTERSECT compares all columns, and not all of them are known")
    if left.closed and right.closed and len(left.fields) != len(right.fields) and not _by_name(part[0]):
        _differ(run)
    result = left.copied(rows)
    origins = [run.origin(relation) for relation in (left, right)]
    compared = [_compared(relation, run) for relation in (left, right)]
    kind = text(" ".join(f"{name}={part[0].args.get(name)}" for name in _KIND if part[0].args.get(name)))
    result.origin = alike(origins, made(type(part[0]).__name__, kind, *compared), origins[0].columns)._replace(mark=origins[0].mark)
    return result
