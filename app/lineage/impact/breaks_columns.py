"""What breaks because a column has gone that SQL, a configuration or an existing table needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.lineage.impact.changes import Changes, GoneColumn
from app.lineage.impact.definition_changes import NodePair, config, mapping
from app.lineage.impact.deltas import Delta
from app.lineage.impact.mentions import is_name
from app.lineage.impact.model import Break
from app.lineage.impact.versions import ImpactSide, folded
from app.lineage.impact.words import is_are, lost_by, name, names, sentence

KEYS = (
    "unique_key",
    "check_cols",
    "updated_at",
    "merge_update_columns",
    "merge_exclude_columns",
    "cluster_by",
    "partition_by",
    "event_time",
)
"""Configurations that name columns of the node itself."""
ON_CHANGE = "on_schema_change"
MAX_MISSING = 100
"""Columns of one node for which a break is reported."""


class ReadColumns:
    """Finds out why a node misses a column."""

    def __init__(self, base: ImpactSide, head: ImpactSide, changes: Changes) -> None:
        self._base, self._head, self._changes = base, head, changes

    def breaks(self, delta: Delta) -> Iterator[Break]:
        """The columns that the SQL of a node names, and that have gone."""
        for column in delta.missing[:MAX_MISSING]:
            yield self._missed(delta.unique_id, delta.base_id, column, certain=delta.full and delta.was_exact)
        if delta.uneven:
            yield self._uneven(delta)
        if not delta.digests:
            yield from self._without_digests(delta)

    def of_new_node(self, unique_id: str, missing: tuple[str, ...]) -> Iterator[Break]:
        """The same of a node that only the head has."""
        for column in missing[:MAX_MISSING]:
            yield self._missed(unique_id, unique_id, column, certain=True)

    def _missed(self, unique_id: str, base_id: str, column: str, *, certain: bool) -> Break:
        above = self._lost(unique_id, base_id, folded(column))
        reader = name(self._head.name(unique_id))
        if above is None:
            reason = sentence(f"{reader} reads {name(column)}, and nothing that it reads has a column of this name")
            return Break(unique_id=unique_id, kind="column_missing", certain=False, reason=reason, column=column)
        return self._gone(unique_id, *above, certain=certain and above[0] not in self._changes.unbuilt)

    def _gone(self, unique_id: str, upstream: str, gone: GoneColumn, *, certain: bool) -> Break:
        return Break(
            unique_id=unique_id,
            kind="column_renamed" if gone.new_name else "column_removed",
            certain=certain,
            reason=sentence(f"{name(self._head.name(unique_id))} reads {lost(self._head, upstream, gone)}"),
            cause=gone.root,
            column=gone.name,
        )

    def _lost(self, unique_id: str, base_id: str, key: str) -> tuple[str, GoneColumn] | None:
        """The node above that had the column: the one that it was read from, or else one that the node depends on."""
        gone = self._changes.gone
        read = [edge.upstream for edge in self._changes.columns_of["base"].into_node(base_id) if edge.column == key]
        return next(((one, gone[one][key]) for one in (*read, *self._above(unique_id)) if key in gone.get(one, {})), None)

    def _above(self, unique_id: str) -> list[str]:
        """The nodes that a node of the head depends on."""
        graph = self._head.graph
        position = graph.position(unique_id)
        return [] if position is None else [graph.nodes[one].unique_id for one in graph.parents[position]]

    def _uneven(self, delta: Delta) -> Break:
        """A node that puts columns together by position, where something above it has lost or gained some."""
        changes, above = self._changes, self._above(delta.unique_id)
        gone = next(((one, lost) for one in above for lost in changes.gone.get(one, {}).values() if lost.new_name is None), None)
        new = next(((one, changes.added[one]) for one in above if one in changes.added), None)
        reader, column, cause, end = name(self._head.name(delta.unique_id)), None, None, ""
        if gone is not None:
            column, cause = gone[1].name, gone[1].root
            end = f": {name(self._head.name(gone[0]))} no longer has {name(column)}"
        elif new is not None:
            column, cause = new[1], new[0]
            end = f": {name(self._head.name(cause))} now has {name(column)}"
        return Break(
            unique_id=delta.unique_id,
            kind="column_count",
            certain=bool(end) and delta.same_sql and delta.full and delta.was_exact and not changes.unbuilt.intersection(above),
            reason=sentence(f"{reader} puts columns together by position, and their numbers do not match any more{end}"),
            cause=cause or delta.unique_id,
            column=column,
        )

    def _without_digests(self, delta: Delta) -> Iterator[Break]:
        """Nobody has looked for missing columns: the SQL is the same, so it still reads what it read, unless a name now means another."""
        if not delta.same_sql:
            return
        seen: set[tuple[str, str]] = set()
        for edge in sorted(self._changes.columns_of["base"].into_node(delta.base_id), key=lambda edge: (edge.upstream, edge.column)):
            gone = self._changes.gone.get(edge.upstream, {}).get(edge.column)
            passed_on = edge.column in self._changes.gone.get(delta.base_id, {}) and edge.subtype == "IDENTITY"
            if gone is not None and edge.certain and not passed_on and (edge.upstream, edge.column) not in seen:
                seen.add((edge.upstream, edge.column))
                yield self._gone(delta.unique_id, edge.upstream, gone, certain=False)


def lost(side: ImpactSide, upstream: str, gone: GoneColumn) -> str:
    """`amount` of `stg_orders`, which no longer has it."""
    through = "" if gone.root == upstream else f", which had it from {name(side.name(gone.root))}"
    return lost_by(gone.name, f"{name(side.name(upstream))}{through}", gone.new_name)


def own_breaks(pair: NodePair, gone: Mapping[str, GoneColumn]) -> Iterator[Break]:
    """What a node itself needs of the columns that it has lost (`gone`)."""
    for key, column in _named(pair, gone):
        text = f"{name(key)} of {name(pair.name)} is {name(column.name)}, which is no longer a column of it"
        yield Break(
            unique_id=pair.unique_id,
            kind="column_renamed" if column.new_name else "column_removed",
            certain=column.certain,
            reason=sentence(text),
            cause=column.root,
            column=column.name,
        )


def schema_breaks(pair: NodePair, removed: list[str], added: list[str]) -> Iterator[Break]:
    """The table of an incremental model has the old columns, and its configuration says whether the next run changes them."""
    if "incremental" not in {pair.head.materialized} & {pair.base.materialized}:
        return
    mode = config(pair.new).get(ON_CHANGE) or "ignore"
    if mode == "fail" and (removed or added):
        text = f"the columns of {name(pair.name)} differ from those of its table, so its next incremental run fails ({ON_CHANGE}: fail)"
    elif mode == "ignore" and removed:
        text = (
            f"{names(removed, 'column')} {is_are(removed)} in the table of {name(pair.name)}, but no longer in its SQL, so its next "
            f"incremental run fails until a full refresh ({ON_CHANGE}: ignore)"
        )
    else:
        return
    yield Break(unique_id=pair.unique_id, kind="schema_change", certain=False, reason=sentence(text), cause=pair.unique_id)


def _named(pair: NodePair, gone: Mapping[str, GoneColumn]) -> Iterator[tuple[str, GoneColumn]]:
    """The configurations that name a lost column, with it."""
    for key in KEYS if gone else ():
        value = config(pair.new).get(key)
        value = mapping(value).get("field", value) if isinstance(value, dict) else value
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and is_name(one) and (column := gone.get(folded(one.strip().strip('"`')))) is not None:
                yield key, column
