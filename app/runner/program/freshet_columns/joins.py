"""Joins: the relations that they bring into a scope, and the columns that decide which rows meet."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.canonical import digest, others
from freshet_columns.digests import doubtful, made, nullable, text
from freshet_columns.queries import Work, condition_rows, evaluated
from freshet_columns.relations import Field, Relation
from freshet_columns.row_digests import of
from freshet_columns.scopes import Scope
from freshet_columns.sources import Source
from freshet_columns.tables import source
from freshet_columns.values import EMPTY, JOIN, TRANSFORMATION, Value, counted, through, union


def join(node: Any, scope: Scope) -> Work:
    """Add the right side of a join to the scope, and its conditions to the rows."""
    if node.args.get("kind") == "ARRAY":
        yield from _array_join(node, scope)
        return
    before = list(scope.sources)
    earlier = len(scope.row_parts)
    yield from _right_side(node, scope)
    added = [item for item in scope.sources if item not in before]
    using = [_named(identifier, scope) for identifier in node.args.get("using") or ()]
    is_natural = node.args.get("method") == "NATURAL"
    if is_natural:
        using = _common(before, added, scope)
    pairs = [_use(key, name, (before, added), str(node.args.get("side") or ""), scope) for key, name in using]
    for condition in ("on", "match_condition"):
        if node.args.get(condition) is not None:
            scope.rows.append((yield from condition_rows(node.args[condition], scope, JOIN)))
    lists = _perhaps_common(before, added, str(node.args.get("side") or ""), scope) if is_natural else []
    scope.row_parts[earlier:] = [_digest(node, scope, pairs, scope.row_parts[earlier:], lists)]
    _mark_nullable(str(node.args.get("side") or ""), before, added, scope, {key for key, _ in using})
    if node.args.get("kind") in ("SEMI", "ANTI") or node.args.get("side") in ("SEMI", "ANTI"):
        _hide(added, scope)


_HARMLESS = ("INNER", "OUTER")
_OF_JOIN = frozenset("this on match_condition using side kind method".split())  # noqa: SIM905


def _digest(node: Any, scope: Scope, pairs: list[str], right: list[str], lists: list[str]) -> str:
    """The digest of the right side, of how it is joined, and by which conditions. `lists`: columns of which some may be conditions."""
    side, method = (str(node.args.get(name) or "").upper() for name in ("side", "method"))
    kind = " ".join(word for word in str(node.args.get("kind") or "").upper().split() if word not in _HARMLESS)
    conditions = [digest(node.args[name], scope) for name in ("on", "match_condition") if node.args.get(name) is not None]
    kind = "" if kind == "CROSS" and not conditions and not pairs else kind
    how = made("how", f"{side} {kind} {method}", *sorted(pairs), *conditions, *others(node, scope, _OF_JOIN))
    return made("join", *right, doubtful(made("perhaps", how, *lists)) if lists else how)


def _mark_nullable(side: str, before: list[Source], added: list[Source], scope: Scope, used: set[str]) -> None:
    """The columns of a side that may have no row are NULL then, whatever they are made of; not those that are `used` to join."""
    if side in ("RIGHT", "FULL"):
        for item in before:
            item.may_be_null()
        scope.merged.update({key: field.digested(nullable) for key, field in scope.merged.items() if key not in used})
    if side in ("LEFT", "FULL"):
        for item in added:
            item.may_be_null()


def _right_side(node: Any, scope: Scope) -> Work:
    target = node.this
    if isinstance(target, exp.AtIndex):
        yield from _super_path(target.this, target.expression, scope)
    elif isinstance(target, exp.Alias):
        yield from _super_path(target, None, scope)
    else:
        yield from source(target, scope)


def _super_path(target: Any, index: Any, scope: Scope) -> Work:
    """Redshift's `from t, t.items as i at n`."""
    value = yield from evaluated(target.this, scope, TRANSFORMATION)
    folding = scope.run.folding
    fields = [Field(index.name, folding.of(index), EMPTY)] if index is not None else []
    alias = target.args.get("alias")
    name = folding.of(alias) if alias is not None else ""
    whole = digest(target.this, scope)
    for field in fields:
        field.digest = made("position", whole)
    scope.add(name, Relation(fields, (), counted(value), value, scope.run.made_of("unnest", whole)))


def _array_join(node: Any, scope: Scope) -> Work:
    """ClickHouse's ARRAY JOIN: an alias, or the column itself, means the element."""
    folding = scope.run.folding
    for item in [node.this, *node.expressions]:
        value = yield from evaluated(item, scope, TRANSFORMATION)
        name = item.args.get("alias") if isinstance(item, exp.Alias) else item.this
        if not isinstance(name, exp.Identifier):
            name = getattr(item, "this", None)
        if isinstance(name, exp.Identifier):
            whole = made("element", digest(item, scope))
            scope.merged[folding.of(name)] = Field(name.name, folding.of(name), value, digest=whole)
        scope.rows.append(counted(value))
        scope.row_parts.append(made("array join", text(str(node.args.get("side") or "")), digest(item, scope)))


def _hide(added: list[Source], scope: Scope) -> None:
    for item in added:
        scope.rows.append(item.relation.rows)
        scope.hide(item)


def _named(node: Any, scope: Scope) -> tuple[str, str]:
    """The key and the name of a column of USING."""
    identifier = node.this if isinstance(node, exp.Column) else node
    return scope.run.folding.of(identifier), identifier.name


def _common(before: list[Source], added: list[Source], scope: Scope) -> list[tuple[str, str]]:
    """The keys and names of the columns that both sides of a natural join have."""
    if any(not item.relation.closed for item in before + added):
        scope.run.note("a natural join is over tables whose columns are not all known")
    right = {field.key for item in added for field in item.relation.fields}
    left = {field.key: field.name for item in before for field in item.relation.fields}
    return [(key, name) for key, name in left.items() if key in right]


def _perhaps_common(before: list[Source], added: list[Source], side: str, scope: Scope) -> list[str]:
    """The lists of columns of a natural join whose sides may have more in common than is known.

    Where one side may have no row, its columns are perhaps those of the other one.
    """
    if all(item.relation.closed for item in before + added):
        return []
    lists = [item.columns_digest() for item in before + added]
    pairs = {"LEFT": [(added, before)], "RIGHT": [(before, added)], "FULL": [(added, before), (before, added)]}
    for items, opposite in pairs.get(side, ()):
        for field in (field for item in items for field in item.fields()):
            if field.key not in scope.merged and any(other.relation.might_have(field.key) for other in opposite):
                scope.merged[field.key] = field.digested(lambda digest: doubtful(made("common", digest, *lists)))
    return lists


def _use(key: str, name: str, sides: tuple[list[Source], list[Source]], side: str, scope: Scope) -> str:
    """One column of USING: its two sides decide which rows meet, and one of them (or both) is the column afterwards."""
    left = scope.merged.get(key) or _from(sides[0], key, name, scope)
    right = _from(sides[1], key, name, scope)
    scope.rows.append(through(union([_value(left), _value(right)]), JOIN))
    scope.merged[key] = _merged(left, right, side, name, key)
    return made("pair", *(scope.run.statement() if field is None else of(field, scope.run) for field in (left, right)))


def _merged(left: Field | None, right: Field | None, side: str, name: str, key: str) -> Field:
    if side == "FULL":
        known = [field.digest for field in (left, right) if field is not None and field.digest is not None]
        digest_of_both = made("full", *known) if len(known) == 2 else None  # noqa: PLR2004
        return Field(name, key, through(union([_value(left), _value(right)]), TRANSFORMATION), digest=digest_of_both)
    kept = right if side == "RIGHT" else left
    return (kept or left or right or Field(name, key, EMPTY)).renamed(name, key)


def _value(field: Field | None) -> Value:
    return field.value if field is not None else EMPTY


def _from(sources: list[Source], key: str, name: str, scope: Scope) -> Field | None:
    part = Scope(scope.environment)
    part.sources = sources
    field = part.own(key, name) or part.loosely(key)
    if field is None:
        scope.run.note(f"column `{name}` of USING was not found on both sides of the join")
        scope.run.miss(name)
    return field
