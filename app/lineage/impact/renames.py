"""What has another name at the head and is the same: columns and whole nodes. SQL that only follows such a name says nothing new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from app.lineage.impact.definition_changes import table_of
from app.lineage.impact.deltas import Delta, PlacedColumn
from app.lineage.impact.mentions import same_but_for
from app.lineage.impact.versions import ImpactVersion, SideColumns, SideEdge, definition_of, facts_of, folded, traced_of

RENAMEABLE = ("model", "seed", "snapshot", "source")
MAX_CHAIN = 20
"""Renamed nodes of which each reads the one before."""
Identity = Callable[[ImpactVersion, str], Hashable]
"""What is the same in two versions of one node, by its resource type; None: not known."""


@dataclass(slots=True)
class Renames:
    """The new names so far: of nodes by unique_id, of columns by the unique_id of their node at the base, folded."""

    nodes: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    """The names of tables of renamed nodes, folded."""
    columns: dict[str, dict[str, str]] = field(default_factory=dict)

    def edge(self, edge: SideEdge) -> SideEdge:
        """An edge of the base as it would be at the head."""
        column = self.columns.get(edge.upstream, {}).get(edge.column, edge.column)
        return SideEdge(self.nodes.get(edge.upstream, edge.upstream), column, edge.subtype, edge.certain)

    def edges(self, edges: Iterable[SideEdge]) -> frozenset[SideEdge]:
        """Edges of the base as they would be at the head."""
        return frozenset(map(self.edge, edges))

    def __bool__(self) -> bool:
        """Whether anything was renamed."""
        return bool(self.nodes or self.columns)

    def concern(self, edges: Iterable[SideEdge]) -> bool:
        """Whether edges of the base begin at something that was renamed."""
        return any(edge.upstream in self.nodes or edge.column in self.columns.get(edge.upstream, {}) for edge in edges)

    def words(self, unique_ids: Iterable[str]) -> dict[str, str]:
        """Old words and new ones in SQL that reads these nodes of the base."""
        found = dict(self.tables)
        for unique_id in unique_ids:
            found |= self.columns.get(unique_id, {})
        return found


def renamed_nodes(removed: Sequence[ImpactVersion], added: Sequence[ImpactVersion]) -> list[tuple[ImpactVersion, ImpactVersion]]:
    """The pairs of a removed and an added node that are the same under another name, if there is no doubt which they are."""
    found: list[tuple[ImpactVersion, ImpactVersion]] = []
    for identity in (_by_table, _by_code, _by_digest):
        found += _only_ones(identity, identity, *_left(found, removed, added))
    for _ in range(MAX_CHAIN):
        new_ids = {old.unique_id: new.unique_id for old, new in found}
        words = {_last(old): _last(new) for old, new in found} | dict(_source_words(found))
        of_old: Identity = partial(_reads, new_ids=new_ids)
        candidates = _only_ones(of_old, partial(_reads, new_ids={}), *_left(found, removed, added))
        more = [pair for pair in candidates if found and same_but_for(_raw(pair[0]), _raw(pair[1]), words, in_texts=True)]
        if not more:
            break
        found += more
    return found


def renamed_columns(
    delta: Delta, renames: Renames, base: SideColumns, head: SideColumns
) -> tuple[dict[str, PlacedColumn], list[PlacedColumn]]:
    """The removed columns that are there under another name, as old name → new column, and the columns that are really new."""
    left = dict.fromkeys(delta.added)
    found: dict[str, PlacedColumn] = {}

    def match(olds: Iterable[tuple[Hashable, PlacedColumn]], news: Iterable[tuple[Hashable, PlacedColumn]]) -> None:
        candidates = _grouped(news)
        for key, ones in _grouped(olds).items():
            for one, other in _pairs(ones, candidates.get(key, [])):
                found[one.name] = other
                del left[other]

    match(((one.value, one) for one in delta.removed), ((one.value, one) for one in left))
    rest = [one for one in delta.removed if one.name not in found]
    # The same SQL makes the same of the same columns; other SQL only if it copies one.
    key = _any_source if delta.same_sql else _copied
    match(
        ((key(renames.edges(base.into(delta.base_id, one.name))), one) for one in rest),
        ((key(head.into(delta.unique_id, one.name)), one) for one in left),
    )
    return found, list(left)


def only_follows(
    delta: Delta, codes: tuple[str, str] | None, renames: Renames, base: SideColumns, head: SideColumns
) -> dict[str, PlacedColumn] | None:
    """The new names of a node's columns, if its SQL is the same but for names that others have now: its text, and what it reads.

    None: it is not. `codes`: the compiled code of both versions.
    """
    if not renames:
        return None
    before = list(base.into_node(delta.base_id))
    own = list(zip(delta.removed, delta.added, strict=False))
    if codes is None or len(delta.removed) != len(delta.added) or any(one.place != other.place for one, other in own):
        return None
    if not renames.concern(before):
        return None
    words = {folded(one.name): folded(other.name) for one, other in own} | renames.words({edge.upstream for edge in before})
    same = renames.edges(before) == frozenset(head.into_node(delta.unique_id)) and same_but_for(*codes, words)
    return {one.name: other for one, other in own} if same else None


def same_source(name: str, delta: Delta, renames: Renames, base: SideColumns, head: SideColumns) -> bool:
    """Whether a column is at both commits nothing but a copy of the same column, which has another name now."""
    if not renames:
        return False
    before = base.into(delta.base_id, name)
    source = _copied(renames.edges(before))
    return source is not None and renames.concern(before) and source == _copied(head.into(delta.unique_id, name))


def _copied(edges: frozenset[SideEdge]) -> Hashable:
    """The columns that a column with these edges is a copy of (several in a union); None if it is no copy."""
    is_copy = bool(edges) and all(edge.subtype == "IDENTITY" and edge.certain for edge in edges)
    return frozenset((edge.upstream, edge.column) for edge in edges) if is_copy else None


def _any_source(edges: frozenset[SideEdge]) -> Hashable:
    return edges or None


def _pairs(ones: Sequence[PlacedColumn], others: Sequence[PlacedColumn]) -> list[tuple[PlacedColumn, PlacedColumn]]:
    """One and the other if there are no more; of several, those in the same place."""
    if len(ones) == len(others) == 1:
        return [(ones[0], others[0])]
    places = {other.place: other for other in others}
    return [(one, places[one.place]) for one in ones if one.place in places]


def _grouped(pairs: Iterable[tuple[Hashable, PlacedColumn]]) -> dict[Hashable, list[PlacedColumn]]:
    found: dict[Hashable, list[PlacedColumn]] = defaultdict(list)
    for key, one in pairs:
        if key is not None:
            found[key].append(one)
    return found


def _left(found: Iterable[tuple[ImpactVersion, ImpactVersion]], *sides: Iterable[ImpactVersion]) -> list[list[ImpactVersion]]:
    taken = {one.unique_id for pair in found for one in pair}
    return [[one for one in versions if one.unique_id not in taken] for versions in sides]


def _only_ones(
    of_old: Identity, of_new: Identity, removed: Iterable[ImpactVersion], added: Iterable[ImpactVersion]
) -> list[tuple[ImpactVersion, ImpactVersion]]:
    """The pairs with the same identity that no other node has."""
    olds, news = _identified(of_old, removed), _identified(of_new, added)
    return [(ones[0], news[key][0]) for key, ones in olds.items() if len(ones) == 1 and len(news.get(key, ())) == 1]


def _identified(identity: Identity, versions: Iterable[ImpactVersion]) -> dict[Hashable, list[ImpactVersion]]:
    found: dict[Hashable, list[ImpactVersion]] = defaultdict(list)
    for version in versions:
        facts = facts_of(version.content)
        same = identity(version, facts.resource_type) if facts.resource_type in RENAMEABLE else None
        if same is not None:
            found[facts.resource_type, facts.package_name, same].append(version)
    return found


def _reads(version: ImpactVersion, _: str, new_ids: Mapping[str, str]) -> Hashable:
    """What it reads, under the new names."""
    return tuple(sorted(new_ids.get(one, one) for one in version.upstream)) or None


def _source_words(found: Iterable[tuple[ImpactVersion, ImpactVersion]]) -> Iterable[tuple[str, str]]:
    """The old and new names of sources, as in `source('erp', 'orders')`: the third part of the unique_id of each of their tables."""
    for old, new in found:
        if old.unique_id.startswith("source."):
            (*_, was, _), (*_, now, _) = (one.unique_id.split(".", 3) for one in (old, new))
            yield folded(was), folded(now)


def _last(version: ImpactVersion) -> str:
    return folded(facts_of(version.content).name)


def _raw(version: ImpactVersion) -> str:
    return str((definition_of(version.definition) or {}).get("raw_code") or "")


def _by_table(version: ImpactVersion, kind: str) -> Hashable:
    """The table behind a source. Without its schema it may be any table of that name."""
    table = table_of(definition_of(version.definition) or {}) if kind == "source" else ()
    return table if None not in table[1:] and table else None


def _by_code(version: ImpactVersion, kind: str) -> Hashable:
    """The file of a seed, or the code as the project has it and what it reads."""
    if kind == "seed":
        checksum = (definition_of(version.definition) or {}).get("checksum")
        return None if checksum is None else repr(checksum)
    return None if kind == "source" or version.sql_hash is None else (version.sql_hash, tuple(version.upstream))


def _by_digest(version: ImpactVersion, kind: str) -> Hashable:
    traced = traced_of(version)
    return None if kind == "source" or traced is None else traced.sql
