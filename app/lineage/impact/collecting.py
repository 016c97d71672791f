"""Takes the nodes that differ, in steps, and keeps of each only what is needed once all are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.lineage.column_digests import compare
from app.lineage.formats.json_document import is_external
from app.lineage.impact.breaks_contracts import access_breaks, contract_breaks
from app.lineage.impact.breaks_tables import GoneTable
from app.lineage.impact.building_changes import building_changes
from app.lineage.impact.changes import MAX_COMPARED
from app.lineage.impact.definition_changes import NodePair, contract_types, definition_changes, is_enforced, table_of
from app.lineage.impact.deltas import Delta, delta_of, new_missing
from app.lineage.impact.mentions import RUN_VARIABLES, same_but_for
from app.lineage.impact.model import Break, Change
from app.lineage.impact.passing import Passing, passing
from app.lineage.impact.renames import renamed_nodes
from app.lineage.impact.semantic_changes import semantic_changes
from app.lineage.impact.semantic_elements import SemanticElements, elements_of
from app.lineage.impact.versions import (
    Definition,
    ImpactPair,
    ImpactSide,
    ImpactVersion,
    SideColumns,
    Traced,
    definition_of,
    facts_of,
    traced_of,
)
from app.lineage.impact.words import name, sentence
from app.lineage.resource_types import label

TRACED = frozenset({"model", "seed", "snapshot"})
"""Resource types whose columns are compared. Sources have no SQL that would make theirs."""
LISTED = TRACED | {"source", "exposure", "metric", "semantic_model", "saved_query", "function"}
"""Resource types whose nodes are reported when they come or go."""


@dataclass(slots=True)
class Collected:
    """What is known of each node that differs."""

    deltas: dict[str, Delta] = field(default_factory=dict)
    """By unique_id at the head."""
    pairs: dict[str, NodePair] = field(default_factory=dict)
    """Of nodes that lost or gained columns."""
    built: list[NodePair] = field(default_factory=list)
    """Nodes that are built in another way, or have another definition."""
    changes: list[Change] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    tables: list[GoneTable] = field(default_factory=list)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that new nodes miss."""
    new: set[str] = field(default_factory=set)
    """Nodes that only the head has."""
    renamed: dict[str, str] = field(default_factory=dict)
    """The unique_ids at the base of renamed nodes, by those at the head."""
    semantic: dict[str, SemanticElements] = field(default_factory=dict)
    """What semantic models had at the base that have less now."""
    passing: Passing = field(default_factory=Passing)
    words: dict[str, str] = field(default_factory=dict)
    """The old names of tables and their new ones, folded."""


class Collector:
    """Add all pairs, then call `collected`."""

    def __init__(self, base: ImpactSide, head: ImpactSide) -> None:
        self._base, self._head = base, head
        self._found = Collected()
        self._removed: list[ImpactVersion] = []
        self._added: list[ImpactVersion] = []
        self._base_columns, self._columns = SideColumns(base), SideColumns(head)
        self._kept = 0
        """Characters of code."""

    def add(self, pairs: Iterable[ImpactPair]) -> None:
        """Add nodes that differ in their row, their definition or their columns."""
        for pair in pairs:
            if any(side is not None and is_external(side.content) for side in (pair.base, pair.head)):
                # What changes there is the doing of its own project.
                continue
            if pair.base is not None and pair.head is not None:
                self._compare(pair)
            elif pair.base is not None:
                self._removed.append(pair.base)
            elif pair.head is not None:
                self._added.append(pair.head)

    def collected(self) -> Collected:
        """Everything; call it once."""
        found = self._found
        for base, head in renamed_nodes(self._removed, self._added):
            self._removed.remove(base)
            self._added.remove(head)
            self._rename(base, head)
        found.passing = Passing(passing(self._removed, self._base), passing(self._added, self._head))
        for version in self._removed:
            self._gone(version)
        for version in self._added:
            found.new.add(version.unique_id)
            kind = self._kind(version)
            if kind in LISTED:
                text = f"the {label(kind)} {name(self._head.name(version.unique_id))} is new"
                found.changes.append(_whole(version.unique_id, "added", text))
            if missing := new_missing(version):
                found.missing[version.unique_id] = missing
        return found

    def _compare(self, pair: ImpactPair, *, is_renamed: bool = False) -> None:
        base, head = pair.base, pair.head
        if base is None or head is None:
            return
        kind = self._kind(head)
        if kind not in LISTED or (not is_renamed and _is_same_data(pair)):
            return
        delta = delta_of(pair, is_compiled=self._is_compiled(head.unique_id, kind)) if kind in TRACED else None
        try:
            decoded = self._decoded(base, head)
            if decoded is not None:
                self._look_at_definitions(decoded, pair, delta, is_renamed=is_renamed)
        except RecursionError:
            # JSON that is nested deeper than anyone writes it.
            decoded = None
        if delta is not None and not delta.is_empty:
            self._found.deltas[head.unique_id] = delta
            if decoded is not None and (delta.removed or delta.added):
                self._found.pairs[head.unique_id] = decoded

    def _kind(self, version: ImpactVersion) -> str:
        position = self._head.graph.position(version.unique_id)
        return "" if position is None else self._head.graph.nodes[position].resource_type

    def _is_compiled(self, unique_id: str, kind: str) -> bool:
        node = self._columns.node(unique_id)
        return kind == "seed" or (node is not None and node.status != "unknown")

    def _decoded(self, base: ImpactVersion, head: ImpactVersion) -> NodePair | None:
        old, new = definition_of(base.definition), definition_of(head.definition)
        if old is None or new is None:
            return None
        facts = facts_of(base.content), facts_of(head.content)
        files = [
            None if node is None else node.file for node in (self._base_columns.node(base.unique_id), self._columns.node(head.unique_id))
        ]
        return NodePair(head.unique_id, self._head.name(head.unique_id), *facts, old, new, compare(*files))

    def _look_at_definitions(self, decoded: NodePair, pair: ImpactPair, delta: Delta | None, *, is_renamed: bool) -> None:
        found = self._found
        found.changes += [one for one in definition_changes(decoded) if not (is_renamed and one.change_class == "moved")]
        if any(building_changes(decoded, {})) or any(semantic_changes(decoded, {})):
            found.built.append(decoded)
        if decoded.kind == "semantic_model" and not (elements := elements_of(decoded.old)).are_in(elements_of(decoded.new)):
            found.semantic[decoded.unique_id] = elements
        old, new = table_of(decoded.old), table_of(decoded.new)
        if old != new and not is_renamed:
            found.tables.append(GoneTable(decoded.unique_id, decoded.name, old, cause=decoded.unique_id))
        found.breaks += access_breaks(decoded)
        if delta is None:
            return
        if not (delta.same_sql or delta.digests or delta.is_quiet) and _is_same_text(pair, decoded.old, decoded.new):
            delta.same_sql = True
        raw = str(decoded.old.get("raw_code") or ""), str(decoded.new.get("raw_code") or "")
        delta.names_run = any(variable in raw[1] for variable in RUN_VARIABLES)
        if not (delta.same_sql or delta.same_code or self._kept > MAX_COMPARED):
            delta.raw = raw
            self._kept += sum(map(len, raw))
        known = {one.name.casefold() for one in delta.retyped}
        delta.promised = [one for one in contract_types(decoded) if one.name.casefold() not in known]
        if is_enforced(decoded.old) or is_enforced(decoded.new):
            before, after, exact = self._made(pair, delta)
            found.breaks += contract_breaks(decoded, before, after, exact=exact)

    def _made(self, pair: ImpactPair, delta: Delta) -> tuple[Traced | None, Traced | None, bool]:
        """The columns that the SQL of both versions makes, and whether those of the head are all and certain."""
        if not pair.same_columns:
            after = traced_of(pair.head) if delta.columns else None
            return traced_of(pair.base) if delta.columns else None, after, delta.precise
        node = self._columns.node(delta.unique_id)
        if node is None or node.status == "unknown":
            return None, None, False
        traced = self._columns.made(delta.unique_id)
        return traced, traced, node.status == "exact"

    def _rename(self, base: ImpactVersion, head: ImpactVersion) -> None:
        found = self._found
        found.renamed[head.unique_id] = base.unique_id
        old, new = (table_of(_definition(one)) for one in (base, head))
        was, now = self._base.name(base.unique_id), self._head.name(head.unique_id)
        if base.unique_id.startswith("source."):
            was, now = (".".join(one.unique_id.split(".")[2:]) for one in (base, head))
        kind = label(facts_of(head.content).resource_type)
        if old == new and old[-1] is not None:
            text = f"the {kind} {name(was)} is now named {name(now)}, with the same table"
            found.changes.append(_whole(head.unique_id, "none", text))
        else:
            found.changes.append(_whole(head.unique_id, "moved", f"the {kind} {name(was)} is now named {name(now)}"))
            found.tables.append(GoneTable(base.unique_id, was, old, cause=head.unique_id))
            if old[-1] is not None and new[-1] is not None:
                found.words[old[-1].casefold()] = new[-1].casefold()
        self._compare(ImpactPair(base, head), is_renamed=True)

    def _gone(self, version: ImpactVersion) -> None:
        facts, found = facts_of(version.content), self._found
        if facts.resource_type not in LISTED:
            return
        text = f"the {label(facts.resource_type)} {name(self._base.name(version.unique_id))} is removed"
        found.changes.append(_whole(version.unique_id, "removed", text))
        if facts.resource_type == "semantic_model":
            found.semantic[version.unique_id] = elements_of(_definition(version))
        if facts.resource_type in TRACED:
            public = facts.access == "public"
            table = table_of(_definition(version))
            found.tables.append(GoneTable(version.unique_id, self._base.name(version.unique_id), table, is_public=public))


def _definition(version: ImpactVersion) -> Definition:
    return definition_of(version.definition) or {}


def _is_same_data(pair: ImpactPair) -> bool:
    """Whether only words, tags or the like differ, seen without decoding anything. Types of columns count in contracts."""
    base, head = pair.base, pair.head
    if base is None or head is None or not pair.same_columns or base.sql_hash != head.sql_hash:
        return False
    return base.definition is not None and base.definition == head.definition and b'"enforced":true' not in base.definition


def _is_same_text(pair: ImpactPair, old: Definition, new: Definition) -> bool:
    """Whether the project's code is the same but for its form, where nothing is compiled."""
    if pair.base is None or pair.head is None or (pair.base.code_hash is not None and pair.head.code_hash is not None):
        return False
    before, after = str(old.get("raw_code") or ""), str(new.get("raw_code") or "")
    if new.get("language") == "python":
        return _lines(before) == _lines(after)
    return same_but_for(before, after, {})


def _lines(code: str) -> list[str]:
    """Lines of Python without spaces at their ends, empty lines and those with a comment only."""
    return [line.rstrip() for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _whole(unique_id: str, change_class: str, text: str) -> Change:
    return Change(unique_id=unique_id, change_class=change_class, certain=True, reason=sentence(text))  # type: ignore[arg-type]
