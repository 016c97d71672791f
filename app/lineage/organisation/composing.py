"""One graph of several projects and their joins, in which each node has an id of its own and says which project it is of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import orjson

from app.lineage.graph import Graph, GraphNode
from app.lineage.organisation.joining import Joins
from app.lineage.organisation.joins import Join
from app.lineage.organisation.projects import JoinedProject, ProjectKey


class OrganisationGraph(Graph):
    """A graph whose nodes have ids of the organisation in place of unique_ids. Each project's own graph has the nodes as dbt knows them."""

    __slots__ = ("joins", "left_out", "merged", "projects")

    def __init__(self, projects: Sequence[JoinedProject], included: Sequence[Collection[int]], joins: Joins) -> None:
        self.projects = projects
        self.joins, self.merged, self.left_out = joins.found, joins.merged, joins.left_out
        super().__init__(*_composed(projects, included, joins))
        # They stay in memory with it.
        self.nbytes += sum(one.graph.nbytes for one in projects)

    def find(self, focus: str) -> list[int]:
        """Also by dbt's unique_id, which nodes of several projects can have."""
        found = super().find(focus)
        owned = (self.position(self._own_id(one.key.id_of(focus))) for one in self.projects)
        return found or list(dict.fromkeys(number for number in owned if number is not None))

    def places_of(self, project: JoinedProject) -> list[tuple[int, int]]:
        """The positions of a project's nodes in its own graph and in this one, also of those that are nodes of other projects."""
        ids = ((number, self._own_id(project.id_at(number))) for number in range(len(project.graph.nodes)))
        return [(number, position) for number, own in ids if (position := self.position(own)) is not None]

    def joins_between(self, has: Collection[str]) -> list[Join]:
        """The joins of which both ends are among some nodes, by id."""
        return [one for one in self.joins if one.upstream in has and (one.merged or one.downstream in has)]

    def _own_id(self, node: str) -> str:
        return self.merged.get(node, node)


def _composed(
    projects: Sequence[JoinedProject], included: Sequence[Collection[int]], joins: Joins
) -> tuple[list[GraphNode], list[list[str]]]:
    above: dict[str, dict[str, None]] = defaultdict(dict)
    for one in joins.found:
        if not one.merged:
            above[one.downstream][one.upstream] = None
    nodes = {}
    for project, numbers in zip(projects, included, strict=True):
        has = frozenset(numbers)
        for number in sorted(has):
            node, own = project.graph.nodes[number], project.id_at(number)
            parents = [parent for parent in project.graph.parents[number] if parent in has]
            if own in joins.merged:
                # What it depends on is known by its own project, apart from what it depends on only here.
                parents = [parent for parent in parents if project.is_own(project.graph.nodes[parent])]
            else:
                nodes[own] = GraphNode(own, node.resource_type, node.name, node.package_name, _content(project.key, own, node.content))
            real = joins.merged.get(own, own)
            for parent in map(project.id_at, parents):
                above[real][joins.merged.get(parent, parent)] = None
    there = nodes.keys()
    upstream = [[parent for parent in above.get(own, ()) if parent in there and parent != own] for own in nodes]
    return list(nodes.values()), upstream


def _content(key: ProjectKey, own: str, content: bytes) -> bytes:
    """The node's JSON object, with where it is."""
    where = {"id": own, "connection_id": key.connection_id, "repository": key.repository, "project_name": key.name}
    return orjson.dumps(where)[:-1] + b", " + content[1:]
