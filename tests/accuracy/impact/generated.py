"""Generated projects: one change each, both sides in DuckDB, and what impact says of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.accuracy.impact import reading
from tests.accuracy.impact.changes import CHANGES, Changed, changed
from tests.accuracy.impact.judging import Judged, Truth, judge, judge_nothing
from tests.accuracy.impact.quiet_changes import NOTHING, rewritten
from tests.accuracy.impact.running import both, database
from tests.accuracy.impact.sides import compare
from tests.accuracy.impact.small_projects import SmallProject, X, small_project

TRIES = 12
NAMES = (*CHANGES, *CHANGES, *NOTHING)
"""The changes, in turn."""


class Both(NamedTuple):
    """A project, a change of X, and what DuckDB made of both sides."""

    number: int
    change: str
    base: SmallProject
    head: SmallProject
    truth: Truth

    @property
    def label(self) -> str:
        """For reports."""
        return f"{self.number} ({self.change})"


def pairs(count: int, first: int = 0) -> Iterator[Both]:
    """So many projects with a change each; projects that have no place for their change, or where X breaks, are left out."""
    number = first
    while count:
        found = pair(number)
        if found is not None:
            count -= 1
            yield found
        number += 1


def pair(number: int) -> Both | None:
    """The project of a number and its change; None if there is no place for it."""
    base, name = small_project(number), NAMES[number % len(NAMES)]
    types = database().columns(X)
    for attempt in range(TRIES):
        change = _changed(name, base.x, types, random.Random(number * TRIES + attempt))
        if change is not None:
            head = base.with_x(change.sql)
            truth = _truth(base, head, change)
            if X not in truth.head.refused.keys() | truth.head.doubled:
                return Both(number, name, base, head, truth)
    return None


def _changed(name: str, sql: str, types: Mapping[str, str], r: random.Random) -> Changed | None:
    if name in CHANGES:
        return changed(name, sql, types, r)
    text = rewritten(name, sql, r)
    return None if text is None else Changed(text)


def _truth(base: SmallProject, head: SmallProject, change: Changed) -> Truth:
    before, after, unstable = both(*([(one.name, one.sql) for one in side.models] for side in (base, head)))
    return Truth(before, after, unstable, change.renamed, change.retyped, base.open_tables)


def measure(count: int, first: int = 0) -> Judged:
    """Judge that many projects."""
    result = Judged()
    for one in pairs(count, first):
        result.projects[one.change] += 1
        impact = compare(reading.side(one.base), reading.side(one.head))
        if one.change in NOTHING:
            judge_nothing(result, one.label, impact)
        else:
            judge(result, one.label, impact, one.truth)
    return result
