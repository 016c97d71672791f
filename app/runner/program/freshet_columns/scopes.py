"""Scopes: the relations that the clauses of one SELECT see, and which of them a column reference means."""

from __future__ import annotations

from typing import Any, NamedTuple

from freshet_columns import digests
from freshet_columns.dialects import AFTER, BEFORE, NONE
from freshet_columns.open_columns import perhaps, unless_column
from freshet_columns.relations import Field, Relation, part_of
from freshet_columns.run import Run, having
from freshet_columns.sources import PSEUDO, Source
from freshet_columns.values import EMPTY, TRANSFORMATION, Value, doubtful, through, union


class Environment(NamedTuple):
    """What a query inherits from the text around it: the CTEs that it may name, and ClickHouse's named expressions."""

    run: Run
    ctes: dict[str, Relation]
    expressions: dict[str, Any]

    def copied(self) -> Environment:
        """The same names, to which others may be added."""
        return Environment(self.run, dict(self.ctes), dict(self.expressions))


class Scope:
    """The sources of one SELECT, its aliases, and the scope around it."""

    def __init__(self, environment: Environment, outer: Scope | None = None, parameters: frozenset[str] = frozenset()) -> None:
        self.environment = environment
        self.run = environment.run
        self.outer = outer
        self.parameters = parameters
        self.sources: list[Source] = []
        self.by_alias: dict[str, Source] = {}
        self.merged: dict[str, Field] = {}
        """Columns of USING, which are one column of two tables."""
        self.elements: dict[str, Field] = {}
        """Elements of arrays under the name that BigQuery's UNNEST gives them."""
        self.aliases: dict[str, Field] = {}
        self.alias_mode = NONE
        self.weak = False
        self.in_condition = False
        self.matched: Field | None = None
        self.windows: dict[str, Any] = {}
        self.subqueries: dict[int, Relation] = {}
        self.missing: list[tuple[Any, Scope]] = []
        self.rows: list[Value] = []
        self.level = 0 if outer is None else outer.level + 1
        """How many queries are around this one."""
        self.resolved: dict[int, tuple[Any, Field | None]] = {}
        """What references mean: by the identity of their first name, which is kept so that the identity stays its own."""
        self.row_parts: list[str] = []
        """The digests of sources, joins and whatever else decides about rows, in the order of the SQL."""
        self.expanding: list[Field] = []
        """Columns of the projection that make several rows of one."""
        self.tables = 0
        self.marks = 0
        self.ordered = False
        """See `Origin`; of the sources."""

    def inner(self, parameters: frozenset[str]) -> Scope:
        """The scope of a lambda's body, which shares what this one knows."""
        scope = Scope(self.environment, self, parameters)
        scope.subqueries, scope.missing, scope.windows = self.subqueries, self.missing, self.windows
        scope.level, scope.resolved = self.level, self.resolved
        return scope

    def weakly(self) -> Scope:
        """This scope as seen by a derived table: names mean its own tables first, even where not all columns are known."""
        scope = Scope(self.environment, self)
        scope.weak, scope.level = True, self.level
        return scope

    def add(self, alias: str, relation: Relation, path: tuple[str, ...] = ()) -> None:
        """Make a relation visible to what follows. If it reads tables that another one reads too, its columns get a mark of their own."""
        source = Source(alias, relation, self.run, path)
        self.sources.append(source)
        if alias:
            self.by_alias[alias] = source
        origin = self.run.origin(relation)
        if self.tables & origin.tables:
            self.marks += 1
            source.mark = f"#{self.marks}"
        else:
            self.marks = max(self.marks, origin.marks)
        self.tables |= origin.tables
        self.ordered = self.ordered or origin.ordered
        self.row_parts.append(origin.rows)

    def place(self, alias: str) -> str | None:
        """Which item of the FROM clause has this alias, as a text that does not depend on it."""
        for scope in self.chain():
            source = scope.by_alias.get(alias)
            if source is not None:
                place = scope.sources.index(source) if source in scope.sources else 0
                return f"@{self.level - scope.level}.{place}"
        return None

    def hide(self, source: Source) -> None:
        """Take a relation away again: the right side of a semi join."""
        self.sources.remove(source)
        self.by_alias.pop(source.alias, None)

    # Columns

    def column(self, parts: list[Any]) -> Field | None:
        """The column that a reference means, by its identifiers; None when no relation has it (and that is noted)."""
        field = self._named(parts[0]) if len(parts) == 1 else self._qualified(parts)
        self.resolved[id(parts[0])] = (parts[0], field)
        if field is None and parts[0].name.lower() not in PSEUDO and parts[-1].name.lower() not in PSEUDO:
            self.run.note(f"column `{'.'.join(part.name for part in parts)}` was not found in {self._visible()}")
            if any(scope.sources for scope in self.chain()):
                self.run.miss(self._column_of(parts))
        return field

    def _column_of(self, parts: list[Any]) -> str:
        """The name of the column in a reference that has not been found: behind that of a table."""
        found = self._source_of([self.run.folding.of(part) for part in parts])
        return str(parts[found[1] if found is not None else 0].name)

    def _visible(self) -> str:
        names = [f"`{source.alias}`" for scope in self.chain() for source in scope.sources if source.alias]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "any table"  # noqa: PLR2004

    def chain(self) -> list[Scope]:
        """This scope and those around it."""
        chain: list[Scope] = []
        scope: Scope | None = self
        while scope is not None:
            chain.append(scope)
            scope = scope.outer
        return chain

    def _named(self, identifier: Any) -> Field | None:
        key, name = self.run.folding.of(identifier), identifier.name
        scope: Scope | None = self
        while scope is not None:
            field = scope.own(key, name)
            if field is not None:
                return self._from(scope, field)
            scope = scope.outer
        return self._row_of(key) or self._expressed(key, name) or self.loosely(key)

    def _from(self, around: Scope, field: Field) -> Field:
        """A column of this scope, or one around it, as it is seen here."""
        levels = self.level - around.level
        if levels == 0:
            return field
        return field.known_as(None if field.digest is None or field.looks else digests.made("outer", str(levels), field.digest))

    def _expressed(self, key: str, name: str) -> Field | None:
        """A named expression of a query around this one."""
        expression = self.environment.expressions.get(key)
        if expression is None or key in self.run.expanding:
            return None
        from freshet_columns.canonical import digest  # noqa: PLC0415 - they need each other
        from freshet_columns.expressions import dependences  # noqa: PLC0415

        self.run.expanding.add(key)
        field = Field(name, key, dependences(expression, self))
        field.digest = digest(expression, self)
        self.run.expanding.discard(key)
        return field

    def own(self, key: str, name: str) -> Field | None:
        """The column of this name among the scope's own sources and aliases."""
        if key in self.parameters:
            return Field(name, key, EMPTY, digest=digests.made("parameter", digests.text(key)))
        alias = self.aliases.get(key) if self.alias_mode != NONE else None
        if alias is not None and (self.alias_mode == BEFORE or self._is_ambiguous(key)):
            return alias
        field = self.merged.get(key) or self.elements.get(key) or self._known(key, name)
        if field is not None:
            return field
        if alias is not None and self.alias_mode == AFTER and not self._is_proved(key):
            return unless_column(self, alias)
        if key in self.by_alias and self.by_alias[key].relation.of_function:
            return self._row_of(key)
        return perhaps(self, key, name) if name.lower() not in PSEUDO else None

    def _is_ambiguous(self, key: str) -> bool:
        """Tell whether the warehouse would refuse a column with this name, so that an alias is meant."""
        return key not in self.merged and key not in self.elements and len({id(field.value) for field in self._all(key)}) > 1

    def _all(self, key: str) -> list[Field]:
        return [source.seen(field) for source in self.sources for field in source.relation.find(key)]

    def _known(self, key: str, name: str) -> Field | None:
        found = self._all(key)
        if len(found) <= 1:
            return found[0] if found else None
        return self._one_of(found, name)

    def _one_of(self, found: list[Field], name: str) -> Field:
        first = found[0]
        known = [field.digest for field in found if field.digest is not None]
        digest = digests.either(known) if len(known) == len(found) else None
        if all(field.value == first.value for field in found):
            return first if digest == first.digest else first.known_as(digest)
        self.run.note(f"column `{name}` is ambiguous: {len(found)} of the tables read here have one")
        value = doubtful(union(field.value for field in found))
        return first.valued(value).known_as(digests.doubtful(digest or self.run.statement()))

    def _is_proved(self, key: str) -> bool:
        """Tell whether a reference elsewhere shows that one of the open sources has the column."""
        pairs = [(table, key) for table in having([source.relation for source in self.sources], key)]
        if any(pair in self.run.proved or pair in self.run.proof for pair in pairs):
            return True
        self.run.doubts.update(pairs)
        return False

    def may_have(self, key: str) -> bool:
        """Tell whether one of the sources has, or may have, a column of this name."""
        return key in self.merged or any(source.relation.find(key) or source.relation.may_have(key) for source in self.sources)

    def offered(self, key: str, name: str) -> Value | None:
        """A column that this scope has or may have for a subquery, without certainty."""
        field = self.merged.get(key) or self._known(key, name)
        if field is not None:
            return doubtful(field.value)
        tables = having([source.relation for source in self.sources], key)
        return self.run.perhaps(tables, key, name) if tables else None

    def _row_of(self, key: str) -> Field | None:
        """A table's name as a value: its whole row."""
        for scope in self.chain():
            source = scope.by_alias.get(key)
            if source is not None:
                parts = {field.key: field for field in source.relation.fields}
                digest = digests.made("row", source.columns_digest(), *(digests.text(field.key) for field in source.relation.fields))
                return self._from(scope, Field(key, key, self.whole(source.relation), None, parts, digest))
        return None

    def loosely(self, key: str) -> Field | None:
        """The known column whose name differs in case only."""
        for scope in self.chain():
            for source in scope.sources:
                found = source.relation.find_loosely(key)
                if found:
                    return self._from(scope, source.seen(found[0]))
        return None

    def source(self, alias: str) -> Source | None:
        """The relation with this alias, in this scope or around it."""
        for scope in self.chain():
            if alias in scope.by_alias:
                return scope.by_alias[alias]
        return None

    def _qualified(self, parts: list[Any]) -> Field | None:
        keys = [self.run.folding.of(part) for part in parts]
        found = self._source_of(keys)
        if found is not None:
            source, used, scope = found
            field = self.member(source.relation, keys[used], parts[used].name)
            if field is not None:
                return part_of(self._from(scope, source.seen(field)), keys[used + 1 :])
        field = self._named(parts[0]) if found is None else self._inside(keys[0], parts[0].name, found[2])
        return part_of(field, keys[1:]) if field is not None else None

    def _inside(self, key: str, name: str, around: Scope) -> Field | None:
        """A column, known to exist, that hides a table of this name in the scope `around`."""
        for scope in self.chain():
            field = scope._known(key, name) if scope is not around else None  # noqa: SLF001 - another scope
            if field is not None or scope is around:
                return field if field is None else self._from(scope, field)
        return None

    def _source_of(self, keys: list[str]) -> tuple[Source, int, Scope] | None:
        """The relation that a reference names, by how many of its parts, and the scope that has it."""
        for scope in self.chain():
            for used in range(len(keys) - 1, 1, -1):
                for source in scope.sources:
                    if source.path[-used:] == tuple(keys[:used]):
                        return source, used, scope
            if keys[0] in scope.by_alias:
                return scope.by_alias[keys[0]], 1, scope
        return None

    def member(self, relation: Relation, key: str, name: str) -> Field | None:
        """A column of one relation; None when it has none of this name."""
        found = relation.find(key) or (relation.find_loosely(key) if relation.closed else [])
        if found:
            return found[0] if len(found) == 1 else self._one_of(found, name)
        asked = self.run.ask(relation, key, name) if name.lower() not in PSEUDO else None
        if asked is not None:
            return Field(name, key, asked, digest=self.run.open_digest(relation, key, asked))
        if relation.wild is None:
            return None
        return Field(name, key, relation.wild, digest=digests.made("of", self.run.origin(relation).columns, digests.text(key)))

    def whole(self, relation: Relation) -> Value:
        """The value of a whole row."""
        if relation.rest:
            self.run.note("a whole row is read of a table whose columns are not all known")
        return through(union([field.value for field in relation.fields] + [relation.wild or EMPTY]), TRANSFORMATION)
