"""dbt's `manifest.json` as typed resources: only the fields that the lineage needs are decoded.

SQL and configurations are big and needed once, so they stay in the manifest's bytes until then.

https://schemas.getdbt.com/dbt/manifest/v12.json; field names are dbt's. Manifest versions 9 to 12 have these fields.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, TypeVar

import msgspec

from app.core.errors import ManifestError
from app.lineage.resource_types import BY_NAME, SECTIONS

T = TypeVar("T")
OTHER_SECTIONS = ("metadata", "macros", "docs", "groups", "selectors", "disabled", "parent_map", "child_map", "group_map")
"""The keys of the manifest without resources of the graph."""
MAX_TYPE, MAX_TYPES = 50, 20
MAX_ID_BYTES = 900
"""Of a unique_id. Names of files end at 255 bytes, those of most warehouses before, and dbt shortens those of tests. A longer one has
no page: requests name nodes with up to 1,000 characters."""
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Raised while decoding bytes that are not a manifest."""


class Column(msgspec.Struct, frozen=True, gc=False):
    """A documented column."""

    name: str
    description: str = ""
    data_type: str | None = None


_CONFIG = msgspec.json.Decoder(dict[str, Any])
_DEFINITIONS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_META = msgspec.json.Decoder(dict[str, Any] | None)
_TEXT = msgspec.json.Decoder(str | None)
_NOTHING = msgspec.Raw(b"{}")
_NULL = msgspec.Raw(b"null")
NO_CODE = (_NULL, msgspec.Raw(b'""'))


class TestArguments(msgspec.Struct, frozen=True, gc=False):
    """The arguments of a generic test."""

    model: Any = ""
    """A string such as `{{ get_where_subquery(ref('orders')) }}`."""


class TestMetadata(msgspec.Struct, frozen=True, gc=False):
    """Only generic tests have it."""

    name: str
    kwargs: TestArguments = TestArguments()


class LongNameError(msgspec.ValidationError):
    """A name that Freshet does not read, because of its length."""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """A value of `nodes`, `sources`, `exposures`, `metrics` and so on. What people write in any form is decoded as it is."""

    unique_id: str
    resource_type: str
    name: str
    package_name: str = ""
    original_file_path: str = ""
    database: str | None = None
    schema: str | None = None
    relation_name: str | None = None
    description: str | None = ""
    tags: list[str] | str = []
    meta: msgspec.Raw = _NULL
    group: str | None = None
    access: str | None = None
    version: Any = None
    """A text or a number."""
    owner: Any = None
    """Of an exposure."""
    type: Any = None
    url: Any = None
    label: Any = None
    columns: dict[str, Column] = {}
    config: msgspec.Raw = _NOTHING
    checksum: Any = None
    """An object for nodes, a string for unit tests; only compared."""
    raw_code: msgspec.Raw = _NULL
    attached_node: str | None = None
    """The unique_id of the node that a test is declared on. Missing for sources, and before manifest version 10."""
    file_key_name: str | None = None
    """The same as a YAML key and name, such as `models.orders`; for sources, without the table."""
    column_name: str | None = None
    """The column that a test is declared on, quoted for the warehouse if it needs quotes."""
    test_metadata: TestMetadata | None = None

    def configuration(self) -> dict[str, Any]:
        """The decoded `config`. Raises one of `DECODE_ERRORS` that names the resource."""
        return self._decoded(_CONFIG, "config")

    def sql(self) -> str:
        """The decoded `raw_code`, empty if missing. Raises one of `DECODE_ERRORS` that names the resource."""
        return self._decoded(_TEXT, "raw_code") or ""

    def meta_data(self) -> dict[str, Any]:
        """The decoded `meta`, empty if missing. Raises one of `DECODE_ERRORS` that names the resource."""
        return self._decoded(_META, "meta") or {}

    def _decoded(self, decoder: msgspec.json.Decoder[T], field: str) -> T:
        try:
            return decoder.decode(getattr(self, field))
        except DECODE_ERRORS as error:
            kind = msgspec.ValidationError if isinstance(error, msgspec.ValidationError) else msgspec.DecodeError
            raise kind(f"{error} - at `{field}` of `{self.unique_id[:200]}`") from error


class Metadata(msgspec.Struct, frozen=True):
    """The dbt version, project and adapter of a manifest."""

    dbt_schema_version: str = ""
    dbt_version: str = ""
    project_name: str | None = None
    adapter_type: str | None = None

    @property
    def schema(self) -> str:
        """The version of the manifest's schema, such as `v12`; empty if unknown."""
        found = re.search(r"/(v\d+)\.json$", self.dbt_schema_version)
        return found[1] if found else ""


class Group(msgspec.Struct, frozen=True):
    """Resources with a common owner."""

    name: str
    package_name: str = ""
    owner: Any = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """`parent_map` maps each unique_id to the unique_ids that it depends on."""

    metadata: Metadata
    resources: Mapping[str, Resource]
    """All of the graph, by unique_id."""
    parent_map: Mapping[str, list[str]]
    definitions: Mapping[str, msgspec.Raw] = field(default_factory=dict)
    """The same resources as they are in the manifest, not decoded."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    """The number of resources of types that are not in the table of resource types, by type."""

    def external(self) -> frozenset[str]:
        """The unique_ids of public models of other projects, which dbt knows without a file: its `is_external_node`."""
        return frozenset(
            unique_id
            for unique_id, resource in self.resources.items()
            if resource.access == "public"
            and not resource.original_file_path
            and resource.raw_code in NO_CODE
            and resource.resource_type == "model"
            and resource.package_name != self.metadata.project_name
        )


_Document = msgspec.defstruct(
    "_Document",
    [
        ("metadata", Metadata),
        ("nodes", dict[str, Resource]),
        ("parent_map", dict[str, list[str]]),
        *((name, dict[str, Resource], msgspec.field(default_factory=dict)) for name in SECTIONS if name != "nodes"),
        ("groups", dict[str, Group], msgspec.field(default_factory=dict)),
    ],
    frozen=True,
)
"""With a field for every section of resources."""


class _Unread(msgspec.Struct):
    """A value of a section that is not in the table."""

    unique_id: str
    resource_type: str = ""


def decode(content: bytes | mmap) -> Manifest:
    """Decode a manifest; `content` must outlive its resources. Raises one of `DECODE_ERRORS`."""
    document: Any = msgspec.json.decode(content, type=_Document)
    found: dict[str, Resource] = {}
    for section in SECTIONS:
        found |= getattr(document, section)
    _check_length(found)
    known = {unique_id: resource for unique_id, resource in found.items() if resource.resource_type in BY_NAME}
    unread = Counter(resource.resource_type for resource in found.values() if resource.resource_type not in BY_NAME)
    sections = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    unread += Counter(_unread(sections))
    definitions: dict[str, msgspec.Raw] = {}
    for section in sections.keys() & {*SECTIONS}:
        definitions |= _DEFINITIONS.decode(sections[section])
    return Manifest(document.metadata, known, document.parent_map, definitions, document.groups, dict(unread.most_common(MAX_TYPES)))


def _check_length(names: Iterable[str]) -> None:
    for name in names:
        if 4 * len(name) > MAX_ID_BYTES and (size := len(name.encode("utf-8", "replace"))) > MAX_ID_BYTES:
            message = f"`{name[:100]}…` has {size:,} bytes, and a name together with its type and package may have {MAX_ID_BYTES:,}"
            raise LongNameError(message)


def _unread(sections: Mapping[str, msgspec.Raw]) -> Iterator[str]:
    """The types of resources in sections that are not in the table."""
    for name in sections.keys() - {*SECTIONS, *OTHER_SECTIONS}:
        try:
            found = msgspec.json.decode(sections[name], type=dict[str, _Unread] | list[_Unread])
        except DECODE_ERRORS:
            continue
        values: Iterable[_Unread] = found.values() if isinstance(found, dict) else found
        yield from ((one.resource_type or name)[:MAX_TYPE] for one in values)


def manifest_error(error: Exception, size_bytes: int, label: str, image: str) -> ManifestError:
    """The error for users; `label` names the commit, `image` the runner image."""
    if isinstance(error, LongNameError):
        return ManifestError(f"reading the manifest of {label}", str(error), "Give it a shorter name.")
    what = "a manifest" if isinstance(error, msgspec.ValidationError) else "JSON"
    reason = f"the runner image {image} wrote {size_bytes:,} bytes that are not {what} ({error})"
    next_step = "The project is not the cause. The operator can check the image with `python -m app doctor`, or rebuild it."
    return ManifestError(f"reading the manifest of {label}", reason, next_step)
