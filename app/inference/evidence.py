"""What the files around a dbt project say of the adapter that it is for: distributions, CI files, configs and dialects of SQL.

Names of adapters are those of dbt, as `type:` of a profile has them.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache

PREFERENCE = (
    *("snowflake", "bigquery", "databricks", "redshift", "trino", "athena", "clickhouse", "spark", "synapse", "fabric", "sqlserver"),
    *("glue", "starrocks", "oracle", "teradata", "vertica", "dremio", "singlestore", "mysql", "materialize", "risingwave", "greenplum"),
    *("exasol", "firebolt", "fabricspark", "presto", "impala", "hive", "doris", "db2", "ydb", "databend", "maxcompute", "saphanacloud"),
    *("cratedb", "layer_bigquery", "mariadb", "postgres", "duckdb", "sqlite"),
)
"""The adapters that are known by name. Of several that are equally likely the first is taken: the last three also serve as a
developer's own database beside the real warehouse."""
ALIASES: Mapping[str, str] = {
    "postgresql": "postgres",
    "pg": "postgres",
    "databricks_sql": "databricks",
    "databrickssql": "databricks",
    "mssql": "sqlserver",
    "tsql": "sqlserver",
    "sql_server": "sqlserver",
    "sqlserver_core": "sqlserver",
    "athena_community": "athena",
    "bq": "bigquery",
    "sparksql": "spark",
    "ibmdb2": "db2",
    "databend_cloud": "databend",
    "mysql5": "mysql",
    "sap_hana_cloud": "saphanacloud",
}
STANDS_ON: Mapping[str, str] = {
    "redshift": "postgres",
    "materialize": "postgres",
    "risingwave": "postgres",
    "greenplum": "postgres",
    "databricks": "spark",
    "glue": "spark",
    "fabricspark": "spark",
    "synapse": "fabric",
    "sqlserver": "fabric",
    "layer_bigquery": "bigquery",
}
"""Adapters that are installed along with another one which is built on them."""

Dialect = tuple[str, str, str | None, int]

DIALECTS: tuple[Dialect, ...] = (
    # adapter, a literal that has to be there, the pattern (None: the literal is enough), weight
    *(("snowflake", key, rf"\b{key}\b['\"]?\s*[:=]", 3) for key in ("snowflake_warehouse", "copy_grants", "query_tag", "target_lag")),
    *(("snowflake", key, rf"\b{key}\b['\"]?\s*[:=]", 3) for key in ("transient", "automatic_clustering")),
    ("snowflake", "cluster_by", r"\bcluster_by['\"]?\s*[:=]\s*\[?\s*['\"][^'\"\]]{0,200}\(", 3),
    ("snowflake", "::variant", None, 3),
    ("snowflake", "flatten", r"lateral\s+flatten\s*\(|\btable\s*\(\s*flatten\s*\(", 3),
    ("snowflake", "_ntz", r"\btimestamp_ntz\b|\bto_timestamp_ntz\b", 2),
    ("snowflake", "object_construct", None, 2),
    ("snowflake", "try_parse_json", None, 2),
    ("snowflake", "snowflake.account_usage", None, 3),
    ("snowflake", "snowflake_", r"\bsnowflake_(account|user|role|password|database)\b", 2),
    *(("bigquery", key, rf"\b{key}\b['\"]?\s*[:=]", 3) for key in ("require_partition_filter", "partition_expiration_days")),
    *(("bigquery", key, rf"\b{key}\b['\"]?\s*[:=]", 3) for key in ("kms_key_name", "hours_to_expiration", "maximum_bytes_billed")),
    ("bigquery", "partition_by", r"partition_by['\"]?\s*[:=]\s*\{\s*['\"]?field|partition_by:\s*\n\s+field\s*:", 3),
    ("bigquery", "`", r"\b(from|join)\s+`[a-z0-9][\w-]*\.[\w-]+\.[\w*-]+`", 3),
    ("bigquery", "safe_divide(", None, 2),
    ("bigquery", "_table_suffix", None, 3),
    ("bigquery", "except", r"\*\s*except\s*\(", 1),
    ("bigquery", "date_trunc", r"\b(timestamp|date|datetime)_trunc\s*\([^()']*,\s*(day|week|month|quarter|year|hour)\b", 2),
    ("bigquery", "64", r"\bas\s+(int64|float64)\b", 2),
    ("bigquery", "job-label", None, 2),
    ("bigquery", "bigquery_", r"\bbigquery_(project|dataset|keyfile\w*)\b", 2),
    ("redshift", "dist", r"\bdist(style|key)?['\"]?\s*[:=]\s*['\"]?\w", 3),
    ("redshift", "sort", r"\+sort(_type|key)?\s*:|\bconfig\s*\([^)]{0,2000}\bsort(_type|key)?\s*=", 3),
    ("redshift", "json_extract_path_text", None, 1),
    ("redshift", "late_binding", None, 2),
    ("redshift", "bind", r"\bbind\b['\"]?\s*[:=]\s*(false|true)", 2),
    ("postgres", "jsonb", r"::jsonb\b|\bjsonb_\w+\s*\(", 3),
    ("postgres", "unlogged", r"\bunlogged\b['\"]?\s*[:=]", 3),
    ("postgres", "->>", None, 2),
    ("postgres", "distinct on", r"\bdistinct\s+on\s*\(", 1),
    ("databricks", "databricks_", r"\bdatabricks_(tags|compute|host|token|http_path)\b", 3),
    *(("databricks", key, None, 3) for key in ("liquid_clustered_by", "auto_liquid_cluster", "unity_catalog")),
    ("databricks", "file_format", r"\bfile_format['\"]?\s*[:=]\s*['\"]?delta", 3),
    ("databricks", "tblproperties", r"\btblproperties['\"]?\s*[:=]", 2),
    ("databricks", "partition_by", r"\bpartition_by['\"]?\s*[:=]\s*\[", 1),
    ("spark", "file_format", r"\bfile_format['\"]?\s*[:=]\s*['\"]?(parquet|iceberg|hudi|orc)", 3),
    ("spark", "location_root", r"\blocation_root['\"]?\s*[:=]", 1),
    ("spark", "lateral view", r"\blateral\s+view\s+(outer\s+)?explode", 2),
    ("athena", "s3_data", r"\bs3_data_(naming|dir)\b|\bs3_staging_dir\b", 3),
    ("athena", "table_type", r"\btable_type['\"]?\s*[:=]\s*['\"]?(iceberg|hive)", 2),
    *(("athena", key, rf"\b{key}\b['\"]?\s*[:=]", 3) for key in ("partitioned_by", "lf_tags_config", "unique_tmp_table_suffix")),
    ("trino", "cross join unnest", r"\bcross\s+join\s+unnest\s*\(", 1),
    ("trino", "from_iso8601_timestamp", None, 2),
    ("trino", "properties", r"\bproperties\s*=\s*\{[^}]{0,200}\b(partitioning|sorted_by)\b", 3),
    ("trino", "varbinary", None, 1),
    ("trino", "at_timezone(", None, 2),
    ("clickhouse", "mergetree", r"\bengine['\"]?\s*[:=]\s*['\"]?\w*mergetree", 3),
    ("clickhouse", "tostartof", r"\btostartof\w+\s*\(", 3),
    *(("clickhouse", key, None, 2) for key in ("arrayjoin(", "uniqexact(", "toyyyymm(", "lowcardinality(", "todatetime(", "countif(")),
    ("duckdb", "read_", r"\bread_(csv|parquet|json)(_auto)?\s*\(", 3),
    ("duckdb", "external", r"\bmaterialized['\"]?\s*[:=]\s*['\"]?external\b|\bexternal_location\b", 3),
    ("duckdb", "strptime(", None, 1),
    ("sqlserver", "as_columnstore", None, 3),
    ("sqlserver", "nvarchar", None, 2),
    ("sqlserver", "getdate()", None, 1),
    ("sqlserver", "cross apply", r"\b(cross|outer)\s+apply\b", 2),
    ("sqlserver", "[", r"\[(dbo|sys)\]\.", 3),
    ("sqlserver", "top", r"\bselect\s+(distinct\s+)?top\s*\(?\s*\d", 2),
)
"""Configs and words of SQL (in lower case) that one adapter has and most others have not."""
CLEAR = 3
"""A score is clear from here on, and when it is at least twice the next one."""

_PROFILES = re.compile(r"([a-z0-9]+[._-]){0,2}profiles([._-][a-z0-9]+){0,2}\.ya?ml([._-][a-z0-9]+){0,2}")
_REQUIREMENTS = re.compile(
    r"([a-z0-9]+[._-])*requirements?([._-][a-z0-9]+)*\.(txt|in|pip)|constraints\.txt|pyproject\.toml|pipfile|setup\.(py|cfg)|meltano\.yml"
    r"|(conda[._-]?)?env(ironment)?([._-][a-z0-9]+)*\.ya?ml|(uv|poetry|pdm|pipfile)\.lock|pylock\.toml|(.*[._-])?dockerfile([._-].*)?"
    r"|containerfile"
)
_ENDINGS = (".yml", ".yaml", ".txt", ".in", ".pip", ".toml", ".lock", ".cfg", "setup.py", ".ini", ".sqlfluff")
"""Names without any of them, and without `file`, tell nothing: most have none."""
_CI = re.compile(r"\.(github/(workflows|actions)|gitlab|circleci|azure-pipelines|azuredevops|buildkite)/.*\.ya?ml")
_CI_NAME = re.compile(
    r"\.gitlab-ci\.yml|azure-pipelines.*\.ya?ml|bitbucket-pipelines\.yml|buildspec.*\.ya?ml|cloudbuild.*\.ya?ml|jenkinsfile|makefile|justfile"
    r"|taskfile\.ya?ml|(docker-)?compose.*\.ya?ml|\.pre-commit-config\.ya?ml|\.sqlfluff|tox\.ini|\.travis\.yml"
)
_DISTRIBUTION = re.compile(r"(?<![\w@-])dbt[-_]([a-z0-9]+(?:[-_][a-z0-9]+){0,2})", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_TYPE = re.compile(r"^[ \t]*type:[ \t]*[\"']?(\w+)", re.MULTILINE)
_SQL_DIALECT = re.compile(r"^[ \t]*dialect[ \t]*[:=][ \t]*[\"']?(\w+)", re.MULTILINE)
_IMPLEMENTATION = re.compile(r"\bmacro\s+(([a-z0-9]{1,20})__\w{1,100})\s*\(")
_DEFAULT = re.compile(
    r"""\{\{-?\s*(?:env_var|var)\(\s*(?:'[^']*'|"[^"]*")\s*(?:,\s*(?:'([^']*)'|"([^"]*)")\s*\)|\)\s*(?:\|\s*default\(|or)\s*(?:'([^']*)'|"([^"]*)")\s*\)?)"""
)


def weight(path: str) -> int | None:
    """Return how much a file may tell of the adapter and of dbt's version, 0 for most; None for a file that tells nothing."""
    name = posixpath.basename(path).lower()
    if not name.endswith(_ENDINGS) and "file" not in name:
        return None
    return next((index for index, is_one in enumerate((is_profiles, is_requirements, is_ci)) if is_one(path)), None)


def is_profiles(path: str) -> bool:
    """Tell whether a file is called as one with profiles is, also as an example or a template of one."""
    return _PROFILES.fullmatch(posixpath.basename(path).lower()) is not None


def is_requirements(path: str) -> bool:
    """Tell whether a file says which distributions are to be installed."""
    below = posixpath.basename(posixpath.dirname(path)).lower() == "requirements" and path.endswith((".txt", ".in"))
    return below or _REQUIREMENTS.fullmatch(posixpath.basename(path).lower()) is not None


def is_lock(path: str) -> bool:
    """Tell whether a file says exactly which distributions are installed."""
    return posixpath.basename(path).lower() in {"uv.lock", "poetry.lock", "pdm.lock", "pipfile.lock", "pylock.toml"}


def is_ci(path: str) -> bool:
    """Tell whether a file tells machines (and sqlfluff) what to do with the repository."""
    return _CI.fullmatch(path.lower()) is not None or _CI_NAME.fullmatch(posixpath.basename(path).lower()) is not None


def known(name: str) -> str | None:
    """Return the adapter type that a name stands for, None when it is none that is known.

    >>> known("PostgreSQL"), known("athena-community"), known("utils")
    ('postgres', 'athena', None)
    """
    name = spelled(name)
    return name if name in PREFERENCE else None


def spelled(name: str) -> str:
    """Return an adapter type as dbt spells it, also one that is not known."""
    name = name.strip().lower().replace("-", "_")
    return ALIASES.get(name, name)


def written(value: object) -> str | None:
    """Return a string as it is written, or the default that its `env_var` or `var` has; None for any other Jinja.

    >>> written("dev"), written("{{ env_var('DBT_TARGET', 'prod') }}"), written("{{ env_var('DBT_TARGET') }}")
    ('dev', 'prod', None)
    """
    if not isinstance(value, str) or not value:
        return None
    if "{" + "{" not in value and "{%" not in value:
        return value
    match = _DEFAULT.match(value.strip())
    whole = match is not None and value.count("{" + "{") == 1 and value.strip().endswith("}}")
    return next((group for group in match.groups() if group), None) if match and whole else None


def distributions(text: bytes) -> set[str]:
    """Return the adapters whose distributions (`dbt-ADAPTER`) a file names, without those that another one of them brings along."""
    named = {adapter for match in _DISTRIBUTION.finditer(_uncommented(text)) if (adapter := known(match[1]))}
    return named - {STANDS_ON.get(adapter) for adapter in named}


def commands(text: bytes) -> set[str]:
    """Return the adapters that a CI file or a tool's settings name: distributions, profiles that they write, sqlfluff's dialect."""
    plain = _uncommented(text)
    words = {match[1] for pattern in (_TYPE, _SQL_DIALECT) for match in pattern.finditer(plain)}
    named = {adapter for word in words if (adapter := known(word))} | distributions(text)
    return named - {STANDS_ON.get(adapter) for adapter in named}


def words(name: str) -> set[str]:
    """Return the adapters whose names are words of a package's name or address. Packages for many adapters ask for `spark_utils`.

    >>> words("get-select/dbt_snowflake_query_tags")
    {'snowflake'}
    """
    parts = [] if name.endswith("spark_utils") else re.split(r"[^a-z0-9]+", name.lower())
    return {adapter for part in parts if part not in {"bq", "pg"} and (adapter := known(part))}


def scored(texts: Iterable[tuple[str, bytes]], among: AbstractSet[str]) -> dict[str, str]:
    """Return the one adapter (of `among`, unless that is empty) that configs and SQL speak for clearly, with the phrase; else nothing."""
    scores: Counter[str] = Counter()
    reasons: dict[str, tuple[int, str, str]] = {}
    for path, text in texts:
        for adapter, weight, sign in _signs(text.decode(errors="replace").lower()):
            scores[adapter] += weight
            reasons[adapter] = max(reasons.get(adapter, (0, "", "")), (weight, sign, path), key=lambda reason: reason[0])
    ranked = [(adapter, score) for adapter, score in scores.most_common() if not among or adapter in among]
    if not ranked or ranked[0][1] < CLEAR or (len(ranked) > 1 and ranked[0][1] < 2 * ranked[1][1]):
        return {}
    adapter = ranked[0][0]
    return {adapter: f"`{reasons[adapter][1]}` in `{reasons[adapter][2]}`"}


def implemented(texts: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the adapters that there are macros for, which `adapter.dispatch` finds by their names."""
    found: dict[str, str] = {}
    for path, text in texts:
        for macro, adapter in _IMPLEMENTATION.findall(text.decode(errors="replace")):
            if known(adapter) == adapter:
                found.setdefault(adapter, f"the macro `{macro}` in `{path}`")
    return found


def _signs(text: str) -> Iterator[tuple[str, int, str]]:
    for adapter, needle, search, weight in _dialects():
        if needle in text and (search is None or search(text)):
            yield adapter, weight, needle if needle != "`" else "names in backquotes"


@lru_cache(maxsize=1)
def _dialects() -> list[tuple[str, str, Callable[[str], object] | None, int]]:
    return [(adapter, needle, re.compile(pattern).search if pattern else None, weight) for adapter, needle, pattern, weight in DIALECTS]


def _uncommented(text: bytes) -> str:
    return _COMMENT.sub("", text.decode(errors="replace"))
