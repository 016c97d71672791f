"""Stub profiles: enough for dbt to parse with an adapter and never enough to reach a warehouse.

The fields are constants. dbt hashes connection fields into its partial-parse state: another value is a full parse.
"""

from __future__ import annotations

from typing import Any

OUTPUTS: dict[str, dict[str, Any]] = {
    "duckdb": {"type": "duckdb", "path": ":memory:", "schema": "main", "threads": 1},
    "postgres": {
        "type": "postgres",
        "host": "localhost",
        "port": 5432,
        "user": "freshet",
        "password": "none",
        "dbname": "freshet",
        "schema": "public",
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
    return {profile: {"target": target, "outputs": {target: dict(OUTPUTS[adapter_type])}}}
