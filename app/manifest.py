"""dbt's `manifest.json` as typed resources: only the fields that the lineage needs, decoded without building the rest.

https://schemas.getdbt.com/dbt/manifest/v12.json; field names are dbt's. Versions 9 to 12 have what is read here.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from app.errors import ManifestError


class Column(msgspec.Struct, frozen=True):
    """A documented column."""

    name: str
    description: str = ""
    data_type: str | None = None


class Resource(msgspec.Struct, frozen=True):
    """A resource that can stand in the graph: a value of `nodes`, `sources`, `exposures`, `metrics` and so on."""

    unique_id: str
    resource_type: str
    name: str
    package_name: str = ""
    original_file_path: str = ""
    relation_name: str | None = None
    description: str | None = ""
    tags: list[str] | str = []
    columns: dict[str, Column] = {}
    config: dict[str, Any] = {}
    checksum: Any = None
    """A mapping of nodes, a text of unit tests: only compared."""
    raw_code: str | None = None

    @property
    def materialized(self) -> str | None:
        """How dbt builds it (`view`, `table`, …), None for what is not built."""
        value = self.config.get("materialized")
        return value if isinstance(value, str) else None


class Metadata(msgspec.Struct, frozen=True):
    """Who made the manifest, and for what."""

    dbt_schema_version: str = ""
    dbt_version: str = ""
    project_name: str | None = None
    adapter_type: str | None = None

    @property
    def schema(self) -> str:
        """Version of the manifest's schema, such as `v12`; empty when dbt did not say."""
        found = re.search(r"/(v\d+)\.json$", self.dbt_schema_version)
        return found[1] if found else ""


class Manifest(msgspec.Struct, frozen=True):
    """What we read of a manifest. `parent_map` is from unique_id to the unique_ids that it depends on."""

    metadata: Metadata
    nodes: dict[str, Resource]
    parent_map: dict[str, list[str]]
    sources: dict[str, Resource] = {}
    exposures: dict[str, Resource] = {}
    metrics: dict[str, Resource] = {}
    semantic_models: dict[str, Resource] = {}
    saved_queries: dict[str, Resource] = {}
    unit_tests: dict[str, Resource] = {}

    @property
    def resources(self) -> dict[str, Resource]:
        """All resources by unique_id."""
        return {
            **self.nodes,
            **self.sources,
            **self.exposures,
            **self.metrics,
            **self.semantic_models,
            **self.saved_queries,
            **self.unit_tests,
        }


def decode(content: bytes, label: str, image: str) -> Manifest:
    """Read a manifest. Raises ManifestError that says where it is wrong. `label` names the commit, `image` the runner image, for people."""
    try:
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "JSON" if not isinstance(error, msgspec.ValidationError) else "a manifest"
        reason = f"the runner image {image} left {len(content):,} bytes that are not {what} ({error})"
        next_step = "The project is not to blame. The operator can check the image with `python -m app doctor`, or build it anew."
        raise ManifestError(f"reading the manifest of {label}", reason, next_step) from error
