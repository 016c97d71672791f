"""What could be built better in a project, each with its nodes: from the graph, and from the columns of its SQL where those are known.

Everything is about the project's own nodes; what reads them may be anybody's. Lists are bounded, counts are exact.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from app.core.models.quality import RULES, USUAL, QualitySettings, Rule
from app.lineage.column_graph import ColumnGraph
from app.lineage.graph import Graph
from app.lineage.quality import layers
from app.lineage.quality.folder_cycles import cycles
from app.lineage.quality.layers import Layer

MAX_ITEMS = 20
"""Of one rule."""
MAX_NODES = 5
"""Of one item."""
MAX_BYTES = 8 << 10
"""Of the names of one rule's items."""
NOT_READERS = frozenset({"test", "unit_test"})
ABOVE_STAGING: frozenset[Layer | None] = frozenset({"intermediate", "marts"})
WITH_FILES = frozenset({"model", "snapshot"})
NEEDS_COLUMNS: frozenset[Rule] = frozenset({"hard_coded_references", "select_star_from_source"})
TIME_SPINE = "time_spine"
"""In the names of models that metrics read without a `ref()`."""


Items = Mapping[str, Iterable[int]]
"""Subjects, with the positions of the nodes that are involved."""


class FindingItem(msgspec.Struct, frozen=True):
    """One thing that was found."""

    subject: str
    """A unique_id; of `hard_coded_references` the name of a table, of `folder_cycles` a folder."""
    nodes: tuple[str, ...] = ()
    """The unique_ids of those that are involved: the sources that a model reads, those who read a source or name a table."""
    more: int = 0
    """How many nodes are not listed."""


class QualityFinding(msgspec.Struct, frozen=True):
    """What a rule found."""

    count: int
    items: tuple[FindingItem, ...] = ()
    """The first ones of `count`, by their subjects."""


class Findings(msgspec.Struct, frozen=True):
    """All of it."""

    rules: dict[Rule, QualityFinding] = {}
    """Rules that the project switched off, or for which columns would have to be known, are missing."""
    relationships: int = 0
    """Columns with a `relationships` test."""
    inherited_descriptions: int | None = None
    """Columns without a description of their own that are a copy of one with a description; None: columns are not known."""


class _Test(msgspec.Struct, frozen=True, gc=False):
    name: str = ""


class _Column(msgspec.Struct, frozen=True, gc=False):
    tests: list[_Test] | None = None


class _Content(msgspec.Struct, frozen=True, gc=False):
    original_file_path: str = ""
    access: str | None = None
    owner: str | None = None
    columns: list[_Column] = []


_content = msgspec.json.Decoder(_Content).decode


def find(graph: Graph, project: str | None, columns: ColumnGraph | None = None, settings: QualitySettings = USUAL) -> Findings:
    """Look at the nodes of a project, by its name; of all packages if that is unknown."""
    search = _Search(graph, project, columns, settings)
    found: dict[Rule, QualityFinding] = {}
    for rule in RULES:
        if rule in settings.findings_off or (rule in NEEDS_COLUMNS and columns is None):
            continue
        found[rule] = _finding(search, rule)
    return Findings(found, search.relationships, search.inherited())


def _finding(search: _Search, rule: Rule) -> QualityFinding:
    items = _LOOK[rule](search)
    return QualityFinding(len(items), tuple(_bounded(search.graph, items)))


def _bounded(graph: Graph, items: Items) -> Iterator[FindingItem]:
    room = MAX_BYTES
    for subject in sorted(items)[:MAX_ITEMS]:
        related = [graph.nodes[number].unique_id for number in items[subject]]
        item = FindingItem(subject, tuple(sorted(related)[:MAX_NODES]), max(0, len(related) - MAX_NODES))
        room -= len(subject) + sum(map(len, item.nodes))
        if room < 0:
            return
        yield item


class _Search:
    """The project's own nodes, with what the rules have to know of them."""

    def __init__(self, graph: Graph, project: str | None, columns: ColumnGraph | None, settings: QualitySettings) -> None:
        self.graph = graph
        self._columns = columns
        self._own: dict[int, str] = {}
        """The folders of the nodes."""
        self._layers: dict[int, tuple[Layer | None, Layer | None]] = {}
        """Of models: by name, by folder."""
        self._public: set[int] = set()
        self._ownerless: list[int] = []
        self.relationships = 0
        for number, node in enumerate(graph.nodes):
            if project in (None, node.package_name):
                self._add(number, settings)
        self._has_marts = any(self._layer(number) == "marts" for number in self._layers)

    def _add(self, number: int, settings: QualitySettings) -> None:
        node = self.graph.nodes[number]
        try:
            content = _content(node.content)
        except msgspec.ValidationError:  # stored by an earlier release in another way
            content = _Content()
        folder = posixpath.dirname(content.original_file_path)
        if settings.ignores(folder):
            return
        self._own[number] = folder
        self.relationships += sum(any(test.name == "relationships" for test in column.tests or ()) for column in content.columns)
        if node.resource_type == "model":
            self._layers[number] = layers.by_name(node.name), layers.by_folder(folder)
            if content.access == "public":
                self._public.add(number)
        elif node.resource_type == "exposure" and content.owner is None:
            self._ownerless.append(number)

    def inherited(self) -> int | None:
        """See `Findings.inherited_descriptions`."""
        columns = self._columns
        if columns is None:
            return None
        return sum(columns.inherits(column) for number in self._own if (node := columns.nodes.get(number)) for column in node.columns)

    def upper_on_sources(self) -> Items:
        """Marts and intermediate models, with the sources that they read."""
        return self._named((number, self._sources(number)) for number in self._layers if self._layer(number) in ABOVE_STAGING)

    def fanout(self) -> Items:
        """Sources, with the several models that read them."""
        return self._named((number, self._several(self._models_below(number))) for number in self._of_type("source"))

    def unused_models(self) -> Items:
        """Models without readers that are not the end of what the project is for."""
        return self._alone(filter(self._is_unused, self._layers))

    def unused_sources(self) -> Items:
        """Sources without readers."""
        return self._alone(number for number in self._of_type("source") if not self._is_read(number))

    def stars(self) -> Items:
        """Models with all columns of sources that are not all known."""
        return self._named((number, self._starred(number)) for number in self._layers)

    def misnamed(self) -> Items:
        """Models without a prefix, in the folder of a layer whose models have one."""
        return self._alone(number for number, (name, folder) in self._layers.items() if name is None and folder in layers.PREFIXED)

    def misplaced(self) -> Items:
        """Models with the prefix of another layer than that of their folder."""
        return self._alone(number for number, both in self._layers.items() if layers.is_misplaced(*both))

    def ownerless(self) -> Items:
        """Exposures."""
        return self._alone(self._ownerless)

    def hard_coded(self) -> Items:
        """Tables, with the nodes whose SQL names them."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        nodes = self._columns.nodes if self._columns is not None else {}
        for number in self._own:
            if number in nodes:
                for table in dict.fromkeys(nodes[number].hard_coded):
                    found[table].append(number)
        return found

    def folder_cycles(self) -> Items:
        """The folders, with their models that read another folder of the same cycle."""
        crossing = [
            (folder, self._own[parent], number)
            for number, folder in self._own.items()
            if self.graph.nodes[number].resource_type in WITH_FILES
            for parent in self.graph.parents[number]
            if parent in self._own and self.graph.nodes[parent].resource_type in WITH_FILES and self._own[parent] != folder
        ]
        reads: dict[str, dict[str, None]] = {}
        for folder, above, _ in crossing:
            reads.setdefault(folder, {})[above] = None
            reads.setdefault(above, {})
        found = cycles({folder: [*above] for folder, above in reads.items()})
        members: dict[str, dict[int, None]] = {}
        for folder, above, number in crossing:
            if folder in found and found[folder] == found.get(above):
                members.setdefault(folder, {})[number] = None
        return {folder: [*numbers] for folder, numbers in members.items()}

    def _named(self, found: Iterable[tuple[int, list[int]]]) -> dict[str, list[int]]:
        """Those that have something to do with others."""
        return {self.graph.nodes[number].unique_id: related for number, related in found if related}

    def _alone(self, found: Iterable[int]) -> dict[str, list[int]]:
        return {self.graph.nodes[number].unique_id: [] for number in found}

    def _of_type(self, resource_type: str) -> Iterator[int]:
        return (number for number in self._own if self.graph.nodes[number].resource_type == resource_type)

    def _layer(self, number: int) -> Layer | None:
        name, folder = self._layers[number]
        return name or folder

    def _sources(self, number: int) -> list[int]:
        return [parent for parent in self.graph.parents[number] if self.graph.nodes[parent].resource_type == "source"]

    def _models_below(self, number: int) -> list[int]:
        return [child for child in self.graph.children(number) if self.graph.nodes[child].resource_type == "model"]

    def _several(self, models: list[int]) -> list[int]:
        """The same, if they are several models and not only versions of one."""
        names = {(self.graph.nodes[number].package_name, self.graph.nodes[number].name) for number in models}
        return models if len(names) > 1 else []

    def _is_read(self, number: int) -> bool:
        return any(self.graph.nodes[child].resource_type not in NOT_READERS for child in self.graph.children(number))

    def _is_unused(self, number: int) -> bool:
        """Marts and public models are for readers whom dbt does not know. Without any mart, so is every model of no layer."""
        if number in self._public or self._is_read(number) or TIME_SPINE in self.graph.nodes[number].name:
            return False
        layer = self._layer(number)
        return layer in layers.PREFIXED or (layer is None and self._has_marts)

    def _starred(self, number: int) -> list[int]:
        """The sources of a model that are known to be the reason why not all of its columns are."""
        nodes = self._columns.nodes if self._columns is not None else {}
        traced = nodes.get(number)
        if traced is None or traced.status != "exact" or not traced.open:
            return []
        open_parents = [parent for parent in self.graph.parents[number] if parent in nodes and nodes[parent].open]
        sources = [parent for parent in open_parents if self.graph.nodes[parent].resource_type == "source"]
        return sources if len(sources) == len(open_parents) else []


_LOOK: Mapping[Rule, Callable[[_Search], Items]] = {
    "marts_or_intermediate_dependent_on_source": _Search.upper_on_sources,
    "source_fanout": _Search.fanout,
    "unused_models": _Search.unused_models,
    "unused_sources": _Search.unused_sources,
    "hard_coded_references": _Search.hard_coded,
    "folder_cycles": _Search.folder_cycles,
    "select_star_from_source": _Search.stars,
    "model_naming_conventions": _Search.misnamed,
    "model_directories": _Search.misplaced,
    "exposures_without_owner": _Search.ownerless,
}
