"""Annotations about what breaks: at the line of the model that causes it, and at the line that reads what is gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.models.annotations import Annotation
from app.core.plurals import count
from app.lineage.impact.model import Break, Change, Impact
from app.project.impact_policy import EffectivePolicy
from app.reports.impact_lines import line_of_change, line_of_column
from app.reports.impact_places import Places, ReportedNode, key, short

MAX_ANNOTATIONS = 50
MAX_BREAKS = 1000
"""Breaks that are looked at."""
MAX_LISTED = 8
"""Breaks that one annotation names."""
MAX_REASON_BYTES = 300
SQL = frozenset({"model", "snapshot", "analysis", "test", "function"})
"""Whose `raw_code` is the text of their file, unless that is in YAML."""


@dataclass(frozen=True, slots=True)
class BreakAnnotation:
    """As it is stored. `fails`: it is of the failures, if the check run fails."""

    title: str
    message: str
    path: str
    unique_id: str
    """Of the node that the file defines."""
    line: int | None = None
    fails: bool = False


def chosen(impact: Impact, places: Places, policy: EffectivePolicy) -> list[BreakAnnotation]:
    """At most `MAX_ANNOTATIONS`, the causes first; no two of them say the same of one line."""
    breaks = impact.breaks[:MAX_BREAKS]
    by_cause: dict[tuple[str, str | None], list[Break]] = defaultdict(list)
    for one in breaks:
        if one.cause is not None and one.connection_id is None and one.cause != one.unique_id:
            by_cause[one.cause, one.column].append(one)
    renamed = {(one.unique_id, old): new for one in impact.changes for old, new in _renamed(one)}
    found: dict[tuple[str, int | None, str], BreakAnnotation] = {}
    for annotation in (*_of_causes(by_cause, renamed, places, policy), *_of_readers(breaks, places, policy)):
        found.setdefault((annotation.path, annotation.line, annotation.title), annotation)
        if len(found) == MAX_ANNOTATIONS:
            break
    return list(found.values())


def of_check_run(found: Mapping[str, Any], *, fails: bool) -> list[Annotation]:
    """The stored ones; `fails`: the check run fails because of them."""
    return [
        Annotation("failure" if fails and one["fails"] else "warning", one["title"], one["message"], one["path"], one["line"])
        for one in found.get("annotations", ())
    ]


def _of_causes(
    by_cause: Mapping[tuple[str, str | None], Sequence[Break]],
    renamed: Mapping[tuple[str, str], str],
    places: Places,
    policy: EffectivePolicy,
) -> Iterator[BreakAnnotation]:
    for (cause, column), breaks in by_cause.items():
        place = places.node(cause)
        if place.path is None or place.is_gone:
            continue
        line = _cause_line(cause, column, renamed.get((cause, column or "")), places)
        name = short(place.name)
        subject = f"{short(column)} in {name}" if column else name
        title = f"The change of {subject} {_consequence(breaks)}"
        lines = [f"{'' if one.certain else 'Possibly: '}{short(one.reason, MAX_REASON_BYTES)}" for one in breaks[:MAX_LISTED]]
        rest = len(breaks) - MAX_LISTED
        message = "\n".join([*lines, *([f"And {rest:,} more."] if rest > 0 else [])])
        yield BreakAnnotation(title, message, place.path, key(cause), line, any(_fails(one, places, policy) for one in breaks))


def _of_readers(breaks: Sequence[Break], places: Places, policy: EffectivePolicy) -> Iterator[BreakAnnotation]:
    """Only where the line is found: everything else is in the summary."""
    for one in breaks:
        place, code = places.node(one.unique_id), places.head_code.get(one.unique_id, "")
        line = line_of_column(code, one.column) if one.column and _has_lines(place) else None
        if place.path is not None and line is not None and one.connection_id is None:
            verb = "breaks" if one.certain else "may break"
            reason = short(one.reason, MAX_REASON_BYTES)
            yield BreakAnnotation(f"{short(place.name)} {verb}", reason, place.path, key(one.unique_id), line, _fails(one, places, policy))


def _cause_line(cause: str, column: str | None, new_name: str | None, places: Places) -> int | None:
    """Where the code of the cause names the column anew, or no longer."""
    base, head = places.base_code.get(cause, ""), places.head_code.get(cause, "")
    if column is None or not _has_lines(places.node(cause)):
        return None
    return (line_of_column(head, new_name) if new_name else None) or line_of_change(base, head, column)


def _has_lines(place: ReportedNode) -> bool:
    """Whether the code of a node is its file: that of snapshots is a block, and that of generic tests is in YAML."""
    return place.resource_type in SQL and place.resource_type != "snapshot" and (place.path or "").endswith((".sql", ".py"))


def _consequence(breaks: Sequence[Break]) -> str:
    certain = len({one.unique_id for one in breaks if one.certain})
    possible = len({one.unique_id for one in breaks}) - certain
    if not certain:
        return f"may break {count(possible, 'node')}"
    return f"breaks {count(certain, 'node')}{f' and may break {possible:,} more' if possible else ''}"


def _fails(one: Break, places: Places, policy: EffectivePolicy) -> bool:
    place = places.node(one.unique_id)
    return one.certain and policy.decides(place.path, place.tags) == "fail"


def _renamed(one: Change) -> Iterator[tuple[str, str]]:
    return zip(one.columns, one.new_columns, strict=False) if one.change_class == "renamed" else iter(())
