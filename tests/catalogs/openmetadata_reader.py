"""What OpenMetadata's own reader makes of OpenLineage's events, with a server that has the tables of `sys.argv[1:]` by their full names.

Reads events from standard input, and writes JSON: `edges` between tables and between their columns; `refused` by the reader of Kafka, and
by the classes of the HTTP API, with what they say. Runs in the environment of `catalogs.txt`, not in Freshet's.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from metadata.generated.schema.api.lineage.openlineage.openLineageRunEvent import OpenLineageRunEvent
from metadata.generated.schema.entity.data.pipeline import Pipeline
from metadata.ingestion.source.pipeline.openlineage.metadata import OpenlineageSource
from metadata.ingestion.source.pipeline.openlineage.models import EventType
from metadata.ingestion.source.pipeline.openlineage.utils import message_to_open_lineage_event
from pydantic import ValidationError

READ = [EventType.COMPLETE, EventType.RUNNING, EventType.START]
SERVICE = "warehouse"


class Server:
    """Knows tables by name, as OpenMetadata does: whatever their case. Every pipeline is there."""

    def __init__(self, tables: list[str]) -> None:
        self._tables = {name.lower(): _entity(name) for name in tables}
        self.names = {str(one.id.root): name for name, one in ((one.fullyQualifiedName.root, one) for one in self._tables.values())}

    def es_search_from_fqn(self, *_: Any, fqn_search_string: str, **__: Any) -> list[Any] | None:
        found = self._tables.get(fqn_search_string.lower())
        return [found] if found else None

    def get_by_name(self, entity: type, fqn: str, **_: Any) -> Any:
        return _entity(fqn) if entity is Pipeline else self._tables.get(fqn.lower())

    def get_lineage_by_id(self, **_: Any) -> None:
        """None yet."""


class Source(OpenlineageSource):  # type: ignore[misc]  # it has no types here
    """The reader, with the settings that `docs/openlineage.md` names."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.metadata = server
        self.service_connection = SimpleNamespace(namespaceToServiceMapping={namespace: SERVICE})
        self.context = SimpleNamespace(get=lambda: SimpleNamespace(pipeline="made", pipeline_service="openlineage"))
        self._entity_cache: dict[str, Any] = {}
        self._namespace_to_service_cache: dict[str, Any] = {}
        self._resolution_cache: dict[str, Any] = {}
        self._db_service_type_map: dict[str, Any] = {}
        self._current_pipeline_service = None

    def get_db_service_names(self) -> list[str]:
        return [SERVICE]


def main() -> None:
    events, server = json.load(sys.stdin), Server(sys.argv[2:])
    source = Source(server, sys.argv[1])
    edges: list[Any] = []
    refused: dict[str, list[str]] = defaultdict(list)
    for event in events:
        try:
            OpenLineageRunEvent.model_validate_json(json.dumps(event))
        except ValidationError as error:
            refused["http"] += [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        try:
            read = source._filter_event_by_types(message_to_open_lineage_event(event), READ)
        except (ValueError, KeyError) as error:
            refused["kafka"].append(str(error))
            continue
        for made in source.yield_pipeline_lineage_details(read):
            edge = made.right.edge
            between = [server.names.get(str(one.id.root), str(one.id.root)) for one in (edge.fromEntity, edge.toEntity)]
            columns = sorted(
                [[one.root for one in line.fromColumns], line.toColumn.root] for line in edge.lineageDetails.columnsLineage or ()
            )
            edges.append([*between, columns])
    json.dump({"edges": sorted(edges), "refused": refused}, sys.stdout)


def _entity(name: str) -> Any:
    return SimpleNamespace(id=SimpleNamespace(root=uuid5(NAMESPACE_URL, name)), fullyQualifiedName=SimpleNamespace(root=name))


if __name__ == "__main__":
    main()
