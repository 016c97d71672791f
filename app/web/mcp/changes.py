"""Tools about two commits: what differs, and what the changes do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from app.core.models.connections import Connection
from app.lineage.diff import Diff
from app.lineage.impact.model import Impact
from app.store.lineages import LineageHead
from app.web.api import impact as impact_api
from app.web.api.call import Call
from app.web.api.comparisons import COMPARISONS
from app.web.api.lineage import stored
from app.web.api.schemas.impacts import ImpactQuery
from app.web.mcp import projects
from app.web.mcp.answers import Contents, Json, about, answered, compared, place_of, retried, without_nothing
from app.web.mcp.budget import Item
from app.web.mcp.inputs import DiffInput, ImpactInput

NODES = ("nodes_changed", "nodes_added", "nodes_removed")
EDGES = ("edges_added", "edges_removed")
MOST_OWNERS = 20
LISTS = {"breaks": "break", "changes": "change", "reached": "reached"}
"""Lists of an impact in their order, and what their items are counted as."""


async def get_impact(call: Call[ImpactInput, None]) -> bytes:
    """What the changes between two commits do."""
    place = place_of(call, commits=2)
    base_sha, head_sha = place.shas or (call.query.base, call.query.head)

    async def attempt() -> tuple[Connection, LineageHead, LineageHead, Impact, list[str]] | None:
        connection = await projects.connection_of(call)
        base, head = await impact_api.sides(call.store, connection, ImpactQuery(base=base_sha, head=head_sha))
        found = await impact_api.between(call, connection, base, head)
        return None if found is None else (connection, base, head, found, await impact_api.late_sources(call, connection, head, found))

    connection, base, head, found, late = await retried("comparing two commits", attempt)

    def make() -> Contents:
        heading = {**about(connection, head), "base": compared(base), "counts": _counts(found.counts)}
        heading |= without_nothing({"without_columns": list(found.without_columns), "stale_sources": late})
        rows: dict[str, Sequence[Any]] = {name: getattr(found, name) for name in LISTS}
        items = (Item(name, kind, lambda one=one: _fact(one)) for name, kind in LISTS.items() for one in rows[name])  # type: ignore[misc]
        total = {kind: len(rows[name]) + found.left_out.get(name, 0) for name, kind in LISTS.items()}
        most = dict.fromkeys(LISTS, call.query.limit)
        return Contents(heading=heading, lists=[*LISTS], items=items, total=total, most=most, shas=(base.sha, head.sha))

    return await answered(call, make, place.begin)


async def diff_commits(call: Call[DiffInput, None]) -> bytes:
    """The differences between two commits."""
    place = place_of(call, commits=2)
    base_sha, head_sha = place.shas or (call.query.base, call.query.head)

    async def attempt() -> tuple[Connection, LineageHead, LineageHead, Diff] | None:
        connection = await projects.connection_of(call)
        base = await stored(call.store, connection, base_sha, "base")
        head = await stored(call.store, connection, head_sha, "head")
        found = await call.request.app[COMPARISONS].diff(call.store.lineage_cache, base, head)
        return None if found is None else (connection, base, head, found)

    connection, base, head, found = await retried("comparing two commits", attempt)

    def make() -> Contents:
        heading = {**about(connection, head), "base": compared(base), "counts": found.counts()}
        most = dict.fromkeys((*NODES, *EDGES), call.query.limit)
        shas = (base.sha, head.sha)
        return Contents(heading=heading, lists=(*NODES, *EDGES), items=_differences(found), total=found.counts(), most=most, shas=shas)

    return await answered(call, make, place.begin)


def _differences(found: Diff) -> Iterator[Item]:
    for name in NODES:
        for node in getattr(found, name):
            yield Item(name, name, lambda node=node: _difference(node))  # type: ignore[misc]
    for name in EDGES:
        for edge in getattr(found, name):
            yield Item(name, name, lambda edge=edge: [edge.upstream, edge.downstream])  # type: ignore[misc]


def _difference(node: Any) -> Json:
    columns = getattr(node, "columns", None)
    changes = getattr(node, "changes", None)
    known = {"original_file_path": node.original_file_path, "changes": changes}
    return {"unique_id": node.unique_id, **without_nothing({**known, "columns": columns and without_nothing(msgspec.to_builtins(columns))})}


def _fact(one: Any) -> Json:
    """Without what is empty, zero or null, and without what is false, apart from `certain`."""
    fields: Mapping[str, Any] = msgspec.to_builtins(one)
    return {name: value for name, value in fields.items() if value or name in {"certain", "distance", "reason"}}


def _counts(counts: Mapping[str, Mapping[str, int]]) -> Json:
    """The counts, with the owners and groups that most of it is of."""
    return {
        name: dict(sorted(numbers.items(), key=lambda one: -one[1])[:MOST_OWNERS]) if name in {"owners", "groups"} else dict(numbers)
        for name, numbers in counts.items()
    }
