"""How columns, and the edges between them, are called on a console. A line is a sequence of texts with their styles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from app.lineage.column_document import DIRECT, Subtype
from app.lineage.column_graph import CERTAIN, SUBTYPES, ColumnGraph
from app.lineage.column_tests import quoted
from app.lineage.formats.labels import labels, visible
from app.lineage.graph import Selection

Span = tuple[str, str]
"""A text and its style, as rich calls it."""
Line = Sequence[Span]
DIM = "dim"
STATUS_STYLES: Mapping[str, str] = {"exact": "green", "approximate": "yellow", "unknown": "red"}
FROM: Mapping[Subtype, str] = {"IDENTITY": "", "TRANSFORMATION": "computed from ", "AGGREGATION": "aggregated from "}
INTO: Mapping[Subtype, str] = {"IDENTITY": "", "TRANSFORMATION": "computed into ", "AGGREGATION": "aggregated into "}
MADE = ("model", "snapshot")
"""Types whose columns are made of others, and that are counted by status."""
UNCERTAIN = "?"
MAX_REFERENCES = 20
"""In one list; the rest is counted."""


class ColumnNames:
    """Names for people."""

    def __init__(self, columns: ColumnGraph) -> None:
        self._columns = columns

    @cached_property
    def _labels(self) -> dict[int, str]:
        graph = self._columns.graph
        return {number: label for number, _, label in labels(Selection(graph, self._columns.nodes))}

    def node(self, position: int) -> str:
        """Of a node: `orders`, `erp.orders` for a table of a source."""
        return self._labels[position]

    def own(self, column: int) -> str:
        """Of a column, in quotes if it is no word."""
        return quoted(visible(self._columns.name(column)))

    def column(self, column: int) -> str:
        """Of a column, with its node: `orders.total`."""
        return f"{self.node(self._columns.owner(column))}.{self.own(column)}"

    def nothing(self, column: int) -> str:
        """Instead of the names of the columns that a column is made of, if there are none."""
        node, in_sql = self._columns.nodes[self._columns.owner(column)], self._columns.column(column).in_sql
        if in_sql is False:
            return "nothing: only a YAML file names it"
        if node.status != "exact" or in_sql is None:
            return "not known"
        return "no column that dbt knows" if node.hard_coded else "no column"

    def reason(self, position: int) -> list[Span]:
        """Why a node is not exact, or what there is to know of it, as words that a line may be broken between."""
        node = self._columns.nodes[position]
        style = DIM if node.status == "exact" else STATUS_STYLES[node.status]
        return [(f"{word} ", style) for word in visible(node.reason or "").split()]

    def upstream(self, edges: Iterable[int]) -> list[tuple[Subtype, list[str]]]:
        """The upstream ends of edges by subtype, the values first."""
        found: dict[Subtype, list[str]] = {}
        for edge in edges:
            code = self._columns.code(edge)
            found.setdefault(subtype(code), []).append(f"{self.column(self._columns.upstream(edge))}{mark(code)}")
        return [(name, found[name]) for name in SUBTYPES if name in found]


def subtype(code: int) -> Subtype:
    """The subtype of an edge's code."""
    return SUBTYPES[code & ~CERTAIN]


def mark(code: int) -> str:
    """What follows the name of an edge's end."""
    return "" if code & CERTAIN else UNCERTAIN


def is_direct(code: int) -> bool:
    """Whether the value of a column is made of the other one."""
    return subtype(code) in DIRECT


def references(names: Iterable[str]) -> list[Span]:
    """A list of names as units that a line may be broken between."""
    listed = list(dict.fromkeys(names))
    first, rest = listed[:MAX_REFERENCES], len(listed) - MAX_REFERENCES
    units = [(f"{name}, ", "") for name in first[:-1]] + [(name, "") for name in first[-1:]]
    return [*units, (f" and {rest:,} more", DIM)] if rest > 0 else units


def wrapped(first: Line, units: Sequence[Span], width: int | None) -> list[Line]:
    """A line that begins with `first`, with more lines below the units of its end if it is wider than `width` characters."""
    indent = sum(len(text) for text, _ in first)
    lines, line, used = [], list(first), indent
    for text, style in units:
        if width is not None and used + len(text.rstrip()) > width and used > indent:
            lines.append(line)
            line, used = [(" " * indent, "")], indent
        line.append((text, style))
        used += len(text)
    return [*lines, line]
