"""One column for a console, as a tree: what it is made of, up to the sources, or what is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from app.lineage.column_document import Subtype
from app.lineage.column_graph import ROWS, SUBTYPES, ColumnGraph
from app.lineage.column_selectors import FollowedColumn
from app.lineage.formats.labels import visible
from app.lineage.resource_types import label
from app.reports.column_words import (
    DIM,
    FROM,
    INTO,
    MADE,
    STATUS_STYLES,
    ColumnNames,
    Line,
    Span,
    is_direct,
    mark,
    references,
    subtype,
    wrapped,
)

MAX_LINES = 500
"""Of one tree."""
AGAIN = " …"
"""After a column that the tree has above with its branches."""


def tree(columns: ColumnGraph, followed: FollowedColumn, width: int | None) -> Iterator[Line]:
    """The lines of a followed column."""
    reference, names = followed.reference, ColumnNames(columns)
    both = reference.parents_of_children or (reference.upstream != 0 and reference.downstream != 0)
    if reference.upstream != 0 or reference.parents_of_children:
        yield ()
        yield from _Tree(columns, names, width, upward=True).lines(followed.column, reference.upstream or None)
    if reference.downstream != 0 or reference.parents_of_children:
        yield ()
        yield from _Tree(columns, names, width, upward=False).lines(followed.column, reference.downstream or None, again=both)


@dataclass(frozen=True, slots=True)
class _Branch:
    """A column, or with `ROWS` all rows of `position`, reached by edges with these codes from the one before it in the tree."""

    column: int
    position: int
    codes: tuple[int, ...]
    before: str
    """What is drawn before the text."""
    below: str
    """What is drawn before its own branches."""
    depth: int


@dataclass(slots=True)
class _Tree:
    columns: ColumnGraph
    names: ColumnNames
    width: int | None
    upward: bool
    seen: set[int] = field(default_factory=set)
    nodes: dict[int, None] = field(default_factory=dict)
    """On the way, in the order of the tree, without its ends."""

    def lines(self, column: int, depth: int | None, *, again: bool = False) -> Iterator[Line]:
        pending = [_Branch(column, self.columns.owner(column), (), "", "", 0)]
        number = 0
        while pending and number < MAX_LINES:
            branch = pending.pop()
            number += 1
            branches = self._branches(branch) if depth is None or branch.depth < depth else []
            is_repeated = branch.column in self.seen and bool(branches)
            yield self._root(branch, again=again, is_end=not branches) if number == 1 else self._line(branch, is_repeated=is_repeated)
            if not is_repeated:
                self.seen.add(branch.column)
                pending += reversed(branches)
        if pending:
            yield (("… and more: --json has all", DIM),)
        yield from self._notes()

    def _branches(self, branch: _Branch) -> list[_Branch]:
        if branch.column == ROWS:
            return []
        if self.upward:
            self.nodes.setdefault(branch.position)
        found: dict[tuple[int, int], list[int]] = {}
        for edge in self._edges(branch.column):
            found.setdefault(self._end(edge), []).append(self.columns.code(edge))
        last = len(found) - 1
        return [
            _Branch(*end, tuple(codes), *self._drawn(branch, is_last=number == last), branch.depth + 1)
            for number, (end, codes) in enumerate(found.items())
        ]

    def _edges(self, column: int) -> Iterable[int]:
        return self.columns.edges_into(column) if self.upward else self.columns.edges_out_of(column)

    def _end(self, edge: int) -> tuple[int, int]:
        """The other end of an edge: column (or `ROWS`) and position."""
        if self.upward:
            above = self.columns.upstream(edge)
            return above, self.columns.owner(above)
        return self.columns.downstream(edge), self.columns.below(edge)

    @staticmethod
    def _drawn(branch: _Branch, *, is_last: bool) -> tuple[str, str]:
        return f"{branch.below}{'└─ ' if is_last else '├─ '}", f"{branch.below}{'   ' if is_last else '│  '}"

    def _root(self, branch: _Branch, *, again: bool, is_end: bool) -> Line:
        data_type = "" if again else self.columns.column(branch.column).data_type
        typed: list[Span] = [(f"  {visible(data_type)}", "cyan")] if data_type else []
        name: list[Span] = [(self.names.column(branch.column), "bold"), *typed, *self._origin(branch), *self._status(branch)]
        if not self.upward:
            return [*name, ("  goes into no other column" if is_end else "  goes into", DIM)]
        is_made = self.columns.graph.nodes[branch.position].resource_type in MADE
        return [*name, *([(f"  <- {self.names.nothing(branch.column)}", DIM)] if is_end and is_made else [])]

    def _line(self, branch: _Branch, *, is_repeated: bool) -> Line:
        words, certain = self._words(branch), mark(max(branch.codes))
        text = f"the rows of {self.names.node(branch.position)}" if branch.column == ROWS else self.names.column(branch.column)
        end = [(AGAIN, DIM)] if is_repeated else []
        return [(branch.before, DIM), (words, DIM), (f"{text}{certain}", ""), *self._origin(branch), *self._status(branch), *end]

    def _words(self, branch: _Branch) -> str:
        """How the ends of an edge go together; of several edges, the value counts before conditions."""
        direct = [code for code in branch.codes if is_direct(code)]
        found = [subtype(code) for code in direct or branch.codes]
        name = max(found, key=SUBTYPES.index) if direct else found[0]
        known: Mapping[Subtype, str] = FROM if self.upward else INTO
        return known.get(name, f"{name} " if self.upward else f"{name} for ")

    def _origin(self, branch: _Branch) -> list[Span]:
        kind = self.columns.graph.nodes[branch.position].resource_type
        return [] if kind in MADE else [(f"  {label(kind)}", DIM)]

    def _status(self, branch: _Branch) -> list[Span]:
        status = self.columns.nodes[branch.position].status
        return [] if status == "exact" else [(f"  {status}", STATUS_STYLES[status])]

    def _notes(self) -> Iterator[Line]:
        """What the rows on the way depend on, and why models on the way are not exact."""
        found = {position: self.names.upstream(self.columns.row_edges(position)) for position in self.nodes}
        if any(found.values()):
            yield (("rows of the models on the way:", DIM),)
        for position, kinds in found.items():
            for name, ends in kinds:
                yield from wrapped([(f"  {self.names.node(position)}: ", ""), (f"{name} ", DIM)], references(ends), self.width)
        for position in self.nodes:
            node = self.columns.nodes[position]
            if node.reason:
                first = self.names.node(position) if node.status == "exact" else f"{self.names.node(position)} is {node.status}"
                yield from wrapped([(f"{first}: ", "")], self.names.reason(position), self.width)
