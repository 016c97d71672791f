"""Stub profiles: enough for dbt to parse with an adapter and never enough to reach a warehouse.

The fields are constants. dbt hashes connection fields into its partial-parse state: another value is a full parse. What looks like a
password is the word `none`; adapters refuse a profile without one. Every supported version of dbt takes the same fields.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

_HOST: dict[str, Any] = {"host": "localhost", "user": "freshet", "password": "none", "threads": 1}
_TSQL: dict[str, Any] = {"driver": "ODBC Driver 18 for SQL Server", "authentication": "sql", "database": "freshet", "schema": "dbo"}

OUTPUTS: dict[str, dict[str, Any]] = {
    "athena": {
        "type": "athena",
        "s3_staging_dir": "s3://freshet/staging/",
        "s3_data_dir": "s3://freshet/data/",
        "region_name": "us-east-1",
        "database": "awsdatacatalog",
        "schema": "freshet",
        "threads": 1,
    },
    "bigquery": {
        "type": "bigquery",
        # Takes a token as it is; the other methods look for credentials on the machine.
        "method": "oauth-secrets",
        "token": "none",
        "project": "freshet",
        "dataset": "freshet",
        "threads": 1,
    },
    "clickhouse": {"type": "clickhouse", **_HOST, "port": 8123, "schema": "freshet"},
    "databricks": {
        "type": "databricks",
        "host": "localhost",
        "http_path": "/sql/1.0/warehouses/freshet",
        "token": "none",
        # Of all versions: without a catalog, those before 1.6 leave the database of every relation empty.
        "catalog": "freshet",
        "schema": "freshet",
        "threads": 1,
    },
    "duckdb": {"type": "duckdb", "path": ":memory:", "schema": "main", "threads": 1},
    "fabric": {"type": "fabric", **_HOST, **_TSQL, "port": 1433},
    "postgres": {"type": "postgres", **_HOST, "port": 5432, "dbname": "freshet", "schema": "public"},
    "redshift": {"type": "redshift", **_HOST, "port": 5439, "dbname": "freshet", "schema": "public"},
    "snowflake": {
        "type": "snowflake",
        "account": "freshet",
        "user": "freshet",
        "password": "none",
        "role": "freshet",
        "database": "freshet",
        "warehouse": "freshet",
        "schema": "public",
        "threads": 1,
    },
    # The method `session` would want PySpark, and `odbc` a driver.
    "spark": {
        "type": "spark",
        "method": "thrift",
        "host": "localhost",
        "port": 10000,
        "user": "freshet",
        "schema": "freshet",
        "threads": 1,
    },
    "sqlserver": {"type": "sqlserver", **_HOST, **_TSQL, "port": 1433},
    "trino": {
        "type": "trino",
        "method": "none",
        "host": "localhost",
        "port": 8080,
        "user": "freshet",
        "database": "freshet",
        "schema": "freshet",
        "threads": 1,
    },
}
"""One output per adapter, https://docs.getdbt.com/docs/core/connect-data-platform/about-core-connections."""


def stub(profile: str, target: str, adapter_type: str) -> dict[str, Any]:
    """Return the contents of a `profiles.yml` with one profile and one target. Raises ValueError for an unknown adapter.

    >>> stub("shop", "prod", "duckdb")
    {'shop': {'target': 'prod', 'outputs': {'prod': {'type': 'duckdb', 'path': ':memory:', 'schema': 'main', 'threads': 1}}}}
    """
    if adapter_type not in OUTPUTS:
        message = f"no stub profile for the adapter {adapter_type!r}: known are {', '.join(sorted(OUTPUTS))}"
        raise ValueError(message)
    return {profile: {"target": target, "outputs": {target: deepcopy(OUTPUTS[adapter_type])}}}
