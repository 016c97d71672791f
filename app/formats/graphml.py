"""GraphML: http://graphml.graphdrawing.org/specification.html.

Nodes are named `n0`, `n1` and so on, by their places in the whole lineage, as an id may hold few characters; `unique_id` is among the data.
What XML 1.0 cannot hold at all (https://www.w3.org/TR/xml/#charsets) becomes U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from app.formats.heading import Heading
from app.graph import Selection

DATA = ("unique_id", "resource_type", "name", "package_name", "original_file_path", "relation_name", "materialized", "description")
ABOVE = ("connection_id", "repository", "branch", "project_dir", "project_name", "sha", "dbt_version", "adapter_type")
KEY = '<key id="{0}_{1}" for="{0}" attr.name="{1}" attr.type="string"/>\n'
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def texts(heading: Heading, selection: Selection) -> Iterator[bytes]:
    """Yield a directed graph; what is null has no data."""
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    yield "".join([*(KEY.format("graph", name) for name in ABOVE), *(KEY.format("node", name) for name in DATA)]).encode()
    yield f'<graph id="lineage" edgedefault="directed">\n{_data("graph", ((name, getattr(heading, name)) for name in ABOVE))}\n'.encode()
    for number, node in selection.numbered():
        content = msgspec.json.decode(node.content, type=_Content)
        yield f'<node id="n{number}">{_data("node", ((name, getattr(content, name)) for name in DATA))}</node>\n'.encode()
    for upstream, downstream in selection.pairs():
        yield f'<edge source="n{upstream}" target="n{downstream}"/>\n'.encode()
    yield b"</graph>\n</graphml>\n"


class _Content(msgspec.Struct, gc=False):
    unique_id: str
    resource_type: str = ""
    name: str = ""
    package_name: str = ""
    original_file_path: str = ""
    relation_name: str | None = None
    materialized: str | None = None
    description: str = ""


def _data(of: str, values: Iterator[tuple[str, str | None]]) -> str:
    return "".join(f'<data key="{of}_{name}">{_escaped(value)}</data>' for name, value in values if value is not None)


def _escaped(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped if escaped.isprintable() else _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", escaped).replace("\r", "&#13;")
