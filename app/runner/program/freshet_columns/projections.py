"""The columns of a SELECT: expressions with names, and stars."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns.canonical import digest
from freshet_columns.data_types import type_of
from freshet_columns.descriptions import described
from freshet_columns.digests import made, text
from freshet_columns.output_names import UNNAMED, implicit, invented
from freshet_columns.queries import Work, evaluated
from freshet_columns.relations import Field, Relation, Rest, distinct
from freshet_columns.scopes import Scope
from freshet_columns.stars import changes_of, expanded, matched
from freshet_columns.structs import parts_of
from freshet_columns.values import EMPTY, TRANSFORMATION, Value, through, union


class Projection:
    """The columns of a SELECT, as they are added."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.fields: list[Field] = []
        self.rests: list[Rest] = []
        self.wild: Value | None = None
        self.layout: list[Any] = []
        self.fixed: int | None = None
        self.unnamed = 0
        self.items: list[Any] = []
        self.marks: list[str] = []
        """Which reading of open tables each star is over."""
        self.written: list[Field | str] = []
        """The list of columns as the SQL has it: a star is the digest of its table's list."""

    def add(self, item: Any) -> Work:
        """Add one item: a star, or an expression with a name."""
        expression = item.this if isinstance(item, exp.Alias) else item
        if _is_star(item):
            yield from self._star(item)
        elif isinstance(expression, exp.Columns):
            self._extend((yield from matched(expression, self.scope)))
        elif isinstance(item, exp.Aliases):
            yield from self._aliases(item)
        elif self._expands(expression):
            self._fields_of(parts_of(expression.this, self.scope) or {}, digest(expression.this, self.scope))
            self.scope.expanding += self.fields[-1:]
        else:
            yield from self._expression(item, expression)

    def relation(self) -> Relation:
        """What was added up to now."""
        rests = [rest for rest in self.rests if rest]
        rest = rests[0] if len(rests) == 1 else distinct([group for rest in rests for group in rest])
        relation = Relation(self.fields, rest, EMPTY, self.wild)
        relation.fixed = len(self.fields) if self.fixed is None else self.fixed
        relation.layout = self._layout()
        return relation

    def _layout(self) -> int | None:
        if None in self.layout:
            return None
        if len(self.layout) == 1 and isinstance(self.layout[0], int):
            return self.layout[0]
        return self.scope.run.layout("select", *self.layout)

    def _append(self, field: Field, item: Any = None) -> None:
        self.fields.append(field)
        self.items.append(item)
        self.layout.append(field.key)
        self.written.append(field)

    def _expands(self, expression: Any) -> bool:
        """DuckDB's `unnest(struct)` makes a column of each field."""
        return isinstance(expression, exp.Explode) and isinstance(expression.this, exp.Column) and self._is_struct(expression.this)

    def _is_struct(self, column: Any) -> bool:
        field = self.scope.column(column.parts)
        return field is not None and field.parts is not None and not field.repeated

    # Expressions

    def _expression(self, item: Any, expression: Any) -> Work:
        name, key = self._name(item)
        field = self.scope.column(expression.parts) if type(expression) is exp.Column else None
        if field is None:
            field = yield from self._valued(expression, name, key)
        else:
            field = field.renamed(name, key)
        if self.scope.run.has_columns_calls and expression.find(exp.Columns) is not None:
            yield from self._each_matched(expression)
            return
        self._append(field, expression)
        self.scope.aliases[key] = field

    def _valued(self, expression: Any, name: str, key: str) -> Work:
        value = yield from evaluated(expression, self.scope)
        field = Field(name, key, value, type_of(expression, self.scope.run.facts.dialect), parts_of(expression, self.scope))
        return described(field, expression, self.scope)

    def _each_matched(self, expression: Any) -> Work:
        """`min(COLUMNS(*))`: the expression once for each column."""
        relation = yield from matched(expression.find(exp.Columns), self.scope)
        for column in relation.fields:
            self.scope.matched = column.renamed(column.name, column.key)
            column.value = yield from evaluated(expression, self.scope)
            described(column, expression, self.scope)
        self.scope.matched = None
        self._extend(relation, expression)
        self.written[-1:] = relation.fields

    def _name(self, item: Any) -> tuple[str, str]:
        dialect, folding = self.scope.run.facts.dialect, self.scope.run.folding
        name = item.args.get("alias") if isinstance(item, exp.Alias) else implicit(item, dialect)
        if isinstance(name, exp.Identifier):
            return name.name, folding.of(name)
        if name is not None:
            return str(name), folding.key(str(name), False)  # noqa: FBT003
        made, certain = invented(len(self.fields), self.unnamed, dialect)
        self.unnamed += 1
        return made, folding.key(made, False) if certain else UNNAMED + made  # noqa: FBT003

    def _aliases(self, item: Any) -> Work:
        """`explode(map) as (key, value)`."""
        value = yield from evaluated(item.this, self.scope)
        whole = digest(item.this, self.scope)
        for number, name in enumerate(item.expressions):
            made_of = made("alias", whole, str(number))
            self._append(Field(name.name, self.scope.run.folding.of(name), value, digest=made_of), item)
        self.scope.expanding += self.fields[-1:]

    # Stars

    def _star(self, item: Any) -> Work:
        star = item if isinstance(item, exp.Star) else item.this if isinstance(item, exp.Column) else item.expression
        changes = yield from changes_of(star, self.scope)
        if isinstance(item, exp.Star):
            self._extend(expanded(self.scope, self.scope.sources, changes))
            return
        table = item.args.get("table") if isinstance(item, exp.Column) and len(item.parts) == 2 else None  # noqa: PLR2004
        found = self.scope.source(self.scope.run.folding.of(table)) if table is not None else None
        if found is not None:
            self._extend(expanded(self.scope, [found], changes))
        else:
            yield from self._struct(item)

    def _extend(self, relation: Relation, item: Any = None) -> None:
        if self.fixed is None and (relation.fixed < len(relation.fields) or not relation.closed):
            self.fixed = len(self.fields) + relation.fixed
        self.fields += relation.fields
        self.items += [item] * len(relation.fields)
        self.layout.append(relation.layout)
        origin = self.scope.run.origin(relation)
        self.written.append(origin.columns)
        self.marks += [origin.mark] if relation.rest else []
        self.rests.append(relation.rest)
        if relation.wild is not None:
            self.wild = union([self.wild or EMPTY, relation.wild])

    def _struct(self, item: Any) -> Work:
        """`column.*` and `array[0].*`: the fields of a struct."""
        if isinstance(item, exp.Column):
            field = self.scope.column([part for part in item.parts if isinstance(part, exp.Identifier)])
            value, parts = (field.value, field.parts) if field is not None else (EMPTY, None)
            whole = field.digest if field is not None else None
        else:
            value = yield from evaluated(item.this, self.scope)
            field, parts = item, parts_of(item.this, self.scope)
            whole = digest(item.this, self.scope)
        self.written.append(made("struct", whole or self.scope.run.statement()))
        if parts is not None:
            self._fields_of(parts, whole)
        elif field is not None:
            self.scope.run.note("a star is over a struct whose fields are not known")
            self.wild = union([self.wild or EMPTY, through(value, TRANSFORMATION)])
            self.fixed = len(self.fields) if self.fixed is None else self.fixed

    def _fields_of(self, parts: dict[str, Field], whole: str | None) -> None:
        """The fields of a struct, of which `whole` is the digest."""
        for key, part in parts.items():
            self._append(part.known_as(None if whole is None else made("part", whole, text(key))))


def _is_star(item: Any) -> bool:
    if isinstance(item, exp.Column):
        return isinstance(item.this, exp.Star)
    return isinstance(item, exp.Star) or (isinstance(item, exp.Dot) and isinstance(item.expression, exp.Star))
