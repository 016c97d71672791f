"""The neighbourhood of a change as a Mermaid flowchart: what changed, what breaks and what is reached, in at most `MAX_NODES` nodes.

Good without colors: shapes and words say the same. Labels are escaped as in `lineage.formats.mermaid`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from app.core.plurals import count
from app.lineage.formats.mermaid import escaped
from app.lineage.impact.model import Impact
from app.lineage.resource_types import label
from app.reports.impact_places import Places, key
from app.reports.markdown import plain

MAX_NODES = 30
MAX_LABEL_BYTES = 60
MAX_VISITED = 20_000
"""Nodes that are visited to find how the nodes of a picture are connected."""
UNDRAWN = frozenset({"test", "unit_test"})
"""Drawn only if they break."""

Role = Literal["breaks", "may_break", "changed", "reached"]
SHAPES: Mapping[Role, tuple[str, str]] = {
    "breaks": ('{{"', '"}}'),
    "may_break": ('{{"', '"}}'),
    "changed": ('["', '"]'),
    "reached": ('(["', '"])'),
}
WORDS: Mapping[Role, str] = {"breaks": "breaks", "may_break": "may break", "changed": "changed", "reached": "reached"}
LEGEND: Mapping[Role, str] = {
    "changed": "rectangles changed",
    "breaks": "hexagons break",
    "may_break": "dashed hexagons may break",
    "reached": "rounded nodes are reached",
}
STYLES: Mapping[Role, str] = {
    "breaks": "fill:#ffebe9,stroke:#cf222e,stroke-width:3px,color:#1f2328",
    "may_break": "fill:#fff8c5,stroke:#9a6700,stroke-width:2px,stroke-dasharray:5 3,color:#1f2328",
    "changed": "fill:#ddf4ff,stroke:#0969da,stroke-width:2px,color:#1f2328",
    "reached": "fill:#ffffff,stroke:#59636e,stroke-width:1px,color:#1f2328",
}


def chosen(impact: Impact, places: Places) -> dict[str, Any]:
    """What is drawn: `nodes` (roles by unique_id), `edges` (from, to, whether direct), and how many are `left_out`.

    Breaks come first, with their causes, then what changed and what is reached. Nodes that only pass a change on come last.
    """
    roles = _roles(impact)
    nodes = dict(list(roles.items())[:MAX_NODES])
    edges = list(_edges(nodes, roles, places))
    causes = dict.fromkeys((one.cause, one.unique_id) for one in impact.breaks if one.cause in nodes and one.unique_id in nodes)
    for cause, broken in causes:  # a cause may be gone, or what breaks may be in another project
        if cause is not None and not _leads(edges, cause, broken):
            edges.append((cause, broken, False))
    return {
        "nodes": {key(unique_id): role for unique_id, role in nodes.items()},
        "edges": [[key(upstream), key(downstream), direct] for upstream, downstream, direct in edges],
        "left_out": len(roles) - len(nodes),
    }


def blocks(found: Mapping[str, Any]) -> Iterator[str]:
    """The picture as a block of Markdown, with a sentence about it; nothing if there would be no edge."""
    picture: Mapping[str, Any] = found["picture"]
    roles: Mapping[str, Role] = {unique_id: role for unique_id, role in picture["nodes"].items() if unique_id in found["nodes"]}
    numbers = {unique_id: number for number, unique_id in enumerate(roles)}
    edges = [edge for edge in picture["edges"] if edge[0] in numbers and edge[1] in numbers]
    if not edges:
        return
    yield "\n".join(["```mermaid", *_flowchart(roles, numbers, edges, found["nodes"]), "```"])
    yield _legend(roles, edges, picture["left_out"])


def _roles(impact: Impact) -> dict[str, Role]:
    """The role of each node that may be drawn, in the order in which they are."""
    roles: dict[str, Role] = {}
    changed = {one.unique_id: one.inherited for one in impact.changes if one.change_class != "none"}
    for certain, role in ((True, "breaks"), (False, "may_break")):
        for one in impact.breaks:
            if one.certain == certain:
                roles.setdefault(one.unique_id, role)  # type: ignore[arg-type]
                if one.cause is not None:
                    roles.setdefault(one.cause, "changed")
    roles |= {unique_id: "changed" for unique_id, inherited in changed.items() if not inherited and unique_id not in roles}
    roles |= {one.unique_id: "reached" for one in impact.reached if one.resource_type not in UNDRAWN and one.unique_id not in roles}
    return roles | {unique_id: "changed" for unique_id in changed if unique_id not in roles}


def _edges(nodes: Mapping[str, Role], affected: Mapping[str, Role], places: Places) -> Iterator[tuple[str, str, bool]]:
    """Edges between nodes of the picture, also over affected ones that are not in it."""
    left = MAX_VISITED
    for node in nodes:
        seen, edge, direct = {node}, [node], True
        while edge and left > 0:
            above = [parent for unique_id in edge for parent in places.upstream(unique_id) if parent not in seen]
            above = list(dict.fromkeys(above))
            left -= len(above)
            seen.update(above)
            yield from ((parent, node, direct) for parent in above if parent in nodes)
            edge, direct = [parent for parent in above if parent in affected and parent not in nodes], False


def _leads(edges: Sequence[tuple[str, str, bool]], start: str, end: str) -> bool:
    """Whether a path of edges leads from one node of the picture to another."""
    reached, size = {start}, 0
    while len(reached) > size:
        size = len(reached)
        reached |= {downstream for upstream, downstream, _ in edges if upstream in reached}
    return end in reached


def _flowchart(
    roles: Mapping[str, Role], numbers: Mapping[str, int], edges: Sequence[Sequence[Any]], nodes: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    yield "flowchart LR"
    for unique_id, role in roles.items():
        begin, end = SHAPES[role]
        yield f"  n{numbers[unique_id]}{begin}{_label(nodes[unique_id], role)}{end}:::{role}"
    for upstream, downstream, direct in edges:
        yield f"  n{numbers[upstream]} {'-->' if direct else '-.->'} n{numbers[downstream]}"
    yield from (f"  classDef {role} {style}" for role, style in STYLES.items() if role in roles.values())


def _label(node: Mapping[str, Any], role: Role) -> str:
    """The name and, below it, what it is: "weekly_kpis", "exposure, may break"."""
    kind = node["resource_type"]
    words = WORDS[role] if kind == "model" else f"{label(kind)}, {WORDS[role]}"
    return f"{escaped(plain(node['name'], MAX_LABEL_BYTES))}<br/>{escaped(plain(words, MAX_LABEL_BYTES))}"


def _legend(roles: Mapping[str, Role], edges: Sequence[Sequence[Any]], left_out: int) -> str:
    words = [text for role, text in LEGEND.items() if role in roles.values()]
    dotted = ", dotted lines lead over other nodes" if not all(direct for *_, direct in edges) else ""
    more = f" {count(left_out, 'more node')} would not fit." if left_out else ""
    sentence = f"{', '.join(words)}{dotted}."
    return f"{sentence[0].upper()}{sentence[1:]}{more}"
