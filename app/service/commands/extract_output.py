"""What `extract` prints and writes."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from rich.console import Console
from rich.table import Table

from app.core.models.extractions import Problem
from app.core.plurals import count
from app.lineage import resource_types
from app.lineage.column_graph import ColumnSelection
from app.lineage.formats import columns_csv, dot, edges_csv, graphml, mermaid, openlineage
from app.lineage.formats.heading import Heading
from app.lineage.formats.openlineage import OpenLineageLinks
from app.lineage.graph import Selection
from app.lineage.node_selectors import SelectorError, versioned_name
from app.reports.command_line import for_command_line
from app.reports.markdown import plain
from app.service.commands import extract_columns
from app.service.commands.extracted import Extracted, Selected

Format = Literal["summary", "json", "dot", "mermaid", "graphml", "csv", "openlineage"]
MAX_NAMED = 3
"""Changed files that are named."""


class LogStream(io.StringIO):
    """Writes the log above the progress of a console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def write(self, text: str) -> int:
        """Print one or more lines."""
        if line := text.rstrip("\n"):
            self._console.print(plain(line, lines=True), style="dim", highlight=False, markup=False)
        return len(text)


def document(extracted: Extracted, output_format: Format, selected: Selected | None) -> bytes:
    """The lineage, or the selected nodes, in a format; where columns were asked for, with them (`csv`: only them)."""
    graph = extracted.graph
    numbers = range(len(graph.nodes)) if selected is None else sorted(selected.positions)
    selection, heading, columns = Selection(graph, numbers), _heading(extracted), extracted.column_part(selected)
    if output_format == "json":
        return _json(extracted, selection, columns)
    if output_format == "openlineage":
        links = OpenLineageLinks(f"file:///{extracted.source.repository.full_name}")
        return b"".join(openlineage.render(heading, selection, links, columns)) + b"\n"
    if output_format == "csv" and extracted.columns is not None:
        return b"".join(columns_csv.render(columns))
    render = {"dot": dot.render, "mermaid": mermaid.render, "graphml": graphml.render, "csv": edges_csv.render}[output_format]
    return b"".join(render(heading, selection))


def print_problem(console: Console, problem: Problem) -> None:
    """Print why there is no lineage, with each file and line that is involved."""

    def say(text: str, style: str = "") -> None:
        if text:
            console.print(plain(text, lines=True), style=style, highlight=False, markup=False, soft_wrap=True)

    say(f"{problem.title}.", "bold red")
    say(f"in {place(problem.path, problem.line)}" if problem.path else "", "bold")
    say(problem.output.strip() or problem.message)
    for remark in problem.remarks:
        if (remark.path, remark.line, remark.level) != (problem.path, problem.line, "failure") or not problem.output:
            # Of the files that one error names, the first has said what it is.
            again = remark.level == "failure" and problem.output and remark.message.startswith(problem.output.strip())
            said = (
                f"also in {place(remark.path, remark.line)}"
                if again
                else f"{place(remark.path, remark.line)}: {remark.title}: {remark.message}"
            )
            say(said.removeprefix(": "))
    say(problem.next_step)


def print_selector_error(console: Console, error: SelectorError) -> None:
    """Print what is wrong with `--select`."""
    similar = f" Did you mean {' or '.join(error.candidates[:MAX_NAMED])}?" if error.candidates else ""
    console.print(plain(f"--select: {error}.{similar}"), style="red", highlight=False, markup=False, soft_wrap=True)


def print_uncommitted(console: Console, head_sha: str | None, files: Sequence[str]) -> None:
    """Say that the lineage is not that of a commit."""
    names = ", ".join(files[:MAX_NAMED]) + (" …" if len(files) > MAX_NAMED else "")
    based = f" on top of {head_sha[:7]}" if head_sha else ""
    text = f"Reading the files as they are: {count(len(files), 'file')} not committed{based} ({names})."
    console.print(plain(text), highlight=False, markup=False, soft_wrap=True)


def print_summary(console: Console, extracted: Extracted) -> None:
    """Print the number of nodes by type, and how the project was read."""
    lineage, result = extracted.lineage, extracted.result
    title = f"{lineage.project_name} · {extracted.label} · dbt {lineage.dbt_version} · {lineage.adapter_type}"
    console.print(plain(title), style="bold", highlight=False, markup=False, soft_wrap=True)
    table = Table("resource", "count")
    for kind, number in lineage.counts().items():
        table.add_row(resource_types.label(kind), f"{number:,}")
    table.add_row("edges", f"{lineage.edge_count:,}")
    console.print(table)
    placeholders = (_placeholder(placeholder) for placeholder in result["placeholders"])
    for line in (*result["notes"], *placeholders, *(_remark(remark) for remark in result["remarks"])):
        console.print(plain(line, lines=True), highlight=False, markup=False, soft_wrap=True)


def print_nodes(console: Console, extracted: Extracted, selected: Collection[int]) -> None:
    """Print the selected nodes."""
    console.print(f"\n{count(len(selected), 'node')} selected", style="bold")
    table = Table("node", "resource", "file")
    for number in sorted(selected):
        node = extracted.graph.nodes[number]
        path = orjson.loads(node.content)["original_file_path"]
        table.add_row(*(plain(text) for text in (versioned_name(node), resource_types.label(node.resource_type), path)))
    console.print(table)


def place(path: str | None, line: int | None) -> str:
    """A file and its line, if they are known."""
    return f"{path}{f', line {line}' if line else ''}" if path else ""


def _placeholder(fields: Mapping[str, Any]) -> str:
    where = place(fields["path"], fields["line"]) or "location unknown"
    return f"Placeholder used: {fields['kind']} {fields['name']} = {fields['value']!r} ({where})"


def _remark(fields: Mapping[str, Any]) -> str:
    text = f"{place(fields['path'], fields['line'])}: {fields['title']}: {fields['message']}".removeprefix(": ")
    return for_command_line(text)


def _heading(extracted: Extracted) -> Heading:
    lineage, source = extracted.lineage, extracted.source
    return Heading(
        connection_id="",
        repository=source.repository.full_name,
        branch="",
        project_dir=extracted.refreshed.layout.project_dir,
        project_name=lineage.project_name,
        sha=source.sha,
        head_sha=source.head_sha,
        state=None,
        stale=False,
        stale_reason=None,
        extracted_at=datetime.now(UTC),
        dbt_version=lineage.dbt_version,
        adapter_type=lineage.adapter_type,
        manifest_schema=lineage.manifest_schema,
    )


def _json(extracted: Extracted, selection: Selection, columns: ColumnSelection | None) -> bytes:
    lineage, result, source = extracted.lineage, extracted.result, extracted.source
    heading = {
        "repository": source.repository.full_name,
        "project_dir": extracted.refreshed.layout.project_dir,
        "project_name": lineage.project_name,
        "sha": source.sha,
        "head_sha": source.head_sha,
        "uncommitted": source.uncommitted,
        "dbt_version": lineage.dbt_version,
        "adapter_type": lineage.adapter_type,
        "manifest_schema": lineage.manifest_schema,
        **{name: result[name] for name in ("target", "evidence", "notes", "placeholders", "remarks")},
        "nodes": [orjson.Fragment(content) for content in selection.nodes()],
        "edges": [orjson.Fragment(edges) for edges in _edges(selection)],
        **extract_columns.json_fields(extracted.columns, columns),
    }
    return orjson.dumps(heading, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _edges(selection: Selection) -> list[bytes]:
    return [
        orjson.dumps({"upstream": selection.node(upstream).unique_id, "downstream": selection.node(downstream).unique_id})
        for upstream, downstream in selection.pairs()
    ]
