"""The impact of a change, from two lineages and what differs between them.

`ImpactComputation` takes the nodes that differ in steps, then asks for what else it needs of the store (`codes`, `definitions`), and
finishes. `impact` does all of that for callers that have everything in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from app.lineage.graph import Graph
from app.lineage.impact.breaks_columns import ReadColumns, own_breaks, schema_breaks
from app.lineage.impact.breaks_exposures import UNBUILT, exposure_breaks, exposures_of_broken
from app.lineage.impact.breaks_semantics import SemanticBreaks
from app.lineage.impact.breaks_tables import table_breaks
from app.lineage.impact.breaks_tests import breaks_of_test, breaks_of_unit_test
from app.lineage.impact.building_changes import building_changes
from app.lineage.impact.changes import AFFECTING, Changes, NodeCodes
from app.lineage.impact.collecting import Collected, Collector
from app.lineage.impact.lost_columns import LostColumns
from app.lineage.impact.model import Break, Impact
from app.lineage.impact.ordering import breaks_in_order, in_reading_order, limited, reached_nodes
from app.lineage.impact.reach import Reach, Visit, distances_from
from app.lineage.impact.renames import Renames
from app.lineage.impact.semantic_changes import semantic_changes
from app.lineage.impact.settling import settle
from app.lineage.impact.versions import Definition, ImpactPair, ImpactSide, SideName, definition_of

SEMANTIC = ("semantic_model", "metric", "saved_query")
NAMING = frozenset({"test", "analysis", "semantic_model"})
"""Resource types whose definitions name columns of the nodes that they depend on. A unit test also names those of the nodes above."""
MAX_DEFINITIONS = 10_000
MAX_CODES = 1000


class ImpactComputation:
    """Add all pairs, then look up `codes` and `definitions`, then finish."""

    def __init__(self, base: ImpactSide, head: ImpactSide, without: tuple[SideName, ...] | None = None) -> None:
        """`without`: the sides whose columns are not known, if it is not those whose `columns` are None."""
        sides: tuple[tuple[SideName, ImpactSide], ...] = (("base", base), ("head", head))
        self._without = tuple(name for name, side in sides if side.columns is None) if without is None else without
        self._base, self._head = (ImpactSide(side.graph, None) if self._without else side for _, side in sides)
        self._collector = Collector(self._base, self._head)
        self._collected: Collected | None = None

    @property
    def has_columns(self) -> bool:
        """Whether columns count: those of both sides are known."""
        return not self._without

    def add(self, pairs: Iterable[ImpactPair]) -> None:
        """Add nodes that differ."""
        self._collector.add(pairs)

    @property
    def codes(self) -> list[str]:
        """The unique_ids of nodes whose compiled code is needed, of both commits, if it is not longer than `MAX_TEXT`."""
        deltas = [delta for delta in self._found.deltas.values() if not delta.same_sql and not delta.is_quiet][:MAX_CODES]
        return sorted({unique_id for delta in deltas for unique_id in (delta.base_id, delta.unique_id)})

    @property
    def definitions(self) -> list[int]:
        """The positions (at the head) of nodes whose definitions are needed, in the order of the graph."""
        return self._naming()[:MAX_DEFINITIONS]

    def finish(self, codes: Mapping[str, NodeCodes], definitions: Mapping[str, bytes | None]) -> Impact:
        """The whole, with what was asked for by unique_id."""
        found, head = self._found, self._head
        changes = self._settled(codes)
        lost = LostColumns(head, changes, found.renamed)
        breaks = list(self._breaks(changes, lost, definitions))
        breaks += exposures_of_broken(breaks, lost)
        visits = self._visits(changes, breaks)
        own = {position for one in changes.own | found.new if (position := head.graph.position(one)) is not None}
        return limited(
            in_reading_order(changes.found),
            changes.columns,
            reached_nodes(visits, head, own),
            breaks_in_order(breaks),
            unread=sum(head.graph.nodes[position].unique_id not in definitions for position in self._naming()),
            without_columns=self._without,
        )

    @property
    def _found(self) -> Collected:
        if self._collected is None:
            self._collected = self._collector.collected()
        return self._collected

    def _settled(self, codes: Mapping[str, NodeCodes]) -> Changes:
        found = self._found
        renames = Renames(nodes={base: head for head, base in found.renamed.items()}, tables=found.words)
        changes = Changes(self._base, self._head, renames, found.passing)
        for change in found.changes:
            changes.add(change)
        ranks = ranked(self._head.graph)
        for unique_id in sorted(found.deltas, key=lambda one: ranks[self._head.graph.position(one) or 0]):
            delta = found.deltas[unique_id]
            nothing: NodeCodes = (None, None)
            settle(changes, delta, (codes.get(delta.base_id, nothing)[0], codes.get(unique_id, nothing)[1]))
        for pair in found.built:
            own = renames.columns.get(found.renamed.get(pair.unique_id, pair.unique_id), {})
            words = renames.words(self._read_at_base(pair.unique_id))
            for change in (*building_changes(pair, own), *semantic_changes(pair, words)):
                changes.add(change)
        changes.start_whole_nodes()
        return changes

    def _read_at_base(self, unique_id: str) -> list[str]:
        """The nodes that a node depended on."""
        graph = self._base.graph
        position = graph.position(self._found.renamed.get(unique_id, unique_id))
        return [] if position is None else [graph.nodes[one].unique_id for one in graph.parents[position]]

    def _breaks(self, changes: Changes, lost: LostColumns, definitions: Mapping[str, bytes | None]) -> Iterator[Break]:
        found = self._found
        yield from found.breaks
        reads = ReadColumns(self._base, self._head, changes)
        for delta in found.deltas.values():
            yield from reads.breaks(delta)
        for unique_id, missing in found.missing.items():
            yield from reads.of_new_node(unique_id, missing)
        for unique_id, pair in found.pairs.items():
            delta = found.deltas[unique_id]
            gone = changes.gone.get(delta.base_id, {})
            yield from own_breaks(pair, gone)
            yield from schema_breaks(pair, [one.name for one in gone.values()], [one.name for one in delta.added])
        yield from table_breaks(found.tables, self._base, self._head)
        yield from self._named(lost, changes, definitions)

    def _named(self, lost: LostColumns, changes: Changes, definitions: Mapping[str, bytes | None]) -> Iterator[Break]:
        """What is no SQL model and names a column that is gone."""
        graph, semantics = self._head.graph, SemanticBreaks(lost, self._found.semantic)
        look: Mapping[str, Callable[[str, Definition], Iterable[Break]]] = {
            "test": lambda one, definition: breaks_of_test(one, definition, lost),
            "analysis": lambda one, definition: breaks_of_test(one, definition, lost),
            "unit_test": lambda one, definition: breaks_of_unit_test(one, definition, lost),
            "semantic_model": semantics.semantic_model,
            "metric": semantics.metric,
            "saved_query": semantics.saved_query,
        }
        ranks, kinds = ranked(graph), list(look)
        for position in sorted(self.definitions, key=lambda one: (kinds.index(self._kind(one)), ranks[one])):
            node = graph.nodes[position]
            try:
                definition = definition_of(definitions.get(node.unique_id))
                yield from list(look[node.resource_type](node.unique_id, definition)) if definition else ()
            except RecursionError:
                continue
        for position in sorted(self._below(changes.gone, {"exposure"})):
            yield from exposure_breaks(graph.nodes[position].unique_id, lost)

    def _visits(self, changes: Changes, breaks: Sequence[Break]) -> Mapping[int, Visit]:
        """The reached nodes. A model that breaks is not built, and nothing below it either."""
        found, graph = self._found, self._head.graph
        changed = {one.unique_id for one in changes.found if not one.inherited and one.change_class in AFFECTING | {"added", "moved"}}
        distances = distances_from(graph, (one for one in map(graph.position, changed - found.new) if one is not None))
        for one in changes.found:
            if one.inherited and (position := graph.position(one.unique_id)) is not None:
                # What it reads may have gone, and is not in the graph.
                distances.setdefault(position, 1)
        starts = changes.starts
        starts.rows += [one.unique_id for one in breaks if one.certain and one.kind in UNBUILT]
        head_ids = {base: head for head, base in found.renamed.items()}
        reach = Reach(self._base, self._head, changes.rewritten, head_ids)
        reach.start(starts, distances)
        reach.run()
        for change in changes.found:
            position = graph.position(change.unique_id)
            if change.inherited and change.change_class == "added" and position is not None:
                visit = reach.visits.setdefault(position, Visit(distances[position]))
                visit.columns.update(change.columns)
        return reach.visits

    def _naming(self) -> list[int]:
        """The nodes whose definitions may name a column that is gone."""
        lossy = [unique_id for unique_id, delta in self._found.deltas.items() if delta.removed]
        below = self._below(lossy, NAMING)
        tested = {position for one in lossy if (position := self._head.graph.position(one)) is not None}
        children = {child for position in tested for child in self._head.graph.children(position)}
        units = {one for position in tested | children for one in self._head.graph.children(position)}
        found = below | {one for one in units if self._kind(one) == "unit_test"}
        if self._found.semantic or any(self._kind(one) in SEMANTIC for one in below):
            # Filters name what is no dependency.
            found |= {position for position, node in enumerate(self._head.graph.nodes) if node.resource_type in SEMANTIC}
        return sorted(found)

    def _below(self, unique_ids: Iterable[str], kinds: Iterable[str]) -> set[int]:
        """The nodes of these types that depend on one of the nodes (by unique_id at the base or at the head)."""
        graph, wanted = self._head.graph, set(kinds)
        heads = {base: head for head, base in self._found.renamed.items()}
        positions = (graph.position(heads.get(one, one)) for one in unique_ids)
        return {child for one in positions if one is not None for child in graph.children(one) if self._kind(child) in wanted}

    def _kind(self, position: int) -> str:
        return self._head.graph.nodes[position].resource_type


def impact(
    base: ImpactSide, head: ImpactSide, pairs: Iterable[ImpactPair], codes: Mapping[str, NodeCodes], definitions: Mapping[str, bytes | None]
) -> Impact:
    """Compute the impact from everything at once: `codes` of the nodes that differ, those that are gone too; `definitions` of the head."""
    computation = ImpactComputation(base, head)
    computation.add(pairs)
    return computation.finish(codes, definitions)


def ranked(graph: Graph) -> list[int]:
    """For each node a number that is higher than those of the nodes that it depends on. In a circle, which dbt refuses, it is any."""
    waiting = [len(above) for above in graph.parents]
    ready = [position for position, above in enumerate(waiting) if not above]
    ranks = [len(waiting)] * len(waiting)
    for number, position in enumerate(ready):  # it grows
        ranks[position] = number
        for child in graph.children(position):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return ranks
