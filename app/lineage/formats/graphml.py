"""GraphML: http://graphml.graphdrawing.org/specification.html.

Nodes have the ids `n0`, `n1` and so on, their positions in the whole lineage, because ids allow few characters; `unique_id` is a data key.
Characters that XML 1.0 cannot represent (https://www.w3.org/TR/xml/#charsets) become U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from app.lineage.formats.heading import AnyHeading, OrganisationHeading
from app.lineage.formats.labels import labels
from app.lineage.formats.xml_text import escaped
from app.lineage.graph import Selection

NODE_KEYS = (
    *("unique_id", "label", "resource_type", "name", "package_name", "original_file_path", "relation_name", "relation_name_source"),
    *("materialized", "version", "access", "group", "owner", "description"),
)
PLACE_KEYS = ("id", "connection_id", "repository", "project_name")
"""Of a node of several projects."""
GRAPH_KEYS = ("connection_id", "repository", "branch", "project_dir", "project_name", "sha", "dbt_version", "adapter_type")
KEY = '<key id="{0}_{1}" for="{0}" attr.name="{1}" attr.type="string"/>\n'


def render(heading: AnyHeading, selection: Selection) -> Iterator[bytes]:
    """A directed graph; null values have no data element."""
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    several = isinstance(heading, OrganisationHeading)
    graph_keys, node_keys = (("owner",), PLACE_KEYS + NODE_KEYS) if several else (GRAPH_KEYS, NODE_KEYS)
    yield "".join([*(KEY.format("graph", name) for name in graph_keys), *(KEY.format("node", name) for name in node_keys)]).encode()
    above = _data("graph", ((name, getattr(heading, name)) for name in graph_keys))
    yield f'<graph id="lineage" edgedefault="directed">\n{above}\n'.encode()
    for number, node, label in labels(selection):
        content = msgspec.json.decode(node.content, type=_Content)
        content.label = label
        yield f'<node id="n{number}">{_data("node", ((name, getattr(content, name)) for name in node_keys))}</node>\n'.encode()
    for upstream, downstream in selection.pairs():
        yield f'<edge source="n{upstream}" target="n{downstream}"/>\n'.encode()
    yield b"</graph>\n</graphml>\n"


class _Content(msgspec.Struct, gc=False):
    unique_id: str
    id: str | None = None
    connection_id: str | None = None
    repository: str | None = None
    project_name: str | None = None
    label: str = msgspec.field(name="", default="")
    resource_type: str = ""
    name: str = ""
    package_name: str = ""
    original_file_path: str = ""
    relation_name: str | None = None
    relation_name_source: str | None = None
    materialized: str | None = None
    version: str | int | float | None = None
    access: str | None = None
    group: str | None = None
    owner: str | None = None
    description: str = ""


def _data(element: str, values: Iterator[tuple[str, Any]]) -> str:
    return "".join(f'<data key="{element}_{name}">{escaped(str(value))}</data>' for name, value in values if value is not None)
