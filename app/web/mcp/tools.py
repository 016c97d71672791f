"""The tools: one row each. Agents choose by the descriptions, so these say when to use which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiohttp import web

from app.core.models.callers import Caller
from app.web.api.call import Call
from app.web.http import requests
from app.web.mcp import changes, finding, lineages
from app.web.mcp.inputs import (
    ColumnLineageInput,
    DiffInput,
    FreshnessInput,
    ImpactInput,
    LineageInput,
    NodeInput,
    PathInput,
    SearchInput,
    ToolInput,
)
from app.web.mcp.outputs import (
    ColumnLineageAnswer,
    CutAnswer,
    DiffAnswer,
    FreshnessAnswer,
    ImpactAnswer,
    LineageAnswer,
    NodeAnswer,
    PathAnswer,
    SearchAnswer,
)

Json = dict[str, Any]
NO_NUL = "^[^\\u0000]*$"
NOISE = {"title", "examples", "default", "anyOf", "properties", "minLength", "maxLength"}
ANNOTATIONS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: arguments, answer, and what it does. Nothing of it changes anything."""

    name: str
    title: str
    description: str
    arguments: type[ToolInput]
    answer: type[CutAnswer]
    run: Callable[[Call[Any, None]], Awaitable[bytes]]

    async def call(self, request: web.Request, caller: Caller, arguments: Mapping[str, Any]) -> bytes:
        """The answer as JSON. Raises HttpProblem or FreshetError."""
        return await self.run(Call(request, caller, requests.validated(arguments, self.arguments, "arguments"), None))

    def describe(self) -> Json:
        """As clients list it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": {"type": "object", **_tidy(self.arguments.model_json_schema())},
            "outputSchema": {"type": "object", **_tidy(self.answer.model_json_schema(mode="serialization"))},
            "annotations": ANNOTATIONS,
        }


TOOLS: Mapping[str, Tool] = {
    one.name: one
    for one in (
        Tool(
            "search_nodes",
            "Search nodes and columns",
            "Find models, sources, exposures and other dbt nodes, or their columns, by words in names, columns, tags, owners, paths and "
            "descriptions, in all projects that you can see. Use it first when you do not know the exact name.",
            SearchInput,
            SearchAnswer,
            finding.search_nodes,
        ),
        Tool(
            "get_node",
            "Get one node",
            "Everything about one node: description, table, owner, columns with their tests, configuration, SQL as written or as compiled, "
            "and its neighbours.",
            NodeInput,
            NodeAnswer,
            lineages.get_node,
        ),
        Tool(
            "get_lineage",
            "Get lineage around a node",
            "What a node depends on and what depends on it: nodes with their distance, the nearest first, and the edges between them.",
            LineageInput,
            LineageAnswer,
            lineages.get_lineage,
        ),
        Tool(
            "get_column_lineage",
            "Get lineage of columns",
            "Which columns a column is made of, and which columns and rows depend on it, with how (IDENTITY, AGGREGATION, JOIN, FILTER …) "
            "and whether that is certain.",
            ColumnLineageInput,
            ColumnLineageAnswer,
            lineages.get_column_lineage,
        ),
        Tool(
            "find_path",
            "Find why one node depends on another",
            "The shortest ways from one node to another that depends on it. If it does not, whether it is the other way round, or what "
            "both depend on.",
            PathInput,
            PathAnswer,
            lineages.find_path,
        ),
        Tool(
            "get_impact",
            "Get what a change does",
            "What the changes of a branch or between two commits do: what breaks, what changes by class and column, and everything "
            "downstream that they reach. Use it before a pull request is merged.",
            ImpactInput,
            ImpactAnswer,
            changes.get_impact,
        ),
        Tool(
            "diff_commits",
            "Compare two commits",
            "Which nodes and edges were added, removed and changed between two commits, and what changed in them.",
            DiffInput,
            DiffAnswer,
            changes.diff_commits,
        ),
        Tool(
            "get_freshness",
            "List projects and how current they are",
            "All projects that you can see, with the commit that is known and whether newer ones are missing. For one project: compared "
            "with its branch on GitHub now.",
            FreshnessInput,
            FreshnessAnswer,
            finding.get_freshness,
        ),
    )
}


@cache
def described() -> list[Json]:
    """All tools as clients list them."""
    return [one.describe() for one in TOOLS.values()]


def _tidy(schema: Any, *, with_null: bool = True) -> Any:
    """A schema without titles, examples, defaults and lengths, because tokens cost. A value that may be absent is never null."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _tidy(one) for name, one in schema.items() if name not in NOISE and one != NO_NUL}
    if "properties" in schema:
        required = schema.get("required", ())
        found.pop("description", None)  # what its class is
        found["properties"] = {name: _tidy(one, with_null=name in required) for name, one in schema["properties"].items()}
    options = [_tidy(one) for one in schema.get("anyOf", ()) if with_null or one != {"type": "null"}]
    return {**found, **(options[0] if len(options) == 1 else {"anyOf": options} if options else {})}
