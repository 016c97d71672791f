"""The lineage explorer. Its script draws what the layout API says; this page says the same in words: a tree and a table of links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from aiohttp import web
from pydantic import Field

from app.core.models.connections import Connection
from app.lineage import node_selectors
from app.lineage.layout.scene import SHOWN, Scene
from app.lineage.node_selectors import SelectorError
from app.lineage.resource_types import ResourceType
from app.reports.markdown import cut
from app.web.api.layout import around_focus, drawn_for, scene_of
from app.web.api.schemas.common import Commit, Query, Text, Whole
from app.web.api.schemas.layouts import HOPS, MAX_EXPANSIONS, MAX_HOPS, LayoutQuery
from app.web.api.troubles import troubles
from app.web.http import addresses, requests
from app.web.http.problems import HttpProblem
from app.web.keys import STORE
from app.web.pages import frame, missing_commit, visitor
from app.web.pages.node_links import MAX_ID, MAX_NAME_BYTES

ROWS = 100
"""Of a page of the table."""
COMMITS = 20
"""That are offered for comparison."""
SHORT = ("name", "group", "materialized", "owner")
"""What strangers write at any length."""
LINES = 200
"""Of the tree, in each direction."""
FOLDERS = 1000
"""That can be chosen, in order: a project of a stranger can have as many as nodes."""


class ExplorerQuery(Query):
    """The state of the explorer."""

    node: Text | None = None
    column: Text | None = None
    depth: Annotated[Whole | None, Field(ge=0, le=MAX_HOPS)] = None
    sha: Commit | None = None
    base: Commit | None = None
    expand: Annotated[list[Text], Field(default_factory=list, max_length=MAX_EXPANSIONS)]
    resource_type: Annotated[list[ResourceType], Field(default_factory=list)]
    page: Annotated[Whole, Field(ge=1)] = 1


@dataclass(frozen=True, slots=True)
class Branch:
    """A node in the tree, and what hangs on it in the same direction."""

    node: Mapping[str, Any]
    below: Sequence[Branch]


async def show(request: web.Request) -> web.Response:
    """`GET /connections/{id}/lineage`."""
    connection = await visitor.connection(request)
    addresses.drop_empty(request, f"/connections/{connection.id}/lineage")
    query = requests.query(request, ExplorerQuery)
    operators = _has_operators(query.node)
    if operators and query.depth is not None:
        raise web.HTTPSeeOther(frame.url_for(request, f"{frame.path_of(request)}{_links(query)['to'](depth=None)}"))
    try:
        words = await _words(request, connection, query)
    except HttpProblem as problem:
        if problem.more.get("field") == "expand":
            # What was expanded is gone, such as in a newer lineage than the one that a bookmark was made in.
            raise web.HTTPSeeOther(
                frame.url_for(request, f"/connections/{connection.id}/lineage{_links(query)['to'](expand=[])}")
            ) from None
        if problem.more.get("field") == "focus":
            candidates = problem.more.get("candidates") or []
            named = {"connection": connection, "query": query, "problem": problem, "candidates": candidates, **_links(query)}
            return frame.render(request, "explorer_missing.html", named, status=problem.status)
        return missing_commit.page(request, connection, problem, lambda field, sha: _links(query)["to"](**{field: sha}))
    commits = await request.app[STORE].lineages.recent_commits(connection.id, COMMITS)
    context = {"connection": connection, "query": query, "operators": operators, "commits": commits, "types": SHOWN, "hops": HOPS}
    context |= {**_links(query), **words}
    return await request.app[STORE].lineage_cache.compute(lambda: frame.render(request, "explorer.html", context))


async def _words(request: web.Request, connection: Connection, query: ExplorerQuery) -> dict[str, Any]:
    """What the page says of the drawing."""
    call = await visitor.call(
        request,
        LayoutQuery(
            sha=query.sha,
            base=query.base,
            resource_type=query.resource_type,
            focus=query.node,
            upstream=query.depth if query.node else None,
            downstream=query.depth if query.node else None,
            expand=query.expand if query.node else [],
            show=[],
        ),
    )
    drawn = await drawn_for(call, connection)
    head = {"head": drawn.head, "base": drawn.base}
    if query.node is None:
        scene = await scene_of(call, drawn)
        wrong = await troubles(call.store, connection.id, scene.graph)
        return {**head, **await call.store.lineage_cache.compute(lambda: _table(scene, query.page, wrong))}
    found = await around_focus(call, connection, drawn)
    return {**head, **_tree(found, found["focus"])}


def _has_operators(node: str | None) -> bool:
    """Whether dbt's operators around a node say how many hops are drawn."""
    try:
        return node is not None and node_selectors.parse(node.replace(" ", "+")).has_operators
    except SelectorError:
        return False


def _table(scene: Scene, page: int, wrong: Mapping[str, str]) -> dict[str, Any]:
    """A page of all nodes, by folder and name."""
    groups = scene.groups()
    folders = sorted(set(groups))
    places = {name: place for place, name in enumerate(folders)}
    order = sorted(range(len(scene)), key=lambda number: (places[groups[number]], scene.node(number).name))
    marks = Counter(scene.marks.nodes.values())
    changed = [number for number in order if scene.mark(number)] if marks else []
    chosen = changed or order
    pages = max(1, ceil(len(chosen) / ROWS))
    page = min(page, pages)
    rows = [
        {
            "unique_id": scene.node(number).unique_id,
            "name": cut(scene.node(number).name, MAX_NAME_BYTES),
            "resource_type": scene.node(number).resource_type,
            "group": cut(groups[number], MAX_NAME_BYTES),
            "upstream": len(scene.parents[number]),
            "downstream": len(scene.children[number]),
            "change": scene.mark(number),
            "trouble": wrong.get(scene.node(number).unique_id),
        }
        for number in chosen[(page - 1) * ROWS : page * ROWS]
    ]
    counts = Counter(scene.node(number).resource_type for number in range(len(scene)))
    return {
        "rows": rows,
        "page": page,
        "pages": pages,
        "total": len(chosen),
        "only_changed": bool(changed),
        "marks": marks,
        "folders": [cut(name, MAX_NAME_BYTES) for name in folders[:FOLDERS]],
        "counts": {name: counts[name] for name in SHOWN if counts[name]},
        "edges": sum(map(len, scene.parents)),
    }


def _tree(found: Mapping[str, Any], focus: str) -> dict[str, Any]:
    """The neighbourhood as two trees: each node once, below the nearest one that leads to it."""
    nodes = {node["unique_id"]: {**node, **{name: cut(node[name] or "", MAX_NAME_BYTES) for name in SHORT}} for node in found["nodes"]}
    upstream: dict[str, list[str]] = {unique_id: [] for unique_id in nodes}
    downstream: dict[str, list[str]] = {unique_id: [] for unique_id in nodes}
    for edge in found["edges"]:
        upstream[edge["downstream"]].append(edge["upstream"])
        downstream[edge["upstream"]].append(edge["downstream"])
    return {
        "focus": nodes[focus],
        "upstream": _branches(nodes, upstream, focus),
        "downstream": _branches(nodes, downstream, focus),
        "nodes": list(nodes.values()),
        "truncated": found["truncated"],
        "marks": Counter(node["change"] for node in found["nodes"] if node["change"]),
        "counts": Counter(node["resource_type"] for node in found["nodes"]),
    }


def _branches(nodes: Mapping[str, Mapping[str, Any]], beside: Mapping[str, Sequence[str]], focus: str) -> Sequence[Branch]:
    """Breadth first, so that nodes hang on what is nearest to the focus; then from the furthest inwards, because branches never change."""
    below: dict[str, list[str]] = {focus: []}
    order = [focus]
    for one in order:
        for other in beside[one]:
            if other not in below and len(below) <= LINES:
                below[other] = []
                below[one].append(other)
                order.append(other)
    made: dict[str, Branch] = {}
    for one in reversed(order):
        made[one] = Branch(nodes[one], [made[other] for other in below[one]])
    return made[focus].below


def _links(query: ExplorerQuery) -> dict[str, Any]:
    """Functions that make addresses from the state: `to(node=…)` for another one, `kept` for what forms keep."""

    def to(**changes: object) -> str:
        values = {**query.model_dump(), "page": None, **changes}
        pairs = [
            (name, one[:MAX_ID] if isinstance(one, str) else one)
            for name, value in values.items()
            for one in (value if isinstance(value, list) else [value])
            if one is not None and one != ""
        ]
        return f"?{urlencode(pairs, quote_via=quote)}" if pairs else "?"

    def kept(*without: str) -> list[tuple[str, object]]:
        values = query.model_dump(exclude={*without, "page"})
        return [(name, one) for name, value in values.items() for one in (value if isinstance(value, list) else [value]) if one is not None]

    return {"to": to, "kept": kept}
