"""What a report says of nodes beyond the impact: names, files, owners, tags, edges, and their code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from app.core import yaml_text
from app.lineage.graph import Graph
from app.lineage.manifest import MAX_ID_BYTES
from app.lineage.node_selectors import versioned_name
from app.project.checkout import is_clean
from app.reports.markdown import cut

MODELS = frozenset({"model", "snapshot"})
MAX_NAME_BYTES = 300
"""Of a name as it is kept."""


class ReportedNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node. `kind` and `label`: of an exposure, as dbt calls them (`dashboard`)."""

    name: str
    resource_type: str
    path: str | None = None
    """Its file in the repository at the head, or at the base if it is gone; None: in a package, or not known."""
    is_gone: bool = False
    """Only at the base."""
    is_mart: bool = False
    """A model that no other model reads."""
    owner: str | None = None
    group: str | None = None
    kind: str | None = None
    url: str | None = None
    label: str | None = None
    tags: tuple[str, ...] = ()


class _Content(msgspec.Struct):
    original_file_path: str | None = None
    tags: tuple[str, ...] = ()
    owner: str | None = None
    group: str | None = None
    type: str | None = None
    url: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Both lineages of a comparison, as far as a report needs them."""

    head: Graph
    base: Graph | None = None
    """Where nodes are found that are not at the head."""
    project_dir: str = ""
    project_name: str | None = None
    """The files of other packages are not in the repository, as far as is known."""
    head_code: Mapping[str, str] = field(default_factory=dict)
    """`raw_code` by unique_id, of the nodes that `impact.code_needed` names."""
    base_code: Mapping[str, str] = field(default_factory=dict)
    """The same at the base."""
    _known: dict[str, ReportedNode] = field(default_factory=dict, repr=False, compare=False)

    def node(self, unique_id: str) -> ReportedNode:
        """What is known of a node; of one that is in neither lineage, what its unique_id says."""
        if unique_id not in self._known:
            self._known[unique_id] = self._find(unique_id)
        return self._known[unique_id]

    def _find(self, unique_id: str) -> ReportedNode:
        for graph in (self.head, self.base):
            number = None if graph is None else graph.position(unique_id)
            if graph is not None and number is not None:
                return self._place(graph, number)
        kind, _, rest = unique_id.partition(".")
        return ReportedNode(name=rest.partition(".")[2] or rest or unique_id, resource_type=kind)

    def upstream(self, unique_id: str) -> Iterator[str]:
        """The unique_ids that a node depends on at the head."""
        number = self.head.position(unique_id)
        return iter(()) if number is None else (self.head.nodes[parent].unique_id for parent in self.head.parents[number])

    def _place(self, graph: Graph, number: int) -> ReportedNode:
        node = graph.nodes[number]
        content = msgspec.json.decode(node.content, type=_Content)
        path = yaml_text.join(self.project_dir, content.original_file_path) if content.original_file_path else None
        mine = self.project_name is None or node.package_name == self.project_name
        return ReportedNode(
            name=versioned_name(node),
            resource_type=node.resource_type,
            path=path if mine and path and is_clean(path) else None,
            is_gone=graph is not self.head,
            is_mart=node.resource_type == "model" and not self._is_read_by_models(graph, number),
            owner=content.owner,
            group=content.group,
            kind=content.type,
            url=content.url,
            label=content.label,
            tags=content.tags,
        )

    @staticmethod
    def _is_read_by_models(graph: Graph, number: int) -> bool:
        below = graph.reach({number}, "downstream", 1) - {number}
        return any(graph.nodes[child].resource_type in MODELS for child in below)


def short(text: str, limit: int = MAX_NAME_BYTES) -> str:
    """A text as it is kept: valid UTF-8 of at most `limit` bytes."""
    return cut(text.encode("utf-8", "replace").decode(), limit)


def key(unique_id: str) -> str:
    """A unique_id as it is kept: like `short`, and still different from others."""
    if len(unique_id.encode("utf-8", "replace")) <= MAX_ID_BYTES:
        return short(unique_id, MAX_ID_BYTES)
    return short(unique_id, MAX_NAME_BYTES) + hashlib.blake2b(unique_id.encode("utf-8", "replace"), digest_size=8).hexdigest()
