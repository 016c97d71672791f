"""dbt's `manifest.json` as typed resources: only the fields that the lineage needs, decoded without building the rest.

What is big and needed once only (SQL, configuration) stays where it is in the manifest's bytes until it is asked for.

https://schemas.getdbt.com/dbt/manifest/v12.json; field names are dbt's. Versions 9 to 12 have what is read here.
"""

from __future__ import annotations

import re
from mmap import mmap
from typing import Any, TypeVar

import msgspec

from app.errors import ManifestError

T = TypeVar("T")
WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading raises of bytes that are no manifest."""


class Column(msgspec.Struct, frozen=True, gc=False):
    """A documented column."""

    name: str
    description: str = ""
    data_type: str | None = None


_CONFIG = msgspec.json.Decoder(dict[str, Any])
_TEXT = msgspec.json.Decoder(str | None)
_NOTHING = msgspec.Raw(b"{}")
_NULL = msgspec.Raw(b"null")


class TestArguments(msgspec.Struct, frozen=True, gc=False):
    """What a generic test is called with."""

    model: Any = ""
    """A text such as `{{ get_where_subquery(ref('orders')) }}`."""


class TestMetadata(msgspec.Struct, frozen=True, gc=False):
    """What is said of a generic test only."""

    name: str
    kwargs: TestArguments = TestArguments()


class Resource(msgspec.Struct, frozen=True, gc=False):
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
    config: msgspec.Raw = _NOTHING
    checksum: Any = None
    """A mapping of nodes, a text of unit tests: only compared."""
    raw_code: msgspec.Raw = _NULL
    attached_node: str | None = None
    """What a test was written at, unless that was a source; manifests before version 10 do not have it."""
    file_key_name: str | None = None
    """The same by name, such as `models.orders`; of a source without its table."""
    column_name: str | None = None
    """The column that a test was written at, as the warehouse quotes it where it is to be quoted."""
    test_metadata: TestMetadata | None = None

    def configuration(self) -> dict[str, Any]:
        """Return `config`, decoded. Raises as `decode` does, with the place."""
        return self._decoded(_CONFIG, "config")

    def sql(self) -> str:
        """Return `raw_code`, decoded; empty where there is none. Raises as `decode` does, with the place."""
        return self._decoded(_TEXT, "raw_code") or ""

    def _decoded(self, decoder: msgspec.json.Decoder[T], field: str) -> T:
        try:
            return decoder.decode(getattr(self, field))
        except WRONG as error:
            kind = msgspec.ValidationError if isinstance(error, msgspec.ValidationError) else msgspec.DecodeError
            raise kind(f"{error} - at `{field}` of `{self.unique_id[:200]}`") from error


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


def decode(content: bytes | mmap) -> Manifest:
    """Read a manifest, which has to stay as long as its resources do. Raises one of `WRONG`."""
    return msgspec.json.decode(content, type=Manifest)


def refusal(error: Exception, size_bytes: int, label: str, image: str) -> ManifestError:
    """Return the error for people. `label` names the commit, `image` the runner image."""
    what = "a manifest" if isinstance(error, msgspec.ValidationError) else "JSON"
    reason = f"the runner image {image} left {size_bytes:,} bytes that are not {what} ({error})"
    next_step = "The project is not to blame. The operator can check the image with `python -m app doctor`, or build it anew."
    return ManifestError(f"reading the manifest of {label}", reason, next_step)
