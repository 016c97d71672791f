"""Mermaid's flowcharts: https://mermaid.js.org/syntax/flowchart.html.

Nodes are named `n0`, `n1` and so on, by their places in the whole lineage; the names are labels. In a label everything but letters, digits,
blanks and `_` is written as an entity (`#35;`), so that no name is a quote, a bracket, a comment (`%%`), HTML, or Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.formats.heading import Heading
from app.formats.texts import visible
from app.graph import Selection

SHAPES = {"source": ('[("', '")]'), "seed": ('[("', '")]'), "exposure": ('(["', '"])'), "metric": ('{{"', '"}}')}
BOX = ('["', '"]')
"""The shape of everything else."""
_SPECIAL = re.compile(r"[^\w ]")


def texts(_heading: Heading, selection: Selection) -> Iterator[bytes]:
    """Yield a flowchart with an arrow for each pair."""
    yield b"flowchart LR\n"
    for number, node in selection.numbered():
        begin, end = SHAPES.get(node.resource_type, BOX)
        yield f"  n{number}{begin}{_label(node.name)}{end}\n".encode()
    for upstream, downstream in selection.pairs():
        yield f"  n{upstream} --> n{downstream}\n".encode()


def _label(name: str) -> str:
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", visible(name)) or " "
