"""The state of one analysis: the columns of tables that were met, what was asked, and what could not be told."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from freshet_columns import digests
from freshet_columns.dialects import Facts
from freshet_columns.digests import Origin
from freshet_columns.model import Catalog, Table
from freshet_columns.names import Folding
from freshet_columns.relations import Field, Group, Relation
from freshet_columns.values import IDENTITY, Value, doubtful, merge

OUTSIDE = "\0"
"""Marks the ids of tables that dbt's graph does not have: their columns make no edges."""
MAX_MISSING = 1000
Proof = frozenset[tuple[str, str]]


class Run:
    """One pass over one query; `proof` holds (table, column key) pairs that unambiguous references elsewhere have shown."""

    def __init__(self, facts: Facts, catalog: Catalog, proof: Proof = frozenset()) -> None:
        self.facts = facts
        self.folding: Folding = facts.folding
        self.catalog = catalog
        self.proof = proof
        self.leaves: list[tuple[str, str]] = []
        self.notes: dict[str, None] = {}
        self.missing: dict[str, None] = {}
        self.uneven = False
        self.used: dict[str, None] = {}
        self.hard_coded: dict[str, None] = {}
        self.asked: dict[str, dict[str, str]] = {}
        self.proved: set[tuple[str, str]] = set()
        self.doubts: set[tuple[str, str]] = set()
        self.expanding: set[str] = set()
        self._numbers: dict[tuple[str, str], int] = {}
        self._relations: dict[str, Relation] = {}
        self._layouts: dict[Any, int] = {}
        self._bits: dict[str, int] = {}
        self._keys: dict[str, str] = {}
        self._statement: str | None = None
        self.tree: Any = None
        self.has_columns_calls = True
        """Whether there may be a call of `COLUMNS` in the query."""
        self.recursions = 0
        """The number of recursive CTEs that are being evaluated, one within the other."""
        self.broken = False
        """Whether a digest could not be made, so that there are none."""

    def again(self) -> Run:
        """Another pass, which knows what this one has shown."""
        run = Run(self.facts, self.catalog, self.proof | self.proved)
        run.doubts, run.tree, run.has_columns_calls = set(self.doubts), self.tree, self.has_columns_calls
        return run

    def note(self, text: str) -> None:
        """Record why the analysis is only approximate."""
        self.notes[text] = None

    def miss(self, name: str) -> None:
        """Record a column that nothing has which may be meant."""
        if len(self.missing) < MAX_MISSING:
            self.missing[name] = None

    def layout(self, *parts: Any) -> int:
        """The number of an arrangement of columns; equal arrangements have equal numbers."""
        return self._layouts.setdefault(parts, len(self._layouts))

    def relation(self, table: Table) -> Relation:
        """The columns of a table, made once."""
        self.used[table.unique_id] = None
        if table.unique_id not in self._relations:
            self._relations[table.unique_id] = self._made(table)
        return self._relations[table.unique_id]

    def outside(self, name: str, key: str) -> Relation:
        """A table that dbt's graph does not have: anything may be asked of it, and nothing becomes an edge. `key`: the folded name."""
        self.hard_coded[name] = None
        self._keys.setdefault(OUTSIDE + name, "?" + key)
        relation = Relation([], (Group(((OUTSIDE + name, frozenset()),)),), origin=self._read("?" + key))
        relation.layout = self.layout("table", OUTSIDE + name)
        return relation

    def is_outside(self, relation: Relation) -> bool:
        """Whether a relation is that of `outside`: dbt's graph does not have it."""
        return all(table.startswith(OUTSIDE) for group in relation.rest for table, _ in group.tables)

    def _made(self, table: Table) -> Relation:
        fields = [self._field(table.unique_id, column) for column in table.columns]
        rest: tuple[Group, ...] = (Group(((table.unique_id, frozenset(table.lacks)),)),) if table.open else ()
        relation = Relation(fields, rest, origin=self._read(table.unique_id))
        relation.fixed = len(fields) if table.ordered and not table.open else 0
        relation.layout = self.layout("table", table.unique_id)
        return relation

    def _field(self, table: str, column: Any) -> Field:
        key = self.folding.key(column.name, False)  # noqa: FBT003
        value = {IDENTITY * 2: 1 << self._leaf(table, key, column.name)}
        return Field(column.name, key, value, column.type, digest=digests.leaf(table, key))

    # Digests

    def bit(self, rows: str) -> int:
        """The bit that stands for a table, a list of values or a call of a function, by the digest of its rows."""
        return 1 << self._bits.setdefault(rows, len(self._bits))

    def _read(self, table: str) -> Origin:
        rows = digests.text(table)
        return Origin(rows, rows, self.bit(rows))

    def made_of(self, what: str, *parts: str) -> Origin:
        """The origin of a list of values, or of a function's rows."""
        rows = digests.made(what, *parts)
        return Origin(rows, rows, self.bit(rows))

    def origin(self, relation: Relation) -> Origin:
        """What a relation is made of; the whole query where that is not known."""
        if relation.origin is None:
            relation.origin = Origin(self.statement(), self.statement(), self.bit(self.statement()))
        return relation.origin

    def statement(self) -> str:
        """A doubtful digest of the whole query, for what is not understood."""
        if self._statement is None:
            from freshet_columns.canonical import plain  # noqa: PLC0415 - they need each other

            self._statement = digests.doubtful(digests.made("all", plain(self._without_names(), self.folding)))
        return self._statement

    def _without_names(self) -> Any:
        """The query with numbers in place of the names of CTEs, which say nothing."""
        names = dict.fromkeys(self.folding.of(cte.args["alias"].this) for cte in self.tree.find_all(exp.CTE) if cte.alias)
        if not names:
            return self.tree
        numbers = {name: f"cte {number}" for number, name in enumerate(names)}
        tree = self.tree.copy()
        for node in tree.find_all(exp.CTE, exp.Table, exp.Column):
            kind = type(node)
            part = node.args.get("table") if kind is exp.Column else node.args["alias"].this if kind is exp.CTE else node.this
            if isinstance(part, exp.Identifier) and not node.args.get("db") and self.folding.of(part) in numbers:
                part.replace(exp.to_identifier(numbers[self.folding.of(part)], quoted=True))
        return tree

    def whole_digest(self, relation: Relation, *, named: bool = False) -> str:
        """The digest of a relation where it is a value; `named`: the names of its columns are part of that."""
        origin = self.origin(relation)
        columns = [field.digest or self.statement() for field in relation.fields] if relation.closed else [origin.columns]
        columns += [digests.text(field.key) for field in relation.fields] if named else []
        return digests.made("query", origin.rows, *columns, *([self.statement()] if origin.ordered else []))

    def open_digest(self, relation: Relation, key: str, value: Value) -> str:
        """The digest of a column that only open tables may have; `value`: what was found out about it."""
        mark = relation.origin.mark if relation.origin is not None else self.origin(relation).mark
        rest = relation.rest
        if len(rest) == 1 and len(rest[0].tables) == 1 and len(value) == 1 and IDENTITY * 2 in value:
            table = rest[0].tables[0][0]
            return digests.leaf(table, key) if not mark and table[0] != OUTSIDE else self._open_leaf(table, key, mark)
        asked = self.tables_of(value)
        groups = [[table for table, excluded in group.tables if key not in excluded and table in asked] for group in relation.rest]
        found = [digests.either([self._open_leaf(table, key, mark) for table in tables]) for tables in groups if tables]
        if not found:
            return self.statement()
        is_sure = not any(slot & 1 for slot in value)
        return digests.united(found) if is_sure else digests.doubtful(digests.united(found))

    def _open_leaf(self, table: str, key: str, mark: str) -> str:
        return digests.marked(digests.leaf(self._keys.get(table, table), key), mark)

    def tables_of(self, value: Value) -> set[str]:
        """The tables whose columns are in a value."""
        tables: set[str] = set()
        for leaves in value.values():
            number = leaves
            while number:
                lowest = number & -number
                tables.add(self.leaves[lowest.bit_length() - 1][0])
                number ^= lowest
        return tables

    def _leaf(self, table: str, key: str, name: str) -> int:
        number = self._numbers.setdefault((table, key), len(self.leaves))
        if number == len(self.leaves):
            self.leaves.append((table, name))
        return number

    def ask(self, relation: Relation, key: str, name: str, *, shows: bool = True) -> Value | None:
        """The value of a column that only open tables may have; None when none of them may.

        `shows`: the reference shows that a table has the column, because nothing else may.
        """
        result: Value = {}
        found = False
        for group in relation.rest:
            tables = [table for table, excluded in group.tables if key not in excluded]
            found = found or bool(tables)
            value = self._one_of(tables, key, name, shows=shows and group.certain)
            merge(result, value if group.certain else doubtful(value))
        return result if found else None

    def _one_of(self, tables: list[str], key: str, name: str, *, shows: bool) -> Value:
        proved = self._decided([(table, key) in self.proof for table in tables])
        tables = tables if proved is None else [tables[proved]]
        if len(tables) > 1:
            return self._doubt(tables, key, name)
        return self._demand(tables[0], key, name, shows=shows) if tables else {}

    def _demand(self, table: str, key: str, name: str, *, shows: bool) -> Value:
        if shows:
            self.proved.add((table, key))
        self.asked.setdefault(table, {}).setdefault(key, name)
        return {IDENTITY * 2: 1 << self._leaf(table, key, name)}

    def _doubt(self, tables: list[str], key: str, name: str) -> Value:
        self.note(f"column `{name}` may belong to {either(tables)}: not all of their columns are known")
        return self.perhaps(tables, key, name)

    def perhaps(self, tables: list[str], key: str, name: str) -> Value:
        """The value of a column that some of these open tables may have, or none."""
        self.doubts.update((table, key) for table in tables)
        leaves = 0
        for table in tables:
            leaves |= 1 << self._leaf(table, key, name)
        return doubtful({IDENTITY * 2: leaves})

    def ask_any(self, relations: list[Relation], key: str, name: str, *, shows: bool) -> Value:
        """The value of a column that one of several open relations has."""
        proved = self._decided([self._is_proved(relation, key) for relation in relations])
        if proved is not None:
            return self.ask(relations[proved], key, name, shows=shows) or {}
        tables = having(relations, key)
        return self._doubt(tables, key, name) if len(tables) > 1 else self._demand(tables[0], key, name, shows=shows)

    def _decided(self, proved: list[bool]) -> int | None:
        """Which of several candidates, from left to right, has the column, if some certainly have one of this name."""
        if self.facts.prefers_left:
            return 0 if proved[:1] == [True] else None
        return proved.index(True) if proved.count(True) == 1 else None

    def is_proved(self, relations: list[Relation], key: str) -> bool:
        """Tell whether an earlier pass found that one of these relations has the column."""
        return any(self._is_proved(relation, key) for relation in relations)

    def _is_proved(self, relation: Relation, key: str) -> bool:
        return any((table, key) in self.proof for group in relation.rest for table, excluded in group.tables if key not in excluded)


def having(relations: list[Relation], key: str) -> list[str]:
    """The open tables behind these relations that may have the column."""
    tables = [table for relation in relations for group in relation.rest for table, excluded in group.tables if key not in excluded]
    return list(dict.fromkeys(tables))


def label(table: str) -> str:
    """A table as its users call it: the last parts of its unique_id, or the name in the SQL."""
    if table.startswith(OUTSIDE):
        return f"`{table[1:]}`"
    parts = table.split(".")
    return f"`{'.'.join(parts[2:])}`" if len(parts) > 2 else f"`{table}`"  # noqa: PLR2004


def either(tables: list[str]) -> str:
    """`a`, `b` or `c`; at most three by name."""
    names = [label(table) for table in tables[:3]]
    more = len(tables) - len(names)
    names += [f"{more} more {'table' if more == 1 else 'tables'}"] if more else []
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
