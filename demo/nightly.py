"""The results of a night: what a job that runs dbt would send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

FAILS = "not_null"
"""Of the tests, the first with this in its name."""
SCHEMA = "https://schemas.getdbt.com/dbt/run-results/v6.json"


def artifact(lineage: dict[str, Any]) -> dict[str, Any]:
    """Dbt's `run_results.json`: every model was built, and one test fails."""
    names = [node["unique_id"] for node in lineage["nodes"]]
    failed = next(name for name in names if name.startswith("test.") and FAILS in name)
    results: list[dict[str, Any]] = [
        {"unique_id": name, "status": "success", "execution_time": 1.4, "message": "OK"} for name in names if name.startswith("model.")
    ]
    for name in (name for name in names if name.startswith("test.")):
        fails = {"status": "fail", "failures": 3, "message": "Got 3 results, configured to fail if != 0"}
        results.append({"unique_id": name, "execution_time": 0.2, **(fails if name == failed else {"status": "pass", "failures": 0})})
    about = {"dbt_schema_version": SCHEMA, "generated_at": datetime.now(UTC).isoformat(), "invocation_id": "one-night"}
    return {"metadata": about, "args": {"which": "build"}, "results": results}
