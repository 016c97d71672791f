"""Mermaid flowcharts: https://mermaid.js.org/syntax/flowchart.html.

Nodes have the ids `n0`, `n1` and so on, their positions in the whole lineage; shapes show the resource types. In a label, everything but
letters, digits, spaces and `_` is an entity (`#35;`), so that no name contains a quote, a bracket, a comment (`%%`), HTML or Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from app.lineage.formats.heading import AnyHeading
from app.lineage.formats.labels import labels
from app.lineage.graph import Selection
from app.lineage.resource_types import Shape, drawn_as

SHAPES: Mapping[Shape, tuple[str, str]] = {
    "cylinder": ('[("', '")]'),
    "box3d": ('[["', '"]]'),
    "note": ('>"', '"]'),
    "house": ('(["', '"])'),
    "hexagon": ('{{"', '"}}'),
    "component": ('[/"', '"/]'),
    "folder": ('[\\"', '"\\]'),
    "ellipse": ('("', '")'),
}
BOX = ('["', '"]')
"""All other shapes."""
_SPECIAL = re.compile(r"[^\w ]")


def render(_heading: AnyHeading, selection: Selection) -> Iterator[bytes]:
    """A flowchart from left to right."""
    yield b"flowchart LR\n"
    for number, node, label in labels(selection):
        begin, end = SHAPES.get(drawn_as(node.resource_type).shape, BOX)
        yield f"  n{number}{begin}{escaped(label)}{end}\n".encode()
    for upstream, downstream in selection.pairs():
        yield f"  n{upstream} --> n{downstream}\n".encode()


def escaped(label: str) -> str:
    """A label between quotation marks; never empty, which Mermaid would refuse."""
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", label) or " "
