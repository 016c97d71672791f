"""Which semantic models, metrics and saved queries break because a column, or what a semantic model had, is gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from app.lineage.column_tests import unquoted
from app.lineage.impact.definition_changes import listed, mapping
from app.lineage.impact.lost_columns import LostColumns
from app.lineage.impact.mentions import is_name
from app.lineage.impact.model import Break, BreakKind
from app.lineage.impact.semantic_elements import Reference, SemanticElements, elements_of, metrics_in, references
from app.lineage.impact.versions import Definition, folded
from app.lineage.impact.words import name, sentence
from app.lineage.resource_types import label

MAX_SEARCHED = 20
"""Semantic models that may be meant by one name."""


class Fault(NamedTuple):
    """What is gone, in words; where, as in a `Break`."""

    words: str
    cause: str
    column: str | None
    certain: bool


class _Model(NamedTuple):
    """A semantic model of the head. `faults`: of its elements, by name."""

    elements: SemanticElements
    faults: Mapping[str, Fault]


class SemanticBreaks:
    """The semantic layer: semantic models first, then metrics, each after those that it is made of, then saved queries."""

    def __init__(self, lost: LostColumns, before: Mapping[str, SemanticElements]) -> None:
        """`before`: what semantic models had at the base that have less now, by unique_id."""
        self._lost, self._before = lost, before
        self._had: dict[str, list[str]] = defaultdict(list)
        """Of these, those that had an element of this name."""
        for unique_id, elements in before.items():
            for element in elements.named:
                self._had[element].append(unique_id)
        self._models: dict[str, _Model] = {}
        self._linked: dict[str, list[str]] = defaultdict(list)
        """The semantic models that an entity leads to."""
        self._having: dict[str, list[str]] = defaultdict(list)
        """The semantic models that have an element of this name."""
        self._metrics: dict[str, Fault] = {}
        """By unique_id, and by name."""

    def semantic_model(self, unique_id: str, definition: Definition) -> Iterator[Break]:
        """Its entities, dimensions and measures are columns, or expressions over them."""
        elements = elements_of(definition)
        faults: dict[str, Fault] = {}
        self._models[unique_id] = _Model(elements, faults)
        for link in elements.links:
            self._linked[link].append(unique_id)
        for element in elements.named.values():
            self._having[element.name].append(unique_id)
            for fault in self._columns(element.expression, unique_id):
                _add(faults, element.name, fault)
                text = f"the {element.kind} {name(element.name)} of the semantic model {name(self._lost.head.name(unique_id))} is made of"
                yield _break(unique_id, "semantic_model", text, fault)
        for element in elements.named.values():
            for needed in element.needs:
                if needed in faults:
                    _add(faults, element.name, faults[needed])

    def metric(self, unique_id: str, definition: Definition) -> Iterator[Break]:
        """A metric needs what it sums up and by which time, the metrics that it is made of, and what its filters name."""
        parameters = mapping(definition.get("type_params"))
        conversion = mapping(parameters.get("conversion_type_params"))
        properties = [one for pair in listed(conversion.get("constant_properties")) for one in mapping(pair).values()]
        measures = [mapping(one).get("name") for one in (parameters.get("measure"), *listed(parameters.get("input_measures")))]
        named = [Reference(None, one) for one in (*measures, conversion.get("entity"), *properties) if isinstance(one, str)]
        own_sum = list(self._own_sum(unique_id, mapping(parameters.get("metric_aggregation_params"))))
        yield from self._needing(unique_id, "metric", [*named, *references(definition.get("filter"), parameters)], own_sum)

    def saved_query(self, unique_id: str, definition: Definition) -> Iterator[Break]:
        """A saved query needs its metrics, and what it groups or filters by."""
        parameters = mapping(definition.get("query_params"))
        of_filters = [self._metrics[one] for one in metrics_in(parameters) if one in self._metrics]
        yield from self._needing(unique_id, "saved_query", references(parameters), of_filters)

    def _needing(self, unique_id: str, kind: BreakKind, named: Iterable[Reference], found: list[Fault]) -> Iterator[Break]:
        above = self._lost.upstream(unique_id)
        own = list(islice((one for one in above if one in self._models), MAX_SEARCHED))
        found += [self._metrics[one] for one in above if one in self._metrics]
        found += [fault for one in named for fault in self._faults(one, own)]
        if found:
            fault = min(found, key=lambda one: not one.certain)
            self._metrics[unique_id] = self._metrics[unique_id.rpartition(".")[2]] = fault
            yield _break(unique_id, kind, f"the {label(kind)} {name(self._lost.head.name(unique_id))} needs", fault)

    def _own_sum(self, metric: str, parameters: Mapping[str, Any]) -> Iterator[Fault]:
        """Of a metric that sums up a column without a measure."""
        for unique_id in self._lost.upstream(metric) if parameters else ():
            model = self._models.get(unique_id)
            if model is not None and unique_id.rpartition(".")[2] == parameters.get("semantic_model"):
                yield from self._columns(parameters.get("expr"), unique_id)
                time_dimension = parameters.get("agg_time_dimension") or model.elements.time_dimension
                yield from filter(None, [model.faults.get(str(time_dimension))])

    def _faults(self, reference: Reference, own: Sequence[str]) -> Iterator[Fault]:
        """What is wrong with something that is named. `own`: the semantic models that the metric sums up."""
        entity, element, is_direct = reference
        others = self._linked.get(entity, ()) if entity else self._having.get(element, ())
        having = [one for one in islice(chain(own, others), MAX_SEARCHED) if self._models[one].elements.has(reference)]
        is_own = any(one in own for one in having)
        found = [self._models[one].faults.get(element) for one in having if one in own or not is_own]
        if not having:
            yield from (
                self._no_longer(one, reference)
                for one in islice(self._had.get(element, ()), MAX_SEARCHED)
                if self._before[one].has(reference)
            )
        elif is_own or None not in found:
            # Each of the own ones is meant; of others any, and without an entity nobody knows which.
            yield from (fault._replace(certain=fault.certain and (is_own or entity is not None)) for fault in found if fault)
        if entity and is_direct and having and not is_own:
            yield from self._join(Reference(None, entity), own, having)

    def _join(self, entity: Reference, own: Sequence[str], others: Sequence[str]) -> Iterator[Fault]:
        """What is wrong with the entity by which own semantic models are joined to others."""
        yield from filter(None, (self._models[one].faults.get(entity.element) for one in (*own, *others) if own))
        for one in own:
            if one in self._before and self._before[one].has(entity) and not self._models[one].elements.has(entity):
                yield self._no_longer(one, entity)

    def _no_longer(self, unique_id: str, reference: Reference) -> Fault:
        """What a semantic model no longer has."""
        text = "__".join(filter(None, (reference.entity, reference.element)))
        words = f"{name(text)}, which the semantic model {name(self._lost.name(unique_id))} no longer has"
        return Fault(words, unique_id, None, certain=True)

    def _columns(self, expression: Any, semantic_model: str) -> Iterator[Fault]:
        """The lost columns in an expression."""
        lost, nodes = self._lost, self._lost.upstream(semantic_model)
        if not isinstance(expression, str):
            return
        is_column = is_name(expression)
        key = folded(unquoted(expression.strip())[0])
        found = [(node, lost.of(node)[key]) for node in nodes if key in lost.of(node)] if is_column else lost.in_text(expression, nodes)
        for at, gone in found:
            yield Fault(lost.words(at, gone), gone.root, gone.name, is_column and gone.certain)


def _add(faults: dict[str, Fault], element: str, fault: Fault) -> None:
    """Keep a certain one, if there is one."""
    if element not in faults or (fault.certain and not faults[element].certain):
        faults[element] = fault


def _break(unique_id: str, kind: BreakKind, text: str, fault: Fault) -> Break:
    reason = sentence(f"{text} {fault.words}")
    return Break(unique_id=unique_id, kind=kind, certain=fault.certain, reason=reason, cause=fault.cause, column=fault.column)
