"""Reads the lineages that the graph of an owner is made of: all of them up to a limit, or those that a node is connected with.

Everything is what the caller may read: it is the same as if nothing else was there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.lineage.graph import Graph
from app.lineage.impact.losses import MAKERS
from app.lineage.impact.tables import search_key
from app.lineage.organisation import join_rules, projects
from app.lineage.organisation.join_rules import Owned
from app.lineage.organisation.joining import OtherCandidates
from app.lineage.organisation.projects import JoinedProject
from app.lineage.organisation.walking import Positions, Walk
from app.store.organisations import FarNode, FarNodes, ProjectHead
from app.web.api.call import Call
from app.web.auth.visits import EVERYBODY

MAX_PROJECTS = 300
MAX_NODES = 20_000
"""Of one graph, without those of the last project."""
MAX_BYTES = 64 << 20
"""Of all lineages that one request holds, a part of what all readers together may (`shared_loads`). The first one may be larger."""
MAX_NAMES = 5_000
"""Tables that are looked for at once."""

Look = Callable[[int, Collection[str], Sequence[int] | None], Awaitable[FarNodes]]


class LineageReplacedError(Exception):
    """A lineage was replaced while it was read: begin again."""


@dataclass(slots=True)
class ReadProjects:
    """Lineages, and which nodes of them belong to the graph."""

    heads: dict[str, ProjectHead] = field(default_factory=dict)
    graphs: dict[str, Graph] = field(default_factory=dict)
    included: Positions | None = None
    """By connection; None: all nodes."""
    missing: set[str] = field(default_factory=set)
    """Connections that are not read because of limits."""
    more: int = 0
    """The number of further ones."""
    cut: bool = False
    """Whether nodes are missing."""

    @property
    def chosen(self) -> list[ProjectHead]:
        """The projects with nodes in the graph, by repository."""
        found = [one for one in self.heads.values() if one.connection_id in (self.graphs if self.included is None else self.included)]
        return sorted(found, key=lambda one: one.key.place)

    @property
    def joined(self) -> list[JoinedProject]:
        """The same with their lineages."""
        return [JoinedProject(one.key, self.graphs[one.connection_id]) for one in self.chosen]

    def positions(self) -> list[Collection[int]]:
        """The nodes of each of them that are in the graph."""
        return [
            range(len(self.graphs[one.connection_id].nodes)) if self.included is None else self.included[one.connection_id]
            for one in self.chosen
        ]

    @property
    def size(self) -> int:
        """The number of nodes."""
        return sum(map(len, self.positions()))


class OrganisationReader:
    """Reads for one request."""

    def __init__(self, call: Call[Any, None], listed: Sequence[int] | None) -> None:
        self._call, self._listed = call, listed
        self._readable: dict[int, bool] = {}
        self._held = 0
        self.read = ReadProjects()

    async def heads(self, owner: str) -> list[ProjectHead]:
        """The projects of an owner, by repository; `read` says what is left out of them."""
        found, total = await self._call.store.organisations.of_owner(owner, self._listed, MAX_PROJECTS)
        self.read.more = total - len(found)
        size, chosen = 0, []
        for one in await self.readable(found):
            size += one.size
            if size > MAX_NODES:
                size -= one.size
                self.read.missing.add(one.connection_id)
            else:
                chosen.append(one)
        return chosen

    async def readable(self, found: Iterable[ProjectHead]) -> list[ProjectHead]:
        """Those of some projects that the caller may read."""
        wanted = list(found)
        new = {one.repository.id: one.repository for one in wanted if one.repository.id not in self._readable}
        if new:
            allowed = await self._call.readable(new.values())
            self._readable.update((id_, id_ in allowed) for id_ in new)
        return [one for one in wanted if self._readable[one.repository.id]]

    async def load(self, project: ProjectHead) -> Graph | None:
        """Read the lineage of a project that the caller may read; None if there is no room for it. Raises LineageReplacedError."""
        known = self.read.graphs.get(project.connection_id)
        if known is not None:
            return known
        if len(self.read.graphs) >= MAX_PROJECTS or self._held >= MAX_BYTES:
            self.read.missing.add(project.connection_id)
            return None
        graph = await self._call.store.lineage_cache.get(project.head)
        if graph is None:
            raise LineageReplacedError
        self.read.heads[project.connection_id] = project
        self.read.graphs[project.connection_id] = graph
        self._held += graph.nbytes
        return graph

    async def load_all(self, found: Iterable[ProjectHead]) -> None:
        """Read several. Raises as `load` does."""
        for one in found:
            await self.load(one)

    async def walk(self, walk: Walk) -> Positions:
        """Follow edges within projects and between them; adds what is reached to the graph."""
        included = self.read.included = self.read.included or {}
        while True:
            await self._leave(walk)
            for connection_id, positions in walk.level.items():
                included.setdefault(connection_id, set()).update(positions)
            if self.read.size > MAX_NODES:
                self.read.cut = True
                return walk.reached
            if not walk.step(self.read.graphs):
                return walk.reached

    async def others(self) -> OtherCandidates:
        """What may be meant by sources and nodes of packages besides what is in the graph."""
        tables, nodes = dict[int, set[str]](), dict[int, set[str]]()
        for head, project, positions in zip(self.read.chosen, self.read.joined, self.read.positions(), strict=True):
            owner = head.repository.installation_id
            for node in map(project.graph.nodes.__getitem__, positions):
                if node.resource_type == "source" and (name := projects.facts(node).relation_name):
                    tables.setdefault(owner, set()).add(name)
                elif node.resource_type in MAKERS and not project.is_own(node):
                    nodes.setdefault(owner, set()).add(node.unique_id)
        makers = [one for owner, names in tables.items() for one in await self.makers(owner, names)]
        same = [one for owner, names in nodes.items() for one in await self.same(owner, names)]
        owned: dict[str, list[Owned]] = {}
        for one in same:
            if one.is_own:
                owned.setdefault(one.unique_id, []).append(Owned(one.id, one.facts))
        return OtherCandidates([made for one in makers if (made := one.made)], owned)

    async def _leave(self, walk: Walk) -> None:
        """Enter the projects that the level of a walk leads to."""
        new = list(walk.nodes())
        while new:
            by_owner: dict[int, list[tuple[str, int]]] = {}
            for connection_id, position in new:
                by_owner.setdefault(self.read.heads[connection_id].repository.installation_id, []).append((connection_id, position))
            new = []
            for owner, nodes in by_owner.items():
                new += await self._leave_of(walk, owner, nodes)

    async def _leave_of(self, walk: Walk, owner: int, nodes: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """The nodes that are the same as nodes of the level: they lead further at once."""
        tables, copies = dict[bytes, set[tuple[str, str | None]]](), set[str]()
        upstream = walk.direction == "upstream"
        for connection_id, position in nodes:
            project = JoinedProject(self.read.heads[connection_id].key, self.read.graphs[connection_id])
            node = project.graph.nodes[position]
            name = projects.facts(node).relation_name if upstream and node.resource_type == "source" else None
            name = join_rules.made_table(node, is_own=project.is_own(node)) if not upstream else name
            if name:
                tables.setdefault(search_key(name), set()).add((name, project.key.adapter_type))
            if node.resource_type in MAKERS and not (upstream and project.is_own(node)):
                copies.add(node.unique_id)
        names = {name for found in tables.values() for name, _ in found}
        for one in await (self.makers(owner, names) if upstream else self.readers(owner, names)):
            if one.facts.relation_name and _is_one_of(one, tables.get(search_key(one.facts.relation_name), ())):
                await self._enter(walk, one, at_once=False)
        same = [one for one in await self.same(owner, copies) if one.is_own or not upstream]
        found = [(one.project.connection_id, await self._enter(walk, one, at_once=True)) for one in same]
        return [(connection_id, position) for connection_id, position in found if position is not None]

    async def _enter(self, walk: Walk, node: FarNode, *, at_once: bool) -> int | None:
        """The position of a node of another project that is new."""
        graph = await self.load(node.project)
        position = None if graph is None else graph.position(node.unique_id)
        return None if position is None or not walk.enter(node.project.connection_id, [position], at_once=at_once) else position

    async def makers(self, owner: int, tables: Collection[str]) -> list[FarNode]:
        """Nodes that may make tables."""
        return [
            one for one in await self._far(self._call.store.organisations.makers, owner, tables) if one.is_own or not one.facts.is_external
        ]

    async def readers(self, owner: int, tables: Collection[str]) -> list[FarNode]:
        """Sources that may be tables."""
        return await self._far(self._call.store.organisations.readers, owner, tables)

    async def same(self, owner: int, unique_ids: Collection[str]) -> list[FarNode]:
        """Nodes with these unique_ids."""
        return await self._far(self._call.store.organisations.same, owner, unique_ids)

    async def _far(self, look: Look, owner: int, names: Collection[str]) -> list[FarNode]:
        found: list[FarNode] = []
        for part in _parts(sorted(names)):
            nodes = await look(owner, part, self._listed)
            self.read.cut |= nodes.cut
            found += nodes.found
        allowed = {one.connection_id for one in await self.readable(one.project for one in found)}
        return [one for one in found if one.project.connection_id in allowed]


async def listed_repositories(call: Call[Any, None]) -> Sequence[int] | None:
    """The private repositories to read; None: all. As for a search: none if GitHub does not list what a token may read."""
    listed = await call.caller.listed()
    return () if listed is None and not call.caller.everything and call.caller is not EVERYBODY else listed


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + MAX_NAMES] for start in range(0, len(names), MAX_NAMES))


def _is_one_of(node: FarNode, tables: Iterable[tuple[str, str | None]]) -> bool:
    made = node.made
    return made is not None and any(join_rules.is_table(name, adapter_type, made) for name, adapter_type in tables)
