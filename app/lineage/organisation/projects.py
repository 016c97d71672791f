"""A project with its lineage, and the ids of its nodes in the graph of several projects."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from app.lineage.graph import Graph, GraphNode


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """What is known of a project without its nodes. `name`: in `dbt_project.yml`."""

    connection_id: str
    repository: str
    project_dir: str
    name: str | None
    adapter_type: str | None

    @property
    def place(self) -> str:
        """The repository and the directory, without a colon.

        >>> ProjectKey("c1", "acme/data", "transform", "shop", None).place
        'acme/data/transform'
        """
        directory = self.project_dir.replace("%", "%25").replace(":", "%3A")
        return f"{self.repository}/{directory}" if directory else self.repository

    def id_of(self, unique_id: str) -> str:
        """The id of a node in the graph: dbt's `unique_id` is one only in its project."""
        return f"{self.place}:{unique_id}"


@dataclass(frozen=True, slots=True)
class JoinedProject:
    """A project with its lineage."""

    key: ProjectKey
    graph: Graph

    def id_at(self, position: int) -> str:
        """The id of a node."""
        return self.key.id_of(self.graph.nodes[position].unique_id)

    def is_own(self, node: GraphNode) -> bool:
        """Whether a node is the project's own, and not one of a package in it."""
        return node.package_name == self.key.name


class JoinFacts(msgspec.Struct, frozen=True, gc=False):
    """What joins depend on, of a node's content."""

    relation_name: str | None = None
    materialized: str | None = None
    access: str | None = None
    original_file_path: str = ""

    @property
    def is_external(self) -> bool:
        """Whether dbt knows a node of another project by name alone, because that is not installed: it has no file then."""
        return not self.original_file_path


_facts = msgspec.json.Decoder(JoinFacts)


def facts(node: GraphNode) -> JoinFacts:
    """Read them."""
    return _facts.decode(node.content)
