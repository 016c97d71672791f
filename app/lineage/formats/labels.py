"""Labels of nodes, and names as visible text: invisible characters and those that change the text around them are made visible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from app.lineage.graph import GraphNode, Selection

WITH_MORE = frozenset({"model", "source", "unit_test"})
"""Types whose unique_ids say more than their names: the version, the source, the model."""
_CONTROLS = {**{code: 0x2400 + code for code in range(0x20)}, 0x7F: 0x2421}
"""To Unicode's control pictures."""
_REPLACED = dict.fromkeys([*range(0x80, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""Other control characters, line breaks, and direction marks."""
_LABEL = {**_CONTROLS, **_REPLACED}


def labels(selection: Selection) -> Iterator[tuple[int, GraphNode, str]]:
    """The selected nodes with their positions in the graph and their labels; no two nodes of a type have the same one."""
    seen = Counter((node.resource_type, label(node)) for node in selection.graph_nodes())
    named = Counter((node.resource_type, _with_package(node)) for node in selection.graph_nodes())
    for number, node in selection.numbered():
        own = label(node)
        if seen[node.resource_type, own] > 1:
            own = _with_package(node)
            own = node.unique_id if named[node.resource_type, own] > 1 else own
        yield number, node, visible(own)


def label(node: GraphNode) -> str:
    """A node as dbt's own documentation calls it: `orders`, `orders.v1` for a version, `raw.orders` for a table of a source."""
    prefix = f"{node.resource_type}.{node.package_name}."
    is_usual = node.resource_type in WITH_MORE and node.unique_id.startswith(prefix)
    return node.unique_id[len(prefix) :] if is_usual else node.name


def _with_package(node: GraphNode) -> str:
    return f"{node.package_name}.{label(node)}"


def visible(name: str) -> str:
    """A name on one line, without control characters and direction marks."""
    return name if name.isprintable() else name.translate(_LABEL)
