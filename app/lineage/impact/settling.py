"""The classes of change of a node, from its delta and from what has changed above it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.lineage.impact import reasons
from app.lineage.impact.changes import Changes, GoneColumn, NodeCodes
from app.lineage.impact.deltas import Delta, PlacedColumn, TypeChange
from app.lineage.impact.mentions import INLINED, differs_by_comments, differs_by_run, own_tokens, same_but_for
from app.lineage.impact.model import Change, ChangeClass
from app.lineage.impact.passing import only_passes
from app.lineage.impact.renames import only_follows, renamed_columns, same_source
from app.lineage.impact.versions import SideEdge, SideName, folded

MAX_COLUMNS = 100
"""Columns listed in one change."""


def settle(changes: Changes, delta: Delta, codes: NodeCodes) -> None:
    """Add the changes of a node; those of all nodes that it reads are known."""
    if delta.is_empty:
        return
    is_below = changes.is_below_unbuilt(delta.unique_id)
    if delta.missing or delta.uneven or is_below:
        changes.unbuilt |= {delta.base_id, delta.unique_id}
    if delta.uneven and delta.same_sql:
        delta.removed, delta.added = [], []
        return  # its table stays as it is
    settled = _Settled(delta, changes, changes.sides["head"].name(delta.unique_id), is_below=is_below)
    settled.look_at_code(codes)
    if not delta.same_sql:
        changes.rewritten.add(delta.base_id)
    settled.names()
    settled.types()
    settled.values()
    settled.row_set()


@dataclass(slots=True)
class _Settled:
    """One node while its changes are added."""

    delta: Delta
    changes: Changes
    name: str
    doubtful: bool = False
    """Only what looks like times of a run differs, and nothing says that they are."""
    is_below: bool = False
    """Something that it reads is not built, so what it has from there may stay."""

    @property
    def _certain(self) -> bool:
        delta = self.delta
        return delta.precise and not self.doubtful and not (self.is_below and delta.same_sql)

    def look_at_code(self, codes: NodeCodes) -> None:
        """Find out whether other code says nothing new."""
        delta, changes = self.delta, self.changes
        if delta.same_sql or not changes.may_compare(codes):
            return
        base, head = (code or "" for code in codes)
        if (not delta.digests and same_but_for(base, head, {})) or (INLINED in base and own_tokens(base) == own_tokens(head)):
            delta.same_sql = True
        elif differs_by_run(base, head) and (delta.same_code or (delta.raw is not None and differs_by_comments(*delta.raw))):
            self.doubtful = True
            if delta.names_run:
                _forget(delta)
                delta.same_sql = True
        else:
            renamed = only_follows(delta, (base, head), changes.renames, changes.columns_of["base"], changes.columns_of["head"])
            if renamed is None and changes.passing and self._only_passes((base, head)):
                renamed = {}
            if renamed is not None:
                _forget(delta)
                self._rename(renamed)
                delta.removed, delta.added = [], []

    def _only_passes(self, codes: tuple[str, str]) -> bool:
        changes = self.changes
        sides, columns = changes.sides, changes.columns_of
        both = (sides["base"], sides["head"]), (columns["base"], columns["head"])
        return only_passes(self.delta, codes, changes.passing, *both, changes.renames)

    def names(self) -> None:
        """Columns that are removed, renamed or new, and their order."""
        delta, changes = self.delta, self.changes
        renamed, added = renamed_columns(delta, changes.renames, changes.columns_of["base"], changes.columns_of["head"])
        removed = [one for one in delta.removed if one.name not in renamed and self._is_really("base", one)]
        added = [one for one in added if self._is_really("head", one)]
        self._rename(renamed)
        for inherited, columns in self._apart("base", _names(removed)):
            certain = self._certain and not delta.head_open
            self._lose(dict.fromkeys(columns), certain=certain, inherited=inherited)
            reason = reasons.removed(self.name, columns, self._via("base", columns, inherited=inherited))
            self._add("removed", columns, reason, certain=certain, inherited=inherited)
        for inherited, columns in self._apart("head", _names(added)):
            reason = reasons.added(self.name, columns, self._via("head", columns, inherited=inherited))
            self._add("added", columns, reason, certain=self._certain and not delta.base_open, inherited=inherited)
        if delta.reordered and not delta.same_sql:
            self._add("moved", (), reasons.reordered(self.name), certain=self._certain)

    def types(self) -> None:
        """Columns of another type. Where one version states none, its other values may be the reason, or a better reading of the SQL."""
        delta = self.delta
        same_values = not delta.same_sql and delta.digests
        others = {*delta.unknown, *(column for column, _ in delta.values)}
        changed = [one for one in delta.retyped if None not in (one.base, one.head) or (same_values and one.name not in others)]
        if changed:
            self._retype(changed, certain=self._certain, inherited=delta.same_sql)
        if delta.promised:
            self._retype(delta.promised, certain=True, inherited=False)

    def _retype(self, changed: Sequence[TypeChange], *, certain: bool, inherited: bool) -> None:
        known = all(None not in (one.base, one.head) for one in changed)
        columns = [one.name for one in changed]
        self._add("retyped", columns, reasons.retyped(self.name, changed), certain=known and certain, inherited=inherited)
        self.changes.starts.columns += [(self.delta.unique_id, column) for column in columns]

    def values(self) -> None:
        """Columns that are computed in another way."""
        delta, changes = self.delta, self.changes
        if delta.is_quiet:
            return
        if not delta.same_sql and not (delta.columns and delta.digests):
            self._add("logic", (), reasons.logic(self.name, (), ((), ()), certain=False, inherited=False), certain=False)
            return
        base, head = changes.columns_of["base"], changes.columns_of["head"]
        found = [(column, precise) for column, precise in delta.values if not same_source(column, delta, changes.renames, base, head)]
        if delta.same_sql:
            found = [(column, precise) for column, precise in found if self._reads_others(column, precise=precise)]
        else:
            found += [(column, False) for column in delta.unknown if not same_source(column, delta, changes.renames, base, head)]
        for certain in (True, False):
            columns = [one for one, precise in found if (precise and delta.full and not self._may_be_of_the_run(one)) == certain]
            if columns:
                reason = reasons.logic(self.name, columns, self._sources(columns), certain=certain, inherited=delta.same_sql)
                self._add("logic", columns, reason, certain=certain)
                changes.starts.columns += [(delta.unique_id, column) for column in columns]

    def row_set(self) -> None:
        """Which rows there are."""
        delta, changes = self.delta, self.changes
        if delta.is_quiet:
            return
        if delta.same_sql:
            before, after = changes.columns_of["base"].into_rows(delta.base_id), changes.columns_of["head"].into_rows(delta.unique_id)
            is_broken = self._misses(before) and not delta.removed
            others = changes.renames.edges(before) != after or bool(delta.removed or delta.added)
            applies = delta.rows and others and not is_broken
        else:
            applies = delta.columns and delta.digests and (delta.rows or delta.unknown_rows)
        if applies:
            certain = delta.rows and delta.precise_rows and delta.full and not self.doubtful
            self._add("rows", (), reasons.rows(self.name, certain=certain, inherited=delta.same_sql), certain=certain)

    def _apart(self, side: SideName, columns: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
        """The columns that it hands on, and those of its own SQL."""
        handed_on = {column for column in columns if self._hands_on(side, column)}
        for inherited in (False, True):
            if found := [column for column in columns if (column in handed_on) == inherited]:
                yield inherited, found

    def _hands_on(self, side: SideName, column: str) -> bool:
        """Whether a column of one side is as it is because of what the node reads: by a star, or by a macro that writes one out."""
        delta, changes = self.delta, self.changes
        if delta.same_sql or not delta.same_code:
            return delta.same_sql
        edges = changes.columns_of[side].into(delta.base_id if side == "base" else delta.unique_id, column)
        if side == "base":
            return bool(edges) and all(one.subtype == "IDENTITY" and one.column in changes.gone.get(one.upstream, {}) for one in edges)
        base = changes.columns_of["base"]
        are_new = (base.node(one.upstream) is not None and base.number(one.upstream, one.column) is None for one in edges)
        return bool(edges) and all(are_new) and all(one.subtype == "IDENTITY" for one in edges)

    def _via(self, side: SideName, columns: Sequence[str], *, inherited: bool) -> reasons.Via:
        """The names of the nodes that passed-on columns come from; None for columns of its own SQL."""
        delta, changes = self.delta, self.changes
        if not inherited:
            return None
        unique_id = delta.base_id if side == "base" else delta.unique_id
        found = {edge.upstream for one in columns for edge in changes.columns_of[side].into(unique_id, one)}
        return [changes.sides[side].name(one) for one in sorted(found)]

    def _sources(self, columns: Sequence[str]) -> reasons.Sources:
        """The names of the nodes that columns come from only at the base, and only at the head."""
        delta, changes = self.delta, self.changes
        before = {edge.upstream for one in columns for edge in changes.renames.edges(changes.columns_of["base"].into(delta.base_id, one))}
        now = {edge.upstream for one in columns for edge in changes.columns_of["head"].into(delta.unique_id, one)}
        return [changes.sides["base"].name(one) for one in sorted(before - now)], [
            changes.sides["head"].name(one) for one in sorted(now - before)
        ]

    def _rename(self, renamed: Mapping[str, PlacedColumn]) -> None:
        delta = self.delta
        for inherited, columns in self._apart("base", list(renamed)):
            new = [renamed[column].name for column in columns]
            self._lose(dict(zip(columns, new, strict=True)), certain=self._certain, inherited=inherited)
            self.changes.renames.columns.setdefault(delta.base_id, {}).update(zip(map(folded, columns), map(folded, new), strict=True))
            reason = reasons.renamed(self.name, columns, new, self._via("base", columns, inherited=inherited))
            self._add("renamed", columns, reason, certain=self._certain, new=new, inherited=inherited)

    def _lose(self, columns: Mapping[str, str | None], *, certain: bool, inherited: bool) -> None:
        delta, changes = self.delta, self.changes
        gone = changes.gone.setdefault(delta.base_id, {})
        for column, new_name in columns.items():
            root = self._root(column) if inherited else delta.unique_id
            gone[folded(column)] = GoneColumn(column, new_name, root, certain)
            changes.starts.base_columns.append((delta.base_id, column))

    def _root(self, column: str) -> str:
        """The node whose own SQL lost a column that this one passed on."""
        for edge in self.changes.columns_of["base"].into(self.delta.base_id, column):
            above = self.changes.gone.get(edge.upstream, {}).get(edge.column)
            if above is not None:
                return above.root
        return self.delta.unique_id

    def _is_really(self, side: str, column: PlacedColumn) -> bool:
        """Whether a column that one version lacks is missing there: an open one may have any, and lists only those that others use."""
        delta = self.delta
        other_open = delta.head_open if side == "base" else delta.base_open
        if not other_open:
            return True
        unique_id = delta.base_id if side == "base" else delta.unique_id
        edges = self.changes.columns_of[side].into(unique_id, column.name)
        passed_on = bool(edges) and all(edge.column == folded(column.name) and edge.subtype == "IDENTITY" for edge in edges)
        return not delta.same_sql and not passed_on

    def _may_be_of_the_run(self, column: str) -> bool:
        """Whether a column may be a time or an id that is another one in each run: it is made of no column."""
        delta, changes = self.delta, self.changes
        if not delta.names_run:
            return self.doubtful
        return not changes.columns_of["base"].into(delta.base_id, column) and not changes.columns_of["head"].into(delta.unique_id, column)

    def _misses(self, edges: Iterable[SideEdge]) -> bool:
        """Whether one of these edges of the base begins at a column that is gone, and that the SQL names: it may take it by position."""
        missed = set(map(folded, self.delta.missing))
        return any(edge.column in missed and edge.column in self.changes.gone.get(edge.upstream, {}) for edge in edges)

    def _reads_others(self, column: str, *, precise: bool) -> bool:
        """Whether a column comes from other columns than before, or meets others by position, which only a precise digest shows.

        What reads a column that is gone is broken, and what had no source was; neither is another value. New names are no other values.
        """
        delta, changes = self.delta, self.changes
        before = changes.columns_of["base"].into(delta.base_id, column)
        if not before or self._misses(before):
            return False
        if changes.renames.edges(before) != changes.columns_of["head"].into(delta.unique_id, column):
            return True
        return precise and not changes.renames.concern(changes.columns_of["base"].into_node(delta.base_id))

    def _add(
        self,
        change_class: ChangeClass,
        columns: Sequence[str],
        reason: str,
        *,
        certain: bool,
        new: Sequence[str] = (),
        inherited: bool | None = None,
    ) -> None:
        """Add a change. It is inherited if the SQL is the same, unless that is said."""
        self.changes.add(
            Change(
                unique_id=self.delta.unique_id,
                change_class=change_class,
                certain=certain,
                columns=tuple(columns[:MAX_COLUMNS]),
                new_columns=tuple(new[:MAX_COLUMNS]),
                reason=reason,
                inherited=self.delta.same_sql if inherited is None else inherited,
                more_columns=max(0, len(columns) - MAX_COLUMNS),
            )
        )


def _forget(delta: Delta) -> None:
    """Nothing but names differs."""
    delta.is_quiet, delta.reordered, delta.retyped = True, False, []


def _names(columns: Iterable[PlacedColumn]) -> list[str]:
    return [one.name for one in columns]
