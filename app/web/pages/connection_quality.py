"""The quality of a connection's lineage, on its page: the score with its parts, the scores of the branch, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.core.models.connections import Connection
from app.core.models.quality import DIMENSIONS, RULES
from app.lineage.quality.counts import score
from app.lineage.quality.findings import FindingItem, Findings
from app.store import Store
from app.store.lineages import LineageHead

CHARTED, CHART_LEAST = 60, 20
"""Commits in the chart, and for how many there is always room."""
BAR, LEAST = 10, 2
"""In units of the picture."""
OF_NODES = frozenset(RULES) - {"hard_coded_references", "folder_cycles"}
"""Rules whose subjects are nodes, with pages of their own."""


@dataclass(frozen=True, slots=True)
class FindingSection:
    """What one rule found."""

    count: int
    words: str
    items: tuple[FindingItem, ...]
    more: int
    of_nodes: bool


async def section(store: Store, connection: Connection, head: LineageHead | None) -> dict[str, Any] | None:
    """What the template shows; None if nothing was counted."""
    kept = None if head is None else await store.quality.get(head)
    if head is None or kept is None or (points := score(kept.counts or {}, kept.settings)) is None:
        return None
    trend = await store.quality.trend(connection.id, head.branch, CHARTED)
    scores = [(one, value) for one in reversed(trend) if (value := score(one.counts, kept.settings)) is not None]
    bars = [
        {"sha": one.sha, "x": place * BAR, "height": max(LEAST, value), "label": f"{one.sha[:7]}: {value:.1f}"}
        for place, (one, value) in enumerate(scores)
    ]
    return {
        "score": points,
        "rows": [(DIMENSIONS[name].says, one, f"{kept.settings.weight(name):g}") for name, one in (kept.counts or {}).items()],
        "bars": bars,
        "width": max(len(bars), CHART_LEAST) * BAR,
        "findings": None if kept.findings is None else _found(kept.findings),
        "inherited": kept.findings.inherited_descriptions if kept.findings else None,
        "relationships": kept.findings.relationships if kept.findings else 0,
    }


def _found(findings: Findings) -> list[FindingSection]:
    return [
        FindingSection(one.count, RULES[name][one.count != 1], one.items, one.count - len(one.items), name in OF_NODES)
        for name in RULES
        if (one := findings.rules.get(name)) and one.count
    ]
