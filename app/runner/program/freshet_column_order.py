"""The order in which nodes are rendered: each after everything that it reads. Independent of dbt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def in_order(nodes: dict) -> list:
    """Return the nodes, each after those in its `depends_on.nodes`. The order depends on nothing else than unique_ids.

    In a circle, which dbt only finds when it runs, some node comes first all the same.
    """
    found = []  # type: list[Any]
    seen = set()  # type: set[str]
    for unique_id in sorted(nodes):
        _visit(unique_id, nodes, seen, found)
    return found


def _visit(first: str, nodes: dict, seen: set, found: list) -> None:
    if first in seen:
        return
    seen.add(first)
    path = [(first, _parents(nodes[first], nodes))]
    while path:
        unique_id, parents = path[-1]
        parent = next((one for one in parents if one not in seen), None)
        if parent is None:
            path.pop()
            found.append(nodes[unique_id])
        else:
            seen.add(parent)
            path.append((parent, _parents(nodes[parent], nodes)))


def _parents(node: Any, nodes: dict) -> Iterator[str]:
    return iter(sorted(unique_id for unique_id in node.depends_on.nodes if unique_id in nodes))
