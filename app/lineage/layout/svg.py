"""A neighbourhood as a picture that needs nothing else: https://www.w3.org/TR/SVG2/.

Names are untrusted: they stand between tags only, escaped and on one line. Colors follow the reader's preference for light or dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from app.lineage.formats.labels import visible
from app.lineage.formats.xml_text import escaped
from app.lineage.layout.neighbourhood import HEIGHT, WIDTH
from app.lineage.layout.scene import Mark
from app.lineage.layout.shapes import Appearance, appearances
from app.lineage.resource_types import BY_NAME, drawn_as, in_order

MARGIN, HEADING, LEGEND_ROW = 20, 34, 26
MIN_WIDTH = 420
KEY_WIDTH, KEY_HEIGHT, KEY_ROOM = 46, 18, 150
"""Of an entry of the legend, and what it needs with its text."""
LETTER_WIDTH = 28
NAME_WIDTH = WIDTH - LETTER_WIDTH - 22
MAX_NAME, NATURAL_NAME = 28, 23
"""Characters; a longer name than the second is fitted to the node by the reader's program."""
MAX_SPOKEN = 100
"""Edges that the description lists."""
SIGNS: Final[dict[Mark, str]] = {"added": "+", "removed": "\N{MINUS SIGN}", "changed": "~"}
Point = tuple[int, int]

LIGHT = """svg{background:#fff}
text{font:12px system-ui,sans-serif;fill:#1f2328}
.small{font-size:10px}.letter{font-weight:700}.quiet,.edge{opacity:.75}
.edge{fill:none;stroke:#59636e;stroke-width:1.2}
.focus .shape{stroke-width:3}.sign{font-weight:700}
.shape.added,.edge.added{stroke:#1a7f37;stroke-width:2.4}.shape.removed,.edge.removed{stroke:#cf222e;stroke-width:2.4;stroke-dasharray:5 3}
.shape.changed,.edge.changed{stroke:#9a6700;stroke-width:2.4;stroke-dasharray:1 2}
"""
DARK = """svg{background:#0d1117}text{fill:#f0f6fc}.edge{stroke:#9198a1}
.shape.added,.edge.added{stroke:#3fb950}.shape.removed,.edge.removed{stroke:#f85149}.shape.changed,.edge.changed{stroke:#d29922}
"""


def svg(document: Mapping[str, Any]) -> bytes:
    """Draw a neighbourhood of the API."""
    types = _types(document["nodes"])
    width = max(document["width"], MIN_WIDTH) + 2 * MARGIN
    top, per_row = MARGIN + HEADING, max(1, (width - 2 * MARGIN) // KEY_ROOM)
    keys = [*appearances(KEY_WIDTH, KEY_HEIGHT, types)]
    legend = top + document["height"] + MARGIN
    height = legend + -(-len(keys) // per_row) * LEGEND_ROW + MARGIN
    looks = {look.resource_type: look for look in appearances(WIDTH, HEIGHT, types)}
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">\n',
            f"<title>{_text(_title(document))}</title>\n<desc>{_text(_description(document))}</desc>\n",
            f"<style>{_style(types)}</style>\n",
            f'<text x="{MARGIN}" y="{MARGIN + 12}">{_text(_title(document))}</text>\n<g transform="translate({MARGIN} {top})">\n',
            *map(_edge, document["edges"]),
            *(_node(node, looks[_type(node)], is_focus=node["unique_id"] == document["focus"]) for node in document["nodes"]),
            "</g>\n",
            *_legend(keys, legend, per_row),
            "</svg>\n",
        ]
    ).encode()


def curve(points: Sequence[Point]) -> str:
    """An SVG path through points, level at each of them."""
    path = "M{} {}".format(*points[0])
    for (x, y), (right, other) in pairwise(points):
        bend = max(24, abs(right - x) // 2)
        path += f"H{right}" if y == other and right > x else f"C{x + bend} {y} {right - bend} {other} {right} {other}"
    return path


def _types(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    found = {_type(node) for node in nodes}
    return [*in_order(dict.fromkeys(found & BY_NAME.keys(), 1)), *sorted(found - BY_NAME.keys())]


def _type(node: Mapping[str, Any]) -> str:
    """Its resource type; a lineage of an earlier release may have others, which are drawn as one."""
    name: str = node["resource_type"]
    return name if name in BY_NAME else "other"


def _title(document: Mapping[str, Any]) -> str:
    stale = ", stale" if document["stale"] else ""
    base = f" compared with {document['base'][:7]}" if document["base"] else ""
    return f"{document['repository']} at {document['sha'][:7]}{base}{stale}: around {document['focus']}"


def _description(document: Mapping[str, Any]) -> str:
    names = {node["unique_id"]: node["name"] for node in document["nodes"]}
    edges = [f"{names[edge['upstream']]} to {names[edge['downstream']]}" for edge in document["edges"][:MAX_SPOKEN]]
    rest = len(document["edges"]) - len(edges)
    return f"{len(names)} nodes, upstream on the left. Edges: {'; '.join(edges) or 'none'}{f'; and {rest} more' if rest else ''}."


def _style(types: Sequence[str]) -> str:
    rows = [(name, drawn_as(name)) for name in types]
    light = "".join(_colors(name, row.color, row.ink) for name, row in rows)
    dark = "".join(_colors(name, row.dark_color, row.dark_ink) for name, row in rows)
    return f"{light}{LIGHT}\n@media (prefers-color-scheme:dark){{{dark}{DARK}}}"


def _colors(name: str, color: str, ink: str) -> str:
    return f".{name} .shape{{fill:{color};stroke:{ink}}}.{name} .letter{{fill:{ink}}}"


def _edge(edge: Mapping[str, Any]) -> str:
    return f'<path class="edge {edge["change"] or ""}" d="{curve(edge["points"])}"/>\n'


def _node(node: Mapping[str, Any], look: Appearance, *, is_focus: bool) -> str:
    name = _text(_short(visible(node["name"])))
    fitted = f' textLength="{NAME_WIDTH}" lengthAdjust="spacingAndGlyphs"' if len(node["name"]) > NATURAL_NAME else ""
    more = " ".join(f"{sign}{count}" for sign, count in (("\u25c2", node["more_upstream"]), ("\u25b8", node["more_downstream"])) if count)
    sign = f'<text class="sign" x="10" y="34">{SIGNS[node["change"]]}</text>' if node["change"] else ""
    below = _text(visible(node["materialized"] or look.label)[:MAX_NAME])
    return (
        f'<g class="{look.resource_type}{" focus" if is_focus else ""}" transform="translate({node["x"]} {node["y"]})">'
        f'<title>{_text(node["unique_id"])}</title><path class="shape {node["change"] or ""}" d="{look.outline}"/>'
        f'<text class="letter" x="10" y="18">{look.letter}</text><text x="{LETTER_WIDTH + 6}" y="18"{fitted}>{name}</text>'
        f'<text class="small quiet" x="{LETTER_WIDTH + 6}" y="34">{below}</text>'
        f'<text class="small quiet" x="{WIDTH - 14}" y="34" text-anchor="end">{more}</text>{sign}</g>\n'
    )


def _legend(looks: Sequence[Appearance], top: int, per_row: int) -> Iterator[str]:
    for number, look in enumerate(looks):
        x, y = MARGIN + number % per_row * KEY_ROOM, top + number // per_row * LEGEND_ROW
        yield (
            f'<g class="{look.resource_type}" transform="translate({x} {y})"><path class="shape" d="{look.outline}"/>'
            f'<text class="letter" x="16" y="13">{look.letter}</text>'
            f'<text class="small" x="{KEY_WIDTH + 8}" y="13">{look.label}</text></g>\n'
        )


def _short(name: str) -> str:
    """Both ends of a long name: the layer of a model stands in front, what it is about often at the end."""
    half = MAX_NAME // 2
    return name if len(name) <= MAX_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _text(text: str) -> str:
    return escaped(visible(text))
