"""How a node is built, as far as its rows depend on it: the file of a seed, and the configuration and code of what dbt adds rows to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.lineage.impact.definition_changes import SAME_ROWS, NodePair, config, mapping, shown, with_default
from app.lineage.impact.incremental_code import same_later
from app.lineage.impact.model import Change
from app.lineage.impact.versions import folded
from app.lineage.impact.words import name

ROWS_OF = {
    "incremental": ("incremental_strategy", "unique_key", "on_schema_change", "event_time", "batch_size", "lookback", "begin"),
    "snapshot": ("unique_key", "strategy", "check_cols", "updated_at", "invalidate_hard_deletes", "hard_deletes"),
}
"""Configurations that decide about rows, by materialisation."""


def building_changes(pair: NodePair, renamed: Mapping[str, str]) -> Iterator[Change]:
    """The changes that follow. `renamed`: columns of the node that have another name now, folded: configurations may follow."""
    if pair.kind == "seed":
        yield from _seed(pair)
        return
    before, after = pair.base.materialized, pair.head.materialized
    if after == "incremental" and not same_later(pair.old, pair.new):
        text = f"{name(pair.name)} adds other rows than before where its table exists: its code for incremental runs changed"
        yield pair.change("rows", text, certain=False)
    if before != after and not {before, after} <= SAME_ROWS:
        text = f"{name(pair.name)} is built as {name(str(after))} instead of {name(str(before))}, so it may have other rows"
        yield pair.change("rows", text, certain=False)
    elif before == after and before in ROWS_OF:
        old, new = config(pair.old), config(pair.new)
        for key in ROWS_OF[before]:
            was, now = with_default(old, key), with_default(new, key)
            if was != now and _named_anew(was, renamed) != _named_anew(now, {}):
                text = f"{name(key)} of {name(pair.name)} is now {shown(now)} instead of {shown(was)}"
                yield pair.change("rows", f"{text}, which decides which rows it gets", certain=False)


def _seed(pair: NodePair) -> Iterator[Change]:
    """Dbt's checksum also differs where only line ends do."""
    old, new = (mapping(one.get("checksum")).get("checksum") for one in (pair.old, pair.new))
    if pair.file == "different" or (pair.file == "unknown" and old and new and old != new):
        yield pair.change("rows", f"the file of {name(pair.name)} has other content", certain=True)


def _named_anew(value: Any, renamed: Mapping[str, str]) -> Any:
    """A configuration with new names for the columns that it names."""
    if isinstance(value, list):
        return [_named_anew(one, renamed) for one in value]
    return renamed.get(folded(value), folded(value)) if isinstance(value, str) else value
