"""What the page of a node says of dbt's own runs: its last result with a small chart, and a word for each test and neighbour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.core.ages import ago, lasted
from app.core.plurals import count
from app.lineage.run_results import Verdict, verdict
from app.reports.result_words import word
from app.store.node_results import HISTORY, PastResult, StoredResult

CLASSES: Mapping[Verdict, str] = {"passed": "success", "failed": "failure", "warned": "running", "skipped": "skipped"}
"""Of `page.css`."""
HEIGHT, BAR, LEAST = 40, 10, 2
"""In units of the picture."""


class ResultMark(NamedTuple):
    """A result in a word, and when it was."""

    word: str
    css_class: str
    at: datetime


def marks(results: Iterable[StoredResult]) -> dict[str, ResultMark]:
    """By unique_id."""
    return {one.unique_id: ResultMark(word(one.unique_id, one.status), CLASSES[verdict(one.status)], one.at) for one in results}


def shown(result: StoredResult | None) -> dict[str, Any] | None:
    """What the template shows of the last result of the node."""
    if result is None:
        return None
    last = result.history[0]
    took = None if last.seconds is None else f"took {lasted(last.seconds)}"
    rows = count(last.failures, "row") if last.failures else None
    loaded = None if result.loaded_at is None else f"newest row loaded {ago(result.loaded_at)}"
    return {
        "mark": marks([result])[result.unique_id],
        "status": result.status,
        "facts": [fact for fact in (took, rows, loaded, _cost(result.history)) if fact],
        "message": result.message,
        **_chart(result.history),
    }


def _cost(history: Sequence[PastResult]) -> str | None:
    """What the runs of the history cost together, as far as the warehouse says so."""
    read, slots = sum(one.bytes or 0 for one in history), sum(one.slot_ms or 0 for one in history)
    parts = [f"{read / 1e9:,.2f} GB" if read else "", f"{slots / 3.6e6:,.2f} slot hours" if slots else ""]
    said = " and ".join(part for part in parts if part)
    return f"{said} in the last {count(len(history), 'run')}" if said else None


def _chart(newest_first: Sequence[PastResult]) -> dict[str, Any]:
    """Bars from the oldest to the newest; none for fewer than two."""
    timed = [(one, one.seconds) for one in reversed(newest_first) if one.seconds is not None]
    longest = max((seconds for _, seconds in timed), default=0.0)
    bars = [
        {
            "x": place * BAR,
            "height": max(LEAST, HEIGHT * seconds / longest) if longest else LEAST,
            "class": verdict(one.status),
            "label": f"{one.at:%Y-%m-%d %H:%M}: {one.status} in {lasted(seconds)}",
        }
        for place, (one, seconds) in enumerate(timed)
    ]
    return {"bars": bars if len(bars) > 1 else [], "longest": lasted(longest), "height": HEIGHT, "width": HISTORY * BAR, "bar": BAR}
