"""What a change does, in a few words: "2 columns removed, 1 exposure breaks"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.core.plurals import count
from app.lineage.resource_types import label

NO_CHANGE = "No change to data"
MAX_LENGTH = 250
"""Characters: what GitHub takes as the title of an annotation. For this one, it names no limit."""
MAX_TYPES = 2
"""Resource types that are counted apart; more are nodes."""
FIRST_REACHED = ("exposure", "metric", "semantic_model", "saved_query", "model")
"""The most telling first; a title has one of them."""


def title(found: Mapping[str, Any] | None) -> str | None:
    """Of a stored comparison; None if there is none."""
    if not found or "totals" not in found:
        return None
    totals, lost = found["totals"], _lost(found)
    changes, others = (lost, _other_data(totals)) if lost else (_changes(found), [])
    breaks = [*_breaks(totals), *_hidden(found)]
    parts = [*changes, *breaks, *others, *(_reached(found) if changes and not breaks else [])]
    provisional = " (provisional)" if found["state"] == "waiting" else ""
    while len(text := ", ".join(parts) or NO_CHANGE) > MAX_LENGTH - len(provisional):
        parts.pop()
    return f"{text[0].upper()}{text[1:]}{provisional}"


def number_of_nodes(by_type: Mapping[str, int]) -> str:
    """The numbers of nodes by resource type in words: "2 models and 1 test", "7 nodes"."""
    if len(by_type) > MAX_TYPES:
        return count(sum(by_type.values()), "node")
    return " and ".join(count(number, label(kind)) for kind, number in by_type.items())


def _lost(found: Mapping[str, Any]) -> list[str]:
    """Columns that are gone or different say more than the models that they are in, but not more than models that are gone."""
    totals, columns = found["totals"], found["counts"].get("columns", {})
    columns_gone = [f"{count(columns[name], 'column')} {name}" for name in ("removed", "renamed", "retyped") if columns.get(name)]
    gone = [f"{_at_least(totals, 'changes')}{number_of_nodes(totals['removed'])} removed"] if columns_gone and totals["removed"] else []
    return [*gone, *columns_gone]


def _other_data(totals: Mapping[str, Any]) -> list[str]:
    """What columns that are gone do not say: that other data changed too."""
    numbers = {word: totals[name] for name, word in (("rows", "rows"), ("logic", "values")) if totals.get(name)}
    nodes = number_of_nodes(sum(map(Counter, numbers.values()), Counter()))
    return [f"other {' or '.join(numbers)} in {_at_least(totals, 'changes')}{nodes}"] if numbers else []


def _changes(found: Mapping[str, Any]) -> list[str]:
    """Nodes that are gone, different or new."""
    totals, columns = found["totals"], found["counts"].get("columns", {})
    classes = _classes(found)
    if classes == {"added"} and columns.get("added") and not totals["added"]:
        return [f"{count(columns['added'], 'column')} added"]
    changed = "moved" if classes == {"moved"} else "changed"
    words = {"removed": "removed", "changed": changed, "added": "added"}
    some = _at_least(totals, "changes")
    return [f"{some}{number_of_nodes(totals[name])} {word}" for name, word in words.items() if totals[name]][:2]


def _at_least(totals: Mapping[str, Any], name: str) -> str:
    """Before the numbers of a list that does not have all."""
    return "at least " if totals["left_out"].get(name) else ""


def _breaks(totals: Mapping[str, Any]) -> list[str]:
    certain, possible, some = totals["certain"], totals["possible"], _at_least(totals, "breaks")
    number, maybe = sum(certain.values()), sum(possible.values())
    if number:
        verb = "breaks" if number == 1 else "break"
        return [f"{some}{number_of_nodes(certain)} {verb}", *([f"{maybe:,} more may break"] if maybe else [])]
    return [f"{some}{number_of_nodes(possible)} may break"] if maybe else []


def _hidden(found: Mapping[str, Any]) -> list[str]:
    """What breaks in repositories whose names are not shown."""
    number = found["counts"].get("elsewhere", {}).get("hidden_nodes")
    return [f"{number:,} in other repositories may break"] if number else []


def _reached(found: Mapping[str, Any]) -> list[str]:
    reached = found["counts"].get("reached", {})
    first = next((kind for kind in FIRST_REACHED if reached.get(kind)), None)
    if first:
        return [f"{count(reached[first], label(first))} reached"]
    silent = found["totals"]["reached"] or not found["totals"]["changed"] or _classes(found) == {"added"}
    return [] if silent else ["nothing else reached"]


def _classes(found: Mapping[str, Any]) -> set[str]:
    """Of changes to data."""
    return {name for name, number in found["counts"].get("changes", {}).items() if number and name != "none"}
