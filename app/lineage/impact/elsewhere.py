"""What changes break in other projects of the same owner, which read our tables as sources, and who may know of it.

`Elsewhere` has everything; `with_elsewhere` names only what is readable, and counts the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, replace

from app.core.models.github import Repository
from app.lineage.impact.model import Break, Impact
from app.lineage.impact.ordering import KINDS, breaks_in_order

MAX_LISTED = 200
"""Breaks of other projects; the rest is counted."""


@dataclass(frozen=True, slots=True)
class BrokenProject:
    """What breaks in another connection. None of it may be shown to people who cannot read the repository."""

    repository: Repository
    breaks: tuple[Break, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What breaks in other connections. `not_searched`: how many more read the tables, and were not looked at."""

    projects: tuple[BrokenProject, ...] = ()
    not_searched: int = 0

    @property
    def repositories(self) -> list[Repository]:
        """Where something breaks."""
        return list({project.repository.id: project.repository for project in self.projects}.values())

    def readable_with(self, own: Repository) -> frozenset[int]:
        """The ids of the repositories that everybody may read who may read `own`: it, and public ones."""
        return frozenset(one.id for one in self.repositories if one.id == own.id or not one.private)


def with_elsewhere(impact: Impact, elsewhere: Elsewhere, readable: Container[int]) -> Impact:
    """Add what breaks elsewhere: by name in readable repositories (ids), and as numbers in all others.

    `counts` gets `elsewhere`, unless nothing breaks there: `breaks` and `repositories` that are named, `hidden_nodes` in
    `hidden_repositories`, and connections `not_searched`.
    """
    if not elsewhere.projects and not elsewhere.not_searched:
        return impact
    shown = [project for project in elsewhere.projects if project.repository.id in readable]
    hidden = [project for project in elsewhere.projects if project.repository.id not in readable]
    breaks = breaks_in_order(one for project in shown for one in project.breaks)
    counts = {name: dict(numbers) for name, numbers in impact.counts.items()}
    of_kind = Counter(counts.get("breaks", {})) + Counter(one.kind for one in breaks)
    counts["breaks"] = {kind: of_kind[kind] for kind in KINDS if of_kind[kind]}
    of_certain = counts.setdefault("certain", {})
    of_certain["breaks"] = of_certain.get("breaks", 0) + sum(one.certain for one in breaks)
    counts["elsewhere"] = {
        "breaks": len(breaks),
        "repositories": len({project.repository.id for project in shown if project.breaks}),
        "hidden_nodes": sum(len({one.unique_id for one in project.breaks}) for project in hidden),
        "hidden_repositories": len({project.repository.id for project in hidden}),
        "not_searched": elsewhere.not_searched,
    }
    left_out = dict(impact.left_out)
    if len(breaks) > MAX_LISTED:
        left_out["breaks"] = left_out.get("breaks", 0) + len(breaks) - MAX_LISTED
    # Those of this project first, certain ones before all that are only possible.
    listed = sorted([*impact.breaks, *breaks[:MAX_LISTED]], key=lambda one: not one.certain)
    return replace(impact, breaks=tuple(listed), counts=counts, left_out=left_out)
