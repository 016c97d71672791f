"""What a change does, as it is kept with the result of its extraction (`result["impact"]`): bounded, and all that a check run shows of it.

    {"state": "ready", "reason": null, "base": …, "policy": …, "base_policy": …, "conclusion": "neutral", "counts": …, "totals": …,
     "changes": [], "reached": [], "breaks": [], "nodes": {}, "annotations": [], "picture": {"nodes": [], "edges": []}}

States: `ready`; `waiting`: the commit to compare with is being extracted, and until then the nearest one stands in, or nothing is known;
`none`: there is nothing to compare with; `failed`; `off`: the project does not want it. Without a comparison there are only the first five
keys. `changes`, `reached` and `breaks` have the fields of `lineage.impact.model`, and are the first of them; `totals` counts all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal

import msgspec

from app.core.models.comparisons import Base
from app.core.models.github import Conclusion
from app.lineage.impact.model import Break, Change, Impact, Reached
from app.lineage.resource_types import BY_NAME
from app.project.impact_policy import EffectivePolicy, ImpactPolicy
from app.reports import impact_annotations, impact_picture
from app.reports.impact_places import Places, ReportedNode, key, short

State = Literal["ready", "waiting", "none", "failed", "off"]

MAX_BYTES = 64 << 10
"""Of the whole as JSON, without the policies."""
MAX_LISTED = 80
"""Changes, reached nodes and breaks, each."""
WEIGHTS = {"changes": 1.0, "reached": 1.0, "breaks": 2.0, "annotations": 3.0}
"""Which lists are cut first where all of them do not fit: the longest for its weight."""
MAX_COLUMNS = 30
"""Of one change."""
MAX_OWNERS = 20
MAX_REASON_BYTES = 300
MAX_STATE_REASON_BYTES = 2000
TELLING = ("exposure", "metric", "semantic_model", "saved_query")
"""Resource types that come before the others where nodes are counted."""
TESTS = frozenset({"test", "unit_test"})
"""Counted, and not listed unless they break."""


def stored(impact: Impact, base: Base, places: Places, policy: EffectivePolicy, *, reason: str = "") -> dict[str, Any]:
    """A comparison. `reason`: why a commit that stands in for the right one stays, in full sentences; without it, the right one follows.

    Takes half a second for 10,000 breaks: call it in a thread.
    """
    if policy.is_off:
        return off(policy)
    state: State = "waiting" if base.kind == "nearest" and not reason else "ready"
    changes, breaks = impact.changes[:MAX_LISTED], impact.breaks[:MAX_LISTED]
    reached = [one for one in impact.reached if one.resource_type not in TESTS][:MAX_LISTED]
    picture = impact_picture.chosen(impact, places)
    listed: list[Change | Reached | Break] = [*breaks, *reached, *changes]
    named = dict.fromkeys([*(one.unique_id for one in listed), *(one.cause for one in breaks), *picture["nodes"]])
    provisional = base.kind == "nearest"
    return _bounded(
        {
            **_head(state, reason, base, policy),
            "conclusion": _conclusion(impact, places, policy, provisional=provisional),
            "counts": {name: _most(numbers) for name, numbers in impact.counts.items()},
            "totals": _totals(impact, places),
            "changes": [_kept(one) for one in changes],
            "reached": [_kept(one) for one in reached],
            "breaks": [_kept(one) for one in breaks],
            "nodes": {key(unique_id): _place(places.node(unique_id)) for unique_id in named if unique_id},
            "annotations": [asdict(one) for one in impact_annotations.chosen(impact, places, policy)],
            "picture": picture,
        }
    )


def waiting(base: Base, policy: EffectivePolicy) -> dict[str, Any]:
    """The commit to compare with is being extracted, and no other can stand in for it."""
    return off(policy) if policy.is_off else _head("waiting", "", base, policy)


def without_base(reason: str, policy: EffectivePolicy) -> dict[str, Any]:
    """There is nothing to compare with; `reason`: full sentences."""
    return off(policy) if policy.is_off else _head("none", reason, Base("none"), policy)


def failed(reason: str, base: Base, policy: EffectivePolicy) -> dict[str, Any]:
    """The comparison failed; `reason`: full sentences."""
    return off(policy) if policy.is_off else _head("failed", reason, base, policy)


def off(policy: EffectivePolicy) -> dict[str, Any]:
    """The project does not want to know what changes do."""
    return _head("off", "", Base("none"), policy)


def own_policy(result: Mapping[str, Any]) -> ImpactPolicy | None:
    """The policy of an extracted commit, from its result; None if the result does not say, as those of earlier releases."""
    policy = (result.get("impact") or {}).get("policy")
    return None if policy is None else msgspec.convert(policy, ImpactPolicy)


def code_needed(impact: Impact) -> tuple[str, ...]:
    """The unique_ids of the nodes whose code says at which lines something breaks, for `Places`."""
    return tuple(dict.fromkeys(name for one in impact.breaks[:MAX_LISTED] for name in (one.cause, one.unique_id) if name))


def _head(state: State, reason: str, base: Base, policy: EffectivePolicy) -> dict[str, Any]:
    compared = {**asdict(base), "branch": None if base.branch is None else short(base.branch)}
    policies = {"policy": msgspec.to_builtins(policy.own), "base_policy": msgspec.to_builtins(policy.base)}
    return {"state": state, "reason": short(reason, MAX_STATE_REASON_BYTES) or None, "base": compared, **policies}


def _conclusion(impact: Impact, places: Places, policy: EffectivePolicy, *, provisional: bool) -> Conclusion:
    """What is only possible never fails a check, nor does a comparison with a commit that stands in for the right one.

    The node that breaks decides; if it is in another project, the one that breaks it.
    """
    hidden = impact.counts.get("elsewhere", {}).get("hidden_nodes") and policy.decides(None, ()) != "off"
    worst: Conclusion = "neutral" if hidden else "success"
    for one in impact.breaks:
        place = places.node(one.cause if one.connection_id and one.cause else one.unique_id)
        decides = policy.decides(place.path, place.tags)
        if decides == "fail" and one.certain and not provisional:
            return "failure"
        if decides != "off":
            worst = "neutral"
    return worst


def _totals(impact: Impact, places: Places) -> dict[str, Any]:
    """Numbers of listed nodes: `changed`, `added`, `removed`, `certain` and `possible` (breaks) by resource type.

    `rows`, `logic`: those of the changed nodes that have other rows, and other values without other rows, by resource type.
    Numbers of all entries: `changes`, `reached`, `breaks`, `certain_breaks`; `left_out`: how many of them are not in the impact.
    """
    own = [one for one in impact.changes if not one.inherited and one.change_class != "none"]
    whole = {kind: {one.unique_id for one in own if one.change_class == kind and not one.columns} for kind in ("added", "removed")}
    changed = {one.unique_id for one in own} - whole["added"] - whole["removed"]
    certain = {one.unique_id for one in impact.breaks if one.certain}
    possible = {one.unique_id for one in impact.breaks} - certain
    rows = {one.unique_id for one in own if one.change_class == "rows"}
    logic = {one.unique_id for one in own if one.change_class == "logic"} - rows
    sets = {"changed": changed, **whole, "rows": rows, "logic": logic, "certain": certain, "possible": possible}
    return {
        **{name: _by_type(unique_ids, places) for name, unique_ids in sets.items()},
        "inherited": len({one.unique_id for one in impact.changes if one.inherited}),
        "marts": sum(one.resource_type == "model" and places.node(one.unique_id).is_mart for one in impact.reached),
        "changes": len(impact.changes) + impact.left_out.get("changes", 0),
        "reached": sum(one.resource_type not in TESTS for one in impact.reached) + impact.left_out.get("reached", 0),
        "breaks": len(impact.breaks) + impact.left_out.get("breaks", 0),
        "certain_breaks": impact.counts.get("certain", {}).get("breaks", sum(one.certain for one in impact.breaks)),
        "left_out": dict(impact.left_out),
        "without_columns": list(impact.without_columns),
    }


def _by_type(unique_ids: Iterable[str], places: Places) -> dict[str, int]:
    counts = Counter(places.node(unique_id).resource_type for unique_id in unique_ids)
    known = [kind for kind in (*TELLING, *BY_NAME) if kind in counts]
    return {kind: counts[kind] for kind in dict.fromkeys([*known, *counts])}


def _most(numbers: Mapping[str, int]) -> dict[str, int]:
    """The largest numbers, the largest first."""
    return {short(name): number for name, number in Counter(numbers).most_common(MAX_OWNERS)}


def _kept(one: Change | Reached | Break) -> dict[str, Any]:
    """As it is stored: what is not empty, with limited texts and lists, and `more_columns`, the number of those that are left out."""
    found: dict[str, Any] = {name: value for name, value in msgspec.to_builtins(one).items() if value or name == "certain"}
    for name, value in found.items():
        if name in ("unique_id", "cause"):
            found[name] = key(value)
        elif isinstance(value, str):
            found[name] = short(value, MAX_REASON_BYTES) if name == "reason" else short(value)
        elif isinstance(value, list | tuple):
            found[name] = [short(item) for item in value[:MAX_COLUMNS]]
    more = 0 if isinstance(one, Break) else one.more_columns + max(len(one.columns) - MAX_COLUMNS, 0)
    return {**found, "more_columns": more} if more else found


def _place(place: ReportedNode) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(place)
    found.pop("tags", None)  # they have decided
    return {name: short(value) if isinstance(value, str) and name != "path" else value for name, value in found.items()}


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its longest lists cut until it fits, and the nodes that are left."""
    while _bytes({**document, "policy": None, "base_policy": None}) > MAX_BYTES and any(document[name] for name in WEIGHTS):
        longest = max(WEIGHTS, key=lambda name: _bytes(document[name]) / WEIGHTS[name])
        document[longest] = document[longest][: len(document[longest]) * 7 // 8]
        named = {one.get(field) for name in WEIGHTS for one in document[name] for field in ("unique_id", "cause")}
        named |= document["picture"]["nodes"].keys()
        document["nodes"] = {unique_id: node for unique_id, node in document["nodes"].items() if unique_id in named}
    return document


def _bytes(value: Any) -> int:
    return len(msgspec.json.encode(value))
