"""Sources that a change reads, and whose freshness failed in the customer's own runs of dbt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from app.core.plurals import count
from app.lineage.graph import Graph
from app.lineage.impact.model import Change
from app.reports.impact_places import key
from app.reports.markdown import code, cut

MAX_LISTED = 5
MAX_NAME_BYTES = 100


def read_by(changes: Iterable[Change], graph: Graph, failed: Mapping[str, datetime]) -> list[str]:
    """The unique_ids of those failed sources that changed nodes depend on, in order."""
    if not failed:
        return []
    changed = {position for one in changes if (position := graph.position(one.unique_id)) is not None}
    above = graph.reach(changed, "upstream", None)
    return sorted(unique_id for unique_id in failed if graph.position(unique_id) in above)


def stored(read: Sequence[str], failed: Mapping[str, datetime]) -> dict[str, Any]:
    """As it is kept with the result of an extraction; empty if there is nothing to say."""
    if not read:
        return {}
    listed = [[key(unique_id), failed[unique_id].isoformat(timespec="minutes")] for unique_id in read[:MAX_LISTED]]
    return {"stale_sources": {"listed": listed, "more": len(read) - len(listed)}}


def sentence(found: Mapping[str, Any]) -> str:
    """The line of a check run; empty if no such source is read."""
    known = found.get("stale_sources")
    if not known:
        return ""
    names = [f"{code(_name(unique_id))} ({datetime.fromisoformat(at):%Y-%m-%d %H:%M} UTC)" for unique_id, at in known["listed"]]
    more = f" and {count(known['more'], 'more source')}" if known["more"] else ""
    several = len(names) > 1 or known["more"]
    return f"What changed reads {'sources' if several else 'a source'} whose freshness check failed: {', '.join(names)}{more}."


def _name(unique_id: str) -> str:
    """`erp.orders` of `source.shop.erp.orders`."""
    return cut(unique_id.split(".", 2)[-1], MAX_NAME_BYTES)
