"""Puts changes, reached nodes and breaks in the order in which people should read them, counts them, and limits the lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import msgspec

from app.lineage.impact.model import Break, BreakKind, Change, ChangeClass, Impact, Reached
from app.lineage.impact.reach import Visit
from app.lineage.impact.versions import ImpactSide, SideName, facts_of
from app.lineage.resource_types import in_order

MAX_CHANGES, MAX_REACHED, MAX_BREAKS = 2000, 5000, 1000
MAX_COLUMNS = 50
"""Columns listed of one reached node."""
MAX_COUNTED = 100
"""Owners and groups that are counted one by one, the most frequent ones."""
SEVERITY: tuple[ChangeClass, ...] = ("removed", "renamed", "retyped", "rows", "logic", "moved", "added", "none")
KINDS: tuple[BreakKind, ...] = get_args(BreakKind)
FIRST = {"exposure": 0, "metric": 1, "semantic_model": 1, "saved_query": 1}
MART, REST = 2, 3
UNLISTED = frozenset({"test", "unit_test"})
"""Tests are counted, and listed only if they break."""
BUILT = frozenset({"model", "snapshot", "seed"})

Item = TypeVar("Item")


@dataclass(slots=True)
class ReachedNodes:
    """The reached nodes in order, with their counts."""

    listed: list[Reached]
    counts: dict[str, dict[str, int]]


def in_reading_order(changes: Iterable[Change]) -> list[Change]:
    """Changes of a node's own SQL first, then the gravest. Several of one class of a whole node are one, with all reasons."""
    found: dict[Hashable, Change] = {}
    for place, one in enumerate(changes):
        key: Hashable = place if one.columns else (one.unique_id, one.change_class, one.inherited)
        before = found.get(key)
        found[key] = one if before is None else _merged(before, one)
    return sorted(found.values(), key=lambda one: (one.inherited, SEVERITY.index(one.change_class), not one.certain, one.unique_id))


def breaks_in_order(breaks: Iterable[Break]) -> list[Break]:
    """Certain ones first; one for each cause."""
    found: dict[Hashable, Break] = {}
    for one in sorted(breaks, key=lambda one: (not one.certain, KINDS.index(one.kind), one.unique_id, one.column or "", one.reason)):
        place = one.connection_id, one.unique_id, one.kind
        found.setdefault((*place, one.cause, one.column, one.reason if one.column is None else ""), one)
    return list(found.values())


def reached_nodes(visits: Mapping[int, Visit], head: ImpactSide, without: set[int]) -> ReachedNodes:
    """The reached nodes; those at positions in `without` are no such."""
    graph = head.graph
    kinds: Counter[str] = Counter()
    routes, owners, groups = Counter[str](), Counter[str](), Counter[str]()
    listed: list[tuple[tuple[Any, ...], Reached]] = []
    for position, visit in visits.items():
        node = graph.nodes[position]
        if position in without:
            continue
        kinds[node.resource_type] += 1
        if node.resource_type in UNLISTED:
            continue
        facts = facts_of(node.content)
        routes[visit.route] += 1
        owners.update(filter(None, [facts.owner]))
        groups.update(filter(None, [facts.group]))
        columns = sorted(visit.columns) if visit.route == "column" else []
        reached = Reached(
            unique_id=node.unique_id,
            resource_type=node.resource_type,
            distance=visit.distance,
            by=visit.route,
            owner=facts.owner,
            group=facts.group,
            columns=tuple(columns[:MAX_COLUMNS]),
            more_columns=max(0, len(columns) - MAX_COLUMNS),
        )
        listed.append(((_rank(head, position), visit.distance, node.name, node.unique_id), reached))
    counts = {"reached": in_order(kinds), "by": _most(routes), "owners": _most(owners), "groups": _most(groups)}
    return ReachedNodes([one for _, one in sorted(listed, key=lambda pair: pair[0])], counts)


def limited(
    changes: Sequence[Change],
    columns: Mapping[str, int],
    reached: ReachedNodes,
    breaks: Sequence[Break],
    *,
    unread: int,
    without_columns: tuple[SideName, ...],
) -> Impact:
    """The whole, with counts of everything, and lists up to their limits."""
    nodes = {(change.unique_id, change.change_class) for change in changes}
    counts = {
        "changes": _in(SEVERITY, Counter(change_class for _, change_class in nodes)),
        "columns": _in(SEVERITY, columns),
        **reached.counts,
        "breaks": _in(KINDS, Counter(one.kind for one in breaks)),
        "certain": {"changes": _certain(changes), "breaks": _certain(breaks)},
    }
    lists = {"changes": len(changes) - MAX_CHANGES, "reached": len(reached.listed) - MAX_REACHED, "breaks": len(breaks) - MAX_BREAKS}
    return Impact(
        changes=tuple(changes[:MAX_CHANGES]),
        reached=tuple(reached.listed[:MAX_REACHED]),
        breaks=tuple(breaks[:MAX_BREAKS]),
        counts=counts,
        left_out={name: number for name, number in {**lists, "definitions": unread}.items() if number > 0},
        without_columns=without_columns,
    )


def _merged(one: Change, other: Change) -> Change:
    reason = one.reason if other.reason in one.reason else f"{one.reason} {other.reason}"
    return msgspec.structs.replace(one, certain=one.certain or other.certain, reason=reason)


def _rank(head: ImpactSide, position: int) -> int:
    node = head.graph.nodes[position]
    if node.resource_type != "model":
        return FIRST.get(node.resource_type, REST)
    is_read = any(head.graph.nodes[child].resource_type in BUILT for child in head.graph.children(position))
    return REST if is_read else MART


def _certain(items: Iterable[Change | Break]) -> int:
    return sum(one.certain for one in items)


def _most(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.most_common(MAX_COUNTED), key=lambda pair: (-pair[1], pair[0])))


def _in(order: Sequence[str], counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in order if counts.get(name)}
