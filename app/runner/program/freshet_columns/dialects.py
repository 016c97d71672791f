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
    """`lateral`: how projections see earlier aliases; `where`: how WHERE does."""

    dialect: str
    folding: Folding
    lateral: str
    where: str
    implicit_lateral: bool
    implicit_recursion: bool


_LATERAL = dict.fromkeys(("databricks", "duckdb", "redshift", "snowflake", "spark"), AFTER)
_WHERE = dict.fromkeys(("duckdb", "snowflake"), AFTER)


@lru_cache(maxsize=32)
def facts(dialect: str) -> Facts:
    """The facts of a sqlglot dialect."""
    clickhouse = dialect == "clickhouse"
    return Facts(
        dialect,
        Folding(dialect),
        BEFORE if clickhouse else _LATERAL.get(dialect, NONE),
        BEFORE if clickhouse else _WHERE.get(dialect, NONE),
        implicit_lateral=dialect == "duckdb",
        implicit_recursion=dialect in ("tsql", "fabric", "snowflake"),
    )
