"""Counting: edges claimed and true, by class, and the ratios that the targets are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.accuracy.truth import DIRECT, Edge


def is_value(edge: Edge) -> bool:
    """Tell whether a column is made of the other."""
    return edge.subtype in DIRECT


def is_rows(edge: Edge) -> bool:
    """Tell whether all rows depend."""
    return edge.column is None


def is_condition(edge: Edge) -> bool:
    """Tell whether the other column decides about this one's value without being in it."""
    return edge.column is not None and edge.subtype not in DIRECT


def ends(edges: Iterable[Edge]) -> set[Any]:
    """The edges without their subtypes."""
    return {edge[:3] for edge in edges}


CLASSES: dict[str, tuple[Callable[[Edge], bool], Callable[[Iterable[Edge]], set[Any]]]] = {
    "value edges": (is_value, ends),
    "value edges with subtype": (is_value, set),
    "row-set edges": (is_rows, ends),
    "row-set edges with subtype": (is_rows, set),
    "conditions of one column": (is_condition, ends),
}


@dataclass
class Tally:
    """Counts of `right` claims, `wrong` ones, and `missed` truths."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, truth: set[Any], claimed: set[Any]) -> None:
        """Count one query."""
        self.right += len(truth & claimed)
        self.wrong += len(claimed - truth)
        self.missed += len(truth - claimed)

    @property
    def precision(self) -> float:
        """The share of claims that are true; 1 without claims."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """The share of truths that are claimed; 1 without truths."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


@dataclass
class Board:
    """The tallies of many queries, by class of edges; `sure`: of what is marked certain in exact queries, subtypes included."""

    tallies: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in CLASSES})
    sure: Tally = field(default_factory=Tally)
    statuses: Counter[str] = field(default_factory=Counter)
    columns_differ: int = 0
    failed: int = 0

    def add(self, truth: Iterable[Edge], claimed: Iterable[Edge]) -> None:
        """Count the edges of one query."""
        truth, claimed = [*truth], [*claimed]
        for name, (belongs, form) in CLASSES.items():
            self.tallies[name].add(form(filter(belongs, truth)), form(filter(belongs, claimed)))

    @property
    def queries(self) -> int:
        """How many were counted."""
        return self.statuses.total()


def percent(share: float) -> str:
    """Two digits, never rounded up to all of it."""
    return "100 %" if share == 1 else f"{min(share * 100, 99.99):.2f} %"
