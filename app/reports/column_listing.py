"""The columns of a project for a console: how many models are exact, then each node with where its columns come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from app.core.plurals import count
from app.lineage.column_graph import CERTAIN, ColumnGraph
from app.lineage.formats.labels import visible
from app.lineage.resource_types import label
from app.reports.column_words import DIM, FROM, MADE, STATUS_STYLES, UNCERTAIN, ColumnNames, Line, Span, references, wrapped

MAX_NODES = 50
"""Of a whole project. What is selected is listed whole."""
MAX_COLUMNS = 200
"""Of a node."""
MAX_NAME, MAX_TYPE = 40, 24
"""Characters to align to."""
MAX_REASONS = 20
MAX_EXAMPLES = 3

Key = TypeVar("Key", str, tuple[str, str])


def summary(columns: ColumnGraph) -> str:
    """One line: "Columns: 13 models, 12 exact, 1 approximate; 94 columns, 143 edges."."""
    kinds, statuses, number = Counter[str](), Counter[str](), 0
    for position in _models(columns):
        kinds[columns.graph.nodes[position].resource_type] += 1
        statuses[columns.nodes[position].status] += 1
        number += len(columns.nodes[position].columns)
    if not kinds:
        return "Columns: the project has no models."
    what = " and ".join(count(kinds[kind], kind) for kind in MADE if kinds[kind])
    split = [f"{statuses[status]:,} {status}" for status in STATUS_STYLES if statuses[status]]
    how = f"all {next(iter(statuses))}" if len(statuses) == 1 and kinds.total() > 1 else ", ".join(split)
    uncertain = columns.edge_count - sum(bool(columns.code(edge) & CERTAIN) for edge in range(columns.edge_count))
    doubts = f", {uncertain:,} of them not certain ({UNCERTAIN})" if uncertain else ""
    return f"Columns: {what}, {how}; {count(number, 'column')}, {count(columns.edge_count, 'edge')}{doubts}."


def project(columns: ColumnGraph, width: int | None) -> Iterator[Line]:
    """All models and snapshots, or of a big project only what is not exact, and how to see the others."""
    positions = _models(columns)
    if len(positions) <= MAX_NODES:
        yield from nodes(columns, positions, width)
        return
    yield from _overview(columns, positions, width)
    yield ()
    yield ((f"{len(positions):,} are too many to list here. --select NAME lists some of them, --select '*' all.", ""),)


def nodes(columns: ColumnGraph, positions: Iterable[int], width: int | None) -> Iterator[Line]:
    """Each of these nodes with its columns."""
    names = ColumnNames(columns)
    for position in positions:
        if position in columns.nodes:
            yield ()
            yield from _NodeListing(columns, names, position, width).lines()


class _NodeListing:
    """The lines of one node."""

    def __init__(self, columns: ColumnGraph, names: ColumnNames, position: int, width: int | None) -> None:
        self._columns, self._names, self._position, self._width = columns, names, position, width
        self._node = columns.nodes[position]
        self._kind = columns.graph.nodes[position].resource_type
        self._is_made = self._kind in MADE

    def lines(self) -> Iterator[Line]:
        """The node's name and status, its columns, what its rows depend on, tables that dbt does not know."""
        yield from self._head()
        yield from self._listed()
        yield from self._rows()
        if self._node.open and self._node.columns and not (self._node.reason and self._node.status == "exact"):
            yield (("  and perhaps more columns", DIM),)
        if self._node.hard_coded:
            tables = references(visible(name) for name in self._node.hard_coded)
            yield from wrapped([("  not in dbt's graph: ", "yellow")], tables, self._width)

    def _head(self) -> Iterator[Line]:
        name, node = (self._names.node(self._position), "bold"), self._node
        kind = [] if self._kind == "model" else [(f"  {label(self._kind)}", DIM)]
        yield [name, *kind, *([(f"  {node.status}", STATUS_STYLES[node.status])] if self._is_made or node.status != "exact" else [])]
        if node.reason:
            yield from wrapped([("  ", "")], self._names.reason(self._position), self._width)

    def _listed(self) -> Iterator[Line]:
        numbers = self._node.columns[:MAX_COLUMNS]
        shown = {number: self._columns.column(number) for number in numbers}
        types = {number: visible(one.data_type or "") for number, one in shown.items()}
        names = {number: self._names.own(number) for number in numbers}
        name_width, type_width = _widest(names.values(), MAX_NAME), _widest(types.values(), MAX_TYPE)
        for number in numbers:
            ends = self._ends(number)
            first = f"  {names[number]:<{name_width}}", f"  {types[number]:<{type_width}}" if type_width else ""
            line: list[Span] = [(first[0], ""), (first[1], "cyan"), *([("  <- ", DIM)] if ends else [])]
            yield from wrapped(line, ends, self._width)
        if (rest := len(self._node.columns) - len(numbers)) > 0:
            yield ((f"  and {count(rest, 'more column')}: --json lists all", DIM),)

    def _ends(self, number: int) -> list[Span]:
        ends = self._grouped(self._columns.edges_into(number))
        # Of unknown nodes, only YAML files say something: that is in the reason.
        return ends if ends or not self._is_made or self._node.status == "unknown" else [(self._names.nothing(number), DIM)]

    def _grouped(self, edges: Iterable[int]) -> list[Span]:
        """The upstream columns, by what becomes of them: "stg.id; computed from stg.a, stg.b; WINDOW stg.day"."""
        units: list[Span] = []
        for name, found in self._names.upstream(edges):
            words = FROM.get(name, f"{name} ")
            units += [*([("; ", DIM)] if units else []), *([(words, DIM)] if words else []), *references(found)]
        return units

    def _rows(self) -> Iterator[Line]:
        for name, found in self._names.upstream(self._columns.row_edges(self._position)):
            yield from wrapped([("  rows: ", DIM), (f"{name} ", DIM)], references(found), self._width)


def _models(columns: ColumnGraph) -> list[int]:
    return [position for position in columns.nodes if columns.graph.nodes[position].resource_type in MADE]


def _overview(columns: ColumnGraph, positions: Sequence[int], width: int | None) -> Iterator[Line]:
    """What is not exact, by reason, and the tables that dbt does not know; the most frequent ones first."""
    reasons: dict[tuple[str, str], list[int]] = {}
    tables: dict[str, list[int]] = {}
    for position in positions:
        node = columns.nodes[position]
        if node.status != "exact":
            reasons.setdefault((node.status, node.reason or ""), []).append(position)
        for name in node.hard_coded:
            tables.setdefault(name, []).append(position)
    names = ColumnNames(columns)
    for (status, reason), found in _most_frequent(reasons):
        text = f"{len(found):,} {status} ({_examples(names, found)}){f': {visible(reason)}' if reason else ''}"
        yield from wrapped([("  ", "")], [(f"{word} ", STATUS_STYLES[status]) for word in text.split()], width)
    for name, found in _most_frequent(tables):
        yield from wrapped([("  not in dbt's graph: ", "yellow")], [(visible(name), ""), (f" in {_examples(names, found)}", DIM)], width)


def _most_frequent(groups: Mapping[Key, list[int]]) -> list[tuple[Key, list[int]]]:
    return sorted(groups.items(), key=lambda group: -len(group[1]))[:MAX_REASONS]


def _examples(names: ColumnNames, positions: Sequence[int]) -> str:
    rest = len(positions) - MAX_EXAMPLES
    return ", ".join(map(names.node, positions[:MAX_EXAMPLES])) + (f" and {rest:,} more" if rest > 0 else "")


def _widest(texts: Iterable[str], limit: int) -> int:
    return min(max(map(len, texts), default=0), limit)
