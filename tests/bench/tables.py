"""The results of the benchmark of pushes, as Markdown."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CASES = {
    "first": "first extraction",
    "sql": "one SQL file changed",
    "yaml": "one YAML file changed",
    "added": "one model added",
    "entry": "an entry added to a YAML file",
    "renamed": "one model renamed, with all that mention it",
    "removed": "one model removed",
    "doc": "a doc block changed",
    "rare": "a macro changed that few models call",
    "macro": "a macro changed that many models call",
    "vars": "a variable changed in `dbt_project.yml`",
    "config": "configuration of all models changed in `dbt_project.yml`",
    "package": "another version of the package",
    "nothing": "nothing that dbt reads changed",
    "ten": "ten repositories at once, one SQL file each",
}
TARGETS = {(1000, "sql"): 10, (1000, "yaml"): 6, (1000, "first"): 2, (1000, "nothing"): 30, (5, "sql"): 5}
STAGES = {
    "clone / cloning": ("clone", ("cloning",)),
    "dbt / packages and parsing": ("dbt", ("installing_deps", "parsing", "columns")),
    "insert / storing": ("insert", ("storing",)),
}
"""Stages to compare: the script's, and Freshet's for the same work."""
BEGIN, END = "<!-- bench: made by `make bench` -->", "<!-- bench: end -->"

Stages = Mapping[str, float]


@dataclass(frozen=True)
class Pair:
    """One round of one case: seconds from start to end, and of each stage."""

    ours_s: float
    naive_s: float
    ours: Stages
    naive: Stages


Results = Mapping[tuple[int, str], Sequence[Pair]]
"""By models and case."""


def ratios(results: Results) -> str:
    """The table of whole pushes."""
    lines = ["| models | push | naive | Freshet | ratio of each round, median (spread) | target |", "|---|---|---|---|---|---|"]
    for (models, case), pairs in results.items():
        found = [pair.naive_s / pair.ours_s for pair in pairs]
        median, target = statistics.median(found), TARGETS.get((models, case))
        reached = "" if target is None else f"{target}×: {'reached' if median >= target else 'not reached'}"
        spread = f"**{median:.1f}×** ({min(found):.1f}–{max(found):.1f})"
        naive, ours = (_median(pairs, lambda pair, name=name: getattr(pair, name)) for name in ("naive_s", "ours_s"))  # type: ignore[misc]
        lines.append(f"| {models:,} | {CASES[case]} | {naive:.1f} s | {ours:.2f} s | {spread} | {reached} |")
    return "\n".join(lines)


def stages(results: Results) -> str:
    """The table of stages: the script's seconds / Freshet's = the factor by which Freshet is faster."""
    lines = [f"| models | push | {' | '.join(STAGES)} | all else |", f"|---|---|{'---|' * (len(STAGES) + 1)}"]
    for (models, case), pairs in results.items():
        if case == "ten":
            continue
        cells = [_cell(pairs, theirs, ours) for theirs, ours in STAGES.values()]
        rest = _median(pairs, lambda pair: pair.ours_s - sum(pair.ours.values()))
        lines.append(f"| {models:,} | {CASES[case]} | {' | '.join(cells)} | – / {rest:.2f} |")
    return "\n".join(lines)


def _cell(pairs: Sequence[Pair], theirs: str, ours: Sequence[str]) -> str:
    naive_s = _median(pairs, lambda pair: pair.naive[theirs])
    ours_s = _median(pairs, lambda pair: sum(pair.ours.get(stage, 0.0) for stage in ours))
    return f"{naive_s:.2f} / {ours_s:.2f}" + (f" = {naive_s / ours_s:.1f}×" if ours_s >= 0.005 else "")


def _median(pairs: Sequence[Pair], value: Callable[[Pair], float]) -> float:
    return statistics.median(value(pair) for pair in pairs)


def write(page: Path, text: str) -> None:
    """Write the tables between the marks of a page."""
    before, found, rest = page.read_text().partition(BEGIN)
    after = re.split(re.escape(END), rest, maxsplit=1)[-1]
    if not found or END not in rest:
        raise ValueError(f"{page} has no place for the tables, {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
