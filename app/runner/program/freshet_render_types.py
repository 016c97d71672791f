"""Texts in the place of unknown ones, as macros get them: types of columns, variables. They say when a macro decides by them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SAME = ("lower", "upper", "casefold", "strip", "title", "capitalize", "replace")
COMPARED = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__", "startswith", "endswith", "find", "index", "count")
PARTED = ("split", "partition", "rpartition", "rsplit", "__getitem__", "__len__")


class UnknownText(str):
    """A text that stands for an unknown one. Macros that write it into SQL change nothing; those that compare it do."""

    __slots__ = ("looked",)
    looked: Callable[[], None]

    def __hash__(self) -> int:
        """The text's."""
        return str.__hash__(self)


def unknown(text: str, looked: Callable[[], None]) -> UnknownText:
    """`looked` is called whenever the text is compared."""
    found = UnknownText(text)
    found.looked = looked
    return found


def variable(value: Any, looked: Callable[[], None]) -> Any:
    """A placeholder for a variable. There is no use of a truth or an empty list but to decide by it."""
    if isinstance(value, str):
        return unknown(value, looked)
    if isinstance(value, (bool, list, dict)) and (not value or value is True):
        looked()
    return value


def watched(column: Any, looked: Callable[[], None]) -> Any:
    """The adapter's column, with an unknown type."""
    column.dtype = unknown(column.dtype, looked)
    column.__class__ = _kind(type(column))
    return column


@functools.cache
def _kind(kind: type) -> type:
    """The adapter's class of columns, of which `data_type` looks at the type without deciding anything."""
    return type(kind.__name__, (kind,), {"data_type": property(lambda column: _spelled(kind, column))})


def _spelled(kind: Any, column: Any) -> UnknownText:
    looked = column.dtype.looked
    column.dtype.looked = lambda: None
    try:
        return unknown(kind.data_type.fget(column), looked)
    finally:
        column.dtype.looked = looked


def _same(name: str) -> Callable:
    def method(text: UnknownText, *arguments: Any) -> UnknownText:
        return unknown(getattr(str, name)(text, *arguments), text.looked)

    return method


def _looking(name: str) -> Callable:
    def method(text: UnknownText, *arguments: Any) -> Any:
        text.looked()
        return getattr(str, name)(text, *arguments)

    return method


for _name in SAME:
    setattr(UnknownText, _name, _same(_name))
for _name in (*COMPARED, *PARTED):
    setattr(UnknownText, _name, _looking(_name))
