"""Addresses on the page of a node: of other nodes, of the explorer, and of the files on GitHub."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from app.lineage.graph import Graph, GraphNode
from app.lineage.node_selectors import versioned_name
from app.reports.code_html import CodeCall
from app.reports.github_links import RepositoryLinks

MAX_ID, MAX_NAME_BYTES = 1000, 300
"""Names are strangers'. A longer id is in no address that works, and what is shown of a name in a list is enough to know it."""
REFERENCED = frozenset({"model", "seed", "snapshot", "function"})
"""What `ref()` leads to; functions have a call of their own, which is not read."""


@dataclass(frozen=True, slots=True)
class NodeLinks:
    """Addresses in one lineage. Everything in them is escaped."""

    root: str
    """The prefix of all addresses: see `keys.PREFIX`."""
    connection_id: str
    sha: str | None
    """The commit that the visitor asked for; None: the connection's lineage, whatever it is later."""

    def node(self, unique_id: str, column: str | None = None) -> str:
        """The page of a node, at a column."""
        place = f"#{quoted(anchor(column))}" if column else ""
        return f"{self._connection}/nodes/{quoted(unique_id[:MAX_ID])}{self._query()}{place}"

    def explorer(self, unique_id: str, column: str | None = None) -> str:
        """The lineage explorer around a node."""
        return f"{self._connection}/lineage{self._query(node=unique_id[:MAX_ID], column=column)}"

    def document(self, unique_id: str) -> str:
        """The node as JSON."""
        return f"{self.root}/api/metadata/connections/{self.connection_id}/nodes/{quoted(unique_id[:MAX_ID])}{self._query()}"

    def extraction(self, extraction_id: str) -> str:
        """The page of an extraction."""
        return f"{self.root}/extractions/{quoted(extraction_id)}"

    @property
    def _connection(self) -> str:
        return f"{self.root}/connections/{self.connection_id}"

    def _query(self, **parameters: str | None) -> str:
        pairs = [(name, value.encode("utf-8", "replace")) for name, value in {**parameters, "sha": self.sha}.items() if value]
        return f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The files of a project on GitHub, at a commit."""

    repository: RepositoryLinks
    sha: str
    project_dir: str
    package: str | None
    """The project's own name: the files of other packages are elsewhere."""

    def address(self, package: str, path: str) -> str | None:
        """A file, by its path in its package; None if it is not one of this repository."""
        if not path or package != self.package:
            return None
        found = posixpath.normpath(posixpath.join(self.project_dir, path))
        return None if found.startswith(("../", "/")) else self.repository.file(self.sha, found)


class Calls:
    """Where `ref()` and `source()` lead in the code of a node: to a node that it depends on."""

    def __init__(self, graph: Graph, position: int, links: NodeLinks) -> None:
        self._package = graph.nodes[position].package_name
        self._links = links
        self._named: dict[str, list[GraphNode]] = {}
        for parent in graph.parents[position]:
            self._named.setdefault(graph.nodes[parent].name, []).append(graph.nodes[parent])

    def address(self, call: CodeCall) -> str | None:
        """The page of the node; None if none or several may be meant."""
        found = list(self._sources(call) if call.function == "source" else self._nodes(call))
        own = [node for node in found if node.package_name == self._package]
        chosen = own if len(own) == 1 else found
        return self._links.node(chosen[0].unique_id) if len(chosen) == 1 else None

    def _sources(self, call: CodeCall) -> Iterable[GraphNode]:
        ending = f".{'.'.join(call.names)}"
        return (node for node in self._named.get(call.names[-1], ()) if node.resource_type == "source" and node.unique_id.endswith(ending))

    def _nodes(self, call: CodeCall) -> Iterable[GraphNode]:
        name, package = call.names[-1], call.names[0] if len(call.names) > 1 else None
        for node in self._named.get(name, ()):
            is_version = call.version is None or versioned_name(node) == f"{name}.v{call.version}"
            if node.resource_type in REFERENCED and package in (None, node.package_name) and is_version:
                yield node


def anchor(column: str) -> str:
    """The id of a column's row, which must not have spaces: https://html.spec.whatwg.org/multipage/dom.html#the-id-attribute."""
    return f"column-{'-'.join(column.split())}"


def quoted(text: str) -> str:
    """A text as a part of a path."""
    return quote(text.encode("utf-8", "replace"), safe="")
