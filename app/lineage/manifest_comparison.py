"""Whether two manifests of one input say the same, apart from what dbt writes anew in every run.

Resources are compared by unique_id, whatever their order; of maps such as `parent_map`, the order of the lists does not count either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import msgspec

from app.lineage.manifest import DECODE_ERRORS

MAX_NAMED, MAX_NAME = 20, 200
KEPT_METADATA = ("dbt_schema_version", "dbt_version", "project_name", "project_id", "adapter_type")
"""The rest of `metadata` is of the run: times, ids, the environment."""
TIME = "created_at"
"""When dbt made a resource."""
MAPS = ("parent_map", "child_map", "group_map")
_SECTIONS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class ManifestDifferences:
    """What differs: `nodes model.shop.orders`; the first `MAX_NAMED` of `count`."""

    named: tuple[str, ...] = ()
    count: int = 0

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return self.count > 0


def compare(one: bytes | mmap, other: bytes | mmap) -> ManifestDifferences:
    """Compare two manifests, in time and memory that grow with their size. Raises one of `DECODE_ERRORS`."""
    named: list[str] = []
    count = 0
    for name in _differences(_SECTIONS.decode(one), _SECTIONS.decode(other)):
        count += 1
        if len(named) < MAX_NAMED:
            named.append(name[:MAX_NAME])
    return ManifestDifferences(tuple(named), count)


def _differences(one: Mapping[str, msgspec.Raw], other: Mapping[str, msgspec.Raw]) -> Iterator[str]:
    for section in sorted({*one, *other}):
        if section not in one or section not in other:
            yield section
        elif section == "metadata":
            if not _same(one[section], other[section], _kept_metadata):
                yield section
        elif bytes(one[section]) != bytes(other[section]):
            yield from _within(section, one[section], other[section])


def _within(section: str, one: msgspec.Raw, other: msgspec.Raw) -> Iterator[str]:
    """The keys of a section whose values differ, or the section if it has none."""
    try:
        entries, others = _SECTIONS.decode(one), _SECTIONS.decode(other)
    except DECODE_ERRORS:
        if not _same(one, other, _as_it_is):
            yield section
        return
    content = _sorted if section in MAPS else _without_time
    for key in sorted({*entries, *others}):
        if key not in entries or key not in others or not _same(entries[key], others[key], content):
            yield f"{section} {key}"


def _same(one: msgspec.Raw, other: msgspec.Raw, content: Callable[[Any], Any]) -> bool:
    if bytes(one) == bytes(other):
        return True
    try:
        texts = {msgspec.json.encode(content(msgspec.json.decode(value)), order="sorted") for value in (one, other)}
    except DECODE_ERRORS:
        return False
    return len(texts) == 1


def _kept_metadata(value: Any) -> Any:
    return {key: value.get(key) for key in KEPT_METADATA} if isinstance(value, dict) else value


def _without_time(value: Any) -> Any:
    """A resource, or a list of disabled ones with the same unique_id."""
    resources = value if isinstance(value, list) else [value]
    return [{key: part for key, part in one.items() if key != TIME} if isinstance(one, dict) else one for one in resources]


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def _as_it_is(value: Any) -> Any:
    return value
