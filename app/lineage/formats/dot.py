r"""Graphviz DOT: https://graphviz.org/doc/info/lang.html.

A node is named by its unique_id. Shape, color and class show the resource type, and the label of the graph explains them; the class of an
edge has the types of both ends. All names are in double quotes. DOT ends a string at a quote without a backslash, reads `\\` as one
backslash in labels only, and keeps line breaks: so quotes and backslashes get a backslash each, and labels are on one line.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.lineage.formats.heading import AnyHeading, title
from app.lineage.formats.labels import labels
from app.lineage.graph import Selection
from app.lineage.resource_types import BY_NAME, drawn_as, in_order
from app.lineage.resource_types import label as type_label


def render(heading: AnyHeading, selection: Selection) -> Iterator[bytes]:
    """A digraph."""
    yield f"digraph {_quoted(title(heading))} {{\n  rankdir=LR;\n".encode()
    yield b"  node [shape=box style=filled fillcolor=white];\n" + _legend(selection)
    for _, node, label in labels(selection):
        kind = drawn_as(node.resource_type)
        drawn = f"shape={kind.shape} fillcolor={_quoted(kind.color)}"
        yield f"  {_quoted(node.unique_id)} [label={_quoted(label)} class={_quoted(node.resource_type)} {drawn}];\n".encode()
    for pair in selection.pairs():
        upstream, downstream = map(selection.node, pair)
        between = _quoted(f"{upstream.resource_type} {downstream.resource_type}")
        yield f"  {_quoted(upstream.unique_id)} -> {_quoted(downstream.unique_id)} [class={between}];\n".encode()
    yield b"}\n"


def _legend(selection: Selection) -> bytes:
    """The label of the graph: the colors of the resource types in it."""
    types = in_order(dict.fromkeys({node.resource_type for node in selection.graph_nodes()} & BY_NAME.keys(), 1))
    cells = "".join(f'<td bgcolor="{BY_NAME[name].color}">{type_label(name)}</td>' for name in types)
    table = f'<table border="0" cellborder="1" cellspacing="4"><tr>{cells}</tr></table>'
    return f"  label=<{table}>;\n  labelloc=b;\n".encode() if cells else b""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
