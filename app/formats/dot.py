r"""Graphviz' DOT: https://graphviz.org/doc/info/lang.html.

A node is named by its unique_id. Every name stands between double quotes, where DOT ends a string at a quote without a backslash before it,
reads `\\` as one backslash in labels only, and lets line breaks be: so quotes and backslashes get a backslash each. Labels have one line.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.formats.heading import Heading
from app.formats.texts import visible
from app.graph import Selection

SHAPES = {"source": "cylinder", "seed": "cylinder", "test": "note", "unit_test": "note", "exposure": "house", "metric": "hexagon"}
"""Everything else is a box."""


def texts(heading: Heading, selection: Selection) -> Iterator[bytes]:
    """Yield a digraph with an edge for each pair."""
    yield f"digraph {_quoted(heading.project_name or heading.repository)} {{\n  rankdir=LR;\n  node [shape=box];\n".encode()
    for node in selection.shown():
        shape = SHAPES.get(node.resource_type)
        drawn = f" shape={shape}" if shape else ""
        yield f"  {_quoted(node.unique_id)} [label={_quoted(visible(node.name))} class={_quoted(node.resource_type)}{drawn}];\n".encode()
    for upstream, downstream in selection.pairs():
        yield f"  {_quoted(selection.node(upstream).unique_id)} -> {_quoted(selection.node(downstream).unique_id)};\n".encode()
    yield b"}\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
