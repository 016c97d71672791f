"""What goes into the engine and what comes out of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

EXACT = "exact"
APPROXIMATE = "approximate"
UNKNOWN = "unknown"


class Column(NamedTuple):
    """A column: its name as written in the SQL or in YAML, and its type where the SQL states one.

    `value`: the digest of what it is made of (see `digests`), of a query's columns only.
    """

    name: str
    type: str | None = None
    value: str | None = None


class Table(NamedTuple):
    """A relation that SQL may read.

    `open`: it may have more columns than these. `ordered`: the columns are in the warehouse's order, so that set operations
    may match them by position. `lacks`: keys of columns that it does not have, although it is open: those that its star leaves out.
    """

    unique_id: str
    columns: tuple[Column, ...]
    open: bool = False
    ordered: bool = True
    lacks: tuple[str, ...] = ()


class Catalog(Protocol):
    """The tables of a dbt project."""

    def table(self, parts: tuple[tuple[str, bool], ...]) -> Table | None:
        """Look up `(name, quoted)` per part, database first, as in the SQL; None when dbt's graph does not have the table."""

    def ephemeral(self, cte_name: str) -> Table | None:
        """Look up the ephemeral model that dbt inlined under this name, for example `__dbt__cte__orders`."""


class Edge(NamedTuple):
    """`column` depends on `upstream_column`; `column` is None when all rows of the model depend on it."""

    upstream: str
    upstream_column: str
    column: str | None
    subtype: str
    certain: bool


class Star(NamedTuple):
    """All columns of an open table but `excluded` ones: any other name may be one of its columns, but for sure only if `certain`.

    `mark`: which one of several readings of the table it is, for digests.
    """

    unique_id: str
    excluded: tuple[str, ...]
    certain: bool = True
    mark: str = ""


class Analysis(NamedTuple):
    """The columns of one model and what they depend on.

    `open`: there may be more columns, because of a star over an open table. They are described by `rest`: one group for each
    branch of a union; within a group, one of the stars provides the column.
    `ordered`: the columns are in the order of the SQL. `hard_coded`: tables that dbt's graph does not have.
    `used`: unique_ids of the tables that the SQL reads. `demands`: the columns that it reads of open tables beyond the known
    ones, by unique_id. `shown`: keys of columns that open tables certainly have by what the SQL alone says; `doubts`: keys of those
    that several open tables may have. Both by unique_id. `sql`, `rows`: digests of the whole query, and of what decides which rows it
    has (see `digests`). `missing`: names of columns that the query reads and that nothing has. `uneven`: columns that meet by
    position, in a set operation or under a list of names, are not as many as they have to be.
    """

    status: str
    reason: str | None
    columns: tuple[Column, ...] = ()
    open: bool = False
    ordered: bool = True
    edges: tuple[Edge, ...] = ()
    hard_coded: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    demands: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - nobody changes an analysis
    rest: tuple[tuple[Star, ...], ...] = ()
    shown: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    doubts: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    sql: str | None = None
    rows: str | None = None
    missing: tuple[str, ...] = ()
    uneven: bool = False
