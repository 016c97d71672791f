"""Stub profiles: enough for dbt to parse with an adapter, never enough to connect to a warehouse."""

from __future__ import annotations

from typing import Any

from app.core.models.warehouse import UNKNOWN, WarehouseNames
from app.project.adapters import BY_TYPE, IN_IMAGES

IN_MEMORY = "memory"
"""DuckDB's name for the database of the path `:memory:`."""


def stub(profile: str, target: str, adapter_type: str, names: WarehouseNames = UNKNOWN) -> dict[str, Any]:
    """Return the contents of a `profiles.yml` with one profile and one target. Raises ValueError for an adapter without a stub.

    >>> stub("shop", "prod", "clickhouse")["shop"]["outputs"]["prod"]["schema"]
    'freshetunknown_schema'
    """
    known = BY_TYPE.get(adapter_type)
    if known is None or known.stub is None:
        message = f"no stub profile for the adapter {adapter_type!r}: known are {', '.join(sorted(IN_IMAGES))}"
        raise ValueError(message)
    output = {"type": adapter_type, **known.stub}
    if names.schema is not None:
        output[known.names.schema[0]] = names.schema.text
    if names.database is not None and known.names.database_is_path:
        output["path"] = ":memory:" if names.database.text == IN_MEMORY else f"{names.database.text}.duckdb"
    elif names.database is not None and known.names.database:
        output[known.names.database[0]] = names.database.text
    return {profile: {"target": target, "outputs": {target: output}}}
