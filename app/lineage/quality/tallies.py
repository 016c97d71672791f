"""The counts of a project and of its parts, as they are stored with its lineage: bounded, whatever a manifest contains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from app.core.models.quality import USUAL, Dimension, QualitySettings
from app.lineage.quality.counts import Count, GroupedBy, NodeQuality, grouped, own, total

GROUPS = 100
"""The largest of each grouping are kept."""
WITHIN: tuple[GroupedBy, ...] = ("folder", "group", "owner")
MAX_NAME = 300
"""Characters. Groups with longer names are left out."""


class GroupTally(msgspec.Struct, frozen=True):
    """The counts of the nodes of one package, folder, group or owner."""

    name: str
    nodes: int
    counts: dict[Dimension, Count]


class QualityTally(msgspec.Struct, frozen=True):
    """What a project's nodes have of what they could have, together and by group."""

    counts: dict[Dimension, Count]
    groups: dict[GroupedBy, list[GroupTally]]


def tally(nodes: Sequence[NodeQuality], project: str | None, settings: QualitySettings = USUAL) -> QualityTally:
    """Count the nodes of a lineage. Packages are shown beside the project, and belong to no other group."""
    of_project = own(nodes, project, settings)
    packages = [node for node in nodes if node.package != project] + of_project if project is not None else of_project
    groups: dict[GroupedBy, list[GroupTally]] = {"package": _groups(packages, "package")}
    for by in WITHIN:
        groups[by] = _groups(of_project, by)
    return QualityTally(total(of_project), groups)


def _groups(nodes: Iterable[NodeQuality], by: GroupedBy) -> list[GroupTally]:
    found: Mapping[str, list[NodeQuality]] = grouped(nodes, by)
    listed = ((name, members) for name, members in found.items() if len(name) <= MAX_NAME)
    return [GroupTally(name, len(members), total(members)) for name, members in islice(listed, GROUPS)]
