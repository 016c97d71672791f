"""Why a change is one: a sentence for each class."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.plurals import plural
from app.lineage.impact.deltas import TypeChange
from app.lineage.impact.words import is_are, name, names, sentence

Sources = tuple[Sequence[str], Sequence[str]]
UNKNOWN_TYPE = "a type that the SQL does not state"


def removed(node: str, columns: Sequence[str], *, inherited: bool) -> str:
    """Columns that are gone."""
    text = f"{names(columns, 'column')} {is_are(columns)} no longer {plural_of(columns)} of {name(node)}"
    return sentence(f"{text}, because what it selects everything from lost {them(columns)}" if inherited else text)


def added(node: str, columns: Sequence[str], *, inherited: bool) -> str:
    """New columns."""
    text = f"{names(columns, 'column')} {is_are(columns)} new in {name(node)}"
    return sentence(f"{text}, because what it selects everything from has {them(columns)} now" if inherited else text)


def renamed(node: str, columns: Sequence[str], new: Sequence[str], *, inherited: bool) -> str:
    """Columns with another name."""
    if len(columns) == 1:
        text = f"{name(columns[0])} of {name(node)} is now named {name(new[0])} and has the same values"
    else:
        text = f"{names(columns, 'column')} of {name(node)} are now named {names(new, 'name')} and have the same values"
    return sentence(f"{text}, because what it selects everything from renamed {them(columns)}" if inherited else text)


def retyped(node: str, changes: Sequence[TypeChange]) -> str:
    """Columns of another type."""
    if len(changes) == 1:
        [one] = changes
        return sentence(f"{name(one.name)} of {name(node)} is now {_type(one.head)} instead of {_type(one.base)}")
    return sentence(f"{names([one.name for one in changes], 'column')} of {name(node)} have other types")


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
        return sentence(f"what decides which rows {name(node)} has changed: its filters, joins, grouping or the like")
    return sentence(f"the SQL of {name(node)} changed in a way that may change which rows it has")


def reordered(node: str) -> str:
    """The same columns in another order."""
    return sentence(f"the columns of {name(node)} are in another order, which matters to readers that take them by position")


def plural_of(columns: Sequence[str]) -> str:
    """`a column` or `columns`."""
    return "a column" if len(columns) == 1 else plural("column")


def them(columns: Sequence[str]) -> str:
    """The pronoun."""
    return "it" if len(columns) == 1 else "them"


def _type(text: str | None) -> str:
    return UNKNOWN_TYPE if text is None else name(text)
