"""Which exposures, semantic models, metrics and saved queries break because a column is gone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.lineage.column_tests import unquoted
from app.lineage.impact.changes import GoneColumn
from app.lineage.impact.definition_changes import mapping
from app.lineage.impact.lost_columns import LostColumns
from app.lineage.impact.mentions import MAX_TEXT, is_name
from app.lineage.impact.model import Break, BreakKind
from app.lineage.impact.versions import Definition, folded
from app.lineage.impact.words import name, names, sentence

ELEMENTS = ("entities", "dimensions", "measures")
UNBUILT: frozenset[BreakKind] = frozenset({"column_removed", "column_renamed"})
"""Breaks of a node that cannot be built any more."""
DIMENSION = re.compile(r"\b(?:TimeDimension|Dimension|Entity)\(\s*['\"](\w+)['\"]")


def exposure_breaks(unique_id: str, lost: LostColumns) -> Iterator[Break]:
    """What an exposure reads of a table is not known: it may read what is gone."""
    for node in lost.upstream(unique_id):
        gone = list(lost.of(node).values())
        if gone:
            columns = [one.name for one in gone]
            text = f"the exposure {name(lost.head.name(unique_id))} may read {names(columns, 'column')} of {name(lost.head.name(node))}"
            end = "which it no longer has" if len(gone) > 1 or not gone[0].new_name else f"now named {name(gone[0].new_name)}"
            yield Break(
                unique_id=unique_id,
                kind="exposure",
                certain=False,
                reason=sentence(f"{text}, {end}"),
                cause=gone[0].root,
                column=gone[0].name if len(gone) == 1 else None,
            )


def exposures_of_broken(breaks: Iterable[Break], lost: LostColumns) -> Iterator[Break]:
    """Exposures of models that certainly break: they keep their old data, or none."""
    for one in breaks:
        if one.certain and one.kind in UNBUILT:
            for exposure in lost.exposures(one.unique_id):
                reason = sentence(f"{name(lost.head.name(exposure))} depends on {name(lost.head.name(one.unique_id))}, which breaks")
                yield Break(unique_id=exposure, kind="exposure", certain=False, reason=reason, cause=one.cause, column=one.column)


class SemanticBreaks:
    """The semantic layer, each node after those that it depends on."""

    def __init__(self, lost: LostColumns) -> None:
        self._lost = lost
        self._elements: dict[str, dict[str, tuple[str, GoneColumn, bool]]] = {}
        """Of semantic models: what has lost its column, with the node that lost it, and whether that is certain."""
        self._metrics: dict[str, tuple[str, GoneColumn, bool]] = {}

    def semantic_model(self, unique_id: str, definition: Definition) -> Iterator[Break]:
        """Its entities, dimensions and measures are columns, or expressions over them."""
        broken = self._elements.setdefault(unique_id, {})
        nodes = self._lost.upstream(unique_id)
        for kind in ELEMENTS:
            found = definition.get(kind)
            for element in map(mapping, found if isinstance(found, list) else ()):
                for at, gone, certain in self._columns(element, nodes):
                    called = str(element.get("name"))
                    broken.setdefault(called, (at, gone, certain))
                    what = f"the {kind.removesuffix('s') if kind != 'entities' else 'entity'} {name(called)}"
                    text = f"{what} of the semantic model {name(self._lost.head.name(unique_id))} is made of"
                    yield self._lost.broken(unique_id, "semantic_model", text, at, gone, certain=certain)

    def metric(self, unique_id: str, definition: Definition) -> Iterator[Break]:
        """A metric needs its measures, the metrics that it is made of, and the dimensions in its filters."""
        parameters = mapping(definition.get("type_params"))
        measures = [parameters.get("measure"), *_list(parameters.get("input_measures"))]
        wanted = {str(mapping(one).get("name")) for one in measures if one}
        found = self._first(unique_id, wanted | _dimensions(definition.get("filter"), parameters))
        if found is not None:
            self._metrics[unique_id] = found
            at, gone, certain = found
            text = f"the metric {name(self._lost.head.name(unique_id))} needs"
            yield self._lost.broken(unique_id, "metric", text, at, gone, certain=certain)

    def saved_query(self, unique_id: str, definition: Definition) -> Iterator[Break]:
        """A saved query needs its metrics, and the dimensions that it groups or filters by."""
        parameters = mapping(definition.get("query_params"))
        found = self._first(unique_id, _dimensions(parameters))
        if found is not None:
            at, gone, certain = found
            text = f"the saved query {name(self._lost.head.name(unique_id))} needs"
            yield self._lost.broken(unique_id, "saved_query", text, at, gone, certain=certain)

    def _columns(self, element: Mapping[str, Any], nodes: list[str]) -> Iterator[tuple[str, GoneColumn, bool]]:
        expression = element.get("expr") or element.get("name")
        if not isinstance(expression, str):
            return
        if is_name(expression):
            key = folded(unquoted(expression.strip())[0])
            yield from ((node, self._lost.of(node)[key], True) for node in nodes if key in self._lost.of(node))
            return
        yield from ((at, gone, False) for at, gone in self._lost.in_text(expression, nodes))

    def _first(self, unique_id: str, wanted: set[str]) -> tuple[str, GoneColumn, bool] | None:
        """What is broken above: a metric, or a wanted element of a semantic model; a certain one before others."""
        above = self._lost.upstream(unique_id)
        found = [self._metrics[node] for node in above if node in self._metrics]
        for node, elements in self._elements.items():
            for called, (at, gone, certain) in elements.items():
                if called in wanted:
                    # A dimension of another semantic model may be meant, to which this one is joined.
                    found.append((at, gone, certain and node in above))
        return min(found, key=lambda one: not one[2], default=None)


def _dimensions(*values: Any) -> set[str]:
    """The dimensions and entities that filters and groupings name, without the entity before them."""
    found: set[str] = set()
    for value in values:
        text = value if isinstance(value, str) else repr(value) if value else ""
        found |= {one.rpartition("__")[2] for one in DIMENSION.findall(text[:MAX_TEXT].replace("\\", ""))}
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
