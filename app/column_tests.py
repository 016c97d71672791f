"""Which tests stand at which columns of what can have columns, as people wrote them in their YAML files.

A test says what it was written at (`attached_node`) and, when that was a column, which one, quoted as the warehouse does it where the name
is to be quoted. dbt does not say so of tests at sources, nor of any before manifest version 10: then it is the one thing that the test
depends on, or of several the one that it is called with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter

import msgspec

from app.manifest import Column, Manifest, Resource

COLUMNED = ("model", "source", "seed", "snapshot")
"""What tests can be written at."""
QUOTES = ('""', "``", "[]")
_CALL = re.compile(r"\b(ref|source)\(([^)]*)\)")
_POSITIONAL = re.compile(r"(?:^|,)\s*['\"]([^'\"]*)['\"]")


class ColumnTest(msgspec.Struct, frozen=True, gc=False):
    """A test at a column: `name` is that of the generic test, such as `not_null`; `column` is as the test has it."""

    unique_id: str
    name: str
    column: str


def at_columns(of: Manifest) -> dict[str, list[ColumnTest]]:
    """Return the tests at columns by the unique_id of what they were written at, in the order of their own unique_ids."""
    found: dict[str, list[ColumnTest]] = {}
    for unique_id, test in of.nodes.items():
        if test.column_name and test.resource_type == "test":
            at = test.attached_node or _written_at(test, of.parent_map.get(unique_id, ()), of)
            name = test.test_metadata.name if test.test_metadata else test.name
            found.setdefault(at, []).append(ColumnTest(unique_id, name, test.column_name))
    for tests in found.values():
        tests.sort(key=attrgetter("unique_id"))
    return found


def by_column(columns: Mapping[str, Column], tests: Sequence[ColumnTest]) -> list[tuple[Column, Sequence[ColumnTest]]]:
    """Return the columns with their tests. A column that only a test names comes last.

    Names are the same when they are equal, or differ in their case and neither the test nor the YAML file insists by quoting.
    """
    if not tests:
        return [(column, ()) for column in columns.values()]
    found: dict[str, tuple[Column, list[ColumnTest]]] = {column.name: (column, []) for column in columns.values()}
    folded = {name.casefold(): name for name in reversed(found)}
    for test in tests:
        name, quoted = unquoted(test.column)
        known = name if name in found or quoted else folded.get(name.casefold(), name)
        if known not in found:
            found[known] = Column(known), []
            folded.setdefault(known.casefold(), known)
        found[known][1].append(test)
    return list(found.values())


def unquoted(name: str) -> tuple[str, bool]:
    """Return a name without the quotes of its warehouse, and whether it had any."""
    if len(name) > 2 and name[0] + name[-1] in QUOTES:  # noqa: PLR2004 - something between two quotes
        return name[1:-1], True
    return name, False


def _written_at(test: Resource, parents: Sequence[str], of: Manifest) -> str:
    """Return the unique_id of what a test was written at when dbt does not tell, empty when nothing else does."""
    resources = {parent: found for parent in parents if (found := of.nodes.get(parent) or of.sources.get(parent))}
    likely = [parent for parent, found in resources.items() if found.resource_type in COLUMNED]
    if len(likely) > 1:
        names = _called_with(test) or ["", (test.file_key_name or "").partition(".")[2]]
        likely = [parent for parent in likely if names in _names(parent, resources[parent])]
    return likely[0] if len(likely) == 1 else ""


def _called_with(test: Resource) -> list[str]:
    """Return the function, `ref` or `source`, and the names that it has of what a generic test was called with; nothing if it has none."""
    called = _CALL.search(str(test.test_metadata.kwargs.model)) if test.test_metadata else None
    return [called[1], *_POSITIONAL.findall(called[2])] if called else []


def _names(unique_id: str, resource: Resource) -> list[list[str]]:
    """Return in which ways it may be called, and that its file may be about it."""
    about = ["", resource.name]
    if resource.resource_type == "source":
        return [["source", unique_id.split(".")[2], resource.name], about]
    return [["ref", resource.name], ["ref", resource.package_name, resource.name], about]
