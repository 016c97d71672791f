"""OpenLineage: https://openlineage.io/docs/spec/object-model, version 2-0-2 of the events; facets as named in `FACETS`.

One RunEvent for each model, seed and snapshot that is a table or a view: the datasets that it is made of, and the one that it makes. What
has no table of its own (ephemeral models) is passed through. It is the run of dbt's parsing that is complete, not that of a model: DataHub
takes no other kind of event, and of these none without an outcome.

A dataset's namespace is what the caller says, or else the adapter's name, as OpenLineage's conventions have it of BigQuery: no host or
account is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import msgspec
import orjson
from cachetools import LRUCache

from app.formats.heading import Heading
from app.formats.pieces import separated
from app.formats.relations import plain
from app.graph import Selection, ShownNode

SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet",
    "documentation": "1-1-0/DocumentationDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "job_documentation": "1-1-0/DocumentationJobFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "sourceCodeLocation": "1-1-0/SourceCodeLocationJobFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
}
JOBS = {"model": "MODEL", "seed": "SEED", "snapshot": "SNAPSHOT"}
DATASETS = (*JOBS, "source")
MOST_PASSED = 1000
"""So many nodes without a table are passed through on the way to what one is made of."""
EVENTS_AT_ONCE = 4
"""They are long."""
KEPT = 256
"""Datasets that are remembered as JSON: the next ones often read the same."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Links:
    """Where things are: the service that tells, and the repository that it tells of."""

    service: str
    repository: str
    warehouse: str | None = None
    """The namespace of the datasets, from who knows it."""


def texts(heading: Heading, selection: Selection, links: Links) -> Iterator[bytes]:
    """Yield a list of events, as `POST …/lineage/batch` takes it. Each is complete in itself."""
    yield b"["
    yield from separated(_Teller(heading, selection, links).events(), EVENTS_AT_ONCE)
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
    relation_name: str | None = None
    materialized: str | None = None


class _Teller:
    """Tells of one selection."""

    def __init__(self, heading: Heading, selection: Selection, links: Links) -> None:
        self._heading, self._selection, self._links = heading, selection, links
        self._namespace = links.warehouse or _scheme(heading.adapter_type or "")
        self._job_namespace = _namespace(links.repository, heading.project_dir)
        self._event = {
            "eventTime": orjson.loads(orjson.dumps(heading.extracted_at, option=orjson.OPT_UTC_Z)),
            "producer": links.service,
            "schemaURL": EVENT,
            "eventType": "COMPLETE",
        }
        self._tables: dict[int, bool] = {}
        self._datasets: LRUCache[int, orjson.Fragment] = LRUCache(KEPT)

    def events(self) -> Iterator[bytes]:
        for number, node in self._selection.numbered():
            if node.resource_type in JOBS and self._is_table(number):
                yield orjson.dumps(self._of(number, node))

    def _of(self, number: int, node: ShownNode) -> Json:
        heading = self._heading
        run = f"{self._links.service}/{heading.connection_id}/{heading.sha}/{self._event['eventTime']}/{node.unique_id}"
        return {
            **self._event,
            "run": {
                "runId": str(uuid5(NAMESPACE_URL, run)),
                "facets": {"processing_engine": self._facet("processing_engine", version=heading.dbt_version, name="dbt")},
            },
            "job": {
                "namespace": self._job_namespace,
                "name": f"{heading.project_name or node.package_name}.{node.unique_id}",
                "facets": self._job_facets(node),
            },
            "inputs": [self._dataset(one) for one in self._inputs(number)],
            "outputs": [self._dataset(number)],
        }

    def _job_facets(self, node: ShownNode) -> Json:
        content = msgspec.json.decode(node.content, type=_Content)
        facets = {"jobType": self._facet("jobType", processingType="BATCH", integration="DBT", jobType=JOBS[node.resource_type])}
        if content.description:
            facets["documentation"] = self._facet("job_documentation", description=content.description)
        if content.original_file_path and node.package_name == self._heading.project_name:
            facets["sourceCodeLocation"] = self._location(content.original_file_path)
        return facets

    def _location(self, file_path: str) -> Json:
        """Return where the file is. Those of packages are not in the repository."""
        heading, repository = self._heading, self._links.repository
        path = f"{heading.project_dir}/{file_path}" if heading.project_dir else file_path
        url = f"{repository}/blob/{heading.sha}/{quote(path)}"
        told = {"type": "git", "url": url, "repoUrl": repository, "path": path, "version": heading.sha, "branch": heading.branch}
        return self._facet("sourceCodeLocation", **told)

    def _inputs(self, number: int) -> list[int]:
        """Return the tables and views that a node is made of."""
        found, seen, left = list[int](), {number}, [number]
        while left and len(seen) - len(found) <= MOST_PASSED:
            for parent in self._selection.parents(left.pop()):
                if parent not in seen:
                    seen.add(parent)
                    (found if self._is_table(parent) else left).append(parent)
        return sorted(found)

    def _is_table(self, number: int) -> bool:
        known = self._tables.get(number)
        if known is None:
            node = self._selection.node(number)
            table = msgspec.json.decode(node.content, type=_Table)
            known = bool(node.resource_type in DATASETS and table.relation_name and table.materialized != "ephemeral")
            self._tables[number] = known
        return known

    def _dataset(self, number: int) -> orjson.Fragment:
        if number not in self._datasets:
            self._datasets[number] = orjson.Fragment(orjson.dumps(self._told_dataset(number)))
        return self._datasets[number]

    def _told_dataset(self, number: int) -> Json:
        content = msgspec.json.decode(self._selection.node(number).content, type=_Content)
        namespace = self._namespace
        facets = {"dataSource": self._facet("dataSource", name=namespace, uri=namespace if ":" in namespace else f"{namespace}:/")}
        if content.description:
            facets["documentation"] = self._facet("documentation", description=content.description)
        if content.columns:
            facets["schema"] = self._facet("schema", fields=[_field(column) for column in content.columns])
        return {"namespace": namespace, "name": plain(content.relation_name or ""), "facets": facets}

    def _facet(self, of: str, **told: Any) -> Json:
        schema = FACETS[of]
        return {"_producer": self._links.service, "_schemaURL": f"{SPEC}/facets/{schema}.json#/$defs/{schema.partition('/')[2]}", **told}


def _field(column: _Column) -> Json:
    told = {"type": column.data_type, "description": column.description}
    return {"name": column.name, **{name: value for name, value in told.items() if value}}


def _scheme(adapter_type: str) -> str:
    """Return an adapter's name as the scheme of an address: https://www.rfc-editor.org/rfc/rfc3986#section-3.1."""
    scheme = re.sub(r"[^a-z0-9+.-]", "-", adapter_type.lower())
    return scheme if scheme[:1].isalpha() else "unknown"


def _namespace(repository: str, project_dir: str | None) -> str:
    """Return the namespace of a project's jobs, of the characters that Marquez takes in one."""
    where = f"{repository}/{project_dir}" if project_dir else repository
    return re.sub(r"[^a-zA-Z0-9:;=/_.@+-]", "_", where)
