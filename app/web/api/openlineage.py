"""OpenLineage's events of lineages, with the compiled code of models: read from the database step by step, never all at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from app.core.models.github import Repository
from app.lineage.column_graph import ColumnSelection
from app.lineage.formats.chunks import batches
from app.lineage.formats.heading import Heading
from app.lineage.formats.openlineage import EVENTS_PER_CHUNK, OpenLineageEvents, OpenLineageKnown, OpenLineageLinks
from app.lineage.formats.openlineage_names import JOB_NAMESPACE, OpenLineageNames
from app.lineage.graph import Selection
from app.store import Store
from app.store.lineages import LineageHead
from app.web.api.schemas.openlineage import OpenLineageQuery
from app.web.http import requests
from app.web.http.streaming import FairWriter
from app.web.keys import SETUP

STEP_JOBS = 32
"""Jobs whose compiled code is read at a time."""


@dataclass(frozen=True, slots=True)
class OpenLineagePart:
    """The selected part of one project's lineage."""

    head: LineageHead
    heading: Heading
    selection: Selection
    links: OpenLineageLinks
    columns: ColumnSelection | None = None

    def events(self, known: OpenLineageKnown) -> OpenLineageEvents:
        """Its events, apart from what is known."""
        return OpenLineageEvents(self.heading, self.selection, self.links, self.columns, known)


def check(query: OpenLineageQuery, name: str) -> None:
    """Raise HttpProblem 400 for a parameter that does not apply to the format."""
    for field in OpenLineageQuery.model_fields:
        if getattr(query, field) is not None and name != "openlineage":
            raise requests.invalid(field, f"applies to the format `openlineage` only, and this is `{name}`")


def names_of(query: OpenLineageQuery, *, several: bool = False) -> OpenLineageNames:
    """How the caller wants things named."""
    jobs, job_names = query.job_namespace or JOB_NAMESPACE, query.job_names or "run"
    return OpenLineageNames(query.namespace, jobs, query.dataset_names or "warehouse", job_names, several)


def links_of(request: web.Request, of: Repository, names: OpenLineageNames) -> OpenLineageLinks:
    """What the events point to, and how things are named."""
    return OpenLineageLinks(f"{request.app[SETUP].server_url}/{of.full_name}", names)


async def pieces(store: Store, writer: FairWriter, parts: Sequence[OpenLineagePart]) -> AsyncIterator[bytes]:
    """A JSON array of the events of some projects, in pieces."""
    yield b"["
    comma = b""
    async for text in _texts(store, writer, parts):
        yield comma + text
        comma = b","
    yield b"]"


async def _texts(store: Store, writer: FairWriter, parts: Sequence[OpenLineagePart]) -> AsyncIterator[bytes]:
    known = OpenLineageKnown()
    # What a project says of a table that it makes counts before what others say that read it, or that have it as a package.
    for own in (True, False):
        for part in parts:
            async for text in _jobs(store, writer, part, known, own=own):
                yield text
    for part in parts:
        async for text in _in_turn(writer, part.events(known).dataset_events()):
            yield text


async def _jobs(store: Store, writer: FairWriter, part: OpenLineagePart, known: OpenLineageKnown, *, own: bool) -> AsyncIterator[bytes]:
    events, head = part.events(known), part.head
    steps = batches(events.jobs(own=own), STEP_JOBS)
    while step := await writer.take(partial(next, steps, None)):
        code = await store.columns.compiled(head.id, [node.unique_id for _, node in step]) if head.columns_state == "ready" else {}
        async for text in _in_turn(writer, (events.job_event(number, code.get(node.unique_id)) for number, node in step)):
            yield text


async def _in_turn(writer: FairWriter, texts: Iterator[bytes]) -> AsyncIterator[bytes]:
    chunks = map(b",".join, batches(texts, EVENTS_PER_CHUNK))
    while chunk := await writer.take(partial(next, chunks, b"")):
        yield chunk
