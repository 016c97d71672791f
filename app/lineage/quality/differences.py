"""What is missing at one commit that was not at another one, and what hangs on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from app.core.models.quality import DIMENSIONS, RULES, USUAL, Dimension, QualitySettings, Rule
from app.lineage.graph import Graph
from app.lineage.quality.counts import Count, NodeQuality, own
from app.lineage.quality.findings import Findings

WEIGHED = 50
"""For how many changes the exposures are counted."""


class QualityChange(NamedTuple):
    """A node that has more, or less, of one dimension than before."""

    unique_id: str
    dimension: Dimension
    missing: int
    """How many more nodes or columns lack it; negative: fewer do."""
    exposures: int = 0
    """How many exposures depend on the node."""


class DimensionChange(msgspec.Struct, frozen=True):
    """How many more, and how many fewer, nodes or columns lack something."""

    more: int = 0
    fewer: int = 0
    exposures: int = 0
    """How many exposures depend on the nodes that lack more."""


def changes(
    base: Iterable[NodeQuality],
    head: Iterable[NodeQuality],
    projects: tuple[str | None, str | None],
    settings: QualitySettings = USUAL,
) -> list[QualityChange]:
    """Where something of a project is missing that was not before, and the reverse: the most additional ones first, then by unique_id.

    A node that comes or goes counts with what it lacks. Nodes that do not differ may be left out on both sides. `projects`: what both
    commits call the project.
    """
    sides = (own(side, project, settings) for side, project in zip((base, head), projects, strict=True))
    before, after = ({(node.unique_id, name): _missing(one) for node in side for name, one in node.counts.items()} for side in sides)
    found = [
        QualityChange(unique_id, name, after.get((unique_id, name), 0) - before.get((unique_id, name), 0))
        for unique_id, name in before.keys() | after.keys()
    ]
    return sorted((one for one in found if one.missing), key=lambda one: (-one.missing, one.unique_id, one.dimension))


def weighed(found: Sequence[QualityChange], graph: Graph) -> list[QualityChange]:
    """The changes with what hangs on the nodes: those that exposures depend on come first.

    Exposures are counted for the first ones only, because each count may visit the whole graph.
    """
    exposures = {number for number, node in enumerate(graph.nodes) if node.resource_type == "exposure"}
    feeding = graph.reach(exposures, "upstream", None) - exposures
    places = {one.unique_id: graph.position(one.unique_id) for one in found}
    ordered = sorted(found, key=lambda one: places[one.unique_id] not in feeding)
    counted: dict[str, int] = {}
    for one in ordered[:WEIGHED]:
        place = places[one.unique_id]
        if place in feeding and place is not None and one.unique_id not in counted:
            counted[one.unique_id] = len(graph.reach({place}, "downstream", None) & exposures)
    return [one._replace(exposures=counted.get(one.unique_id, 0)) for one in ordered]


def by_dimension(found: Iterable[QualityChange], graph: Graph) -> dict[Dimension, DimensionChange]:
    """The changes together, in the order of the dimensions."""
    more: defaultdict[Dimension, int] = defaultdict(int)
    fewer: defaultdict[Dimension, int] = defaultdict(int)
    lacking: defaultdict[Dimension, set[int]] = defaultdict(set)
    for one in found:
        if one.missing < 0:
            fewer[one.dimension] -= one.missing
            continue
        more[one.dimension] += one.missing
        if (place := graph.position(one.unique_id)) is not None:
            lacking[one.dimension].add(place)
    return {
        name: DimensionChange(more[name], fewer[name], _exposures(graph, lacking[name])) for name in DIMENSIONS if more[name] or fewer[name]
    }


def by_rule(base: Findings | None, head: Findings | None) -> dict[Rule, int]:
    """How many more (negative: fewer) each rule found, of those that looked at both commits."""
    if base is None or head is None:
        return {}
    both = [name for name in RULES if name in base.rules and name in head.rules]
    found: Mapping[Rule, int] = {name: head.rules[name].count - base.rules[name].count for name in both}
    return {name: number for name, number in found.items() if number}


def _exposures(graph: Graph, start: set[int]) -> int:
    reached = graph.reach({*start}, "downstream", None) - start
    return sum(graph.nodes[number].resource_type == "exposure" for number in reached)


def _missing(count: Count) -> int:
    return count.total - count.satisfied
