"""Results of dbt's own runs: the artifacts that a project's jobs send, and what they say of nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.core.errors import UnavailableError
from app.lineage import run_results
from app.lineage.graph import Graph
from app.lineage.run_results import ArtifactError, NodeResult, RunArtifact
from app.reports.redaction import redact_short
from app.store import Store
from app.store.node_results import ArtifactHead
from app.web.api.call import Call
from app.web.api.lineage import LINEAGE_NOT_FOUND, TRIES, only_node
from app.web.api.operation import API, NoQuery, Operation
from app.web.api.schemas.common import Page
from app.web.api.schemas.results import ARTIFACT, NodeResultView, ResultsQuery, ResultsTaken
from app.web.http import requests
from app.web.http.problems import HttpProblem
from app.web.http.uploads import Uploads

AHEAD = timedelta(hours=1)
"""How far the clock of who ran dbt may be ahead. An artifact of the future would be the last one for as long."""
MESSAGE = 300
"""Characters of a message that are stored."""
EXAMPLES = 5
EXAMPLE = 200
"""Characters of an unknown unique_id in the answer."""


class ResultsReceiver:
    """`POST …/results`; its bodies share one `Uploads`."""

    def __init__(self) -> None:
        self._uploads = Uploads()

    async def receive(self, call: Call[NoQuery, None]) -> ResultsTaken:
        """Store the results of an artifact."""
        connection = await call.connection("push")
        graph = await _graph(call.store, connection.id)
        try:
            artifact, known = await self._uploads.read(call.request, call.caller.key, lambda body: _understand(body, graph))
        except ArtifactError as error:
            raise requests.invalid(error.field, error.reason) from error
        if artifact.generated_at > datetime.now(UTC) + AHEAD:
            raise requests.invalid("metadata.generated_at", "is in the future")
        of = ArtifactHead(artifact.kind, artifact.invocation_id, artifact.generated_at)
        last = await call.store.node_results.save(connection.id, of, known)
        unknown = [name for name in artifact.results if graph is None or graph.position(name) is None]
        return ResultsTaken(
            kind=artifact.kind,
            invocation_id=artifact.invocation_id,
            generated_at=artifact.generated_at,
            repeated=last is None,
            results=artifact.total,
            taken=0 if last is None else len(known),
            older=0 if last is None else len(known) - last,
            unknown=len(unknown),
            unknown_examples=[name[:EXAMPLE] for name in unknown[:EXAMPLES]],
        )


async def _graph(store: Store, connection_id: str) -> Graph | None:
    """The lineage of the connection; None if there is none yet."""
    for _ in range(TRIES):
        head = await store.lineages.head(connection_id)
        graph = None if head is None else await store.lineage_cache.get(head)
        if head is None or graph is not None:
            return graph
    raise UnavailableError("reading the lineage", "the commit keeps being extracted again", "Try again in a moment.")


def _understand(body: bytes | bytearray, graph: Graph | None) -> tuple[RunArtifact, list[NodeResult]]:
    """The artifact, and its results of known nodes, with messages that are safe to store. Raises ArtifactError."""
    artifact = run_results.decode(body)
    known = [one for one in artifact.results.values() if graph is not None and graph.position(one.unique_id) is not None]
    return artifact, [one._replace(message=_safe(one.message)) for one in known]


def _safe(message: str | None) -> str | None:
    """In one line, without secrets."""
    return message and redact_short(" ".join(message.split()), (), MESSAGE, run_results.MAX_MESSAGE)


async def list_results(call: Call[ResultsQuery, None]) -> Page[NodeResultView]:
    """The last results of nodes, by unique_id."""
    connection, query = await call.connection(), call.query
    after = requests.cursor(query.cursor, 1)
    if query.node is None:
        found = await call.store.node_results.page(connection.id, after[0] if after else "", query.state, query.limit)
        more = found[-1].unique_id if len(found) == query.limit else None
    else:
        graph = await _graph(call.store, connection.id)
        if graph is None:
            raise HttpProblem(404, LINEAGE_NOT_FOUND, "No extraction of this connection has succeeded yet: see `GET …/progress`.")
        name = graph.nodes[only_node(graph, query.node, "node")].unique_id
        stored, more = (await call.store.node_results.of_nodes(connection.id, [name])).values(), None
        found = [one for one in stored if not query.state or run_results.verdict(one.status) in query.state]
    items = [NodeResultView.of(one) for one in found]
    return Page[NodeResultView](items=items, next_cursor=None if more is None else requests.next_cursor(more))


def operations() -> tuple[Operation, ...]:
    """Operations with their own handler."""
    return (
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/results",
            id="list_results",
            handler=list_results,
            summary="List the last results of nodes in dbt's own runs, with their history",
            tag="results",
            query=ResultsQuery,
            response=Page[NodeResultView],
            problems={
                404: "It does not exist, the token may not see it, or `node` is not in its lineage (`candidates` lists similar ones)"
            },
            right="read",
        ),
        Operation(
            method="POST",
            path=f"{API}/connections/{{id}}/results",
            id="send_results",
            handler=ResultsReceiver().receive,
            summary="Send the artifact of a run of dbt: `run_results.json` or `sources.json`",
            tag="results",
            response=ResultsTaken,
            problems={
                400: "The body is not such an artifact; `field` names the place",
                408: "The body did not arrive in time",
                413: "The body is too big",
                415: "The body is neither JSON nor compressed by gzip",
            },
            right="push",
            extra={"requestBody": {"required": True, "content": {"application/json": {"schema": ARTIFACT}}}},
        ),
    )
