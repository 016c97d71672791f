"""The columns of a node on its page: what they are, where they come from, what is made of them, and who last changed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.lineage.graph import Graph
from app.lineage.node_selectors import versioned_name
from app.reports import markdown_html
from app.reports.markdown import cut
from app.store.node_history import HistoricCommit
from app.web.pages.node_facts import Block, block_text
from app.web.pages.node_links import MAX_NAME_BYTES, NodeLinks, anchor

Json = Mapping[str, Any]
MAX_COLUMNS = 500
"""That are listed; the JSON has all."""
MAX_ENDS = 8
"""Of a column's edges in one direction."""
MAX_ALL_ENDS = 4_000
"""The same of all columns together."""
MAX_DESCRIPTIONS = 30_000
"""Characters of all descriptions of columns together that are read as Markdown; the others are shown as they are written."""
HOW = {
    "IDENTITY": "as it is",
    "TRANSFORMATION": "transformed",
    "AGGREGATION": "aggregated",
    "JOIN": "joined by",
    "GROUP_BY": "grouped by",
    "FILTER": "filtered by",
    "SORT": "sorted by",
    "WINDOW": "in a window",
    "CONDITIONAL": "by condition",
}


@dataclass(frozen=True, slots=True)
class ColumnLink:
    """A column of another node, or all of its rows."""

    text: str
    address: str
    how: str
    """In words, such as `as it is`."""
    kind: str
    """The resource type of the node."""


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """A column as it is shown."""

    name: str
    anchor: str
    data_type: str | None
    description: Markup
    inherited: ColumnLink | None
    """Where the description comes from, if it is not its own."""
    only_yaml: bool
    """The SQL does not make it."""
    tests: Sequence[tuple[str, str]]
    """Names and addresses."""
    upstream: Sequence[ColumnLink]
    downstream: Sequence[ColumnLink]
    more_upstream: int
    more_downstream: int
    more: Sequence[Block]
    commit: HistoricCommit | None
    """That last changed it; None: not known, or older than the history."""


class ColumnRows:
    """Makes the rows of one node."""

    def __init__(self, graph: Graph, links: NodeLinks, commits: Mapping[str, HistoricCommit]) -> None:
        """`commits` by column."""
        self._graph, self._links, self._commits = graph, links, commits
        self._left, self._ends_left = MAX_DESCRIPTIONS, MAX_ALL_ENDS

    def rows(self, columns: Sequence[Json]) -> list[ColumnRow]:
        """The first `MAX_COLUMNS`, with the fields of `NodeColumn`."""
        return [self._row(column) for column in columns[:MAX_COLUMNS]]

    def ends(self, edges: Sequence[Json]) -> list[ColumnLink]:
        """The first `MAX_ENDS` of a column's edges, or of those to all rows."""
        shown = edges[: min(MAX_ENDS, self._ends_left)]
        self._ends_left -= len(shown)
        return [self._end(edge) for edge in shown]

    def _row(self, column: Json) -> ColumnRow:
        name = column["name"]
        inherited = column["inherited_from"]
        upstream, downstream = self.ends(column["upstream"]), self.ends(column["downstream"])
        return ColumnRow(
            name=name,
            anchor=anchor(name),
            data_type=column.get("data_type"),
            description=self._description(column.get("description") or ""),
            inherited=self._end({**inherited, "subtype": "IDENTITY"}) if inherited else None,
            only_yaml=column.get("in_sql") is False,
            tests=[(test["name"], self._links.node(test["unique_id"])) for test in column.get("tests") or ()],
            upstream=upstream,
            downstream=downstream,
            more_upstream=len(column["upstream"]) - len(upstream),
            more_downstream=len(column["downstream"]) - len(downstream),
            more=[Block(field, block_text(column[field])) for field in ("constraints", "meta", "tags") if column.get(field)],
            commit=self._commits.get(name),
        )

    def _description(self, text: str) -> Markup:
        if len(text) > self._left:
            return Markup("<p>{}</p>").format(text)
        self._left -= len(text)
        return markdown_html.render(text, below=3)

    def _end(self, edge: Json) -> ColumnLink:
        position = self._graph.position(edge["unique_id"])
        node = None if position is None else self._graph.nodes[position]
        name = cut(edge["unique_id"] if node is None else versioned_name(node), MAX_NAME_BYTES)
        column = edge["column"]
        how = f"{HOW.get(edge['subtype'], edge['subtype'])}{'' if edge.get('certain', True) else ', perhaps'}"
        text = f"{name}.{column}" if column else f"rows of {name}"
        return ColumnLink(text, self._links.node(edge["unique_id"], column), how, node.resource_type if node else "")
