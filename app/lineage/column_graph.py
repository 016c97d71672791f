"""The columns of a lineage in memory, numbered, with the edges between them. `column_merge` builds it, `column_reach` follows it.

An edge goes from a column to a column of another node, or to all rows of it. Everything is in flat arrays: big projects have millions.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, get_args

import msgspec

from app.lineage.column_document import DIRECT, ColumnStatus, Subtype
from app.lineage.graph import Graph

EdgeType = Literal["DIRECT", "INDIRECT"]
SUBTYPES: tuple[Subtype, ...] = get_args(Subtype)
TYPES: tuple[EdgeType, ...] = tuple("DIRECT" if name in DIRECT else "INDIRECT" for name in SUBTYPES)
CERTAIN = 16
"""In the code of an edge, beside the number of its subtype."""
CERTAIN_IDENTITY = CERTAIN | SUBTYPES.index("IDENTITY")
ROWS = -1
"""The downstream end of an edge that all rows of its node depend on."""
NONE = -1
IN_SQL = (None, False, True)
COLUMN_BYTES, EDGE_BYTES, NODE_BYTES, TEXT_BYTES = 42, 13, 700, 60
"""Approximate memory. Names and types are shared by all columns that have them."""


class TracedNode(msgspec.Struct, gc=False):
    """A node with columns. Its edges are `first` to `rows` (to one column each) and `rows` to `last` (to all of its rows)."""

    status: ColumnStatus
    reason: str | None
    open: bool
    """Whether it may have more columns than these."""
    hard_coded: tuple[str, ...]
    columns: array[int]
    first: int = 0
    rows: int = 0
    last: int = 0
    file: str | None = None
    """Of a seed, the digest of its file (`ColumnContent.rows`)."""


class ColumnEdge(msgspec.Struct, frozen=True, gc=False):
    """An edge by names. `downstream_column` is None for all rows."""

    upstream: str
    upstream_column: str
    downstream: str
    downstream_column: str | None
    type: EdgeType
    subtype: Subtype
    certain: bool


class ColumnPlace(msgspec.Struct, frozen=True, gc=False):
    """A column by names."""

    unique_id: str
    column: str


class TracedColumn(msgspec.Struct, frozen=True, gc=False):
    """A column as it is shown, in the order and with the names of the API."""

    name: str
    data_type: str | None
    """As in the YAML file, or else as the SQL casts it."""
    description: str
    documented: bool
    """Whether the description is its own."""
    inherited_from: ColumnPlace | None
    """Where the description was found, if it is not its own."""
    in_sql: bool | None
    """True: the SQL makes it (of a source: reads it; of a seed: its header has it). False: only a YAML file names it. None: not known."""


@dataclass(slots=True)
class ColumnArrays:
    """Columns and edges by number."""

    names: list[str] = field(default_factory=list)
    types: list[str | None] = field(default_factory=list)
    owners: array[int] = field(default_factory=lambda: array("i"))
    """The position of a column's node in the graph."""
    in_sql: bytearray = field(default_factory=bytearray)
    """Indexes into `IN_SQL`."""
    first: array[int] = field(default_factory=lambda: array("i"))
    last: array[int] = field(default_factory=lambda: array("i"))
    """The edges into a column."""
    up: array[int] = field(default_factory=lambda: array("i"))
    down: array[int] = field(default_factory=lambda: array("i"))
    """The downstream column, or the position of the node all of whose rows depend on the edge, as `~position`: a negative number."""
    codes: bytearray = field(default_factory=bytearray)
    descriptions: dict[int, str] = field(default_factory=dict)
    """Those of their own, by column."""


class ColumnGraph:
    """Immutable. Nodes are known by their positions in `graph`, columns and edges by numbers."""

    def __init__(self, graph: Graph, nodes: Mapping[int, TracedNode], arrays: ColumnArrays) -> None:
        """`nodes` by position, in order; the edges of a node are sorted by their downstream ends, those to all rows last."""
        self.graph, self.nodes = graph, nodes
        self._arrays = arrays
        self._out_first, self._out = _indexed(arrays)
        self._origins = _origins(arrays, self.edges_out_of)
        self.nbytes = _size(arrays) + NODE_BYTES * len(nodes)
        """Approximate memory, without the graph."""

    @property
    def edge_count(self) -> int:
        """Number of edges."""
        return len(self._arrays.up)

    def unique_id(self, position: int) -> str:
        """Of a node."""
        return self.graph.nodes[position].unique_id

    def name(self, column: int) -> str:
        """Of a column."""
        return self._arrays.names[column]

    def owner(self, column: int) -> int:
        """The position of its node."""
        return self._arrays.owners[column]

    def upstream(self, edge: int) -> int:
        """The upstream column."""
        return self._arrays.up[edge]

    def downstream(self, edge: int) -> int:
        """The downstream column, or `ROWS`."""
        return max(self._arrays.down[edge], ROWS)

    def below(self, edge: int) -> int:
        """The position of the downstream node."""
        down = self._arrays.down[edge]
        return ~down if down < 0 else self._arrays.owners[down]

    def code(self, edge: int) -> int:
        """The number of the subtype in `SUBTYPES`, with `CERTAIN`."""
        return self._arrays.codes[edge]

    def edges_into(self, column: int) -> range:
        """The edges that end at a column."""
        return range(self._arrays.first[column], self._arrays.last[column])

    def edges_out_of(self, column: int) -> array[int]:
        """The edges that begin at a column."""
        return self._out[self._out_first[column] : self._out_first[column + 1]]

    def followers(self, column: int) -> tuple[list[int], list[int]]:
        """The columns that depend on a column, and the positions of the nodes all of whose rows do; perhaps several times."""
        below = [self._arrays.down[edge] for edge in self.edges_out_of(column)]
        return [one for one in below if one >= 0], [~one for one in below if one < 0]

    def row_edges(self, position: int) -> range:
        """The edges that end at all rows of a node."""
        node = self.nodes.get(position)
        return range(node.rows, node.last) if node else range(0)

    def column(self, number: int) -> TracedColumn:
        """A column as it is shown."""
        arrays, origin = self._arrays, self._origins[number]
        return TracedColumn(
            name=arrays.names[number],
            data_type=arrays.types[number],
            description=arrays.descriptions.get(origin, ""),
            documented=origin == number,
            inherited_from=self.place(origin) if self.inherits(number) else None,
            in_sql=IN_SQL[arrays.in_sql[number]],
        )

    def inherits(self, column: int) -> bool:
        """Whether a column has no description of its own, and that of another one."""
        return self._origins[column] not in (NONE, column)

    def place(self, column: int) -> ColumnPlace:
        """A column by names."""
        return ColumnPlace(self.unique_id(self.owner(column)), self.name(column))

    def edge(self, number: int) -> ColumnEdge:
        """An edge by names."""
        arrays = self._arrays
        up, down, code = arrays.up[number], arrays.down[number], arrays.codes[number]
        subtype = code & ~CERTAIN
        return ColumnEdge(
            self.unique_id(arrays.owners[up]),
            arrays.names[up],
            self.unique_id(self.below(number)),
            None if down < 0 else arrays.names[down],
            TYPES[subtype],
            SUBTYPES[subtype],
            certain=bool(code & CERTAIN),
        )

    def whole(self) -> ColumnSelection:
        """Everything."""
        return ColumnSelection(self, {position: node.columns for position, node in self.nodes.items()}, range(self.edge_count))

    def between(self, positions: Sequence[int]) -> ColumnSelection:
        """The columns of these nodes, with the edges between them."""
        chosen = set(positions)
        nodes = {position: self.nodes[position].columns for position in sorted(chosen & self.nodes.keys())}
        edges = [
            edge
            for position in nodes
            for edge in range(self.nodes[position].first, self.nodes[position].last)
            if self._arrays.owners[self._arrays.up[edge]] in chosen
        ]
        return ColumnSelection(self, nodes, edges)


@dataclass(frozen=True, slots=True)
class ColumnSelection:
    """A part of the columns: nodes by position with the numbers of their columns, and the numbers of edges, all in order."""

    columns: ColumnGraph
    nodes: Mapping[int, Sequence[int]]
    edges: Sequence[int]

    def edges_by_name(self) -> Iterator[ColumnEdge]:
        """The edges."""
        return map(self.columns.edge, self.edges)


def _size(arrays: ColumnArrays) -> int:
    shared = {*arrays.names, *filter(None, arrays.types)}
    texts = sum(TEXT_BYTES + len(text) for text in shared) + sum(2 * TEXT_BYTES + len(text) for text in arrays.descriptions.values())
    return COLUMN_BYTES * len(arrays.names) + EDGE_BYTES * len(arrays.up) + texts


def _indexed(arrays: ColumnArrays) -> tuple[array[int], array[int]]:
    """The edges out of each column: where they start in an array of edges, and that array."""
    numbers = Counter(arrays.up)
    first = array("i", accumulate(map(numbers.__getitem__, range(len(arrays.names))), initial=0))
    place, out = first[:], array("i", bytes(4 * len(arrays.up)))
    for edge, up in enumerate(arrays.up):
        out[place[up]] = edge
        place[up] += 1
    return first, out


def _origins(arrays: ColumnArrays, out_of: Callable[[int], array[int]]) -> array[int]:
    """For each column the one whose description it has, or `NONE`: the nearest one upstream along certain identity edges.

    All described columns start together, so each column is visited once, and circles do no harm.
    """
    origins = array("i", [NONE]) * len(arrays.names)
    reached = sorted(arrays.descriptions)
    for column in reached:
        origins[column] = column
    for column in reached:  # it grows
        for edge in out_of(column):
            down = arrays.down[edge]
            if arrays.codes[edge] == CERTAIN_IDENTITY and down >= 0 and origins[down] == NONE:
                origins[down] = origins[column]
                reached.append(down)
    return origins
