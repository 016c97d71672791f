"""What `docs/accuracy.md` says of impact, and the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.accuracy.impact import judging
from tests.accuracy.impact.judging import Judged, Tally
from tests.accuracy.impact.public import EditedSides
from tests.accuracy.page import table
from tests.accuracy.scores import percent

TARGETS = {
    judging.CERTAIN_BREAKS: 1.0,
    judging.CERTAIN_COLUMNS: 1.0,
    judging.SILENT: 1.0,
    judging.BREAKS: 0.99,
    judging.FOUND["removed"]: 0.99,
    judging.FOUND["renamed"]: 0.99,
    judging.FOUND["retyped"]: 0.99,
    judging.FOUND["added"]: 0.99,
    judging.DATA_OF_X: 0.99,
    judging.DATA_BELOW: 0.99,
    judging.COLUMNS_BELOW: 0.99,
}
"""Count → the share to reach; other counts are shown only."""
ORDER = (
    *(judging.CERTAIN_BREAKS, judging.BREAKS, judging.SURE_BREAKS, judging.OTHER_BREAKS, judging.OTHER_NAMED, judging.CERTAIN_COLUMNS),
    *judging.FOUND.values(),
    *(judging.DATA_OF_X, judging.DATA_BELOW, judging.COLUMNS_BELOW, judging.EQUAL, judging.SILENT),
)


def sections(found: Judged, edited: Sequence[EditedSides]) -> list[str]:
    """Both parts."""
    return [_generated(found), _edits(edited)]


def _generated(found: Judged) -> str:
    rows = [_row(one, found.tallies[one]) for name in ORDER for one in (name, name + judging.OPEN) if one in found.tallies]
    changes = ", ".join(f"{name} {number}" for name, number in found.projects.items())
    title = "### Changes of generated projects, both sides in DuckDB"
    said = f"{found.projects.total():,} projects with one change each: {changes}."
    return "\n\n".join([title, said, table(["", "number", "share", "target"], rows)])


def _row(name: str, tally: Tally) -> list[str]:
    share = percent(tally.share) if tally.total else "–"
    return [name, f"{tally.total:,}", share, percent(TARGETS[name]) if name in TARGETS else ""]


def _edits(found: Sequence[EditedSides]) -> str:
    head = [
        "project",
        "nodes",
        "edits",
        "files",
        "findings",
        "edited macros",
        "models with other compiled SQL",
        "of these named",
        "others named",
    ]
    rows = [_edited(one) for one in found if not one.missing]
    rows += [[one.name, f"not measured: {one.missing}", *[""] * 7] for one in found if one.missing]
    kinds = {name: sum(one.edits[name] for one in found) for one in found for name in one.edits}
    listed = table(["edit", "number"], [[name, f"{number:,}"] for name, number in sorted(kinds.items())])
    return f"### Edits of public projects that say nothing\n\n{table(head, rows)}\n\n{listed}"


def _edited(one: EditedSides) -> list[str]:
    both = one.named & one.compiled
    counts = (one.nodes, one.edits.total(), one.files, len(one.findings), one.macros, len(one.compiled), len(both))
    return [one.name, *(f"{number:,}" for number in counts), f"{len(one.named - one.compiled):,}"]


def shares(found: Judged, edited: Iterable[EditedSides]) -> dict[str, tuple[float, float]]:
    """What has targets: the share reached, and the target."""
    reached = {f"impact: {name}": (found.share(name), target) for name, target in TARGETS.items()}
    for one in edited:
        if not one.missing:
            reached[f"impact: edits without a finding in {one.name}"] = (1.0 - len(one.findings) / max(1, one.nodes), 1.0)
            reached[f"impact: models of edited macros in {one.name}"] = (_overlap(one.named, one.compiled), 1.0)
    return reached


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def faults(found: Judged, edited: Iterable[EditedSides]) -> list[str]:
    """Examples of what was not right, a few of each count."""
    said = [f"{name}: {text}" for name in TARGETS for text in found.faults.get(name, [])[:5]]
    for one in edited:
        said += [f"{one.name}: {text}" for text in one.findings[:10]]
        said += [f"{one.name}, edited macros: {name} is named" for name in sorted(one.named - one.compiled)[:5]]
        said += [f"{one.name}, edited macros: {name} is not named" for name in sorted(one.compiled - one.named)[:5]]
    return said
