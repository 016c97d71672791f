"""Which tests, unit tests and analyses break because a column is gone that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from app.lineage.column_tests import unquoted
from app.lineage.impact.definition_changes import config, listed, mapping
from app.lineage.impact.lost_columns import LostColumns
from app.lineage.impact.mentions import is_name
from app.lineage.impact.model import Break, BreakKind
from app.lineage.impact.versions import Definition, folded
from app.lineage.impact.words import name

COLUMN_LISTS = frozenset(
    ("combination_of_columns", "column_list", "compare_columns", "group_by_columns", "column_A", "column_B", "column_a", "column_b")
)
"""Arguments of well-known generic tests that name columns of the tested node, and nothing else."""
NO_COLUMNS = re.compile(r"value|regex|pattern|format|^to$|^from$|^name$|^quote$|severity|exclude|interval|datepart")
"""Arguments whose texts are no columns, or name columns that may be missing."""
CALL = re.compile(r"^\s*(ref|source)\s*\(([^()]*)\)\s*$")
TEXT = re.compile(r"['\"]([^'\"]*)['\"]")
MAX_ROWS = 1000
"""Rows of a fixture that are looked at."""


def breaks_of_test(unique_id: str, definition: Definition, lost: LostColumns) -> Iterator[Break]:
    """A generic or singular test, or an analysis."""
    nodes = lost.upstream(unique_id)
    if definition.get("test_name") is None:
        for at, gone in lost.in_text(str(definition.get("raw_code") or ""), nodes):
            is_test = unique_id.startswith("test.")
            kind: BreakKind = "test" if is_test else "column_renamed" if gone.new_name else "column_removed"
            what = f"the {'test' if is_test else 'analysis'} {name(lost.head.name(unique_id))} names"
            yield lost.broken(unique_id, kind, what, at, gone, certain=False)
        return
    tested = definition.get("attached_node") or (nodes[0] if len(nodes) == 1 else None)
    what = f"the test {name(str(definition['test_name']))}"
    column = definition.get("column")
    if isinstance(column, str) and tested is not None:
        own = lost.of(tested).get(folded(unquoted(column)[0]))
        if own is not None:
            yield lost.broken(unique_id, "test", f"{what} is on", tested, own, certain=True)
        elif not is_name(column):
            for at, one in lost.in_text(column, [tested]):
                yield lost.broken(unique_id, "test", f"{what} is on an expression with", at, one, certain=False)
    yield from _arguments(unique_id, definition, lost, tested, nodes)


def _arguments(unique_id: str, definition: Definition, lost: LostColumns, tested: str | None, nodes: Sequence[str]) -> Iterator[Break]:
    what = f"the test {name(str(definition['test_name']))} names"
    others = [one for one in nodes if one != tested]
    arguments = {**mapping(definition.get("arguments")), "where": config(definition).get("where")}
    for key, value in arguments.items():
        for text in _texts(value):
            if key == "field" and definition["test_name"] == "relationships":
                [at] = others if len(others) == 1 else [tested]
                gone = lost.of(at or "").get(folded(unquoted(text)[0]))
                if gone is not None and at is not None:
                    yield lost.broken(unique_id, "test", what, at, gone, certain=True)
            elif key in COLUMN_LISTS and is_name(text) and tested is not None:
                gone = lost.of(tested).get(folded(unquoted(text)[0]))
                if gone is not None:
                    yield lost.broken(unique_id, "test", what, tested, gone, certain=True)
            elif not NO_COLUMNS.search(key):
                for place, one in lost.in_text(text, nodes):
                    yield lost.broken(unique_id, "test", what, place, one, certain=False)


def breaks_of_unit_test(unique_id: str, definition: Definition, lost: LostColumns) -> Iterator[Break]:
    """A unit test: the rows that it gives and those that it expects."""
    own = f"the unit test {name(lost.head.name(unique_id))}"
    for model in lost.upstream(unique_id)[:1]:
        yield from _rows(unique_id, f"{own} expects rows with", model, mapping(definition.get("expect")), lost)
        for one in listed(definition.get("given")):
            node = _input(mapping(one).get("input"), model, lost)
            if node is not None:
                yield from _rows(unique_id, f"{own} gives rows with", node, mapping(one), lost)


def _rows(unique_id: str, what: str, node: str, fixture: Definition, lost: LostColumns) -> Iterator[Break]:
    if not lost.of(node):
        return
    rows = fixture.get("rows")
    if isinstance(rows, str):
        for at, gone in lost.in_text(rows, [node]):
            yield lost.broken(unique_id, "unit_test", what, at, gone, certain=False)
        return
    columns = {folded(str(column)) for row in listed(rows)[:MAX_ROWS] for column in mapping(row)}
    for key in sorted(columns & lost.of(node).keys()):
        yield lost.broken(unique_id, "unit_test", what, node, lost.of(node)[key], certain=True)


def _input(call: Any, model: str, lost: LostColumns) -> str | None:
    """The node whose rows a unit test gives: `ref('orders')`, `source('erp', 'orders')` or `this`."""
    if call == "this":
        return model
    found = CALL.match(call) if isinstance(call, str) and len(call) < MAX_ROWS else None
    if found is None:
        return None
    names, graph = TEXT.findall(found[2]), lost.head.graph
    version = re.search(r"\b(?:v|version)\s*=\s*['\"]?([\w.]+)", found[2])
    if version is not None and version[1] in names:
        names.remove(version[1])
    fits = []
    for unique_id in lost.upstream(model):
        kind, package, *rest = unique_id.split(".")
        position = graph.position(unique_id)
        own = graph.nodes[position].name if position is not None else rest[-1]
        if found[1] == "source":
            fits += [unique_id] if kind == "source" and names == [rest[0], own] else []
        elif kind != "source" and names in ([own], [package, own]):
            fits += [unique_id] if version is None or unique_id.endswith(f".v{version[1]}") else []
    return fits[0] if len(fits) == 1 else None


def _texts(value: Any) -> Iterator[str]:
    """The texts in an argument, in lists too."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one
