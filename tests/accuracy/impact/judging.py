"""Claims about a change, compared with what DuckDB makes of both sides. Names of columns are compared without regard to case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from app.lineage.impact.model import Break, Change, Impact
from tests.accuracy.impact.running import Ran
from tests.accuracy.impact.small_projects import X

LOST = ("column_removed", "column_renamed", "column_missing")
NAMED = ("removed", "renamed", "retyped", "added")


class Truth(NamedTuple):
    """Both sides of a project as DuckDB ran them. `unstable`: models whose rows depend on the order of their tables' rows.

    `renamed`, `retyped`: what the change did to columns of X. `open_tables`: not all columns can be known.
    """

    base: Ran
    head: Ran
    unstable: frozenset[str]
    renamed: Mapping[str, str] = {}
    retyped: tuple[str, ...] = ()
    open_tables: bool = False

    @property
    def broken(self) -> dict[str, str]:
        """Models that could be made before and cannot now, with the reason."""
        return {name: reason for name, reason in self.head.refused.items() if name not in self.base.refused}

    @property
    def alive(self) -> list[str]:
        """Models that can be made on both sides."""
        left_out = self.base.refused.keys() | self.head.refused.keys() | self.base.doubled | self.head.doubled
        return [name for name in self.base.columns if name not in left_out]

    def removed(self, name: str) -> set[str]:
        """Columns of a model that are gone."""
        return _low(self.base.columns[name]) - _low(self.head.columns[name])

    def added(self, name: str) -> set[str]:
        """Columns of a model that are new."""
        return _low(self.head.columns[name]) - _low(self.base.columns[name])

    def other_types(self, name: str) -> set[str]:
        """Columns of a model that have another type."""
        old, new = ({column.lower(): kind for column, kind in ran.columns[name].items()} for ran in (self.base, self.head))
        return {column for column in old.keys() & new.keys() if old[column] != new[column]}

    def same_data(self, name: str) -> bool:
        """Whether the columns that both sides have hold the same rows."""
        old, new = ({column.lower(): column for column in ran.columns[name]} for ran in (self.base, self.head))
        shared = sorted(old.keys() & new.keys())
        return self.base.values(name, [old[one] for one in shared]) == self.head.values(name, [new[one] for one in shared])

    def other_values(self, name: str) -> set[str]:
        """Columns with other values, each looked at alone."""
        old, new = ({column.lower(): column for column in ran.columns[name]} for ran in (self.base, self.head))
        shared = old.keys() & new.keys()
        return {one for one in shared if self.base.values(name, [old[one]]) != self.head.values(name, [new[one]])}


@dataclass
class Tally:
    """Counts, with examples of what was not right."""

    right: int = 0
    wrong: int = 0

    @property
    def total(self) -> int:
        """All."""
        return self.right + self.wrong

    @property
    def share(self) -> float:
        """Right ones of all; 1 without any."""
        return self.right / self.total if self.total else 1.0


@dataclass
class Judged:
    """What was counted over many projects. `faults`: name of the count → (project, what was not right)."""

    projects: Counter[str] = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def count(self, what: str, label: str, *, right: bool) -> None:
        """Count one."""
        tally = self.tallies.setdefault(what, Tally())
        tally.right += right
        tally.wrong += not right
        if not right:
            self.faults.setdefault(what, []).append(label)

    def share(self, what: str) -> float:
        """Of a count."""
        return self.tallies.get(what, Tally()).share


CERTAIN_BREAKS = "certain breaks that are breaks"
BREAKS = "breaks by a removed or renamed column that are found"
SURE_BREAKS = "of these, certain ones"
OTHER_BREAKS = "other breaks that are found"
OTHER_NAMED = "models with other breaks that are named"
CERTAIN_COLUMNS = "columns certainly removed, renamed, retyped or added that are so"
FOUND = {
    "removed": "removed columns that are found",
    "renamed": "renamed columns that are found as renamed",
    "retyped": "retyped columns that are found",
    "added": "added columns that are found",
}
DATA_OF_X = "changed data of the changed model that is named"
DATA_BELOW = "models below with changed data that are named"
COLUMNS_BELOW = "columns below with changed values that are named"
EQUAL = "models that are named and whose data differs"
OPEN = ", where sources say nothing of their columns"
"""Added to the names of counts of what is found."""
SILENT = "changes that change nothing and lead to no finding"


def judge(result: Judged, label: str, impact: Impact, truth: Truth) -> None:
    """Count one change that means something. `label`: the project and the change, for reports."""
    _breaks(result, label, impact, truth)
    _certain_columns(result, label, impact, truth)
    _columns(result, label, impact, truth)
    _data(result, label, impact, truth)


def judge_nothing(result: Judged, label: str, impact: Impact) -> None:
    """Count one change that means nothing."""
    said = [*impact.changes, *impact.breaks, *impact.reached]
    result.count(SILENT, f"{label}: {'; '.join(map(_said, said[:3]))}", right=not said)


def _where(what: str, truth: Truth) -> str:
    return what + OPEN if truth.open_tables else what


def _breaks(result: Judged, label: str, impact: Impact, truth: Truth) -> None:
    claimed: dict[str, list[Break]] = {}
    for one in impact.breaks:
        claimed.setdefault(_name(one.unique_id), []).append(one)
        if one.certain:
            result.count(CERTAIN_BREAKS, f"{label}: {_said(one)}", right=_name(one.unique_id) in truth.broken)
    named = _Named(impact)
    for name, reason in truth.broken.items():
        said, found = f"{label}: {name}: {reason}", claimed.get(name, [])
        if _is_about_lost_column(name, truth, reason):
            result.count(_where(BREAKS, truth), said, right=bool(found))
            result.count(_where(SURE_BREAKS, truth), said, right=any(one.certain for one in found))
        else:
            result.count(OTHER_BREAKS, said, right=bool(found))
            result.count(OTHER_NAMED, said, right=bool(found) or named.knows(name))


def _is_about_lost_column(name: str, truth: Truth, reason: str) -> bool:
    """Whether DuckDB misses a column that some model has lost."""
    lost = {column for model in truth.alive for column in truth.removed(model)}
    return ("not found" in reason or "does not have" in reason or "not exist" in reason) and any(one in reason.lower() for one in lost)


def _certain_columns(result: Judged, label: str, impact: Impact, truth: Truth) -> None:
    """What is certain of columns, against their names and types."""
    for change in impact.changes:
        name = _name(change.unique_id)
        if change.certain and change.change_class in NAMED and name in truth.alive:
            for right in _are_right(change, name, truth):
                result.count(CERTAIN_COLUMNS, f"{label}: {_said(change)}", right=right)


def _are_right(change: Change, name: str, truth: Truth) -> Iterator[bool]:
    columns = [column.lower() for column in change.columns]
    if change.change_class == "renamed":
        for old, new in zip(columns, change.new_columns, strict=True):
            yield old in truth.removed(name) and new.lower() in truth.added(name)
        return
    right = {"removed": truth.removed, "added": truth.added, "retyped": truth.other_types}[change.change_class](name)
    yield from (column in right for column in columns)


def _columns(result: Judged, label: str, impact: Impact, truth: Truth) -> None:
    said: dict[tuple[str, str], set[str]] = {}
    pairs = set()
    for change in impact.changes:
        said.setdefault((_name(change.unique_id), change.change_class), set()).update(map(str.lower, change.columns))
        if change.change_class == "renamed":
            pairs |= {
                (_name(change.unique_id), old.lower(), new.lower()) for old, new in zip(change.columns, change.new_columns, strict=True)
            }
    for name in truth.alive:
        new_names = {new for node, _, new in pairs if node == name}
        removed = said.get((name, "removed"), set()) | said.get((name, "renamed"), set())
        for column in truth.removed(name):
            result.count(_where(FOUND["removed"], truth), f"{label}: {name}.{column}", right=column in removed)
        for column in truth.added(name):
            result.count(
                _where(FOUND["added"], truth), f"{label}: {name}.{column}", right=column in said.get((name, "added"), set()) | new_names
            )
    for old, new in truth.renamed.items() if X in truth.alive else ():
        result.count(_where(FOUND["renamed"], truth), f"{label}: {old} to {new}", right=(X, old.lower(), new.lower()) in pairs)
    for column in truth.retyped if X in truth.alive else ():
        if column.lower() in truth.other_types(X):
            result.count(_where(FOUND["retyped"], truth), f"{label}: {column}", right=column.lower() in said.get((X, "retyped"), set()))


def _data(result: Judged, label: str, impact: Impact, truth: Truth) -> None:
    """Whether other data is named; only of models that have the same rows each time."""
    named = _Named(impact)
    for name in truth.alive:
        if name in truth.unstable:
            continue
        same = truth.same_data(name)
        if not same:
            what = DATA_OF_X if name == X else DATA_BELOW
            result.count(_where(what, truth), f"{label}: {name}", right=named.knows(name))
        elif named.knows(name):
            result.count(EQUAL, label, right=False)
        if not same and named.knows(name):
            result.count(EQUAL, label, right=True)
            for column in truth.other_values(name):
                result.count(_where(COLUMNS_BELOW, truth), f"{label}: {name}.{column}", right=named.knows_column(name, column))


class _Named:
    """Which models, and which columns of them, are said to have other data."""

    def __init__(self, impact: Impact) -> None:
        self._whole = {_name(one.unique_id) for one in impact.reached if one.by != "column"}
        self._whole |= {_name(one.unique_id) for one in impact.changes if one.change_class in ("rows", "logic") and not one.columns}
        self._columns: dict[str, set[str]] = {}
        for one in impact.reached:
            self._add(one.unique_id, one.columns)
        for change in impact.changes:
            if change.change_class in ("rows", "logic", "retyped"):
                self._add(change.unique_id, change.columns)

    def _add(self, unique_id: str, columns: Iterable[str]) -> None:
        self._columns.setdefault(_name(unique_id), set()).update(map(str.lower, columns))

    def knows(self, name: str) -> bool:
        return name in self._whole or bool(self._columns.get(name))

    def knows_column(self, name: str, column: str) -> bool:
        return name in self._whole or column in self._columns.get(name, ())


def _name(unique_id: str) -> str:
    return unique_id.rpartition(".")[2]


def _low(columns: Iterable[str]) -> set[str]:
    return {column.lower() for column in columns}


def _said(one: object) -> str:
    """A finding in short."""
    if isinstance(one, Change):
        return f"{_name(one.unique_id)} {one.change_class} {','.join(one.columns)}>{','.join(one.new_columns)} certain={one.certain}"
    if isinstance(one, Break):
        return f"{_name(one.unique_id)} breaks: {one.kind} {one.column} certain={one.certain}"
    return str(one)[:160]
