"""How well a project is described, tested and owned: what its nodes have of what they could have, counted, and one score.

The score is of the project's own nodes: packages have authors of their own, and are only shown beside it.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from app.core.models.quality import DIMENSIONS, USUAL, Dimension, QualitySettings
from app.lineage.formats.json_document import is_external

GroupedBy = Literal["package", "folder", "group", "owner"]
DESCRIBED = frozenset({"model", "source", "seed", "snapshot", "exposure"})
TESTED = frozenset({"model", "source", "seed", "snapshot"})
WITH_KEY = frozenset({"model", "snapshot"})
KEY_TESTS = frozenset({"unique_combination_of_columns"})
"""Tests of whole models that say that several columns are a key: https://github.com/dbt-labs/dbt-utils#unique_combination_of_columns-source."""


class Count(NamedTuple):
    """How many have something, of how many that could."""

    satisfied: int
    total: int


Counts = Mapping[Dimension, Count]
"""Dimensions of which nothing could be counted are missing."""


class NodeQuality(NamedTuple):
    """What one node has. The counts of a dimension that does not apply to it are missing."""

    unique_id: str
    package: str
    folder: str
    group: str | None
    owner: str | None
    counts: Counts

    def name(self, grouped_by: GroupedBy) -> str | None:
        """The name of its group in a grouping."""
        return {"package": self.package, "folder": self.folder, "group": self.group, "owner": self.owner}[grouped_by]


class _Test(msgspec.Struct, frozen=True, gc=False):
    name: str = ""


class _Column(msgspec.Struct, frozen=True, gc=False):
    description: str | None = ""
    tests: list[_Test] | None = None


class _Content(msgspec.Struct, frozen=True, gc=False):
    original_file_path: str = ""
    description: str | None = ""
    access: str | None = None
    group: str | None = None
    owner: str | None = None
    columns: list[_Column] = []


class _Contract(msgspec.Struct, frozen=True, gc=False):
    enforced: Any = False


class _Definition(msgspec.Struct, frozen=True, gc=False):
    attached_node: Any = None
    test_name: Any = None
    freshness: Any = None
    contract: _Contract | None = None


_content = msgspec.json.Decoder(_Content).decode
_definition = msgspec.json.Decoder(_Definition).decode


class QualityReader:
    """Reads the nodes of a lineage, in any order, and then says what each has."""

    def __init__(self) -> None:
        self._nodes: list[tuple[str, str, str, _Content, _Definition]] = []
        self._tested: set[str] = set()
        self._keyed: set[str] = set()

    def add(
        self, unique_id: str, resource_type: str, package: str, content: bytes, definition: bytes | None, upstream: Iterable[str]
    ) -> None:
        """Read a node as it is stored (`lineage.nodes.Node`). What an earlier release stored in another way counts as missing."""
        if resource_type in {"test", "unit_test"}:
            self._add_test(_known(definition), upstream)
        elif resource_type in DESCRIBED and not is_external(content):
            needs_definition = resource_type in {"source", "model"}
            own = _known(definition if needs_definition else None)
            try:
                self._nodes.append((unique_id, resource_type, package, _content(content), own))
            except msgspec.ValidationError:
                self._nodes.append((unique_id, resource_type, package, _Content(), own))

    def finish(self) -> list[NodeQuality]:
        """What each node has, in the order of `add`."""
        return [self._node(*node) for node in self._nodes]

    def _add_test(self, definition: _Definition, upstream: Iterable[str]) -> None:
        attached = definition.attached_node
        of = {attached} if isinstance(attached, str) and attached else {*upstream}
        self._tested |= of
        if definition.test_name in KEY_TESTS:
            self._keyed |= of

    def _node(self, unique_id: str, resource_type: str, package: str, content: _Content, definition: _Definition) -> NodeQuality:
        has: dict[Dimension, Count] = {"descriptions": _one(bool((content.description or "").strip()))}
        if content.columns and resource_type != "exposure":
            described = sum(bool((column.description or "").strip()) for column in content.columns)
            has["column_descriptions"] = Count(described, len(content.columns))
        if resource_type in TESTED:
            has["tests"] = _one(unique_id in self._tested or any(column.tests for column in content.columns))
        if resource_type in WITH_KEY:
            has["keys"] = _one(unique_id in self._keyed or any(map(_is_key, content.columns)))
        has["owners"] = _one(content.owner is not None)
        if resource_type == "source":
            has["freshness"] = _one(_is_checked(definition.freshness))
        if resource_type == "model" and content.access == "public":
            has["contracts"] = _one(definition.contract is not None and definition.contract.enforced is True)
        return NodeQuality(unique_id, package, posixpath.dirname(content.original_file_path), content.group, content.owner, has)


def own(nodes: Iterable[NodeQuality], project: str | None, settings: QualitySettings = USUAL) -> list[NodeQuality]:
    """Those of a project, by its name, without folders that it ignores. If the name is unknown, all packages."""
    return [node for node in nodes if project in (None, node.package) and not settings.ignores(node.folder)]


def total(of: Iterable[NodeQuality]) -> dict[Dimension, Count]:
    """The counts of several nodes together."""
    found: dict[Dimension, Count] = {}
    for node in of:
        for dimension, count in node.counts.items():
            before = found.get(dimension, Count(0, 0))
            found[dimension] = Count(before.satisfied + count.satisfied, before.total + count.total)
    return {dimension: found[dimension] for dimension in DIMENSIONS if dimension in found}


def score(counts: Counts, settings: QualitySettings = USUAL) -> float | None:
    """From 0 to 100, with one decimal: the weighted mean of the shares. None: there is nothing to count.

    >>> score({"tests": Count(1, 2), "owners": Count(2, 2)})
    66.7
    """
    weights = sum(settings.weight(dimension) for dimension in counts)
    if not weights:
        return None
    return round(100 * sum(settings.weight(dimension) * one.satisfied / one.total for dimension, one in counts.items()) / weights, 1)


def grouped(nodes: Iterable[NodeQuality], by: GroupedBy) -> dict[str, list[NodeQuality]]:
    """The nodes by the name of their group, those without one left out; the largest groups first, then by name."""
    found: defaultdict[str, list[NodeQuality]] = defaultdict(list)
    for node in nodes:
        name = node.name(by)
        if name is not None:
            found[name].append(node)
    return dict(sorted(found.items(), key=lambda one: (-len(one[1]), one[0])))


def _one(satisfied: bool) -> Count:  # noqa: FBT001 - the name says it
    return Count(int(satisfied), 1)


def _is_key(column: _Column) -> bool:
    names = {test.name for test in column.tests or ()}
    return names >= {"unique", "not_null"}


def _is_checked(freshness: Any) -> bool:
    """Whether dbt checks a source: `warn_after` or `error_after` with a number. dbt writes both without one where there is no check."""
    if not isinstance(freshness, dict):
        return False
    after = (freshness.get(name) for name in ("warn_after", "error_after"))
    return any(isinstance(one, dict) and one.get("count") is not None for one in after)


def _known(definition: bytes | None) -> _Definition:
    if definition is None:
        return _Definition()
    try:
        return _definition(definition)
    except msgspec.ValidationError:
        return _Definition()
