"""dbt's way to name nodes (https://docs.getdbt.com/reference/node-selection/syntax): `orders`, `+orders`, `2+orders+1`, `@orders`, `tag:x`.

Spaces mean "or", commas "and". Everything here is linear in the number of nodes for each selector.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from app.lineage.graph import Graph, GraphNode

MAX_SELECTORS = 100
MAX_DEPTH_DIGITS = 6
WILDCARDS = frozenset("*?[")
REFERENCED = ("model", "seed", "snapshot", "function")
"""What a bare name means first: what `ref()` and `function()` find."""
OTHER_NODES = ("test", "unit_test", "analysis", "operation", "exposure", "metric", "semantic_model", "saved_query")
"""What it means next. A source, which has its table's name, comes last."""


@dataclass(frozen=True, slots=True)
class NodeReference:
    """A node with graph operators. Depths are numbers of edges: 0 without the operator, None without a limit."""

    node: str
    upstream: int | None = 0
    downstream: int | None = 0
    parents_of_children: bool = False
    """`@`: also everything that its downstream nodes are built from."""

    @property
    def has_operators(self) -> bool:
        """False for a bare name."""
        return self.upstream != 0 or self.downstream != 0 or self.parents_of_children


class SelectorError(Exception):
    """A selector that means nothing: `selector` is the part, `reason` a clause, `candidates` similar unique_ids."""

    def __init__(self, selector: str, reason: str, candidates: Iterable[str] = ()) -> None:
        super().__init__(f"`{selector}` {reason}")
        self.selector, self.reason, self.candidates = selector, reason, tuple(candidates)


def parse(text: str) -> NodeReference:
    """Split graph operators from a node. Raises SelectorError.

    >>> parse("2+orders+")
    NodeReference(node='orders', upstream=2, downstream=None, parents_of_children=False)
    """
    node, parents_of_children = text.removeprefix("@"), text.startswith("@")
    upstream: int | None = 0
    downstream: int | None = 0
    digits, plus, rest = node.partition("+")
    if plus and (not digits or digits.isdecimal()):
        upstream, node = _depth(digits, text), rest
    rest, plus, digits = node.rpartition("+")
    if plus and (not digits or digits.isdecimal()):
        downstream, node = _depth(digits, text), rest
    if not node:
        raise SelectorError(text, "names no node")
    if parents_of_children and (upstream != 0 or downstream != 0):
        raise SelectorError(text, "has both `@` and `+`: use one of them")
    return NodeReference(node, upstream, downstream, parents_of_children)


def find(graph: Graph, name: str) -> list[int]:
    """The positions of the nodes that a unique_id or a name means; as in dbt, a name is a model's before it is a source's."""
    found = graph.find(name) or [number for number, node in enumerate(graph.nodes) if name == versioned_name(node)]
    for group in (REFERENCED, OTHER_NODES):
        if preferred := [number for number in found if graph.nodes[number].resource_type in group]:
            return preferred
    return found


def select(graph: Graph, selection: str) -> set[int]:
    """The positions of the nodes that a whole selection means. Raises SelectorError if a part of it matches nothing."""
    unions = selection.split()
    if not unions or sum(part.count(",") + 1 for part in unions) > MAX_SELECTORS:
        raise SelectorError(selection, f"has to be 1 to {MAX_SELECTORS} selectors")
    chosen: set[int] = set()
    for union in unions:
        first, *others = (_selected(graph, one) for one in union.split(","))
        chosen |= first.intersection(*others)
    return chosen


def reach(graph: Graph, numbers: Iterable[int], reference: NodeReference) -> set[int]:
    """The nodes and what the graph operators add to them."""
    start = set(numbers)
    if reference.parents_of_children:
        return graph.reach(graph.reach(start, "downstream", None), "upstream", None)
    return graph.reach(start, "upstream", reference.upstream) | graph.reach(start, "downstream", reference.downstream)


def versioned_name(node: GraphNode) -> str:
    """The name with which dbt shows a version of a model: `orders.v2`.

    >>> versioned_name(GraphNode("model.shop.orders.v2", "model", "orders", "shop", b"{}"))
    'orders.v2'
    """
    prefix = f"{node.resource_type}.{node.package_name}."
    version = node.unique_id.removeprefix(f"{prefix}{node.name}")
    return f"{node.name}{version}" if node.resource_type == "model" and version.startswith(".v") else node.name


def _depth(digits: str, text: str) -> int | None:
    if len(digits) > MAX_DEPTH_DIGITS:
        raise SelectorError(text, "has a depth with too many digits")
    return int(digits) if digits else None


def _selected(graph: Graph, text: str) -> set[int]:
    reference = parse(text)
    method, colon, value = reference.node.partition(":")
    numbers = _by_method(graph, text, method, value) if colon else _by_name(graph, reference.node)
    if not numbers:
        similar = graph.similar(value or reference.node)
        raise SelectorError(text, "matches no node", similar)
    return reach(graph, numbers, reference)


def _by_name(graph: Graph, name: str) -> list[int]:
    if WILDCARDS & {*name}:
        return [number for number, node in enumerate(graph.nodes) if fnmatchcase(node.name, name)]
    if "/" in name:
        return _by_path(graph, name)
    found = find(graph, name)
    package, dot, rest = name.rpartition(".")
    if found or not dot:
        return found
    return [number for number in find(graph, rest) if graph.nodes[number].package_name == package]


class _Content(msgspec.Struct, gc=False):
    original_file_path: str = ""
    materialized: str | None = None
    tags: list[str] = []


def _by_path(graph: Graph, path: str) -> list[int]:
    directory = posixpath.normpath(path)
    return _matching(graph, lambda _, content: f"{content.original_file_path}/".startswith(f"{directory}/"))


def _by_method(graph: Graph, text: str, method: str, value: str) -> list[int]:
    if method == "path":
        return _by_path(graph, value)
    if method in METHODS:
        matches = METHODS[method]
        return _matching(graph, lambda node, content: matches(node, content, value))
    known = ", ".join(f"`{name}:`" for name in sorted([*METHODS, "path"]))
    raise SelectorError(text, f"uses the method `{method}:`, and Freshet knows {known}")


def _matching(graph: Graph, matches: Callable[[GraphNode, _Content], bool]) -> list[int]:
    decoder = msgspec.json.Decoder(_Content)
    return [number for number, node in enumerate(graph.nodes) if matches(node, decoder.decode(node.content))]


def _qualified(node: GraphNode, value: str, kind: str) -> bool:
    """Whether a node of a kind has this name: `orders`, `erp.orders` for a source, or with the package before it; `*` matches any part."""
    full = node.unique_id.removeprefix(f"{kind}.")
    names = (full, full.removeprefix(f"{node.package_name}."), node.name, *full.split(".")[1:2])
    return node.resource_type == kind and any(fnmatchcase(name, value) for name in names)


METHODS: Final[dict[str, Callable[[GraphNode, _Content, str], bool]]] = {
    "tag": lambda _, content, value: any(fnmatchcase(tag, value) for tag in content.tags),
    "package": lambda node, _, value: fnmatchcase(node.package_name, value),
    "resource_type": lambda node, _, value: node.resource_type == value,
    "config.materialized": lambda _, content, value: content.materialized == value,
    "source": lambda node, _, value: _qualified(node, value, "source"),
    "exposure": lambda node, _, value: _qualified(node, value, "exposure"),
    "metric": lambda node, _, value: _qualified(node, value, "metric"),
    "semantic_model": lambda node, _, value: _qualified(node, value, "semantic_model"),
    "saved_query": lambda node, _, value: _qualified(node, value, "saved_query"),
    "unit_test": lambda node, _, value: _qualified(node, value, "unit_test"),
    "file": lambda _, content, value: value in {posixpath.basename(content.original_file_path), content.original_file_path},
}
