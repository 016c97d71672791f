"""Stars: all columns of one or more relations, with what EXCEPT, REPLACE and RENAME do to them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sqlglot import exp

from freshet_columns import open_columns
from freshet_columns.descriptions import described
from freshet_columns.digests import DOUBT, Origin, made, text
from freshet_columns.queries import Work, evaluated
from freshet_columns.relations import Field, Relation, Rest, distinct, merged_group, without
from freshet_columns.scopes import Scope
from freshet_columns.sources import Source
from freshet_columns.values import EMPTY, Value, union


class Changes(NamedTuple):
    """What a star leaves out, replaces (by key) and renames (key → identifier).

    `names`: the columns that it names for that, by key; `needed`: the keys of those that have to be there.
    """

    excluded: frozenset[str] = frozenset()
    replaced: dict[str, Field] = {}  # noqa: RUF012
    renamed: dict[str, Any] = {}  # noqa: RUF012
    pattern: Any | None = None
    names: dict[str, str] = {}  # noqa: RUF012
    needed: frozenset[str] = frozenset()


def everything(scope: Scope) -> Relation:
    """`select *` over all sources, with the rows that they make."""
    relation = expanded(scope, scope.sources, Changes())
    relation.rows = union([source.relation.rows for source in scope.sources] + scope.rows)
    if relation.origin is not None:
        relation.origin = relation.origin._replace(rows=source_rows(scope))
    return relation


def source_rows(scope: Scope) -> str:
    """The digest of the rows that the sources of a scope make; without any, it is one row."""
    parts = scope.row_parts
    return parts[0] if len(parts) == 1 else made("from", *parts)


def changes_of(star: Any, scope: Scope) -> Work:
    """The changes that stand behind a star."""
    folding = scope.run.folding
    left_out = [_last(item) for item in star.args.get("except_") or ()]
    replaced: dict[str, Field] = {}
    for item in star.args.get("replace") or ():
        key = folding.of(item.args["alias"])
        value = yield from evaluated(item.this, scope)
        replaced[key] = described(Field(item.alias, key, value), item.this, scope)
    renamed = {folding.of(_last(item.this)): item.args["alias"] for item in star.args.get("rename") or ()}
    others = [_last(item.this) for item in star.args.get("rename") or ()]
    named = [*left_out, *(item.args["alias"] for item in star.args.get("replace") or ())]
    names = {folding.of(identifier): identifier.name for identifier in named + others}
    if scope.run.facts.dialect == "clickhouse":
        named = []
    elif scope.run.facts.dialect != "duckdb":  # which lets RENAME pass
        named += others
    needed = frozenset(folding.of(identifier) for identifier in named)
    like = star.args.get("ilike")
    excluded = frozenset(folding.of(identifier) for identifier in left_out)
    return Changes(excluded, replaced, renamed, _like(like.name) if isinstance(like, exp.Literal) else None, names, needed)


def matched(columns: Any, scope: Scope) -> Work:
    """DuckDB's `COLUMNS('pattern')`, `COLUMNS(['a', 'b'])`, `COLUMNS(* EXCLUDE (a))`; a condition on names is not understood."""
    which = columns.this
    changes = Changes()
    if isinstance(which, exp.Star):
        changes = yield from changes_of(which, scope)
    elif isinstance(which, exp.Literal):
        changes = Changes(pattern=_regular(which.name))
    elif isinstance(which, exp.Array):
        changes = Changes(pattern=re.compile("|".join(re.escape(item.name) for item in which.expressions), re.IGNORECASE))
    else:
        scope.run.note("COLUMNS chooses columns by a condition, which is not evaluated: all of them are taken")
    relation = expanded(scope, scope.sources, changes)
    relation.fields = [field.renamed(field.name, field.key) for field in relation.fields]
    return relation


def _regular(pattern: str) -> Any:
    try:
        return re.compile(f".*?(?:{pattern}).*", re.DOTALL)
    except re.error:
        return None


def _last(node: Any) -> Any:
    return node.this if isinstance(node, exp.Column) else node


def _like(pattern: str) -> Any:
    """The regular expression of an ILIKE pattern."""
    return re.compile("".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern), re.IGNORECASE | re.DOTALL)


def expanded(scope: Scope, sources: list[Source], changes: Changes) -> Relation:
    """The columns of these sources; of all of them, columns of USING come once."""
    fields: list[Field] = []
    fixed = 0
    all_fixed = True
    used: set[str] = set()
    merged = scope.merged if sources is scope.sources else {}
    for item in sources:
        fields_before = len(fields)
        fields += _columns(_merged(item.fields(), merged, used), scope, changes)
        if all_fixed:
            all_fixed = item.relation.closed and item.relation.fixed == len(item.relation.fields)
            fixed = len(fields) if all_fixed else min(len(fields), fields_before + item.relation.fixed)
    relation = Relation(fields, _rest(sources, changes), EMPTY, _wild(sources), _origin(scope, sources, changes))
    relation.fixed = fixed
    relation.layout = _layout(scope, sources, changes)
    if changes.names:
        _add_others(scope, sources, changes, relation)
    return relation


def _add_others(scope: Scope, sources: list[Source], changes: Changes, relation: Relation) -> None:
    """What a star names and no table is known to have: a column of an open table, or a missing one."""
    known = {field.key.lower() for item in sources for field in item.relation.fields}
    is_closed = all(item.relation.closed for item in sources)
    for key, name in changes.names.items():
        if key.lower() in known:
            continue
        if is_closed and key in changes.needed:
            scope.run.miss(name)
        elif key in changes.replaced or key in changes.renamed:
            found = open_columns.among(scope, sources, key, name)
            relation.fields += [] if found is None else [_changed(found, scope, changes)]


def _merged(fields: list[Field], merged: dict[str, Field], used: set[str]) -> list[Field]:
    """The columns, those of USING (`merged`) in the place of their two sides; `used` are those that came already."""
    if not merged:
        return fields
    result = [merged.get(field.key, field) for field in fields if field.key not in used]
    used.update(field.key for field in fields if field.key in merged)
    return result


def _columns(fields: list[Field], scope: Scope, changes: Changes) -> list[Field]:
    if changes.excluded:
        fields = [field for field in fields if field.key not in changes.excluded]
    if changes.pattern is not None:
        fields = [field for field in fields if changes.pattern.fullmatch(field.name)]
    if changes.replaced or changes.renamed:
        fields = [_changed(field, scope, changes) for field in fields]
    return fields


def _changed(field: Field, scope: Scope, changes: Changes) -> Field:
    key = field.key
    if key in changes.replaced:
        field = changes.replaced[key].renamed(field.name, key)
    if key in changes.renamed:
        new = changes.renamed[key]
        field = field.renamed(new.name, scope.run.folding.of(new))
    return field


def _rest(sources: list[Source], changes: Changes) -> Rest:
    """The open tables behind a star: side by side in a join, one of them has the column."""
    taken = changes.excluded | frozenset(changes.replaced) | frozenset(changes.renamed)
    open_ones = [item.relation.rest for item in sources if item.relation.rest]
    if len(open_ones) <= 1:
        return without(open_ones[0], taken) if open_ones else ()
    return without(distinct([merged_group([group for rest in open_ones for group in rest])]), taken)


def _wild(sources: list[Source]) -> Value | None:
    wild = [item.relation.wild for item in sources if item.relation.wild is not None]
    return union(wild) if wild else None


def _origin(scope: Scope, sources: list[Source], changes: Changes) -> Origin:
    """The origin of a star; its rows are those of the scope."""
    origins = [scope.run.origin(item.relation) for item in sources]
    marks = [origin.mark + item.mark for origin, item in zip(origins, sources) if item.relation.rest]  # noqa: B905 - needs Python 3.10
    merged = tuple(scope.merged) if sources is scope.sources else ()
    mark = "+".join(marks) if any(marks) else ""
    return Origin("", _columns_digest(scope, sources, changes, merged), scope.tables, scope.marks, mark, scope.ordered)


def _columns_digest(scope: Scope, sources: list[Source], changes: Changes, merged: tuple[str, ...]) -> str:
    parts = [item.columns_digest() for item in sources]
    if len(parts) == 1 and changes == Changes() and not merged:
        return parts[0]
    left_out = made("except", *map(text, sorted(changes.excluded)))
    key_of = scope.run.folding.of
    renamed = made("rename", *(text(f"{key}\1{key_of(new)}") for key, new in sorted(changes.renamed.items())))
    replaced = made("replace", *(made(text(key), field.digest or DOUBT) for key, field in sorted(changes.replaced.items())))
    pattern = text(changes.pattern.pattern if changes.pattern is not None else "")
    return made("star", *parts, left_out, renamed, replaced, pattern, *map(text, merged))


def _layout(scope: Scope, sources: list[Source], changes: Changes) -> int | None:
    layouts = [item.relation.layout for item in sources]
    if None in layouts:
        return None
    if len(layouts) == 1 and changes == Changes():
        return layouts[0]
    return scope.run.layout("star", tuple(layouts), tuple(sorted(changes.excluded)), tuple(sorted(changes.renamed)), tuple(scope.merged))
