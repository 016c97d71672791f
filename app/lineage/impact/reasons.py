"""Why a change is one: a sentence for each class."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.plurals import plural
from app.lineage.impact.deltas import TypeChange
from app.lineage.impact.words import is_are, name, names, sentence

Sources = tuple[Sequence[str], Sequence[str]]
Via = Sequence[str] | None
"""Of columns that a node with the same SQL passes on: the nodes that they come from, empty if these are not known. None: its own SQL."""


def removed(node: str, columns: Sequence[str], via: Via) -> str:
    """Columns that are gone. `via`: see there."""
    return sentence(f"{names(columns, 'column')} {is_are(columns)} no longer {_of_kind(columns)} of {_passing(node, via)}")


def added(node: str, columns: Sequence[str], via: Via) -> str:
    """New columns."""
    return sentence(f"{names(columns, 'column')} {is_are(columns)} new in {_passing(node, via)}")


def renamed(node: str, columns: Sequence[str], new: Sequence[str], via: Via) -> str:
    """Columns with another name."""
    if len(columns) == 1:
        text = f"{name(columns[0])} of {name(node)} is now named {name(new[0])}"
    else:
        text = f"{names(columns, 'column')} of {name(node)} are now named {names(new, 'name')}"
    if via is None:
        return sentence(f"{text} and {'has' if len(columns) == 1 else 'have'} the same values")
    return sentence(f"{text}, as in {names(via, 'node')}" if via else f"{text}, as in what it reads")


def retyped(node: str, changes: Sequence[TypeChange]) -> str:
    """Columns of another type."""
    if len(changes) > 1:
        return sentence(f"{names([one.name for one in changes], 'column')} of {name(node)} have other types")
    [one] = changes
    if one.base is None or one.head is None:
        text = f"is now cast to {name(one.head or '')}" if one.base is None else f"is no longer cast to {name(one.base)}"
        return sentence(f"{name(one.name)} of {name(node)} {text}")
    return sentence(f"{name(one.name)} of {name(node)} is now {name(one.head)} instead of {name(one.base)}")


def logic(node: str, columns: Sequence[str], sources: Sources, *, certain: bool, inherited: bool) -> str:
    """Columns with other values. `sources`: the nodes that they come from only before and only now."""
    if not columns:
        return sentence(f"the code of {name(node)} changed, which may change any of its columns")
    verb = is_are(columns) if certain else "may be"
    text = f"{names(columns, 'column')} of {name(node)} {verb} computed in another way"
    before, now = sources
    if now:
        instead = f" instead of {names(before, 'node')}" if before else ""
        text = f"{text}, from {names(now, 'node')}{instead}"
    return sentence(f"{text}, although its own SQL is the same" if inherited else text)


def rows(node: str, *, certain: bool, inherited: bool) -> str:
    """Other rows."""
    if inherited:
        return sentence(f"{name(node)} may have other rows, because of other columns in what it reads")
    if certain:
        return sentence(f"{name(node)} selects its rows in another way: filters, joins, grouping or the like changed")
    return sentence(f"the SQL of {name(node)} changed in a way that may change which rows it has")


def reordered(node: str) -> str:
    """The same columns in another order."""
    return sentence(f"the columns of {name(node)} are in another order, which matters to readers that take them by position")


def _of_kind(columns: Sequence[str]) -> str:
    return "a column" if len(columns) == 1 else plural("column")


def _passing(node: str, via: Via) -> str:
    if via is None:
        return name(node)
    return f"{name(node)}, which passes on the columns of {names(via, 'node')}" if via else f"{name(node)}, which passes on what it reads"
