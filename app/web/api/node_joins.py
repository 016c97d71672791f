"""What a node is joined with in other projects of the owner, found without reading their lineages: for its page and the explorer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage.graph import Graph
from app.lineage.impact.losses import MAKERS
from app.lineage.organisation import join_rules, projects
from app.lineage.organisation.join_rules import Made, Owned, Verdict
from app.lineage.organisation.joins import JoinReason
from app.lineage.organisation.projects import JoinedProject, ProjectKey
from app.store.lineages import LineageHead
from app.store.organisations import FarNode
from app.web.api.call import Call
from app.web.api.lineage import TRIES, only_node, stored
from app.web.api.operation import API, NoQuery, Operation
from app.web.api.organisation_reading import OrganisationReader, listed_repositories
from app.web.api.schemas.organisations import FarJoin, NodeJoins

MAX_JOINS = 100
"""In one direction; the rest is counted."""


@dataclass(frozen=True, slots=True)
class _Found:
    node: FarNode
    reason: JoinReason
    verdict: Verdict


async def get_joins(call: Call[NoQuery, None]) -> NodeJoins:
    """The joins of a node of the connection's lineage."""
    for _ in range(TRIES):
        connection = await call.connection()
        head = await stored(call.store, connection, None)
        graph = await call.store.lineage_cache.get(head)
        if graph is not None:
            return await joins_of(call, connection, head, graph, only_node(graph, call.request.match_info["unique_id"], "unique_id"))
    raise UnavailableError("reading a node", "the commit keeps being extracted again", "Try again in a moment.")


async def joins_of(call: Call[Any, None], connection: Connection, head: LineageHead, graph: Graph, position: int) -> NodeJoins:
    """The joins of a node that the caller may see."""
    key = ProjectKey(connection.id, connection.repository.full_name, connection.project_dir or "", head.project_name, head.adapter_type)
    node = graph.nodes[position]
    finder = _Finder(OrganisationReader(call, await listed_repositories(call)), connection.repository.installation_id, key)
    own, name = JoinedProject(key, graph).is_own(node), projects.facts(node).relation_name
    made_by, read_by = list[_Found](), list[_Found]()
    if node.resource_type == "source" and name:
        made_by = await finder.makers(name)
    elif node.resource_type in MAKERS:
        copies = await finder.copies(node.unique_id)
        if own:
            owners = [Owned(key.id_of(node.unique_id), projects.facts(node)), *copies.owned]
            read_by += (_Found(one, *join_rules.of_copy(one.facts, owners)) for one in copies.found if not one.is_own)
        elif copies.owned:
            reason, verdict = join_rules.of_copy(projects.facts(node), copies.owned)
            made_by = [_Found(one, reason, verdict) for one in copies.found if one.is_own]
        if table := join_rules.made_table(node, is_own=own):
            read_by += await finder.readers(Made(key.id_of(node.unique_id), table, key.adapter_type))
    of = {one.node.project.connection_id for one in read_by}
    return NodeJoins(
        made_by=_shown(made_by),
        read_by=_shown(read_by),
        projects=len(of),
        cut=finder.reader.read.cut or max(len(made_by), len(read_by)) > MAX_JOINS,
    )


@dataclass(frozen=True, slots=True)
class _Copies:
    found: Sequence[FarNode]
    owned: Sequence[Owned]


class _Finder:
    def __init__(self, reader: OrganisationReader, owner: int, key: ProjectKey) -> None:
        self.reader, self._owner, self._key = reader, owner, key

    async def makers(self, table: str) -> list[_Found]:
        """Nodes that make a table."""
        tables = await self._tables(table, self._key.adapter_type)
        elsewhere = [(one, made) for one, made in tables if not self._is_here(one)]
        return [_Found(one, "relation", join_rules.of_relation(self._key.adapter_type, made, len(tables))) for one, made in elsewhere]

    async def readers(self, made: Made) -> list[_Found]:
        """Sources that are a table."""
        found = [one for one in await self.reader.readers(self._owner, [made.name]) if not self._is_here(one)]
        makers = {made.node, *(one.id for one, _ in await self._tables(made.name, made.adapter_type))}
        return [
            _Found(one, "relation", join_rules.of_relation(one.project.head.adapter_type, made, len(makers)))
            for one in found
            if one.facts.relation_name and join_rules.is_table(one.facts.relation_name, one.project.head.adapter_type, made)
        ]

    async def copies(self, unique_id: str) -> _Copies:
        """The same node in other projects."""
        found = [one for one in await self.reader.same(self._owner, [unique_id]) if not self._is_here(one)]
        owners = [Owned(one.id, one.facts) for one in found if one.is_own]
        return _Copies(found, owners)

    async def _tables(self, name: str, adapter_type: str | None) -> list[tuple[FarNode, Made]]:
        found = ((one, one.made) for one in await self.reader.makers(self._owner, [name]))
        return [(one, made) for one, made in found if made and join_rules.is_table(name, adapter_type, made)]

    def _is_here(self, node: FarNode) -> bool:
        return node.project.key.place == self._key.place


def _shown(found: Iterable[_Found]) -> list[FarJoin]:
    return [
        FarJoin(
            connection_id=one.node.project.connection_id,
            repository=one.node.project.repository.full_name,
            project_dir=one.node.project.project_dir,
            unique_id=one.node.unique_id,
            resource_type=one.node.resource_type,
            name=one.node.name,
            reason=one.reason,
            certain=one.verdict.certain,
            detail=one.verdict.detail,
        )
        for one in sorted(found, key=lambda one: one.node.id)[:MAX_JOINS]
    ]


OPERATIONS = (
    Operation(
        id="get_node_joins",
        method="GET",
        path=f"{API}/connections/{{id}}/nodes/{{unique_id}}/joins",
        handler=get_joins,
        summary="Get the nodes of other projects that make what a node reads, or read what it makes",
        tag="lineage",
        response=NodeJoins,
        problems={404: "There is no such lineage or node (`candidates` lists similar ones), or the token may not see it"},
        right="read",
    ),
)
