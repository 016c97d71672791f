"""The graph of an owner's projects, in the formats of lineages. Nothing in an answer depends on what the caller may not read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from app.core.errors import UnavailableError
from app.lineage import node_selectors
from app.lineage.formats.chunks import pieces
from app.lineage.formats.heading import Heading, LeftOutOfGraph, OrganisationHeading, ProjectHeading
from app.lineage.graph import GraphFilter, Selection
from app.lineage.node_selectors import NodeReference
from app.lineage.organisation import joining
from app.lineage.organisation.composing import OrganisationGraph
from app.lineage.organisation.joining import OtherCandidates
from app.lineage.organisation.walking import Walk
from app.store.organisations import ProjectHead
from app.web.api import lineage, openlineage
from app.web.api.call import Call
from app.web.api.lineage import FORMATS, TRIES, is_known, unmatched, validators
from app.web.api.openlineage import OpenLineagePart
from app.web.api.operation import API, NOT_MODIFIED, Operation
from app.web.api.organisation_focus import FocusFinder
from app.web.api.organisation_reading import LineageReplacedError, OrganisationReader, ReadProjects, listed_repositories
from app.web.api.schemas.lineages import FormatName
from app.web.api.schemas.organisations import GraphQuery, OrganisationDocument
from app.web.http import requests
from app.web.http.problems import HttpProblem
from app.web.http.streaming import FairWriter, send_pieces

GraphCall = Call[GraphQuery, None]


@dataclass(frozen=True, slots=True)
class _Answer:
    name: FormatName
    read: ReadProjects
    graph: OrganisationGraph
    selected: GraphFilter
    selection: Selection


class GraphHandler:
    """`GET …/graph`; its responses share one `FairWriter`."""

    def __init__(self) -> None:
        self._writer = FairWriter()

    async def show(self, call: GraphCall) -> web.StreamResponse:
        """The graph, or 304."""
        selected, name = lineage.part(call.query), lineage.format_of(call.request, call.query)
        for _ in range(TRIES):
            try:
                listed = await listed_repositories(call)
                reader = OrganisationReader(call, listed)
                if selected.focus is None:
                    return await self._whole(call, selected, name, reader)
                found = await FocusFinder(call, reader, listed).find(selected.focus)
                return await self._around(call, selected, name, reader, *found)
            except LineageReplacedError:
                continue
        raise UnavailableError("reading the lineages", "commits keep being extracted again", "Try again in a moment.")

    async def _whole(self, call: GraphCall, selected: GraphFilter, name: FormatName, reader: OrganisationReader) -> web.StreamResponse:
        heads = await reader.heads(call.query.owner)
        if not heads and not reader.read.missing:
            raise _nothing()
        of = [(one.key, one.head.id, one.head.extracted_at, one.other_branches) for one in heads]
        is_cut, others = bool(reader.read.missing or reader.read.more), OtherCandidates()
        if is_cut:
            await reader.load_all(heads)
            others = await reader.others()
        headers = _headers(call, name, (of, others), reader.read)
        if is_known(call.request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        await reader.load_all(heads)
        if reader.read.missing and not is_cut:
            others = await reader.others()
        cache = call.store.lineage_cache
        graph = await cache.composed((repr(of), repr(others)), partial(_composed, reader.read, others))
        selection = await cache.compute(partial(graph.select, selected))
        return await self._send(call, headers, _Answer(name, reader.read, graph, selected, selection))

    async def _around(
        self,
        call: GraphCall,
        selected: GraphFilter,
        name: FormatName,
        reader: OrganisationReader,
        reference: NodeReference,
        start: dict[str, list[int]],
    ) -> web.StreamResponse:
        if reference.has_operators and (selected.depth is not None or selected.direction != "both"):
            raise requests.invalid("focus", "has graph operators, so `direction` and `depth` have no meaning: leave them out")
        for walk in _walks(reference, selected, start):
            reached = await reader.walk(walk)
            if reference.parents_of_children and walk.direction == "downstream":
                await reader.walk(Walk("upstream", None, reached))
        others = await reader.others()
        of = [(one.key, one.head.id, one.head.extracted_at) for one in reader.read.chosen]
        headers = _headers(call, name, (of, others, sorted(start.items())), reader.read)
        if is_known(call.request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        cache = call.store.lineage_cache
        graph = await cache.compute(partial(_composed, reader.read, others))
        read = reader.read
        ids = [read.heads[one].key.id_of(read.graphs[one].nodes[number].unique_id) for one, found in start.items() for number in found]
        around = await cache.compute(partial(_select, graph, selected, reference, ids))
        return await self._send(call, headers, _Answer(name, read, graph, selected, around))

    async def _send(self, call: GraphCall, headers: dict[str, str], answer: _Answer) -> web.StreamResponse:
        form = FORMATS[answer.name]
        headers["Content-Type"] = form.media_type + form.parameters
        if form.write is None:
            parts = await call.store.lineage_cache.compute(partial(_parts, call, answer))
            return await send_pieces(call.request, headers, openlineage.pieces(call.store, self._writer, parts))
        heading = await call.store.lineage_cache.compute(partial(_heading, call.query.owner, answer))
        return await self._writer.send(call.request, headers, pieces(form.write(heading, answer.selection)))


def _walks(reference: NodeReference, selected: GraphFilter, start: dict[str, list[int]]) -> list[Walk]:
    if reference.parents_of_children:
        return [Walk("downstream", None, start)]
    up = reference.upstream if reference.has_operators else 0 if selected.direction == "downstream" else selected.depth
    down = reference.downstream if reference.has_operators else 0 if selected.direction == "upstream" else selected.depth
    return [Walk("upstream", up, start), Walk("downstream", down, start)]


def _composed(read: ReadProjects, others: OtherCandidates) -> OrganisationGraph:
    projects, included = read.joined, read.positions()
    return OrganisationGraph(projects, included, joining.join(projects, included, others))


def _select(graph: OrganisationGraph, selected: GraphFilter, reference: NodeReference, ids: Collection[str]) -> Selection:
    positions = [number for one in ids for number in graph.find(graph.merged.get(one, one))]
    found = node_selectors.reach(graph, positions, reference) if reference.has_operators else graph.around(positions, selected)
    return graph.select(selected, found)


def _heading(owner: str, answer: _Answer) -> OrganisationHeading:
    read, graph = answer.read, answer.graph
    shown = {node.unique_id for node in answer.selection.graph_nodes()}
    left_out = LeftOutOfGraph(len(read.missing) + read.more, read.cut, graph.left_out)
    notes = unmatched(graph, answer.selected, answer.selection)
    return OrganisationHeading(owner, tuple(map(_project, read.chosen)), tuple(graph.joins_between(shown)), left_out, notes)


def _project(one: ProjectHead) -> ProjectHeading:
    head, repository = one.head, one.repository.full_name
    return ProjectHeading(
        connection_id=one.connection_id,
        repository=repository,
        project_dir=one.project_dir,
        project_name=head.project_name,
        branch=head.branch,
        sha=head.sha,
        extracted_at=head.extracted_at,
        dbt_version=head.dbt_version,
        adapter_type=head.adapter_type,
        other_branches=one.other_branches,
    )


def _parts(call: GraphCall, answer: _Answer) -> list[OpenLineagePart]:
    """For OpenLineage: each project has its events, of packages too, because it builds their tables itself."""
    parts, names = [], openlineage.names_of(call.query, several=True)
    for one, project in zip(answer.read.chosen, answer.read.joined, strict=True):
        links = openlineage.links_of(call.request, one.repository, names)
        chosen = [number for number, position in answer.graph.places_of(project) if answer.selection.has(position)]
        parts.append(OpenLineagePart(one.head, _heading_of(one), Selection(project.graph, chosen), links))
    return parts


def _heading_of(one: ProjectHead) -> Heading:
    head = one.head
    return Heading(
        connection_id=one.connection_id,
        repository=one.repository.full_name,
        branch=head.branch,
        project_dir=one.project_dir,
        project_name=head.project_name,
        sha=head.sha,
        head_sha=None,
        state=None,
        stale=False,
        stale_reason=None,
        extracted_at=head.extracted_at,
        dbt_version=head.dbt_version,
        adapter_type=head.adapter_type,
        manifest_schema=head.manifest_schema,
    )


def _headers(call: GraphCall, name: str, of: object, read: ReadProjects) -> dict[str, str]:
    left_out = sorted(read.missing), read.more, read.cut
    return {**validators(call.query.model_dump_json(), name, of, left_out), "Vary": "Accept"}


def _nothing() -> HttpProblem:
    """The same whether there is no such owner, or nothing of them that the caller may read."""
    return HttpProblem(404, lineage.LINEAGE_NOT_FOUND, "`owner`: no lineage of this owner is there that the token may read.", field="owner")


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/graph",
            id="get_graph",
            handler=GraphHandler().show,
            summary="Get the lineages of an owner's projects as one graph, joined where one reads what another makes",
            tag="lineage",
            query=GraphQuery,
            response=OrganisationDocument,
            media={one.media_type: one.description for name, one in FORMATS.items() if name != "json"},
            empty={304: NOT_MODIFIED},
            problems={
                404: "There is no lineage of this `owner` that the token may read, or no such `focus`",
                406: "`Accept` allows none of the formats (`candidates` lists the media types)",
            },
        ),
    )
