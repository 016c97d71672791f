"""What a commit does to the quality of its project, in a line.

"Quality 71 (+2): 2 more undocumented columns that 3 exposures depend on." It is made of what `pipeline.quality` keeps with a result:

    {"score": 71.2, "shown": true, "base": "1a2b3c4…", "base_score": 69.0,
     "dimensions": {"column_descriptions": {"more": 2, "fewer": 0, "exposures": 3}}, "findings": {"source_fanout": 1}}

Without a comparison there are only the first two keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.core.models.extractions import Extraction
from app.core.models.quality import DIMENSIONS, RULES
from app.core.plurals import count

MAX_PARTS = 3


def line(extraction: Extraction) -> str:
    """Empty if there is nothing to say: nothing changed, and the commit is not of the followed branch, or has no score."""
    found = extraction.result.get("quality") or {}
    if not found.get("shown"):
        return ""
    parts = [*_parts(found)]
    score = found.get("score")
    if not parts and not (extraction.followed and score):
        return ""
    head = "Quality" if score is None else f"Quality {score:.0f}{_difference(score, found.get('base_score'))}"
    return f"{head}: {_listed(parts)}." if parts else f"{head}."


def _difference(score: float, before: float | None) -> str:
    if before is None or not (difference := round(score - before, 1)):
        return ""
    size = f"{abs(difference):.0f}" if abs(difference) >= 1 else f"{abs(difference):.1f}"
    sign = "+" if difference > 0 else "\N{MINUS SIGN}"
    return f" ({sign}{size})"


def _parts(found: Mapping[str, Any]) -> Iterator[str]:
    """What is worse, then what is better: first what most exposures depend on."""
    changed, looked = found.get("dimensions") or {}, found.get("findings") or {}
    dimensions = [(name, changed[name]) for name in DIMENSIONS if name in changed]
    rules = [(row, looked[name]) for name, row in RULES.items() if name in looked]
    for name, one in sorted(dimensions, key=lambda pair: -pair[1]["exposures"]):
        if number := one["more"]:
            yield f"{number:,} more {_of(DIMENSIONS[name].lacks, number)}{_exposures(one['exposures'])}"
    yield from (f"{number:,} more {_of(row, number)}" for row, number in rules if number > 0)
    for name, one in dimensions:
        if number := one["fewer"]:
            yield f"{number:,} fewer {_of(DIMENSIONS[name].lacks, number)}"
    yield from (f"{-number:,} fewer {_of(row, -number)}" for row, number in rules if number < 0)


def _of(words: tuple[str, str], number: int) -> str:
    return words[number != 1]


def _exposures(number: int) -> str:
    return f" that {count(number, 'exposure')} {'depends' if number == 1 else 'depend'} on" if number else ""


def _listed(parts: list[str]) -> str:
    rest = len(parts) - MAX_PARTS
    more = f", and {count(rest, 'more change')}" if rest > 0 else ""
    return f"{', '.join(parts[:MAX_PARTS])}{more}"
