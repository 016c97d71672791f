"""The page of one node: everything that is known of it, readable without JavaScript."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from app.core.errors import UnavailableError
from app.core.models.connections import Connection
from app.lineage.formats import mermaid
from app.lineage.graph import Graph, GraphFilter, GraphNode
from app.lineage.node_selectors import versioned_name
from app.reports import code_html, markdown_html
from app.reports.code_html import Link
from app.reports.github_links import RepositoryLinks
from app.reports.markdown import cut
from app.reports.markdown_html import safe_link
from app.store.lineages import LineageHead
from app.store.node_history import NodeHistory
from app.store.node_results import StoredResult
from app.web.api.lineage import TRIES, heading_of, only_node, stored
from app.web.api.node_joins import joins_of
from app.web.api.nodes import document
from app.web.api.operation import NoQuery
from app.web.api.schemas.nodes import NodeQuery
from app.web.api.schemas.organisations import NodeJoins
from app.web.http import requests
from app.web.http.problems import HttpProblem
from app.web.keys import PREFIX, SETUP, STORE
from app.web.pages import frame, missing_commit, node_facts, node_results, visitor
from app.web.pages.node_columns import MAX_COLUMNS, MAX_ENDS, ColumnRows
from app.web.pages.node_links import MAX_NAME_BYTES, Calls, NodeLinks, ProjectFiles
from app.web.pages.node_results import ResultMark

PATH = "/connections/{id}/nodes/{unique_id:.+}"
TESTS = ("test", "unit_test")
MAX_LISTED = 100
"""Neighbours in one direction, tests, and exposures."""
READ_RESULTS = 1_000
MAX_DRAWN = 60
"""Nodes of a Mermaid flowchart."""


@dataclass(frozen=True, slots=True)
class NodeLink:
    """Another node in a list."""

    name: str
    resource_type: str
    package: str | None
    """If it is not that of the page's node."""
    address: str
    result: ResultMark | None = None
    """The last one, if it is known."""


@dataclass(frozen=True, slots=True)
class ReachedExposure:
    """An exposure downstream. `url` is an address of the web, or None."""

    node: NodeLink
    label: str | None
    owner: str | None
    type: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """A node in a lineage, with everything that is stored of it."""

    connection: Connection
    head: LineageHead
    graph: Graph
    position: int
    document: Mapping[str, Any]
    history: NodeHistory
    results: Mapping[str, StoredResult]
    joins: NodeJoins | None
    """Of the node and its neighbours."""

    @property
    def node(self) -> GraphNode:
        return self.graph.nodes[self.position]


async def show(request: web.Request) -> web.Response:
    """`GET /connections/{id}/nodes/{unique_id}`."""
    query, connection = requests.query(request, NodeQuery), await visitor.connection(request)
    try:
        found = await _find(request, connection, query.sha)
    except HttpProblem as problem:
        name, root = request.match_info["unique_id"], request.app.get(PREFIX, "")
        if problem.more.get("field") != "unique_id":
            return missing_commit.page(request, connection, problem, lambda _, sha: NodeLinks(root, connection.id, sha).node(name))
        links = NodeLinks(root, connection.id, query.sha)
        named = {"connection": connection, "links": links, "candidates": problem.more.get("candidates") or []}
        return frame.render(request, "node_missing.html", {**named, "name": name}, status=problem.status)
    root, setup = request.app.get(PREFIX, ""), request.app[SETUP]
    links = NodeLinks(root, connection.id, query.sha and found.head.sha)
    repository = RepositoryLinks(setup.server_url, connection.repository.full_name)
    build = partial(_context, found, links, repository, setup.public_url.removesuffix(root))
    return await request.app[STORE].lineage_cache.compute(lambda: frame.render(request, "node.html", build()))


async def _find(request: web.Request, connection: Connection, sha: str | None) -> _Found:
    store, name = request.app[STORE], request.match_info["unique_id"]
    for _ in range(TRIES):
        head = await stored(store, connection, sha)
        graph = await store.lineage_cache.get(head)
        if graph is None:
            continue
        position = only_node(graph, name, "unique_id")
        found = await document(store, connection, head, graph, position)
        if found is not None:
            branch = connection.followed_branch or head.branch
            history = await store.node_histories.read(connection.id, branch, graph.nodes[position].unique_id, head.sha)
            around = [graph.nodes[one].unique_id for one in (position, *graph.children(position), *graph.parents[position])]
            results = await store.node_results.of_nodes(connection.id, around[:READ_RESULTS])
            joins = None
            if connection.lineage_sha == head.sha:
                joins = await joins_of(await visitor.call(request, NoQuery()), connection, head, graph, position)
            return _Found(connection, head, graph, position, found, history, results, joins)
    raise UnavailableError("reading a node", "the commit keeps being extracted again", "Try again in a moment.")


def _context(found: _Found, links: NodeLinks, repository: RepositoryLinks, public_url: str) -> dict[str, Any]:
    """Everything that the template shows. Takes some milliseconds, or a second for the longest texts of strangers: call it in a thread."""
    told, graph, node = found.document, found.graph, found.node
    files = ProjectFiles(repository, found.head.sha, found.connection.project_dir or "", found.head.project_name)
    columns = ColumnRows(graph, links, found.history.blame([column["name"] for column in told["columns"]]))
    children = [graph.nodes[one] for one in graph.children(found.position)]
    tests = [one for one in children if one.resource_type in TESTS]
    downstream = [one for one in children if one.resource_type not in TESTS]
    upstream = [graph.nodes[one] for one in graph.parents[found.position]]
    exposures = _exposures(found)
    lister = partial(_listed, node, links, node_results.marks(found.results.values()))
    return {
        "connection": found.connection,
        "head": found.head,
        "node": node,
        "name": versioned_name(node),
        "told": told,
        "links": links,
        "commit_of": repository.commit,
        "file": files.address(node.package_name, told.get("original_file_path") or ""),
        "permalink": f"[{_plain(versioned_name(node))}]({public_url}{replace(links, sha=found.head.sha).node(node.unique_id)})",
        "is_current": found.connection.lineage_sha == found.head.sha,
        "description": markdown_html.render(told.get("description") or ""),
        "source_description": markdown_html.render(_text(told.get("source_description")) or ""),
        "result": node_results.shown(found.results.get(node.unique_id)),
        "facts": node_facts.facts(told, files.address, links.node),
        "blocks": node_facts.blocks(told),
        "columns": columns.rows(told["columns"]),
        "more_columns": max(len(told["columns"]) - MAX_COLUMNS, 0),
        "rows": columns.ends(told["rows"]),
        "more_rows": max(len(told["rows"]) - MAX_ENDS, 0),
        **_code(told, Calls(graph, found.position, links).address),
        "upstream": lister(upstream),
        "downstream": lister(downstream),
        "tests": lister(tests),
        "exposures": [_reached(one, lister) for one in exposures[:MAX_LISTED]],
        "more": {
            name: max(len(all_of_them) - MAX_LISTED, 0)
            for name, all_of_them in (("upstream", upstream), ("downstream", downstream), ("tests", tests), ("exposures", exposures))
        },
        "events": found.history.events,
        "since": found.history.since,
        "mermaid": _mermaid(found),
        "joins": found.joins,
        "far": lambda one: NodeLinks(links.root, one.connection_id, None).node(one.unique_id),
    }


def _code(told: Mapping[str, Any], link: Link) -> dict[str, Any]:
    raw, compiled, language = (_text(told.get(name)) for name in ("raw_code", "compiled_code", "language"))
    return {
        "raw_code": code_html.render(raw, language, link) if raw else None,
        "language": language,
        "compiled_code": code_html.render(compiled, "sql", lambda _: None) if compiled else None,
    }


def _listed(node: GraphNode, links: NodeLinks, marks: Mapping[str, ResultMark], others: Iterable[GraphNode]) -> list[NodeLink]:
    chosen = sorted(others, key=lambda one: (one.resource_type, one.name, one.unique_id))[:MAX_LISTED]
    return [
        NodeLink(
            cut(versioned_name(one), MAX_NAME_BYTES),
            one.resource_type,
            None if one.package_name == node.package_name else cut(one.package_name, MAX_NAME_BYTES),
            links.node(one.unique_id),
            marks.get(one.unique_id),
        )
        for one in chosen
    ]


def _exposures(found: _Found) -> list[GraphNode]:
    reached = found.graph.reach({found.position}, "downstream", None) - {found.position}
    nodes = (found.graph.nodes[one] for one in reached)
    return sorted((one for one in nodes if one.resource_type == "exposure"), key=lambda one: one.unique_id)


def _reached(exposure: GraphNode, lister: partial[list[NodeLink]]) -> ReachedExposure:
    told = orjson.loads(exposure.content)
    label, owner, kind, url = (_text(told.get(name)) for name in ("label", "owner", "type", "url"))
    [link] = lister([exposure])
    return ReachedExposure(link, label, owner, kind, safe_link(url))


def _mermaid(found: _Found) -> str | None:
    """The node and its neighbours as a flowchart; None if they are too many."""
    selection = found.graph.select(GraphFilter(), found.graph.around({found.position}, GraphFilter(depth=1)))
    if len(selection.numbers) > MAX_DRAWN:
        return None
    return b"".join(mermaid.render(heading_of(found.connection, found.head), selection)).decode()


def _text(value: object) -> str | None:
    """What dbt's manifest has in a place where it says a text."""
    return value if isinstance(value, str) else None


def _plain(name: str) -> str:
    """A name as the text of a Markdown link."""
    return "".join(char for char in name if char.isalnum() or char in "_.- ") or "node"
