"""OpenLineage events, version 2-0-2, with the facets in `FACETS`: https://openlineage.io/docs/spec/object-model.

One RunEvent for each model, seed and snapshot that is a table or a view, with its input datasets and its output dataset. Nodes without a
table (ephemeral models) are passed through. The event says COMPLETE about dbt's parse, not about a run of the model: DataHub accepts
RunEvents only, and only with an outcome.

Jobs and datasets are named as OpenLineage's own integration for dbt names them, so that catalogs join the two. Names that are unknown are
left out: a job's name is then shorter, and a dataset without a known name is not in the event.

A dataset's namespace is set by the caller. The default is the scheme that OpenLineage has for the warehouse
(https://openlineage.io/docs/spec/naming): hosts and accounts are unknown here. BigQuery's namespace is no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import msgspec
import orjson
from cachetools import LRUCache

from app.lineage.column_graph import ColumnSelection, TracedColumn
from app.lineage.formats.chunks import separated
from app.lineage.formats.column_facets import ColumnFacets
from app.lineage.formats.heading import Heading
from app.lineage.formats.relation_names import parts_of, unquoted
from app.lineage.graph import GraphNode, Selection
from app.lineage.resource_types import RELATIONS, RESOURCE_TYPES

SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet",
    "documentation": "1-1-0/DocumentationDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "job_documentation": "1-1-0/DocumentationJobFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "sourceCodeLocation": "1-1-0/SourceCodeLocationJobFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
}
PRODUCER = "pkg:generic/freshet"
"""This software, wherever it runs: https://github.com/package-url/purl-spec."""
JOB_NAMESPACE = "dbt"
"""The default of OpenLineage's integration for dbt."""
SCHEMES = {"athena": "awsathena", "fabric": "fabric-warehouse", "sqlserver": "mssql"}
"""OpenLineage's schemes for warehouses, where they are not the adapter's name."""
AFTER_NAME = {"snapshot": ".snapshot"}
JOBS = {row.name: row.openlineage_job for row in RESOURCE_TYPES if row.openlineage_job}
MAX_PASSED_THROUGH = 1000
"""Nodes without a table that are passed through to find the inputs of one node."""
EVENTS_PER_CHUNK = 4
"""Events are long."""
MAX_CACHED_DATASETS = 256
"""Datasets cached as JSON: consecutive events often have the same inputs."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenLineageLinks:
    """The base URL of the repository, and namespaces."""

    repository: str
    warehouse: str | None = None
    """The namespace of the datasets, if the caller knows it."""
    jobs: str = JOB_NAMESPACE
    """The namespace of the jobs."""


def render(heading: Heading, selection: Selection, links: OpenLineageLinks, columns: ColumnSelection | None = None) -> Iterator[bytes]:
    """A JSON array of self-contained events, as `POST …/lineage/batch` accepts it; `columns` of the same graph, if they are known."""
    yield b"["
    yield from separated(_EventBuilder(heading, selection, links, columns).events(), EVENTS_PER_CHUNK)
    yield b"]"


def render_several(parts: Iterable[tuple[Heading, Selection, OpenLineageLinks]]) -> Iterator[bytes]:
    """The same of several lineages, without columns."""
    yield b"["
    yield from separated(chain.from_iterable(_EventBuilder(*part, None).events() for part in parts), EVENTS_PER_CHUNK)
    yield b"]"


class _Column(msgspec.Struct, gc=False):
    name: str
    data_type: str | None = None
    description: str = ""


class _Content(msgspec.Struct, gc=False):
    original_file_path: str = ""
    relation_name: str | None = None
    materialized: str | None = None
    description: str = ""
    columns: list[_Column] = []


class _Table(msgspec.Struct, gc=False):
    original_file_path: str | None = None
    relation_name: str | None = None
    relation_name_source: str | None = None
    materialized: str | None = None


class _EventBuilder:
    """Builds the events of one selection."""

    def __init__(self, heading: Heading, selection: Selection, links: OpenLineageLinks, columns: ColumnSelection | None) -> None:
        self._heading, self._selection, self._links = heading, selection, links
        self._columns = columns.columns if columns else None
        self._facets = ColumnFacets(columns, self._dataset_name, lambda number: not self._table(number)) if columns else None
        self._namespace = links.warehouse or _scheme(heading.adapter_type or "")
        self._event = {
            "eventTime": orjson.loads(orjson.dumps(heading.extracted_at, option=orjson.OPT_UTC_Z)),
            "producer": PRODUCER,
            "schemaURL": EVENT,
            "eventType": "COMPLETE",
        }
        self._tables: dict[int, _Table | None] = {}
        self._datasets: LRUCache[int, orjson.Fragment] = LRUCache(MAX_CACHED_DATASETS)

    def events(self) -> Iterator[bytes]:
        for number, node in self._selection.numbered():
            table = self._table(number) if node.resource_type in JOBS else None
            # A node without a file is another project's, which builds it.
            if table and (table.original_file_path != "" or node.package_name == self._heading.project_name):
                yield orjson.dumps(self._build(number, node))

    def _build(self, number: int, node: GraphNode) -> Json:
        heading = self._heading
        run = f"{heading.connection_id}/{heading.sha}/{self._event['eventTime']}/{node.unique_id}"
        return {
            **self._event,
            "run": {
                "runId": str(uuid5(NAMESPACE_URL, run)),
                "facets": {"processing_engine": self._facet("processing_engine", version=heading.dbt_version, name="dbt")},
            },
            "job": {
                "namespace": self._links.jobs,
                "name": _job_name(node, self._table(number)),
                "facets": self._job_facets(node),
            },
            "inputs": [self._dataset(one) for one in self._inputs(number) if self._is_named(one)],
            "outputs": [self._output(number)] if self._is_named(number) else [],
        }

    def _job_facets(self, node: GraphNode) -> Json:
        content = msgspec.json.decode(node.content, type=_Content)
        facets = {"jobType": self._facet("jobType", processingType="BATCH", integration="DBT", jobType=JOBS[node.resource_type])}
        if content.description:
            facets["documentation"] = self._facet("job_documentation", description=content.description)
        if content.original_file_path and node.package_name == self._heading.project_name:
            facets["sourceCodeLocation"] = self._location(content.original_file_path)
        return facets

    def _location(self, file_path: str) -> Json:
        """The file of a node of the project itself: files of packages are not in the repository."""
        heading, repository = self._heading, self._links.repository
        path = f"{heading.project_dir}/{file_path}" if heading.project_dir else file_path
        url = f"{repository}/blob/{heading.sha}/{quote(path)}"
        fields = {"type": "git", "url": url, "repoUrl": repository, "path": path, "version": heading.sha, "branch": heading.branch}
        return self._facet("sourceCodeLocation", **fields)

    def _inputs(self, number: int) -> list[int]:
        """The nearest tables and views upstream of a node."""
        found, seen, pending = list[int](), {number}, [number]
        while pending and len(seen) - len(found) <= MAX_PASSED_THROUGH:
            for parent in self._selection.parents(pending.pop()):
                if parent not in seen:
                    seen.add(parent)
                    (found if self._table(parent) else pending).append(parent)
        return sorted(found)

    def _table(self, number: int) -> _Table | None:
        """The table or view of a node; None if it has none."""
        if number not in self._tables:
            node = self._selection.node(number)
            table = msgspec.json.decode(node.content, type=_Table)
            exists = node.resource_type in RELATIONS and table.materialized != "ephemeral"
            self._tables[number] = table if exists and (table.relation_name or table.relation_name_source) else None
        return self._tables[number]

    def _is_named(self, number: int) -> bool:
        table = self._table(number)
        return table is not None and bool(table.relation_name)

    def _dataset_name(self, number: int) -> tuple[str, str] | None:
        """Namespace and name; None if it is not in the export."""
        table = self._table(number) if self._selection.has(number) else None
        return (self._namespace, unquoted(table.relation_name)) if table and table.relation_name else None

    def _output(self, number: int) -> Json | orjson.Fragment:
        fields = self._facets.fields(number) if self._facets else None
        if fields is None:
            return self._dataset(number)
        found = self._dataset_json(number)
        return {**found, "facets": {**found["facets"], "columnLineage": self._facet("columnLineage", **fields)}}

    def _dataset(self, number: int) -> orjson.Fragment:
        if number not in self._datasets:
            self._datasets[number] = orjson.Fragment(orjson.dumps(self._dataset_json(number)))
        return self._datasets[number]

    def _dataset_json(self, number: int) -> Json:
        content = msgspec.json.decode(self._selection.node(number).content, type=_Content)
        namespace = self._namespace
        uri = {"uri": namespace} if ":" in namespace else {}
        facets = {"dataSource": self._facet("dataSource", name=namespace, **uri)}
        if content.description:
            facets["documentation"] = self._facet("documentation", description=content.description)
        if fields := [_field(column) for column in self._columns_of(number) or content.columns]:
            facets["schema"] = self._facet("schema", fields=fields)
        return {"namespace": namespace, "name": unquoted(content.relation_name or ""), "facets": facets}

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


def _job_name(node: GraphNode, table: _Table | None) -> str:
    """`database.schema.project.model`, without a database and a schema that are unknown."""
    parts = parts_of(table.relation_name or "")[:-1] if table else []
    return ".".join([*parts, node.unique_id.removeprefix(f"{node.resource_type}.")]) + AFTER_NAME.get(node.resource_type, "")


def _scheme(adapter_type: str) -> str:
    """The scheme of a warehouse: https://www.rfc-editor.org/rfc/rfc3986#section-3.1."""
    scheme = re.sub(r"[^a-z0-9+.-]", "-", adapter_type.lower())
    return SCHEMES.get(scheme, scheme) if scheme[:1].isalpha() else "unknown"
