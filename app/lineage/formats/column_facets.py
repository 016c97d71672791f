"""OpenLineage's columnLineage facet: https://openlineage.io/docs/spec/facets/dataset-facets/column_lineage_facet.

Columns of ephemeral models, which are no datasets, are replaced by those that they are made of. What an ephemeral model's rows depend on,
the rows of its readers depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.lineage.column_document import DIRECT
from app.lineage.column_graph import CERTAIN, ROWS, SUBTYPES, TYPES, ColumnSelection

MAX_INPUTS = 20_000
"""References to columns in one facet, those that are passed through included. A node with more has no facet."""
UNCERTAIN = "not certain"
Dataset = tuple[str, str]
"""Namespace and name."""
Json = dict[str, Any]


class TooManyInputsError(Exception):
    """More than `MAX_INPUTS`."""


class ColumnFacets:
    """Makes the facets of one export."""

    def __init__(
        self, selection: ColumnSelection, dataset: Callable[[int], Dataset | None], is_passed_through: Callable[[int], bool]
    ) -> None:
        """Both functions take the position of a node: `dataset` is None if it is not in the export."""
        self._columns = selection.columns
        self._dataset, self._is_passed_through = dataset, is_passed_through
        self._chosen = _by_node(selection)

    def fields(self, position: int) -> Json | None:
        """The fields of a node's facet; None if it has none."""
        try:
            ends = self._ends(position)
        except TooManyInputsError:
            return None
        rows = ends.pop(ROWS, {})
        named = {self._columns.name(column): {"inputFields": _inputs(found)} for column, found in sorted(ends.items())}
        return {"fields": named, **({"dataset": _inputs(rows)} if rows else {})} if named or rows else None

    def _ends(self, position: int) -> dict[int, dict[tuple[str, str, str], set[int]]]:
        """For each column, and for `ROWS`, the codes of the edges from each field of another dataset."""
        ends: dict[int, dict[tuple[str, str, str], set[int]]] = {}
        passed: set[int] = set()
        for down, up, code in self._resolved(position, passed):
            dataset = self._dataset(self._columns.owner(up))
            if dataset is not None:
                ends.setdefault(down, {}).setdefault((*dataset, self._columns.name(up)), set()).add(code)
        return ends

    def _resolved(self, position: int, passed: set[int]) -> Iterator[tuple[int, int, int]]:
        """The edges into a node as (downstream, upstream, code), from columns of tables and views."""
        columns = self._columns
        pending = [(columns.downstream(edge), columns.upstream(edge), columns.code(edge)) for edge in self._chosen(position)]
        seen = set(pending)
        if len(seen) > MAX_INPUTS:
            raise TooManyInputsError
        while pending:
            down, up, code = pending.pop()
            owner = columns.owner(up)
            if not self._is_passed_through(owner):
                yield down, up, code
                continue
            above = [(down, columns.upstream(one), _combined(code, columns.code(one))) for one in columns.edges_into(up)]
            if owner not in passed:
                passed.add(owner)
                above += [(ROWS, columns.upstream(one), columns.code(one)) for one in columns.row_edges(owner)]
            pending += [one for one in dict.fromkeys(above) if one not in seen]
            seen.update(above)
            if len(seen) > MAX_INPUTS:
                raise TooManyInputsError


def _by_node(selection: ColumnSelection) -> Callable[[int], Sequence[int]]:
    """The selected edges into each node."""
    columns = selection.columns
    if len(selection.edges) == columns.edge_count:
        return lambda position: range(columns.nodes[position].first, columns.nodes[position].last) if position in columns.nodes else ()
    found: dict[int, list[int]] = {}
    for edge in selection.edges:
        found.setdefault(columns.below(edge), []).append(edge)
    return lambda position: found.get(position, ())


def _combined(outer: int, inner: int) -> int:
    """The code of two edges in a row. The weaker one of two direct ones counts, and an indirect one before a direct one."""
    certain, near, far = outer & inner & CERTAIN, _subtype(outer), _subtype(inner)
    if SUBTYPES[near] not in DIRECT:
        return certain | near
    return certain | (max(near, far) if SUBTYPES[far] in DIRECT else far)


def _inputs(found: dict[tuple[str, str, str], set[int]]) -> list[Json]:
    return [
        {"namespace": namespace, "name": name, "field": column, "transformations": list(map(_transformation, sorted(codes, key=_subtype)))}
        for (namespace, name, column), codes in sorted(found.items())
    ]


def _transformation(code: int) -> Json:
    subtype = _subtype(code)
    more = {} if code & CERTAIN else {"description": UNCERTAIN}
    return {"type": TYPES[subtype], "subtype": SUBTYPES[subtype], **more}


def _subtype(code: int) -> int:
    return code & ~CERTAIN
