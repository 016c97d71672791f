"""What a change does, as lines for a console: what breaks, what is reached, what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.core.models.comparisons import Base
from app.core.plurals import count
from app.lineage.impact.model import Break, Change, Impact, Reached
from app.lineage.resource_types import label
from app.project.impact_policy import EffectivePolicy
from app.reports import impact as stored_impact
from app.reports import impact_base, impact_title
from app.reports.column_words import DIM, Line, Span
from app.reports.impact_lists import LABELS, reached_counts
from app.reports.impact_places import Places

MAX_LISTED = 50
"""Entries of one list."""
MAX_COLUMNS = 12
"""Names of columns in one line."""
STYLES: Mapping[str, str] = {"removed": "red", "added": "green", "none": DIM}
SIGNS: Mapping[str, str] = {"removed": "-", "added": "+"}
OTHERS = ("yellow", "~")
"""Style and sign of all other classes."""


def lines(impact: Impact, base_sha: str, places: Places) -> Iterator[Line]:
    """All of it, with a title for the line that names the commit."""
    found = stored_impact.stored(impact, Base("merge_base", base_sha), places, EffectivePolicy())
    yield ((impact_title.title(found) or "", "bold"),)
    if caveat := impact_base.caveat(found):
        yield ((caveat, "yellow"),)
    yield from _breaks(impact, places)
    yield from _reached(impact, found, places)
    yield from _changes(impact, places)


def _breaks(impact: Impact, places: Places) -> Iterator[Line]:
    for certain, heading, style, sign in ((True, "What breaks", "red", "x"), (False, "What may break", "yellow", "?")):
        listed = [one for one in impact.breaks if one.certain == certain]
        if listed:
            yield ()
            yield ((heading, f"bold {style}"),)
            yield from (_break(one, sign, style, places) for one in listed[:MAX_LISTED])
            yield from _more(len(listed) - MAX_LISTED + (0 if certain else impact.left_out.get("breaks", 0)), "break")


def _break(one: Break, sign: str, style: str, places: Places) -> Line:
    place = places.node(one.unique_id)
    where = f" in {place.path}" if place.path else ""
    return (f"{sign} {place.name}", style), (f" ({_facts(one.unique_id, places)}){where}", DIM), (f": {one.reason}", "")


def _reached(impact: Impact, found: Mapping[str, Mapping[str, Mapping[str, int]]], places: Places) -> Iterator[Line]:
    if not impact.counts.get("reached"):
        return
    listed = [one for one in impact.reached if one.resource_type not in stored_impact.TESTS]
    yield ()
    yield ("What is reached", "bold"), (f": {reached_counts(found)}", "")
    yield from (_reached_node(one, places) for one in listed[:MAX_LISTED])
    yield from _more(len(listed) - MAX_LISTED + impact.left_out.get("reached", 0), "node")
    for name, words in (("owners", "by owner"), ("groups", "by group")):
        if numbers := found["counts"].get(name):
            yield ((f"{words}: {', '.join(f'{owner} {number:,}' for owner, number in numbers.items())}", DIM),)


def _reached_node(one: Reached, places: Places) -> Line:
    place = places.node(one.unique_id)
    address = f", {place.url}" if place.url else ""
    through = _columns(one.columns, one.more_columns)
    how = f" through {through}" if one.by == "column" and through else " in all rows" if one.by == "rows" else ""
    return (f"→ {place.name}", ""), (f" ({_facts(one.unique_id, places)}{address}), {count(one.distance, 'edge')} away{how}", DIM)


def _changes(impact: Impact, places: Places) -> Iterator[Line]:
    if not impact.changes:
        return
    yield ()
    yield (("What changed", "bold"),)
    yield from (_change(one, places) for one in impact.changes[:MAX_LISTED])
    yield from _more(len(impact.changes) - MAX_LISTED + impact.left_out.get("changes", 0), "change")


def _change(one: Change, places: Places) -> Line:
    place, other = places.node(one.unique_id), OTHERS
    style, sign = STYLES.get(one.change_class, other[0]), SIGNS.get(one.change_class, other[1])
    words = LABELS[one.change_class] + ("" if one.certain else " (possible)")
    if one.inherited:
        columns = _columns(one.columns, one.more_columns)
        return (f"{sign} {place.name}", DIM), (f" inherits {words}{f': {columns}' if columns else ''}", DIM)
    kind: Span = ("", "") if place.resource_type == "model" else (f" ({label(place.resource_type)})", DIM)
    return (f"{sign} {place.name}", style), kind, (f" {words}: ", DIM), (one.reason, "")


def _facts(unique_id: str, places: Places) -> str:
    """What a node is, and whose: "exposure, dashboard, owner Ann"."""
    place = places.node(unique_id)
    kind = "mart" if place.is_mart else label(place.resource_type)
    kind += f", {place.kind}" if place.kind and place.resource_type == "exposure" else ""
    owned = f", owner {place.owner}" if place.owner else f", group {place.group}" if place.group else ""
    return f"{kind}{owned}"


def _columns(names: Sequence[str], more: int) -> str:
    hidden = max(0, len(names) - MAX_COLUMNS) + more
    return ", ".join(names[:MAX_COLUMNS]) + (f" and {hidden:,} more" if hidden else "")


def _more(number: int, noun: str) -> Iterator[Line]:
    if number > 0:
        yield ((f"… and {count(number, f'more {noun}')}", DIM),)
