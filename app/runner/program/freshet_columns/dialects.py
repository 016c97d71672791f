"""What differs between the warehouses beyond syntax."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from freshet_columns.names import Folding

DIALECTS: dict[str, str] = {
    "athena": "athena",
    "bigquery": "bigquery",
    "clickhouse": "clickhouse",
    "databricks": "databricks",
    "duckdb": "duckdb",
    "fabric": "fabric",
    "postgres": "postgres",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "spark": "spark",
    "sqlserver": "tsql",
    "trino": "trino",
}
"""sqlglot's dialect by dbt's adapter type."""

NONE, AFTER, BEFORE = "none", "after", "before"
"""Whether a clause sees the aliases of the projection: not at all, where no column has the name, or before the columns."""


class Facts(NamedTuple):
    """How clauses see aliases: `lateral` is for later projections, `where` for WHERE, `group` for GROUP BY, `having` also for QUALIFY.

    `prefers_left`: of two tables with a column, a join takes the left one's, where other warehouses refuse the query.
    """

    dialect: str
    folding: Folding
    lateral: str
    where: str
    group: str
    having: str
    implicit_lateral: bool
    implicit_recursion: bool
    prefers_left: bool


_LATERAL = dict.fromkeys(("databricks", "duckdb", "redshift", "snowflake", "spark"), AFTER)
_WHERE = dict.fromkeys(("duckdb", "snowflake"), AFTER)
_GROUP = {**dict.fromkeys(("bigquery", "clickhouse"), BEFORE), **dict.fromkeys(("trino", "athena", "tsql", "fabric"), NONE)}


@lru_cache(maxsize=32)
def facts(dialect: str) -> Facts:
    """The facts of a sqlglot dialect."""
    clickhouse = dialect == "clickhouse"
    return Facts(
        dialect,
        Folding(dialect),
        BEFORE if clickhouse else _LATERAL.get(dialect, NONE),
        BEFORE if clickhouse else _WHERE.get(dialect, NONE),
        _GROUP.get(dialect, AFTER),
        BEFORE if _GROUP.get(dialect) == BEFORE else AFTER,
        implicit_lateral=dialect == "duckdb",
        implicit_recursion=dialect in ("tsql", "fabric", "snowflake"),
        prefers_left=clickhouse,
    )
