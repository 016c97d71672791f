"""Whether two names of tables, as dbt writes them in two projects, are the name of one table.

Names alone are compared, because nobody says on which server they are: two servers with databases of one name look like one.
"""

from __future__ import annotations

import hashlib

from app.lineage.formats.relation_names import quoted_parts

KEY_BYTES = 16
_QUOTES = str.maketrans("", "", '"`[]')
CASE_SENSITIVE = frozenset({"bigquery", "clickhouse"})
"""Adapters of warehouses for which case counts in names, quoted or not."""
CASE_INSENSITIVE = frozenset(
    {"athena", "databricks", "duckdb", "fabric", "fabricspark", "glue", "redshift", "spark", "sqlite", "sqlserver", "synapse", "trino"}
)
"""Those for which it never counts. For the others, it counts in quotes."""
UPPER = frozenset({"db2", "exasol", "oracle", "saphanacloud", "snowflake"})
LOWER = frozenset({"alloydb", "cratedb", "firebolt", "greenplum", "hologres", "materialize", "postgres", "risingwave", "yellowbrick"})
"""Those that store names without quotes in upper and in lower case, and names in quotes as they are."""
FILES = frozenset({"duckdb", "sqlite"})
"""Those whose databases are files: one name is many databases."""
FOLDED = CASE_SENSITIVE | CASE_INSENSITIVE | UPPER | LOWER
"""Those of which it is known how names are folded."""


def search_key(name: str) -> bytes:
    """What all names of one table have in common: the same as `relation_key` in PostgreSQL. Names of different tables may have it, too."""
    return hashlib.sha256(name.translate(_QUOTES).encode().lower()).digest()[:KEY_BYTES]


def same_table(one: str, one_adapter: str | None, other: str, other_adapter: str | None) -> bool:
    """Whether both names have the same parts. Case counts if it does on both sides.

    >>> same_table("analytics.prod.orders", "snowflake", 'ANALYTICS."PROD".orders', "snowflake")
    True
    """
    mine, theirs = quoted_parts(one), quoted_parts(other)
    if not mine or len(mine) != len(theirs):
        return False
    return all(
        text == same or (text.casefold() == same.casefold() and not (_counts(quoted, one_adapter) and _counts(also, other_adapter)))
        for (text, quoted), (same, also) in zip(mine, theirs, strict=True)
    )


def names_one_table(one: str, one_adapter: str | None, other: str, other_adapter: str | None) -> bool:
    """The same, but folded as the warehouse folds, if both projects have the same one and it is known how.

    >>> names_one_table("raw.crm.orders", "snowflake", 'RAW.CRM."orders"', "snowflake")
    False
    """
    if one_adapter != other_adapter or one_adapter not in FOLDED:
        return same_table(one, one_adapter, other, other_adapter)
    mine = _folded(one, one_adapter)
    return mine != () and mine == _folded(other, one_adapter)


def same_warehouse(one_adapter: str | None, other_adapter: str | None) -> bool:
    """Whether two projects mean the same by the same name, as far as adapters say."""
    return one_adapter is not None and one_adapter == other_adapter and one_adapter not in FILES


def _folded(name: str, adapter: str) -> tuple[str, ...]:
    return tuple(_folded_part(text, quoted, adapter) for text, quoted in quoted_parts(name))


def _folded_part(text: str, quoted: bool, adapter: str) -> str:  # noqa: FBT001 - of one part
    if adapter in CASE_INSENSITIVE:
        return text.casefold()
    if quoted or adapter in CASE_SENSITIVE:
        return text
    return text.upper() if adapter in UPPER else text.lower()


def _counts(quoted: bool, adapter: str | None) -> bool:  # noqa: FBT001 - of one part
    return adapter in CASE_SENSITIVE or (quoted and adapter not in CASE_INSENSITIVE)
