"""Every adapter that Freshet knows by name, one row each. Everything else about adapters is derived from this table.

The order of the rows is the order of preference: of several adapters that are equally likely, the first is taken. Postgres, DuckDB and
SQLite stand last, because they also serve as a developer's own database beside the real warehouse.

An adapter with a stub profile is built into runner images. The fields of a stub are constants, apart from known names of the database and
the schema: every node may depend on the fields of the connection, so another value is a full parse. What macros may build names of is
recognizable (`unknown`). What looks like a password is the word `none`, because adapters refuse a profile without one. Every supported
version of dbt accepts the same fields:
https://docs.getdbt.com/docs/core/connect-data-platform/about-core-connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.models.warehouse import unknown


class Sign(NamedTuple):
    """A config or a piece of SQL, in lower case, that is typical of one adapter."""

    literal: str
    weight: int
    pattern: str | None = None
    """A regular expression that must match as well; None: the literal is enough."""


class NameKeys(NamedTuple):
    """The keys of a profile with the names of the database and the schema, as dbt calls them for every adapter. The first is the stub's."""

    database: tuple[str, ...] = ("database", "dbname", "catalog", "project")
    """Empty: the adapter has none."""
    schema: tuple[str, ...] = ("schema", "dataset")
    default_database: str | None = None
    """The adapter's own, for a profile without one; None: there is none."""
    default_schema: str | None = None
    database_is_path: bool = False
    """Whether the database is the file at `path`, without its ending, unless the profile says otherwise."""


ANY_NAME_KEYS = NameKeys()


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter, as far as Freshet has to know it."""

    type: str
    """As in the `type` of a profile, and in `adapter_type` of dbt's manifest."""
    aliases: tuple[str, ...] = ()
    """Other names for it in profiles, distributions, tools' settings and package names, with `_` for `-`."""
    abbreviations: tuple[str, ...] = ()
    """Aliases that are too short to count as evidence in a package name."""
    by_type_only: bool = False
    """Whether its name counts as evidence in a profile only."""
    former_packages: tuple[str, ...] = ()
    """Its names on PyPI before it was `dbt-TYPE`."""
    built_on: str | None = None
    """The adapter that is installed along with it."""
    similar: tuple[str, ...] = ()
    """Adapters that can stand in for it, the most similar macros and configs first."""
    signs: tuple[Sign, ...] = ()
    stub: Mapping[str, Any] | None = None
    """The output of its stub profile, without `type`. None: it is not built into runner images."""
    names: NameKeys = ANY_NAME_KEYS
    no_release_for: frozenset[tuple[int, int]] = frozenset()
    """Minor versions of dbt for which it has no release."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Names on PyPI, the current one first."""
        return (f"dbt-{self.type}", *self.former_packages)


def _keys(*names: str) -> tuple[Sign, ...]:
    """One sign for each config name."""
    return tuple(Sign(name, 3, rf"\b{name}\b['\"]?\s*+[:=]") for name in names)


_POSTGRES, _SPARK, _TSQL, _TRINO = ("postgres", "redshift"), ("databricks", "spark"), ("sqlserver", "fabric"), ("trino", "athena")
_DATABASE, _SCHEMA = unknown("database"), unknown("schema")
_LOCALHOST = {"host": "localhost", "user": unknown("user"), "password": "none", "threads": 1}
_ODBC = {"driver": "ODBC Driver 18 for SQL Server", "authentication": "sql", "database": _DATABASE, "schema": _SCHEMA, "port": 1433}
_DATABASE_AND_SCHEMA = NameKeys(("database",), ("schema",))
_DBNAME = NameKeys(("dbname", "database"), ("schema",))
_CATALOG = NameKeys(("database", "catalog"), ("schema",))
_SCHEMA_ONLY = NameKeys((), ("schema", "database"))

ADAPTERS: tuple[Adapter, ...] = (
    Adapter(
        "snowflake",
        signs=(
            *_keys("snowflake_warehouse", "copy_grants", "query_tag", "target_lag", "transient", "automatic_clustering"),
            Sign("cluster_by", 3, r"\bcluster_by['\"]?\s*+[:=]\s*+(?:\[\s*+)?['\"][^'\"\]]{0,200}\("),
            Sign("::variant", 3),
            Sign("flatten", 3, r"lateral\s++flatten\s*+\(|\btable\s*+\(\s*+flatten\s*+\("),
            Sign("_ntz", 2, r"\btimestamp_ntz\b|\bto_timestamp_ntz\b"),
            Sign("object_construct", 2),
            Sign("try_parse_json", 2),
            Sign("snowflake.account_usage", 3),
            Sign("snowflake_", 2, r"\bsnowflake_(account|user|role|password|database)\b"),
        ),
        stub={
            "account": unknown("account"),
            "user": unknown("user"),
            "password": "none",
            "role": unknown("role"),
            "database": _DATABASE,
            "warehouse": unknown("warehouse"),
            "schema": _SCHEMA,
            "threads": 1,
        },
        names=_DATABASE_AND_SCHEMA,
    ),
    Adapter(
        "bigquery",
        abbreviations=("bq",),
        signs=(
            *_keys("require_partition_filter", "partition_expiration_days", "kms_key_name", "hours_to_expiration", "maximum_bytes_billed"),
            Sign("partition_by", 3, r"partition_by['\"]?\s*+[:=]\s*+\{\s*+['\"]?field|partition_by:\s++field\s*+:"),
            Sign("`", 3, r"\b(from|join)\s++`[a-z0-9][\w-]*\.[\w-]+\.[\w*-]+`"),
            Sign("safe_divide(", 2),
            Sign("_table_suffix", 3),
            Sign("except", 1, r"\*\s*+except\s*+\("),
            Sign("date_trunc", 2, r"\b(timestamp|date|datetime)_trunc\s*+\([^()']*,\s*+(day|week|month|quarter|year|hour)\b"),
            Sign("64", 2, r"\bas\s++(int64|float64)\b"),
            Sign("job-label", 2),
            Sign("bigquery_", 2, r"\bbigquery_(project|dataset|keyfile\w*)\b"),
        ),
        # This method takes a token as it is; the others look for credentials on the machine.
        stub={"method": "oauth-secrets", "token": "none", "project": _DATABASE, "dataset": _SCHEMA, "threads": 1},
        names=NameKeys(("project", "database"), ("dataset", "schema")),
    ),
    Adapter(
        "databricks",
        aliases=("databricks_sql", "databrickssql"),
        built_on="spark",
        similar=_SPARK,
        signs=(
            Sign("databricks_", 3, r"\bdatabricks_(tags|compute|host|token|http_path)\b"),
            *(Sign(name, 3) for name in ("liquid_clustered_by", "auto_liquid_cluster", "unity_catalog")),
            Sign("file_format", 3, r"\bfile_format['\"]?\s*+[:=]\s*+['\"]?delta"),
            Sign("tblproperties", 2, r"\btblproperties['\"]?\s*+[:=]"),
            Sign("partition_by", 1, r"\bpartition_by['\"]?\s*+[:=]\s*+\["),
        ),
        stub={
            "host": "localhost",
            "http_path": "/sql/1.0/warehouses/freshet",
            "token": "none",
            # Without a catalog, versions before 1.6 leave the database of every relation empty.
            "catalog": _DATABASE,
            "schema": _SCHEMA,
            "threads": 1,
        },
        names=NameKeys(("catalog", "database"), ("schema",), default_database="hive_metastore"),
    ),
    Adapter(
        "redshift",
        built_on="postgres",
        similar=_POSTGRES,
        signs=(
            Sign("dist", 3, r"\bdist(style|key)?['\"]?\s*+[:=]\s*+['\"]?\w"),
            Sign("sort", 3, r"\+sort(_type|key)?\s*+:|\bconfig\s*+\([^()]{0,2000}\bsort(_type|key)?\s*+="),
            Sign("json_extract_path_text", 1),
            Sign("late_binding", 2),
            Sign("bind", 2, r"\bbind\b['\"]?\s*+[:=]\s*+(false|true)"),
        ),
        stub={**_LOCALHOST, "port": 5439, "dbname": _DATABASE, "schema": _SCHEMA},
        names=_DBNAME,
    ),
    Adapter(
        "trino",
        similar=_TRINO,
        signs=(
            Sign("cross join unnest", 1, r"\bcross\s++join\s++unnest\s*+\("),
            Sign("from_iso8601_timestamp", 2),
            Sign("properties", 3, r"\bproperties\s*+=\s*+\{[^{}]{0,200}\b(partitioning|sorted_by)\b"),
            Sign("varbinary", 1),
            Sign("at_timezone(", 2),
        ),
        stub={
            "method": "none",
            "host": "localhost",
            "port": 8080,
            "user": unknown("user"),
            "database": _DATABASE,
            "schema": _SCHEMA,
            "threads": 1,
        },
        names=_CATALOG,
    ),
    Adapter(
        "athena",
        aliases=("athena_community",),
        former_packages=("dbt-athena-community",),
        similar=_TRINO,
        signs=(
            Sign("s3_data", 3, r"\bs3_data_(naming|dir)\b|\bs3_staging_dir\b"),
            Sign("table_type", 2, r"\btable_type['\"]?\s*+[:=]\s*+['\"]?(iceberg|hive)"),
            *_keys("partitioned_by", "lf_tags_config", "unique_tmp_table_suffix"),
        ),
        stub={
            "s3_staging_dir": "s3://freshet/staging/",
            "s3_data_dir": "s3://freshet/data/",
            "region_name": "us-east-1",
            "database": _DATABASE,
            "schema": _SCHEMA,
            "threads": 1,
        },
        names=_CATALOG,
    ),
    Adapter(
        "clickhouse",
        signs=(
            Sign("mergetree", 3, r"\bengine['\"]?\s*+[:=]\s*+['\"]?\w*mergetree"),
            Sign("tostartof", 3, r"\btostartof\w+\s*+\("),
            *(Sign(name, 2) for name in ("arrayjoin(", "uniqexact(", "toyyyymm(", "lowcardinality(", "todatetime(", "countif(")),
        ),
        stub={**_LOCALHOST, "port": 8123, "schema": _SCHEMA},
        names=_SCHEMA_ONLY._replace(default_schema="default"),
    ),
    Adapter(
        "spark",
        aliases=("sparksql",),
        similar=_SPARK,
        signs=(
            Sign("file_format", 3, r"\bfile_format['\"]?\s*+[:=]\s*+['\"]?(parquet|iceberg|hudi|orc)"),
            Sign("location_root", 1, r"\blocation_root['\"]?\s*+[:=]"),
            Sign("lateral view", 2, r"\blateral\s++view\s++(outer\s++)?explode"),
        ),
        # The method `session` needs PySpark, and `odbc` a driver.
        stub={"method": "thrift", "host": "localhost", "port": 10000, "user": unknown("user"), "schema": _SCHEMA, "threads": 1},
        names=_SCHEMA_ONLY,
    ),
    Adapter("synapse", built_on="fabric", similar=_TSQL),
    Adapter("fabric", similar=_TSQL, stub={**_LOCALHOST, **_ODBC}, names=_DATABASE_AND_SCHEMA),
    Adapter(
        "sqlserver",
        aliases=("mssql", "tsql", "sql_server", "sqlserver_core"),
        built_on="fabric",
        similar=_TSQL,
        signs=(
            Sign("as_columnstore", 3),
            Sign("nvarchar", 2),
            Sign("getdate()", 1),
            Sign("cross apply", 2, r"\b(cross|outer)\s++apply\b"),
            Sign("[", 3, r"\[(dbo|sys)\]\."),
            Sign("top", 2, r"\bselect\s++(?:distinct\s++)?top\s*+(?:\(\s*+)?\d"),
        ),
        stub={**_LOCALHOST, **_ODBC},
        names=_DATABASE_AND_SCHEMA,
        no_release_for=frozenset({(1, 5), (1, 6)}),
    ),
    Adapter("glue", built_on="spark", similar=_SPARK),
    *map(Adapter, ("starrocks", "oracle", "teradata")),
    Adapter("vertica", similar=_POSTGRES),
    *map(Adapter, ("dremio", "singlestore")),
    Adapter("mysql", aliases=("mysql5",)),
    *(Adapter(name, built_on="postgres", similar=_POSTGRES) for name in ("materialize", "risingwave", "greenplum")),
    *map(Adapter, ("exasol", "firebolt")),
    Adapter("fabricspark", built_on="spark", similar=_SPARK),
    Adapter("presto", similar=_TRINO),
    *(Adapter(name, similar=_SPARK) for name in ("impala", "hive")),
    Adapter("doris"),
    Adapter("db2", aliases=("ibmdb2",)),
    Adapter("ydb"),
    Adapter("databend", aliases=("databend_cloud",)),
    Adapter("maxcompute"),
    Adapter("saphanacloud", aliases=("sap_hana_cloud",)),
    Adapter("cratedb", similar=_POSTGRES),
    Adapter("layer_bigquery", built_on="bigquery", similar=("bigquery",)),
    Adapter("mariadb"),
    Adapter("yellowbrick", by_type_only=True, similar=_POSTGRES),
    Adapter("starburst", by_type_only=True, similar=_TRINO),
    Adapter(
        "postgres",
        aliases=("postgresql",),
        abbreviations=("pg",),
        similar=_POSTGRES,
        signs=(
            Sign("jsonb", 3, r"::jsonb\b|\bjsonb_\w+\s*\("),
            Sign("unlogged", 3, r"\bunlogged\b['\"]?\s*[:=]"),
            Sign("->>", 2),
            Sign("distinct on", 1, r"\bdistinct\s+on\s*\("),
        ),
        stub={**_LOCALHOST, "port": 5432, "dbname": _DATABASE, "schema": _SCHEMA},
        names=_DBNAME,
    ),
    Adapter(
        "duckdb",
        signs=(
            Sign("read_", 3, r"\bread_(csv|parquet|json)(_auto)?\s*\("),
            Sign("external", 3, r"\bmaterialized['\"]?\s*[:=]\s*['\"]?external\b|\bexternal_location\b"),
            Sign("strptime(", 1),
        ),
        stub={"path": f"{_DATABASE}.duckdb", "schema": _SCHEMA, "threads": 1},
        names=NameKeys(("database",), ("schema",), "memory", "main", database_is_path=True),
    ),
    Adapter("sqlite"),
)
DEFAULT = "duckdb"
"""The adapter if nothing in a project names one."""
LAST_RESORT = (DEFAULT, "postgres")
"""Stand-ins for an adapter without a similar one."""

BY_TYPE: Mapping[str, Adapter] = {adapter.type: adapter for adapter in ADAPTERS}
TYPES: Mapping[str, str] = {name: adapter.type for adapter in ADAPTERS for name in (*adapter.aliases, *adapter.abbreviations, adapter.type)}
"""Adapter types by each of their names."""
IN_IMAGES = frozenset(adapter.type for adapter in ADAPTERS if adapter.stub is not None)
"""The adapters that `Dockerfile.dbt` builds in by default."""


def in_images_for(minor: tuple[int, int]) -> frozenset[str]:
    """Return the adapters that a runner image with this dbt minor version can have."""
    return frozenset(name for name in IN_IMAGES if minor not in BY_TYPE[name].no_release_for)


def names_alike(adapter_type: str, stand_in: str) -> bool:
    """Whether a stand-in builds a table's name of the same parts. Of adapters that are not in images, that is not known."""
    known = BY_TYPE.get(adapter_type)
    return adapter_type in IN_IMAGES or (known is not None and stand_in in known.similar)


def preference(adapter_type: str) -> tuple[int, str]:
    """Sort key: the most likely adapter first, unknown ones last, by name."""
    known = BY_TYPE.get(adapter_type)
    return (ADAPTERS.index(known) if known and not known.by_type_only else len(ADAPTERS), adapter_type)
