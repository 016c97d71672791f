"""Which exposures may break because a column is gone, or because a model breaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.lineage.impact.lost_columns import LostColumns
from app.lineage.impact.model import Break, BreakKind
from app.lineage.impact.words import name, names, sentence

UNBUILT: frozenset[BreakKind] = frozenset({"column_removed", "column_renamed", "column_count"})
"""Breaks of a node that cannot be built any more."""


def exposure_breaks(unique_id: str, lost: LostColumns) -> Iterator[Break]:
    """What an exposure reads of a table is not known: it may read what is gone."""
    for node in lost.upstream(unique_id):
        gone = list(lost.of(node).values())
        if gone:
            columns = [one.name for one in gone]
            text = f"the exposure {name(lost.head.name(unique_id))} may read {names(columns, 'column')} of {name(lost.head.name(node))}"
            end = "which it no longer has" if len(gone) > 1 or not gone[0].new_name else f"now named {name(gone[0].new_name)}"
            yield Break(
                unique_id=unique_id,
                kind="exposure",
                certain=False,
                reason=sentence(f"{text}, {end}"),
                cause=gone[0].root,
                column=gone[0].name if len(gone) == 1 else None,
            )


def exposures_of_broken(breaks: Iterable[Break], lost: LostColumns) -> Iterator[Break]:
    """Exposures of models that certainly break: they keep their old data, or none."""
    for one in breaks:
        if one.certain and one.kind in UNBUILT:
            for exposure in lost.exposures(one.unique_id):
                reason = sentence(f"{name(lost.head.name(exposure))} depends on {name(lost.head.name(one.unique_id))}, which breaks")
                yield Break(unique_id=exposure, kind="exposure", certain=False, reason=reason, cause=one.cause, column=one.column)
