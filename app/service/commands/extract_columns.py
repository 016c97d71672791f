"""The columns of `extract`: waits for them, selects, and prints them or says why there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from app.core.errors import ColumnsError
from app.lineage import column_selectors, node_selectors
from app.lineage.column_document import StorableColumns
from app.lineage.column_graph import ColumnGraph, ColumnSelection
from app.lineage.column_merge import column_graph
from app.lineage.formats import columns_json
from app.lineage.nodes import Lineage
from app.pipeline.ports import Decoders
from app.pipeline.refresh import NewLineage, Progress
from app.reports import column_listing, column_tree
from app.reports.column_words import Line
from app.reports.command_line import for_command_line
from app.reports.markdown import plain
from app.runner.columns import NoColumns
from app.service.commands.extracted import Extracted, Selected, TracedColumns, graph_of


async def receive(made: NewLineage, decoders: Decoders, progress: Progress) -> TracedColumns | ColumnsError:
    """Wait for the columns of a lineage, and decode them; or why there are none."""
    await progress.enter("columns")
    delivery = made.parsed.columns or NoColumns(made.job)
    try:
        document = await delivery.wait()
        try:
            found = await decoders.columns(document.spool, made.lineage, made.job.label, made.parsed.image, made.secrets())
        finally:
            document.spool.close()
        return await asyncio.to_thread(_traced, made, found)
    except ColumnsError as error:
        return made.redacted(error)
    finally:
        delivery.close()


def select(extracted: Extracted, selection: str) -> Selected:
    """What `--select` means. Raises SelectorError."""
    if extracted.columns is None:
        nodes = node_selectors.select(extracted.graph, selection)
        return Selected(nodes, nodes)
    columns = extracted.columns if isinstance(extracted.columns, ColumnGraph) else None
    found = column_selectors.select(extracted.graph, columns, selection)
    part = found.part(columns) if columns else None
    return Selected(found.nodes, found.nodes | found.on_the_way(columns) if columns else found.nodes, found.followed, part)


def json_fields(columns: ColumnGraph | ColumnsError | None, part: ColumnSelection | None) -> dict[str, Any]:
    """The key `columns` of the JSON document: as `GET …/columns` has it, or why there are none."""
    if isinstance(columns, ColumnsError):
        return {"columns": {"nodes": [], "edges": [], "columns_reason": _reason(columns)}}
    if part is None:
        return {}
    nodes = [orjson.Fragment(node) for node in columns_json.nodes(part)]
    return {"columns": {"nodes": nodes, "edges": [columns_json.edge(edge) for edge in part.edges_by_name()]}}


def print_columns(console: Console, extracted: Extracted, selected: Selected | None) -> None:
    """Print how many models are exact, and the columns of the project, or of the selected nodes, and the followed columns."""
    columns = extracted.columns
    if not isinstance(columns, ColumnGraph):
        return
    width = console.width if console.is_terminal else None
    console.print()
    print_lines(console, [((column_listing.summary(columns), "bold"),)])
    if selected is None:
        print_lines(console, column_listing.project(columns, width))
        return
    print_lines(console, column_listing.nodes(columns, sorted(selected.nodes), width))
    for followed in selected.followed:
        print_lines(console, column_tree.tree(columns, followed, width))


def print_failure(console: Console, extracted: Extracted) -> bool:
    """Print why there are no columns, if they were asked for; whether that is so."""
    if not isinstance(extracted.columns, ColumnsError):
        return False
    text = f"Columns: none. {_reason(extracted.columns)}"
    console.print(plain(text, lines=True), style="red", highlight=False, markup=False, soft_wrap=True)
    return True


def _traced(made: NewLineage, found: StorableColumns) -> TracedColumns:
    assert isinstance(made.lineage, Lineage)  # noqa: S101 - `Inline` returns one
    try:
        nodes = {node.unique_id: node for node in found.nodes()}
    finally:
        found.close()
    graph = column_graph(graph_of(made.lineage), ((node.unique_id, node.status, node.content) for node in nodes.values()))
    return TracedColumns(graph, nodes)


def _reason(error: ColumnsError) -> str:
    return for_command_line(error.user_text)


def print_lines(console: Console, lines: Iterable[Line]) -> None:
    """Print lines that may have texts of strangers."""
    for line in lines:
        text = Text.assemble(*((plain(part, lines=True), style) for part, style in line))
        text.rstrip()
        console.print(text, highlight=False, soft_wrap=True)
