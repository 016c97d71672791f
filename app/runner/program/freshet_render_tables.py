"""Results of queries that were not run: empty tables with the query's columns, that tell when somebody looks at their rows."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import agate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HELPERS = ("dbt_common.clients.agate_helper", "dbt.clients.agate_helper")
FALLBACK = "column_0"
"""Macros that take the first column of whatever they get: the name of one whose query cannot be read."""


class WatchedRows(agate.MappedSequence):
    """No rows. Everything that agate knows about rows and values of columns it takes from here."""

    def __init__(self, looked: Callable[[], None]) -> None:
        super().__init__(())
        self._looked = looked

    def __iter__(self) -> Iterator[Any]:  # noqa: D105 - a list's
        self._looked()
        return iter(())

    def __len__(self) -> int:  # noqa: D105 - a list's
        self._looked()
        return 0

    def __getitem__(self, key: Any) -> Any:  # noqa: D105 - a list's
        self._looked()
        return super().__getitem__(key)

    def values(self) -> tuple:
        """Return nothing, and tell."""
        self._looked()
        return ()


class WatchedMatrix(list):
    """The same rows as a list, for `load_result(...)['data']`."""

    def __init__(self, rows: WatchedRows) -> None:
        super().__init__()
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:  # noqa: D105 - a list's
        return iter(self._rows)

    def __len__(self) -> int:  # noqa: D105 - a list's
        return len(self._rows)

    def __getitem__(self, key: Any) -> Any:  # noqa: D105 - a list's
        len(self._rows)
        return super().__getitem__(key)


class WatchedTable(agate.Table):
    """An empty table."""

    def __init__(self, names: list, looked: Callable[[], None], looked_at_names: Callable[[], None]) -> None:
        """`looked_at_names` is called when the columns are asked for."""
        kind = agate.Text()
        distinct = list(dict.fromkeys(names)) or [FALLBACK]
        super().__init__([], distinct, [kind] * len(distinct), _is_fork=True)
        self._rows = WatchedRows(looked)
        columns = [agate.Column(number, name, kind, self._rows) for number, name in enumerate(distinct)]
        self._columns = agate.MappedSequence(columns, self._column_names)
        self._looked_at_names = looked_at_names

    @property
    def columns(self) -> agate.MappedSequence:
        """The columns."""
        self._looked_at_names()
        return self._columns

    @property
    def column_names(self) -> tuple:
        """The names of the columns."""
        self._looked_at_names()
        return tuple(self._column_names)


def table(names: list, rows: list) -> agate.Table:
    """A table of rows by column, as dbt's are."""
    kind = agate.Text()
    distinct = list(dict.fromkeys(names)) or [FALLBACK]
    return agate.Table([[row.get(name) for name in distinct] for row in rows], distinct, [kind] * len(distinct))


def install() -> None:
    """Make dbt's `load_result` tell too."""
    for name in HELPERS:
        with suppress(ImportError, AttributeError):
            # dbt may import it only when it has the first result.
            helper = importlib.import_module(name)
            if not getattr(helper.as_matrix, "freshet", False):
                helper.as_matrix = _behind(helper.as_matrix)


def _behind(as_matrix: Callable) -> Callable:
    def matrix(table: agate.Table) -> list:
        return WatchedMatrix(table._rows) if isinstance(table, WatchedTable) else as_matrix(table)  # noqa: SLF001

    matrix.freshet = True
    return matrix
