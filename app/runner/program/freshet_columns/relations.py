"""Relations with open schemas: the known columns, and the tables that may have more."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from freshet_columns.digests import Origin, made, text
from freshet_columns.values import EMPTY, TRANSFORMATION, Value, through


class Group(NamedTuple):
    """Open tables (with the keys that they do not provide), one of which has a column that is asked for.

    `certain`: such a column is certainly the one that is meant; not so behind a union by position.
    """

    tables: tuple[tuple[str, frozenset[str]], ...]
    certain: bool = True


Rest = tuple[Group, ...]
"""One group for each branch of a union."""


class Field:
    """A column of a relation: name as written, key, value, and SQL type and struct fields where known.

    `repeated`: `parts` are the fields of an array's structs. `digest`: of what it is made of (None: not known), `bare`: the same without
    its outermost cast, if there is one. `looks`: at which other rows it looks that are not part of the digest yet (see `canonical`).
    """

    __slots__ = ("bare", "digest", "key", "looks", "name", "parts", "repeated", "type", "value")

    def __init__(
        self,
        name: str,
        key: str,
        value: Value,
        data_type: str | None = None,
        parts: dict[str, Field] | None = None,
        digest: str | None = None,
    ) -> None:
        self.name = name
        self.key = key
        self.value = value
        self.type = data_type
        self.parts = parts
        self.repeated = False
        self.digest = digest
        self.bare: str | None = None
        self.looks = 0

    def renamed(self, name: str, key: str) -> Field:
        """The same column under another name."""
        field = Field(name, key, self.value, self.type, self.parts, self.digest)
        field.bare, field.looks = self.bare, self.looks
        return field

    def valued(self, value: Value) -> Field:
        """A column of the same name with other dependences."""
        return Field(self.name, self.key, value, self.type)

    def digested(self, change: Callable[[str], str]) -> Field:
        """The same column, with its digests changed."""
        field = self.renamed(self.name, self.key)
        field.digest = None if self.digest is None else change(self.digest)
        field.bare = None if self.bare is None else change(self.bare)
        return field

    def known_as(self, digest: str | None) -> Field:
        """The same column with another digest."""
        field = Field(self.name, self.key, self.value, self.type, self.parts, digest)
        field.repeated = self.repeated
        return field

    def part(self, keys: list[str]) -> str | None:
        """The digest of a field of a struct."""
        return None if self.digest is None or self.looks else made("part", self.digest, *map(text, keys))


def part_of(field: Field, keys: list[str]) -> Field:
    """A field of a struct column, as deep as its fields are known."""
    digest = field.part(keys) if keys else None
    for key in keys:
        if field.parts is None or key not in field.parts:
            return Field(key, keys[-1], through(field.value, TRANSFORMATION), digest=digest)
        field = field.parts[key]
    return field.known_as(digest) if keys else field


class Relation:
    """Columns in order, of which the first `fixed` are certainly at their positions.

    `rows`: what the set of rows depends on. `wild`: the value of every other column that may be asked for (None: there is none).
    `layout`: equal numbers mean the same columns in the same order, even where they are not known. `of_function`: it is no table, so
    that its alias may be its value. `origin`: None if it is not known.
    """

    __slots__ = ("_index", "_loose", "fields", "fixed", "layout", "of_function", "origin", "rest", "rows", "wild")

    def __init__(
        self, fields: list[Field], rest: Rest = (), rows: Value = EMPTY, wild: Value | None = None, origin: Origin | None = None
    ) -> None:
        self.fields = fields
        self.rest = rest
        self.rows = rows
        self.wild = wild
        self.fixed = len(fields)
        self.layout: int | None = None
        self.of_function = False
        self.origin = origin
        self._index: dict[str, Field] | None = None
        self._loose: dict[str, list[Field]] | None = None

    @property
    def closed(self) -> bool:
        """Whether all columns are known."""
        return not self.rest and self.wild is None

    def find(self, key: str) -> list[Field]:
        """The known columns with this key; more than one when a join or a star repeats a name."""
        if self._index is None:
            self._index = {field.key: field for field in self.fields}
        found = self._index.get(key)
        if found is None:
            return []
        has_repeats = len(self._index) < len(self.fields)
        return [field for field in self.fields if field.key == key] if has_repeats else [found]

    def find_loosely(self, key: str) -> list[Field]:
        """The known column whose key differs in case only, when there is just one."""
        if self._loose is None:
            self._loose = {}
            for field in self.fields:
                self._loose.setdefault(field.key.lower(), []).append(field)
        found = self._loose.get(key.lower(), [])
        return found if len(found) == 1 else []

    def copied(self, rows: Value | None = None) -> Relation:
        """The same columns, with other rows."""
        relation = Relation(self.fields, self.rest, self.rows if rows is None else rows, self.wild, self.origin)
        relation.fixed, relation.layout = self.fixed, self.layout
        relation._index, relation._loose = self._index, self._loose
        return relation

    def may_have(self, key: str) -> bool:
        """Tell whether an open table may provide this column."""
        return any(key not in excluded for group in self.rest for _, excluded in group.tables)

    def might_have(self, key: str) -> bool:
        """The same, or whether it is a function of which no columns are known."""
        return self.wild is not None or self.may_have(key)


def merged_group(groups: list[Group]) -> Group:
    """One group out of several tables side by side, as in a join: one of them has the column."""
    tables: dict[str, frozenset[str]] = {}
    for group in groups:
        for table, excluded in group.tables:
            tables[table] = tables[table] & excluded if table in tables else excluded
    return Group(tuple(tables.items()), all(group.certain for group in groups))


def without(rest: Rest, keys: frozenset[str]) -> Rest:
    """The open tables, when these columns are taken out."""
    if not keys:
        return rest
    return tuple(Group(tuple((table, excluded | keys) for table, excluded in group.tables), group.certain) for group in rest)


def distinct(groups: list[Group]) -> Rest:
    """The groups in order, each once."""
    return tuple(dict.fromkeys(groups))
