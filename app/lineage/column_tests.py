"""The tests of each column, as declared in YAML files.

A test names the node that it is declared on (`attached_node`) and the column, which is quoted for the warehouse if the name needs quotes.
`attached_node` is missing for tests of sources, and for all tests before manifest version 10. The node is then the only relation that the
test depends on or, if there are several, the one that the test is called with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter

import msgspec

from app.lineage.manifest import Column, Manifest, Resource
from app.lineage.resource_types import RELATIONS

QUOTES = ('""', "``", "[]")
_WORD = re.compile(r"[^\W\d]\w*")
_CALL = re.compile(r"\b(ref|source)\(([^()]*+)\)")
_POSITIONAL = re.compile(r"(?:^|,)\s*['\"]([^'\"]*)['\"]")


class ColumnTest(msgspec.Struct, frozen=True, gc=False):
    """`name` is the generic test, such as `not_null`; `column` is spelled as in the test."""

    unique_id: str
    name: str
    column: str


def by_node(manifest: Manifest) -> dict[str, list[ColumnTest]]:
    """The column tests of each node, by its unique_id, sorted by their own unique_ids."""
    found: dict[str, list[ColumnTest]] = {}
    for unique_id, test in manifest.resources.items():
        if test.column_name and test.resource_type == "test":
            at = test.attached_node or _declared_on(test, manifest.parent_map.get(unique_id, ()), manifest)
            name = test.test_metadata.name if test.test_metadata else test.name
            found.setdefault(at, []).append(ColumnTest(unique_id, name, test.column_name))
    for tests in found.values():
        tests.sort(key=attrgetter("unique_id"))
    return found


def by_column(columns: Mapping[str, Column], tests: Sequence[ColumnTest]) -> list[tuple[Column, Sequence[ColumnTest]]]:
    """The columns with their tests. Columns that only a test names come last.

    Names match if they are equal, or differ only in case and the test does not quote the name.
    """
    if not tests:
        return [(column, ()) for column in columns.values()]
    found: dict[str, tuple[Column, list[ColumnTest]]] = {column.name: (column, []) for column in columns.values()}
    folded = {name.casefold(): name for name in reversed(found)}
    for test in tests:
        name, quoted = unquoted(test.column)
        match = name if name in found or quoted else folded.get(name.casefold(), name)
        if match not in found:
            found[match] = Column(match), []
            folded.setdefault(match.casefold(), match)
        found[match][1].append(test)
    return list(found.values())


def unquoted(name: str) -> tuple[str, bool]:
    """A name without the warehouse's quotes, and whether it had any. A quote in the name is doubled, as in SQL."""
    if len(name) > 2 and name[0] + name[-1] in QUOTES:  # noqa: PLR2004 - something between two quotes
        return name[1:-1].replace(name[-1] * 2, name[-1]), True
    return name, False


def quoted(name: str) -> str:
    """A name as `unquoted` reads it: in quotes if it is no word."""
    return name if _WORD.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _declared_on(test: Resource, parents: Sequence[str], manifest: Manifest) -> str:
    """The unique_id of the node of a test without `attached_node`; empty if it cannot be determined."""
    resources = {parent: found for parent in parents if (found := manifest.resources.get(parent))}
    likely = [parent for parent, found in resources.items() if found.resource_type in RELATIONS]
    if len(likely) > 1:
        names = _called_with(test) or ["", (test.file_key_name or "").partition(".")[2]]
        likely = [parent for parent in likely if names in _names(parent, resources[parent])]
    return likely[0] if len(likely) == 1 else ""


def _called_with(test: Resource) -> list[str]:
    """The `ref()` or `source()` call in a generic test's arguments, as ["ref", "orders"]; empty without one."""
    called = _CALL.search(str(test.test_metadata.kwargs.model)) if test.test_metadata else None
    return [called[1], *_POSITIONAL.findall(called[2])] if called else []


def _names(unique_id: str, resource: Resource) -> list[list[str]]:
    """The calls that mean a resource, and its `file_key_name`."""
    about = ["", resource.name]
    if resource.resource_type == "source":
        return [["source", unique_id.split(".")[2], resource.name], about]
    return [["ref", resource.name], ["ref", resource.package_name, resource.name], about]
