"""The items of FROM clauses: tables, CTEs, subqueries, VALUES, and functions that make tables."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns import pivots
from freshet_columns.canonical import digest, others
from freshet_columns.digests import Origin, made, text
from freshet_columns.digests import doubtful as doubtful_digest
from freshet_columns.queries import Query, Work, evaluated, evaluates
from freshet_columns.relations import Field, Relation
from freshet_columns.row_digests import of
from freshet_columns.run import Run
from freshet_columns.scopes import Scope
from freshet_columns.structs import parts_of
from freshet_columns.table_functions import function
from freshet_columns.values import EMPTY, TRANSFORMATION, Value, counted, doubtful, through, union

POSITION_NAMES = {"clickhouse": "c{}", "duckdb": "col{}", "spark": "col{}", "databricks": "col{}"}


def source(node: Any, scope: Scope) -> Work:
    """Add an item of a FROM clause to a scope."""
    if isinstance(node, exp.Final):
        node = node.this
        scope.row_parts.append(made("final"))
    if isinstance(node, exp.Subquery) and not isinstance(node.this, (exp.Query, exp.Pivot)):
        yield from _parenthesized(node, scope)
    else:
        yield from _single(node, scope)
    from freshet_columns.joins import join  # noqa: PLC0415 - they need each other

    for nested in node.args.get("joins") or ():
        yield from join(nested, scope)


def _parenthesized(node: Any, scope: Scope) -> Work:
    """`(a join b)`: with an alias a relation of its own."""
    if not node.alias and not node.args.get("pivots"):
        yield from source(node.this, scope)
        return
    inner = Scope(scope.environment, scope.outer)
    yield from source(node.this, inner)
    from freshet_columns.stars import everything  # noqa: PLC0415

    yield from _added(node, everything(inner), (), scope)


def _single(node: Any, scope: Scope) -> Work:
    relation, path = EMPTY, ()
    if isinstance(node, exp.Table):
        relation, path = yield from _table(node, scope)
    elif isinstance(node, exp.Query):
        relation = yield Query(node, scope.environment, _around(scope))
    elif isinstance(node, exp.Values):
        relation = yield from _values(node, scope)
    elif isinstance(node, exp.Unnest):
        relation = yield from _unnest(node, scope)
    elif isinstance(node, exp.Lateral):
        relation = yield from _lateral(node, scope)
    else:
        relation = yield from function(node, scope)
    yield from _added(node, relation, path, scope)


def _around(scope: Scope) -> Scope | None:
    """What a derived table sees: in DuckDB also the tables before it."""
    return scope.weakly() if scope.run.facts.implicit_lateral else scope.outer


def _column_alias(node: Any, alias: Any, scope: Scope) -> Any:
    """The alias, if it names columns: that of BigQuery's UNNEST names a table."""
    names = alias.columns if isinstance(alias, exp.TableAlias) else []
    return None if isinstance(node, exp.Unnest) and _is_range(node, names, scope) else alias


def _added(node: Any, relation: Relation, path: tuple[str, ...], scope: Scope) -> Work:
    folding = scope.run.folding
    alias = node.args.get("alias")
    name = folding.of(alias.this) if isinstance(alias, exp.TableAlias) and alias.this is not None else (path[-1] if path else "")
    if not name and isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery) and node.this.alias:
        name = folding.of(node.this.args["alias"].this)
    for pivot in node.args.get("pivots") or ():
        renamed = pivot.args.get("alias")
        if not isinstance(node, exp.Subquery):  # which has evaluated its own
            relation = aliased((yield from pivots.pivoted(relation, pivot, scope)), renamed, scope.run)
        name = folding.of(renamed.this) if renamed is not None else name
    columns = _column_alias(node, alias, scope)
    if columns is None and alias is not None:
        name = folding.of(alias.columns[0])
    scope.add(name, aliased(relation, columns, scope.run), path)
    _describe(node, scope)


_OF_SOURCE = frozenset(
    """
    this db catalog alias joins pivots expressions offset with_ order limit rows_from
    """.split()  # noqa: SIM905
)


def _describe(node: Any, scope: Scope) -> None:
    """What is said of a table besides its name and alias: a sample, a version; and whether it may be missing from a row."""
    if not isinstance(node, (exp.Table, exp.Query, exp.Unnest, exp.Lateral, exp.Values)):
        return
    said = others(node, scope, _OF_SOURCE)
    if isinstance(node, exp.Lateral) and (node.args.get("outer") or node.args.get("cross_apply") is False):
        scope.sources[-1].may_be_null()
        said.append(made("outer"))
    if said:
        scope.row_parts.append(made("said", *said))


def aliased(relation: Relation, alias: Any, run: Run) -> Relation:
    """A relation whose alias names its columns: `t (a, b)`."""
    names = alias.columns if isinstance(alias, exp.TableAlias) else []
    if not names:
        return relation
    if len(names) > relation.fixed and not relation.closed and relation.wild is None:
        return _named_openly(relation, names, run)
    if relation.closed and len(names) > len(relation.fields):
        run.note(f"{len(names)} names are given to {len(relation.fields)} columns")
        run.uneven = True
    fields = [_renamed(relation, number, name, run) for number, name in enumerate(names)]
    return Relation(fields + relation.fields[len(names) :], relation.rest, relation.rows, origin=_named(relation, names, run))


def _named(relation: Relation, names: list[Any], run: Run) -> Origin:
    origin = run.origin(relation)
    return origin._replace(columns=made("as", origin.columns, *(text(run.folding.of(name)) for name in names)))


def _renamed(relation: Relation, number: int, name: Any, run: Run) -> Field:
    key = run.folding.of(name)
    if number < len(relation.fields):
        return relation.fields[number].renamed(name.name, key)
    return Field(name.name, key, relation.wild or EMPTY, digest=made("at", run.origin(relation).columns, str(number)))


def _named_openly(relation: Relation, names: list[Any], run: Run) -> Relation:
    run.note(f"columns are renamed by position ({', '.join(name.name for name in names[:3])}), but not all columns are known")
    value = doubtful(through(union(field.value for field in relation.fields), TRANSFORMATION))
    columns = doubtful_digest(run.origin(relation).columns)
    fields = [Field(name.name, run.folding.of(name), value, digest=made("at", columns, str(number))) for number, name in enumerate(names)]
    return Relation(fields, (), relation.rows, origin=_named(relation, names, run))


def _table(node: Any, scope: Scope) -> Work:
    """The relation of a table's name, and the keys of the name's parts."""
    if isinstance(node.this, exp.DynamicIdentifier):
        return (yield from _dynamic(node, scope))
    if not isinstance(node.this, (exp.Identifier, exp.Dot)):
        relation = yield from function(node, scope)
        return relation, ()
    identifiers = [part for part in node.parts if isinstance(part, exp.Identifier)]
    keys = tuple(scope.run.folding.of(part) for part in identifiers)
    local = _local(keys, scope)
    if local is not None:
        return local, keys
    parts = tuple((part.name, bool(part.args.get("quoted"))) for part in identifiers)
    table = scope.run.catalog.table(parts)
    if table is not None:
        return scope.run.relation(table), keys
    path = _path_of_array(identifiers, scope)
    if path is not None:
        return path, keys[-1:]
    name = ".".join(name for name, _ in parts)
    return scope.run.outside(name, name if scope.run.facts.dialect == "bigquery" else ".".join(keys)), keys


def _dynamic(node: Any, scope: Scope) -> Work:
    """Snowflake's `identifier('a.b')`: the text is the name, but a variable says nothing."""
    name = node.this.this
    if not isinstance(name, exp.Literal) or not name.is_string:
        scope.run.note("the name of a table is a variable")
        return Relation([], wild={}), ()
    return (yield from _table(exp.to_table(name.this, dialect=scope.run.facts.dialect), scope))


def _local(keys: tuple[str, ...], scope: Scope) -> Relation | None:
    """A CTE, or an ephemeral model that dbt inlined."""
    if len(keys) > 1:
        return None
    return scope.environment.ctes.get(keys[0])


def _path_of_array(identifiers: list[Any], scope: Scope) -> Relation | None:
    """`from t, t.items`: an array of an earlier table."""
    if len(identifiers) < 2 or scope.source(scope.run.folding.of(identifiers[0])) is None:  # noqa: PLR2004
        return None
    field = scope.column(identifiers)
    value = through(field.value, TRANSFORMATION) if field is not None else EMPTY
    whole = of(field, scope.run) if field is not None else scope.run.statement()
    return Relation([], (), counted(value), value, scope.run.made_of("unnest", whole))


@evaluates(exp.Table)
def _table_alone(query: Query) -> Work:
    scope = Scope(query.environment, query.outer)
    yield from source(query.node, scope)
    from freshet_columns.stars import everything  # noqa: PLC0415

    return everything(scope)


@evaluates(exp.Values)
def _values_alone(query: Query) -> Work:
    scope = Scope(query.environment, query.outer)
    return (yield from _values(query.node, scope))


def _values(node: Any, scope: Scope) -> Work:
    """Columns of VALUES depend on nothing but the columns that stand in it (of a LATERAL one)."""
    columns: dict[int, Value] = {}
    cells: dict[int, list[str]] = {}
    for row in node.expressions:
        for number, item in enumerate(row.expressions if isinstance(row, exp.Tuple) else [row]):
            found = yield from evaluated(item, scope)
            columns[number] = union([columns.get(number, EMPTY), found])
            cells.setdefault(number, []).append(digest(item, scope))
    pattern = POSITION_NAMES.get(scope.run.facts.dialect, "column{}")
    first = 0 if scope.run.facts.dialect == "duckdb" else 1
    names = [pattern.format(number + first) for number in columns]
    wholes = [made("cells", *cells[number]) for number in columns]
    key = scope.run.folding.key
    fields = [Field(name, key(name, False), columns[number], digest=wholes[number]) for number, name in enumerate(names)]  # noqa: FBT003
    origin = scope.run.made_of("values", *wholes)._replace(rows=f"values {len(node.expressions)}")
    return Relation(fields, origin=origin)


def _unnest(node: Any, scope: Scope) -> Work:
    """One column for each array; the alias names them."""
    values: list[Value] = []
    parts: list[Any] = []
    arrays: list[str] = []
    for array in node.expressions:
        values.append((yield from evaluated(array, scope, TRANSFORMATION)))
        parts.append(parts_of(array, scope))
        arrays.append(made("element", digest(array, scope)))
    alias = node.args.get("alias")
    names = alias.columns if alias is not None else []
    fields = [_element(name, values, number, scope.run, arrays) for number, name in enumerate(names)]
    for field, known in zip(fields, parts):  # noqa: B905 - `strict` needs Python 3.10
        field.parts = known
    is_range = _is_range(node, names, scope)
    if is_range:
        fields = _range(fields[0], node.expressions[0], scope)
    elif not names and len(parts) == 1 and parts[0]:
        fields = _fields(parts[0], arrays[0])
    complete = bool(fields) and (is_range or not names or len(names) >= len(values))
    offset = node.args.get("offset")
    if isinstance(offset, exp.Expr):
        fields.append(Field(offset.name, scope.run.folding.of(offset), EMPTY, digest=made("position", *arrays)))
    literal = all(isinstance(array, exp.Array) for array in node.expressions)
    rows = EMPTY if literal else counted(union(values))
    relation = Relation(fields, (), rows, None if complete else union(values), scope.run.made_of("unnest", *arrays))
    relation.of_function = True
    return relation


def _fields(parts: dict[str, Field], whole: str) -> list[Field]:
    """The fields of structs in an array, whose element has this digest."""
    return [part.known_as(made("part", whole, text(key))) for key, part in parts.items()]


def _is_range(node: Any, names: list[Any], scope: Scope) -> bool:
    """In BigQuery the alias is the element itself, whose fields, if it is a struct, are the columns."""
    return scope.run.facts.dialect == "bigquery" and len(names) == len(node.expressions) == 1


_SCALAR = (exp.GenerateSeries, exp.GenerateDateArray, exp.GenerateTimestampArray, exp.Split, exp.RegexpExtractAll)


def _range(element: Field, array: Any, scope: Scope) -> list[Field]:
    """The columns of BigQuery's `unnest(array) as element`; none where it is not known whether the element is a struct."""
    scope.elements[element.key] = element
    if element.parts:
        return _fields(element.parts, element.digest or scope.run.statement())
    scalar = isinstance(array, _SCALAR) or (
        isinstance(array, exp.Array) and not any(isinstance(item, exp.Query) for item in array.expressions)
    )
    return [element] if scalar else []


def _element(name: Any, values: list[Value], number: int, run: Run, arrays: list[str]) -> Field:
    is_own = number < len(values)
    whole = arrays[number] if is_own else made("element", *arrays, str(number))
    return Field(name.name, run.folding.of(name), values[number] if is_own else union(values), digest=whole)


def _lateral(node: Any, scope: Scope) -> Work:
    inner = node.this
    if isinstance(inner, exp.Query):
        return (yield Query(inner, scope.environment, scope))
    if isinstance(inner, exp.Unnest):
        return (yield from _unnest(inner, scope))
    return (yield from function(node, scope))
