"""All joins between some projects: linear in their nodes, apart from nodes that make tables of one name, of which each source has a few."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.lineage.graph import GraphNode
from app.lineage.impact.tables import search_key
from app.lineage.organisation import join_rules, projects
from app.lineage.organisation.join_rules import MAX_CANDIDATES, Made, Owned
from app.lineage.organisation.joins import Join
from app.lineage.organisation.projects import JoinedProject

MAX_ALIKE = 20
"""Nodes whose tables have almost the same name that are compared with a source: strangers may have any number of them."""


@dataclass(slots=True)
class Joins:
    """The joins of some projects. `left_out`: more that may be meant by a source than are listed."""

    found: list[Join] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    """By the id of a node, that of the node that it is."""
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class OtherCandidates:
    """Nodes that may be meant as well, and are not among the nodes that are joined: `owned` by unique_id."""

    made: Collection[Made] = ()
    owned: Mapping[str, Collection[Owned]] = field(default_factory=dict)


def join(found: Sequence[JoinedProject], included: Sequence[Collection[int]] | None = None, others: OtherCandidates | None = None) -> Joins:
    """Join the nodes at the positions `included` of each project, by default all."""
    numbers = [range(len(one.graph.nodes)) for one in found] if included is None else included
    return _Joining(list(zip(found, numbers, strict=True)), others or OtherCandidates()).run()


class _Joining:
    def __init__(self, parts: Sequence[tuple[JoinedProject, Collection[int]]], others: OtherCandidates) -> None:
        self._parts, self._others = parts, others
        self._joins = Joins()
        self._by_name: dict[str, list[tuple[JoinedProject, Collection[int]]]] = defaultdict(list)
        for project, numbers in parts:
            if project.key.name is not None:
                self._by_name[project.key.name].append((project, numbers if isinstance(numbers, range) else frozenset(numbers)))

    def run(self) -> Joins:
        for project, numbers in self._parts:
            for number in numbers:
                node = project.graph.nodes[number]
                if not project.is_own(node) and (owners := self._owners(project, node)):
                    self._join_copy(project, node, owners)
        self._join_sources(self._makers())
        return self._joins

    def _owners(self, project: JoinedProject, node: GraphNode) -> list[Owned]:
        """The nodes of other projects that a node of a package can be."""
        found = {}
        for other, numbers in self._by_name.get(node.package_name, ()):
            position = other.graph.position(node.unique_id)
            if other is not project and position is not None and position in numbers:
                found[other.id_at(position)] = projects.facts(other.graph.nodes[position])
        found.update(self._others.owned.get(node.unique_id, ()))
        return [Owned(*one) for one in sorted(found.items(), key=lambda one: one[0])]

    def _join_copy(self, project: JoinedProject, node: GraphNode, owners: Sequence[Owned]) -> None:
        own = project.key.id_of(node.unique_id)
        reason, verdict = join_rules.of_copy(projects.facts(node), owners)
        if verdict.certain:
            self._joins.merged[own] = owners[0].node
        self._joins.found += (Join(one.node, own, reason, *verdict, merged=verdict.certain) for one in owners[:MAX_CANDIDATES])
        self._joins.left_out += max(len(owners) - MAX_CANDIDATES, 0)

    def _makers(self) -> dict[bytes, list[Made]]:
        """By search key."""
        found: dict[bytes, list[Made]] = defaultdict(list)
        for project, numbers in self._parts:
            for node in map(project.graph.nodes.__getitem__, numbers):
                if name := join_rules.made_table(node, is_own=project.is_own(node)):
                    found[search_key(name)].append(Made(project.key.id_of(node.unique_id), name, project.key.adapter_type))
        for made in self._others.made:
            found[search_key(made.name)].append(made)
        return {key: sorted(set(makers))[:MAX_ALIKE] for key, makers in found.items()}

    def _join_sources(self, makers: Mapping[bytes, Sequence[Made]]) -> None:
        shown = {project.id_at(number) for project, numbers in self._parts for number in numbers}
        for source, name, adapter_type in self._sources():
            found = dict(self._candidates(source, name, adapter_type, makers.get(search_key(name), ())))
            elsewhere = sorted(node for node in found if node in shown and _place(node) != _place(source))
            for node in elsewhere[:MAX_CANDIDATES]:
                verdict = join_rules.of_relation(adapter_type, found[node], len(found))
                self._joins.found.append(Join(node, source, "relation", *verdict))
            self._joins.left_out += max(len(elsewhere) - MAX_CANDIDATES, 0)

    def _sources(self) -> Iterator[tuple[str, str, str | None]]:
        """The ids, tables and adapters of sources."""
        for project, numbers in self._parts:
            for node in map(project.graph.nodes.__getitem__, numbers):
                own = project.key.id_of(node.unique_id)
                if node.resource_type == "source" and own not in self._joins.merged and (name := projects.facts(node).relation_name):
                    yield own, name, project.key.adapter_type

    def _candidates(self, source: str, name: str, adapter_type: str | None, makers: Iterable[Made]) -> Iterator[tuple[str, Made]]:
        """The nodes that make a table. Several projects may have a node, and make its table."""
        for made in makers:
            if join_rules.is_table(name, adapter_type, made):
                node = self._joins.merged.get(made.node, made.node)
                yield (made.node if _place(made.node) == _place(source) else node), made


def _place(node: str) -> str:
    return node.partition(":")[0]
