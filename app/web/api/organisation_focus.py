"""Finds the node that `focus` means among all projects of an owner, without reading their lineages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.lineage import node_selectors
from app.lineage.node_selectors import NodeReference, SelectorError
from app.lineage.search import queries, tiers
from app.lineage.search.queries import QueryError
from app.store.organisations import ProjectHead
from app.store.search import SearchPlace
from app.web.api.call import Call
from app.web.api.lineage import CANDIDATES
from app.web.api.organisation_reading import OrganisationReader
from app.web.api.schemas.organisations import GraphQuery
from app.web.http import requests
from app.web.http.problems import HttpProblem

MAX_FOUND = 200
"""Nodes of a name that are looked at."""
MAX_OF_REPOSITORY = 100
"""Projects of a repository."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    project: ProjectHead
    unique_id: str
    name: str

    @property
    def id(self) -> str:
        return self.project.key.id_of(self.unique_id)


class FocusFinder:
    """Finds the node of one request: by its id in the graph, its unique_id, or its name."""

    def __init__(self, call: Call[GraphQuery, None], reader: OrganisationReader, listed: Sequence[int] | None) -> None:
        self._call, self._reader, self._listed = call, reader, listed

    async def find(self, focus: str) -> tuple[NodeReference, dict[str, list[int]]]:
        """The reference, and the positions of its node (of all versions of a model) by connection. Raises HttpProblem."""
        bare = NodeReference(focus)
        found = await self._start(focus)
        if found:
            return bare, found
        try:
            # In a query, a plus sign that is not escaped is a space.
            reference = node_selectors.parse(focus.replace(" ", "+"))
        except SelectorError as error:
            raise requests.invalid("focus", error.reason) from error
        found = await self._start(reference.node) if reference.node != focus else {}
        if not found:
            detail = "`focus`: no node of this owner's projects that the token may read has this `id`, `unique_id` or name."
            raise HttpProblem(404, "Node not found", detail, field="focus")
        return reference, found

    async def _start(self, name: str) -> dict[str, list[int]]:
        for look in (self._by_id, self._by_unique_id, self._by_name):
            if found := await look(name):
                return await self._only(found)
        return {}

    async def _by_id(self, name: str) -> list[_Candidate]:
        place, _, unique_id = name.partition(":")
        repository = "/".join(place.split("/")[:2])
        if not unique_id or not place.lower().startswith(f"{self._call.query.owner}/".lower()):
            return []
        heads = await self._call.store.organisations.of_repository(repository, self._listed, MAX_OF_REPOSITORY)
        heads = [one for one in heads if one.key.place.lower() == place.lower()]
        return [_Candidate(one, unique_id, unique_id.rpartition(".")[2]) for one in await self._reader.readable(heads)]

    async def _by_unique_id(self, name: str) -> list[_Candidate]:
        if name.partition(".")[0] not in node_selectors.REFERENCED:
            return []
        installation = await self._call.store.organisations.installation(self._call.query.owner, self._listed)
        if installation is None:
            return []
        nodes = await self._call.store.organisations.same(installation, [name], self._listed)
        found = [one for one in nodes.found if one.is_own] or list(nodes.found)
        allowed = {one.connection_id for one in await self._reader.readable(one.project for one in found)}
        return [_Candidate(one.project, one.unique_id, one.name) for one in found if one.project.connection_id in allowed]

    async def _by_name(self, name: str) -> list[_Candidate]:
        """By the index of words, which follows lineages a moment later."""
        # dbt ends the unique_ids of tests with a hash.
        rest = name.split(".")[2:]
        words = [rest[-1], rest[0]] if rest else [name]
        for word in dict.fromkeys(words):
            found = await self._words(word)
            if chosen := [one for one in found if name in (one.unique_id, one.name)]:
                preferred = [one for one in chosen if one.unique_id.partition(".")[0] in node_selectors.REFERENCED]
                return preferred or chosen
        return []

    async def _words(self, word: str) -> list[_Candidate]:
        try:
            exact = tiers.tiers_of(queries.parse(word))[:1]
        except QueryError:
            return []
        results = await self._call.store.search.find(exact, listed=self._listed, connection_id=None, after=SearchPlace(), limit=MAX_FOUND)
        owner = f"{self._call.query.owner}/".lower()
        found = [one for one in results.found if one.repository.full_name.lower().startswith(owner)]
        heads = await self._call.store.organisations.some({one.connection_id for one in found}, self._listed)
        by_id = {one.connection_id: one for one in await self._reader.readable(heads)}
        return [_Candidate(by_id[one.connection_id], one.node.unique_id, one.node.name) for one in found if one.connection_id in by_id]

    async def _only(self, found: Iterable[_Candidate]) -> dict[str, list[int]]:
        """The positions of one node, or of all versions of a model. Raises HttpProblem with candidates."""
        candidates = list(found)
        nodes = {(one.project.connection_id, ".".join(one.unique_id.split(".")[:3])) for one in candidates}
        if len(nodes) > 1:
            ids = sorted({one.id for one in candidates})[:CANDIDATES]
            detail = "`focus`: several nodes have this name; use the `id` of one of them."
            raise HttpProblem(400, "Node is ambiguous", detail, field="focus", candidates=ids)
        start: dict[str, list[int]] = {}
        for one in candidates:
            graph = await self._reader.load(one.project)
            position = None if graph is None else graph.position(one.unique_id)
            if position is not None:
                start.setdefault(one.project.connection_id, []).append(position)
        return start
