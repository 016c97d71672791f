"""What semantic models offer to metrics and saved queries, and how these name it.

https://docs.getdbt.com/docs/build/dimensions. `order__status` is the dimension `status` of the semantic model with the entity `order` that
is no foreign key there; before it may stand the entities that lead there. dbt refuses elements of different kinds with one name, and
measures with one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.lineage.impact.definition_changes import listed, mapping
from app.lineage.impact.mentions import MAX_TEXT
from app.lineage.impact.versions import Definition

ELEMENTS = {"entities": "entity", "dimensions": "dimension", "measures": "measure"}
GRAINS = frozenset(("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"))
"""What the name of a time dimension may end with."""
ELEMENT = re.compile(r"\b(?:TimeDimension|Dimension|Entity)\(\s*['\"](\w+)['\"]")
METRIC = re.compile(r"\bMetric\(\s*['\"](\w+)['\"]")


class Reference(NamedTuple):
    """The name of a dimension or entity. `entity`: the last one before it; `is_direct`: there is no other before it."""

    entity: str | None
    element: str
    is_direct: bool = True


@dataclass(frozen=True, slots=True)
class Element:
    """An entity, dimension or measure. `needs`: others of its semantic model without which it is nothing."""

    name: str
    kind: str
    expression: Any
    needs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SemanticElements:
    """Those of one semantic model. `links`: the entities that lead to them from elsewhere."""

    named: Mapping[str, Element]
    links: frozenset[str]
    time_dimension: str | None

    def are_in(self, other: SemanticElements) -> bool:
        """Whether all of them are still there, by name."""
        return self.named.keys() <= other.named.keys() and self.links <= other.links

    def has(self, reference: Reference) -> bool:
        """Whether a reference may mean one of them."""
        return reference.element in self.named and (reference.entity is None or reference.entity in self.links)


def elements_of(definition: Definition) -> SemanticElements:
    """The elements of a semantic model."""
    time_dimension = mapping(definition.get("defaults")).get("agg_time_dimension")
    named: dict[str, Element] = {}
    links = {definition.get("primary_entity")}
    for key, kind in ELEMENTS.items():
        for one in map(mapping, listed(definition.get(key))):
            name = str(one.get("name"))
            named[name] = Element(name, kind, one.get("expr") or name, _needs(one, time_dimension) if kind == "measure" else ())
            if kind == "entity" and one.get("type") != "foreign":
                links.add(name)
    return SemanticElements(named, frozenset(one for one in links if isinstance(one, str)), time_dimension)


def references(*values: Any) -> Iterator[Reference]:
    """The dimensions and entities that filters and groupings name, each once."""
    for text in dict.fromkeys(one for value in values for one in ELEMENT.findall(_text(value))):
        parts = text.split("__")
        if len(parts) > 1 and parts[-1] in GRAINS:
            parts.pop()
        *way, element = parts
        yield Reference(way[-1] if way else None, element, not way[1:])


def metrics_in(*values: Any) -> list[str]:
    """The names of metrics that filters name."""
    return [one for value in values for one in METRIC.findall(_text(value))]


def _needs(measure: Mapping[str, Any], time_dimension: Any) -> Sequence[str]:
    """By what a measure is summed up over time, or not at all."""
    other = mapping(measure.get("non_additive_dimension"))
    found = [measure.get("agg_time_dimension") or time_dimension, other.get("name"), *listed(other.get("window_groupings"))]
    return [one for one in found if isinstance(one, str)]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value) if value else ""
    return text[:MAX_TEXT].replace("\\", "")
