"""Relations with open schemas: the known columns, and the tables that may have more."""

from __future__ import annotations

from typing import NamedTuple

from freshet_columns.values import EMPTY, Value


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

    `repeated`: `parts` are the fields of an array's structs.
    """

    __slots__ = ("key", "name", "parts", "repeated", "type", "value")

    def __init__(self, name: str, key: str, value: Value, data_type: str | None = None, parts: dict[str, Field] | None = None) -> None:
        self.name = name
        self.key = key
        self.value = value
        self.type = data_type
        self.parts = parts
        self.repeated = False

    def renamed(self, name: str, key: str) -> Field:
        """The same column under another name."""
        return Field(name, key, self.value, self.type, self.parts)

    def valued(self, value: Value) -> Field:
        """A column of the same name with other dependences."""
        return Field(self.name, self.key, value, self.type)


class Relation:
    """Columns in order, of which the first `fixed` are certainly at their positions.

    `rows`: what the set of rows depends on. `wild`: the value of every other column that may be asked for (None: there is none).
    `layout`: equal numbers mean the same columns in the same order, even where they are not known. `of_function`: it is no table, so
    that its alias may be its value.
    """

    __slots__ = ("_index", "_loose", "fields", "fixed", "layout", "of_function", "rest", "rows", "wild")

    def __init__(self, fields: list[Field], rest: Rest = (), rows: Value = EMPTY, wild: Value | None = None) -> None:
        self.fields = fields
        self.rest = rest
        self.rows = rows
        self.wild = wild
        self.fixed = len(fields)
        self.layout: int | None = None
        self.of_function = False
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
        relation = Relation(self.fields, self.rest, self.rows if rows is None else rows, self.wild)
        relation.fixed, relation.layout = self.fixed, self.layout
        relation._index, relation._loose = self._index, self._loose
        return relation

    def may_have(self, key: str) -> bool:
        """Tell whether an open table may provide this column."""
        return any(key not in excluded for group in self.rest for _, excluded in group.tables)


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
