"""WITH clauses, recursive ones and ClickHouse's named expressions included."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.digests import Origin, made
from freshet_columns.queries import Query, Work
from freshet_columns.relations import Field, Relation
from freshet_columns.row_digests import of
from freshet_columns.run import Run
from freshet_columns.scopes import Environment, Scope
from freshet_columns.tables import aliased

PREFIX = "__dbt__cte__"
MAX_ROUNDS = 50
"""A recursive CTE whose dependences still grow after this number of rounds is approximate."""


def with_ctes(node: Any, environment: Environment, outer: Scope | None) -> Work:
    """The environment with the CTEs of a query's own WITH clause."""
    clause = node.args.get("with_")
    if clause is None:
        return environment
    environment = environment.copied()
    if clause.args.get("search") is not None:
        environment.run.note("the clauses SEARCH and CYCLE add columns, which are not read")
    for cte in clause.expressions:
        if cte.args.get("scalar"):
            environment.expressions[environment.run.folding.of(cte.args["alias"].this)] = cte.this
        else:
            yield from _define(cte, bool(clause.args.get("recursive")), environment, outer)
    return environment


def named_expressions(node: Any) -> list:
    """ClickHouse's `WITH expression AS name`, those that the query itself uses: other ones may be meant for its CTEs."""
    clause = node.args.get("with_")
    named = [cte for cte in clause.expressions if cte.args.get("scalar")] if clause is not None else []
    names = _names([value for name, value in node.args.items() if name != "with_"]) if named else set()
    used = []
    for cte in reversed(named):
        if cte.alias in names:
            used.append(cte)
            names |= _names([cte.this])
    return used[::-1]


def _names(nodes: list) -> set:
    """The names at the start of references."""
    flat = [item for node in nodes for item in (node if isinstance(node, list) else [node]) if isinstance(item, exp.Expr)]
    return {column.parts[0].name for item in flat for column in item.find_all(exp.Column)}


def _define(cte: Any, recursive: bool, environment: Environment, outer: Scope | None) -> Work:  # noqa: FBT001
    run = environment.run
    key = run.folding.of(cte.args["alias"].this)
    ephemeral = run.catalog.ephemeral(cte.alias) if cte.alias.lower().startswith(PREFIX) else None
    if ephemeral is not None:
        environment.ctes[key] = run.relation(ephemeral)
    elif isinstance(cte.this, exp.SetOperation) and (recursive or run.facts.implicit_recursion) and _names_itself(cte):
        environment.ctes[key] = yield from _fixpoint(cte, key, environment, outer)
    else:
        relation = yield Query(cte.this, environment, outer)
        environment.ctes[key] = aliased(relation, cte.args.get("alias"), run)


def _names_itself(cte: Any) -> bool:
    name = cte.alias.lower()
    return any(table.name.lower() == name and not table.db for table in cte.this.expression.find_all(exp.Table))


def _fixpoint(cte: Any, key: str, environment: Environment, outer: Scope | None) -> Work:
    run = environment.run
    run.recursions += 1
    relation = yield from _rounds(cte, key, environment, outer)
    run.recursions -= 1
    return _whole(relation, run)


def _whole(relation: Relation, run: Run) -> Relation:
    """Each column of a recursive CTE is made of all of them."""
    origin = run.origin(relation)
    columns = [of(field, run) for field in relation.fields] + ([] if relation.closed else [origin.columns])
    all_of_it = made("recursive", origin.rows, *columns)
    fields = [field.known_as(made("part", all_of_it, str(number))) for number, field in enumerate(relation.fields)]
    result = Relation(fields, relation.rest, relation.rows, relation.wild)
    result.fixed, result.layout = relation.fixed, relation.layout
    result.origin = origin._replace(rows=all_of_it, columns=made("columns", all_of_it))
    return result


def _itself(relation: Relation, run: Run) -> Relation:
    """A recursive CTE as it is seen by itself: its columns are known by their positions."""
    itself = made("itself", str(run.recursions))
    fields = [field.known_as(made("part", itself, str(number))) for number, field in enumerate(relation.fields)]
    result = Relation(fields, relation.rest, relation.rows, relation.wild)
    result.fixed, result.layout = relation.fixed, relation.layout
    result.origin = Origin(itself, itself, run.bit(itself), mark=itself)
    return result


def _rounds(cte: Any, key: str, environment: Environment, outer: Scope | None) -> Work:
    run = environment.run
    around = environment.copied()
    relation = aliased((yield Query(_anchor(cte.this), around, outer)), cte.args.get("alias"), run)
    for _ in range(MAX_ROUNDS):
        around.ctes[key] = _itself(relation, run)
        grown = aliased((yield Query(cte.this, around, outer)), cte.args.get("alias"), run)
        if _same(relation, grown):
            return grown
        relation = grown
    run.note(f"the recursive CTE `{cte.alias}` was followed for {MAX_ROUNDS} rounds only")
    return relation


def _anchor(operation: Any) -> Any:
    node = operation.this
    while isinstance(node, exp.SetOperation):
        node = node.this
    return node


def _same(one: Relation, other: Relation) -> bool:
    return one.rows == other.rows and [_state(field) for field in one.fields] == [_state(field) for field in other.fields]


def _state(field: Field) -> Any:
    return field.key, field.value
