"""OpenLineage events, version 2-0-2, with the facets in `FACETS`: https://openlineage.io/docs/spec/object-model.

A JobEvent for each model, seed and snapshot that is a table or a view, with its input datasets and its output dataset, then a DatasetEvent
for each other dataset. No run: dbt's parse is none of a model, and a run that never happened would be in the catalog's history.

What is known of a dataset is said once, where it is an output or in its own event; inputs are only named. Nodes without a table (ephemeral
models) are passed through. A dataset without a known name is not in the events, and the job that makes it has no output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import quote

import msgspec
import orjson
from cachetools import LRUCache

from app.lineage.column_graph import ColumnSelection, TracedColumn
from app.lineage.formats.chunks import separated
from app.lineage.formats.column_facets import ColumnFacets
from app.lineage.formats.heading import Heading
from app.lineage.formats.openlineage_names import OpenLineageNames
from app.lineage.graph import GraphNode, Selection
from app.lineage.owners import named
from app.lineage.resource_types import RELATIONS, RESOURCE_TYPES

SPEC = "https://openlineage.io/spec"
JOB_EVENT, DATASET_EVENT = (f"{SPEC}/2-0-2/OpenLineage.json#/$defs/{name}" for name in ("JobEvent", "DatasetEvent"))
FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet",
    "documentation": "1-1-0/DocumentationDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "ownership": "1-0-1/OwnershipDatasetFacet",
    "job_documentation": "1-1-0/DocumentationJobFacet",
    "job_ownership": "1-0-1/OwnershipJobFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "sourceCodeLocation": "1-1-0/SourceCodeLocationJobFacet",
    "sql": "1-1-0/SQLJobFacet",
}
PRODUCER = "pkg:generic/freshet"
"""This software, wherever it runs: https://github.com/package-url/purl-spec."""
JOBS = {row.name: row.openlineage_job for row in RESOURCE_TYPES if row.openlineage_job}
MAX_PASSED_THROUGH = 1000
"""Nodes without a table that are passed through to find the inputs of one node."""
EVENTS_PER_CHUNK = 4
"""Events are long."""
MAX_CACHED_DATASETS = 1024
"""Names of datasets cached as JSON: consecutive events often have the same inputs."""

Json = dict[str, Any]
Dataset = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class OpenLineageLinks:
    """The base URL of the repository, and how things are named."""

    repository: str
    names: OpenLineageNames = field(default_factory=OpenLineageNames)


@dataclass(slots=True)
class OpenLineageKnown:
    """What is in the events already, of several projects. Each job is there once, and of each dataset all that is known."""

    jobs: set[str] = field(default_factory=set)
    datasets: set[Dataset] = field(default_factory=set)


def render(heading: Heading, selection: Selection, links: OpenLineageLinks, columns: ColumnSelection | None = None) -> Iterator[bytes]:
    """A JSON array of self-contained events, as `POST …/lineage/batch` accepts it; `columns` of the same graph, if they are known."""
    events = OpenLineageEvents(heading, selection, links, columns)
    yield b"["
    yield from separated(chain((events.job_event(one) for one, _ in events.jobs()), events.dataset_events()), EVENTS_PER_CHUNK)
    yield b"]"


class _Column(msgspec.Struct, gc=False):
    name: str
    data_type: str | None = None
    description: str = ""


class _Meta(msgspec.Struct, gc=False):
    owner: Any = None


class _Content(msgspec.Struct, gc=False):
    original_file_path: str = ""
    relation_name: str | None = None
    materialized: str | None = None
    description: str = ""
    owner: str | None = None
    meta: _Meta | None = None
    columns: list[_Column] = []


class _Table(msgspec.Struct, gc=False):
    original_file_path: str | None = None
    relation_name: str | None = None
    relation_name_source: str | None = None
    materialized: str | None = None


class OpenLineageEvents:
    """The events of one selection; `known` is what other events say, and gets what these say."""

    def __init__(
        self,
        heading: Heading,
        selection: Selection,
        links: OpenLineageLinks,
        columns: ColumnSelection | None,
        known: OpenLineageKnown | None = None,
    ) -> None:
        self._heading, self._selection, self._links = heading, selection, links
        self._columns = columns.columns if columns else None
        self._facets = ColumnFacets(columns, self._dataset_name, lambda number: not self._table(number)) if columns else None
        self._namespace = links.names.namespace(heading.adapter_type)
        self._event = {"eventTime": orjson.loads(orjson.dumps(heading.extracted_at, option=orjson.OPT_UTC_Z)), "producer": PRODUCER}
        self._known = known or OpenLineageKnown()
        self._tables: dict[int, _Table | None] = {}
        self._named: LRUCache[int, orjson.Fragment] = LRUCache(MAX_CACHED_DATASETS)

    def jobs(self, *, own: bool | None = None) -> Iterator[tuple[int, GraphNode]]:
        """The nodes that are jobs, with their positions; `own`: only the project's own, or only those of packages."""
        for number, node in self._selection.numbered():
            if node.resource_type not in JOBS or own not in (None, node.package_name == self._heading.project_name):
                continue
            if self._is_built(number, node) and (name := self._job_name(number)) not in self._known.jobs:
                self._known.jobs.add(name)
                yield number, node

    def job_event(self, number: int, sql: str | None = None) -> bytes:
        """The event of a job; `sql`: what it runs, if that is known."""
        facets = self._job_facets(self._selection.node(number), sql)
        event = {
            **self._event,
            "schemaURL": JOB_EVENT,
            "job": {"namespace": self._links.names.jobs, "name": self._job_name(number), "facets": facets},
            "inputs": [self._input(one) for one in self._inputs(number)],
            "outputs": [self._output(number)] if self._dataset_name(number) else [],
        }
        return orjson.dumps(event)

    def dataset_events(self) -> Iterator[bytes]:
        """The events of the datasets that nothing here makes, such as sources. Call it after `job_event`."""
        for number, node in self._selection.numbered():
            name = self._dataset_name(number) if node.resource_type not in JOBS else None
            if name is not None and name not in self._known.datasets:
                yield orjson.dumps({**self._event, "schemaURL": DATASET_EVENT, "dataset": self._dataset(number, name)})

    def _job_facets(self, node: GraphNode, sql: str | None) -> Json:
        content = msgspec.json.decode(node.content, type=_Content)
        facets = {"jobType": self._facet("jobType", processingType="BATCH", integration="DBT", jobType=JOBS[node.resource_type])}
        if content.description:
            facets["documentation"] = self._facet("job_documentation", description=content.description)
        if owners := _owners(content):
            facets["ownership"] = self._facet("job_ownership", owners=owners)
        if content.original_file_path and node.package_name == self._heading.project_name:
            facets["sourceCodeLocation"] = self._location(content.original_file_path)
        if sql:
            dialect = {"dialect": self._heading.adapter_type.lower()} if self._heading.adapter_type else {}
            facets["sql"] = self._facet("sql", query=sql, **dialect)
        return facets

    def _location(self, file_path: str) -> Json:
        """The file of a node of the project itself: files of packages are not in the repository."""
        heading, repository = self._heading, self._links.repository
        path = f"{heading.project_dir}/{file_path}" if heading.project_dir else file_path
        url = f"{repository}/blob/{heading.sha}/{quote(path)}"
        fields = {"type": "git", "url": url, "repoUrl": repository, "path": path, "version": heading.sha, "branch": heading.branch}
        return self._facet("sourceCodeLocation", **fields)

    def _inputs(self, number: int) -> list[int]:
        """The nearest tables and views upstream of a node that have a known name, each once."""
        found, seen, pending = list[int](), {number}, [number]
        while pending and len(seen) - len(found) <= MAX_PASSED_THROUGH:
            for parent in self._selection.parents(pending.pop()):
                if parent not in seen:
                    seen.add(parent)
                    (found if self._table(parent) else pending).append(parent)
        by_name: dict[Dataset, int] = {}
        for one in sorted(found):
            if name := self._dataset_name(one):
                by_name.setdefault(name, one)
        return list(by_name.values())

    def _table(self, number: int) -> _Table | None:
        """The table or view of a node; None if it has none."""
        if number not in self._tables:
            node = self._selection.node(number)
            table = msgspec.json.decode(node.content, type=_Table)
            exists = node.resource_type in RELATIONS and table.materialized != "ephemeral"
            self._tables[number] = table if exists and (table.relation_name or table.relation_name_source) else None
        return self._tables[number]

    def _job_name(self, number: int) -> str:
        table = self._table(number)
        return self._links.names.job(self._selection.node(number), table.relation_name if table else None)

    def _is_built(self, number: int, node: GraphNode) -> bool:
        table = self._table(number)
        # A node without a file is another project's, which builds it.
        return table is not None and (table.original_file_path != "" or node.package_name == self._heading.project_name)

    def _dataset_name(self, number: int) -> Dataset | None:
        """Namespace and name; None if it is not in the export."""
        table = self._table(number) if self._selection.has(number) else None
        if table is None or not table.relation_name:
            return None
        node = self._selection.node(number)
        return self._namespace, self._links.names.dataset(node, table.relation_name, self._heading.adapter_type)

    def _input(self, number: int) -> orjson.Fragment:
        if number not in self._named:
            self._named[number] = orjson.Fragment(orjson.dumps(_identifier(self._dataset_name(number))))
        return self._named[number]

    def _output(self, number: int) -> Json:
        name = self._dataset_name(number)
        found = _identifier(name) if name is None or name in self._known.datasets else self._dataset(number, name)
        fields = self._facets.fields(number) if self._facets else None
        if fields is not None:
            found["facets"] = {**found.get("facets", {}), "columnLineage": self._facet("columnLineage", **fields)}
        return found

    def _dataset(self, number: int, name: Dataset) -> Json:
        """All that is known of it."""
        self._known.datasets.add(name)
        content = msgspec.json.decode(self._selection.node(number).content, type=_Content)
        uri = {"uri": name[0]} if ":" in name[0] else {}
        facets = {"dataSource": self._facet("dataSource", name=name[0], **uri)}
        if content.description:
            facets["documentation"] = self._facet("documentation", description=content.description)
        if owners := _owners(content):
            facets["ownership"] = self._facet("ownership", owners=owners)
        if fields := [_field(column) for column in self._columns_of(number) or content.columns]:
            facets["schema"] = self._facet("schema", fields=fields)
        return {**_identifier(name), "facets": facets}

    def _columns_of(self, number: int) -> list[TracedColumn]:
        """Also those that only the SQL names; empty if the columns are not known."""
        traced = self._columns.nodes.get(number) if self._columns else None
        return list(map(self._columns.column, traced.columns)) if self._columns and traced else []

    def _facet(self, facet: str, /, **fields: Any) -> Json:
        schema = FACETS[facet]
        return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/{schema}.json#/$defs/{schema.partition('/')[2]}", **fields}


def _field(column: _Column | TracedColumn) -> Json:
    optional = {"type": column.data_type, "description": column.description}
    return {"name": column.name, **{name: value for name, value in optional.items() if value}}


def _owners(content: _Content) -> list[Json]:
    """Those of a list in `meta.owner`, or of CODEOWNERS, one by one."""
    listed = content.meta.owner if content.meta else None
    if isinstance(listed, list):
        names = [found for one in listed if (found := named(one))]
    else:
        names = (content.owner or "").split(", ") if (content.owner or "").startswith("@") else [content.owner or ""]
    return [{"name": name} for name in names if name]


def _identifier(name: Dataset | None) -> Json:
    return {"namespace": name[0], "name": name[1]} if name else {}
