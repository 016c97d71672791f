"""Artifacts of dbt's runs: what they say, and what strangers may write into them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.lineage import run_results
from app.lineage.run_results import ArtifactError, decode

AT = "2026-11-02T09:00:09.123456Z"
RUN = "https://schemas.getdbt.com/dbt/run-results/v6.json"
SOURCES = "https://schemas.getdbt.com/dbt/sources/v3.json"
ORDERS = "model.shop.orders"


def result(unique_id: str = ORDERS, status: str = "success", **more: Any) -> dict[str, Any]:
    timing = [{"name": "compile", "started_at": AT, "completed_at": AT}, {"name": "execute", "started_at": AT, "completed_at": AT}]
    plain = {"thread_id": "Thread-1", "execution_time": 1.5, "adapter_response": {}, "message": None, "failures": None, "timing": timing}
    return {"unique_id": unique_id, "status": status, **plain, "compiled_code": "select 1", **more}


def artifact(*results: dict[str, Any], schema: str = RUN, invocation: str = "run-1", at: str = AT, which: str = "build") -> bytes:
    metadata = {"dbt_schema_version": schema, "dbt_version": "1.11.0", "generated_at": at, "invocation_id": invocation, "env": {}}
    return json.dumps({"metadata": metadata, "results": [*results], "elapsed_time": 3.0, "args": {"which": which}}).encode()


def refusal(content: bytes) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        decode(content)
    return caught.value


@pytest.mark.parametrize("version", ["v4", "v5", "v6"])
def test_results_of_a_run(version: str) -> None:
    test = result("test.shop.unique_orders_id.1", "fail", failures=3, message="Got 3 results, configured to fail if != 0")
    model = result(adapter_response={"bytes_processed": 10, "bytes_billed": 20, "slot_ms": 30, "rows_affected": 4})
    found = decode(artifact(model, test, schema=RUN.replace("v6", version)))
    assert (found.kind, found.invocation_id, found.total) == ("run_results", "run-1", 2)
    assert found.generated_at == datetime(2026, 11, 2, 9, 0, 9, 123456, UTC)
    assert found.results[ORDERS] == (ORDERS, "success", 1.5, None, None, None, 20, 30)
    assert found.results[test["unique_id"]][1:5] == ("fail", 1.5, 3, "Got 3 results, configured to fail if != 0")


def test_freshness_of_sources() -> None:
    late = {"unique_id": "source.shop.erp.orders", "status": "error", "max_loaded_at": AT, "snapshotted_at": AT, "execution_time": 0.1}
    away = {"unique_id": "source.shop.erp.items", "status": "runtime error", "error": "no such table"}
    found = decode(artifact(late, away, schema=SOURCES))
    assert found.kind == "sources"
    assert found.results["source.shop.erp.orders"].loaded_at == found.generated_at
    assert found.results["source.shop.erp.items"][1:5] == ("runtime error", None, None, "no such table")


def test_a_moment_that_no_calendar_has_is_none() -> None:
    odd = {"unique_id": "source.shop.erp.orders", "status": "pass", "max_loaded_at": "9999-12-31T23:59:59-14:00"}
    assert decode(artifact(odd, schema=SOURCES)).results["source.shop.erp.orders"].loaded_at is None


@pytest.mark.parametrize("response", ["text", 7, None, [1], {"bytes_billed": "many"}, {"slot_ms": -1}, {"bytes_processed": 1e300}])
def test_what_a_warehouse_says_in_another_way_costs_nothing(response: object) -> None:
    found = decode(artifact(result(adapter_response=response))).results[ORDERS]
    assert (found.bytes, found.slot_ms) == (None, None)


def test_of_several_results_of_a_node_the_last_one_counts() -> None:
    found = decode(artifact(result(), result(status="error")))
    assert (found.total, len(found.results), found.results[ORDERS].status) == (2, 1, "error")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"\xff", "body"),
        (b"{}", "body"),
        (b'{"results": []}', "body"),
        (artifact(schema="https://schemas.getdbt.com/dbt/manifest/v12.json"), "metadata.dbt_schema_version"),
        (artifact(schema="https://schemas.getdbt.com/dbt/run-results/v3.json"), "metadata.dbt_schema_version"),
        (artifact(schema="https://schemas.getdbt.com/dbt/sources/v" + "9" * 100 + ".json"), "metadata.dbt_schema_version"),
        (artifact(schema="x"), "metadata.dbt_schema_version"),
        (artifact(at="yesterday"), "metadata.generated_at"),
        (artifact(at="2026-11-02T09:00:09"), "metadata.generated_at"),
        (artifact(at="0001-01-01T00:00:00+14:00"), "metadata.generated_at"),
        (artifact(at="1970-01-01T00:00:00Z"), "metadata.generated_at"),
        (artifact(invocation="a\0b"), "metadata.invocation_id"),
        (artifact(invocation=""), "metadata.invocation_id"),
        (artifact(which="generate"), "args.which"),
        (artifact(result(), result(status="\x1b[31m")), "results[1].status"),
        (artifact(result(), result("")), "results[1].unique_id"),
        (artifact(result("m" * 2000)), "results[0].unique_id"),
        (artifact(result(message=7)), "results[0].message"),
        (artifact(result(failures=-1)), "results[0].failures"),
        (artifact(result(failures=10**30)), "results[0].failures"),
        (artifact(result(failures=1.5)), "results[0].failures"),
        (artifact(result(execution_time=-1)), "results[0].execution_time"),
        (artifact(result(execution_time=1e200)), "results[0].execution_time"),
        (artifact(result(execution_time=float("nan"))), "body"),
        (artifact(result(execution_time=float("inf"))), "body"),
        (artifact(result()).replace(b"1.5", b"1e999"), "results[0].execution_time"),
        (artifact(result()).replace(b"1.5", b"9" * 10_000), "results[0].execution_time"),
        (artifact(result()).replace(b'"select 1"', b"[" * 100_000), "body"),
        (artifact({"unique_id": ORDERS}), "results[0]"),
    ],
)
def test_bad_documents_are_refused_by_field(content: bytes, field: str) -> None:
    assert refusal(content).field == field


def test_a_refusal_of_a_version_says_what_is_accepted() -> None:
    assert "run_results.json" in refusal(artifact(schema="x")).reason
    assert "dbt build" in refusal(artifact(which="compile")).reason


def test_a_million_results_are_refused_before_they_take_memory() -> None:
    body = b'{"unique_id":"m","status":"pass"},' * 1_000_000
    content = artifact().replace(b'"results": []', b'"results": [' + body[:-1] + b"]")
    assert refusal(content).field == "results"
    assert refusal(content.replace(b'"unique_id"', b'"\\u0075nique_id"')).field == "results"


def test_more_results_than_are_taken_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_results, "MAX_RESULTS", 1)
    assert decode(artifact(result())).total == 1
    assert "send it in parts" in refusal(artifact(result(), result())).reason


def test_messages_are_cut() -> None:
    assert decode(artifact(result(message="x" * 5_000))).results[ORDERS].message == "x" * run_results.MAX_MESSAGE
    huge = decode(artifact(result(message="😀" * 100_000))).results[ORDERS].message
    assert huge is not None
    assert huge.startswith("(a message of ")


def test_every_status_of_dbt_has_a_meaning() -> None:
    found = {status: run_results.verdict(status) for status in ("success", "pass", "warn", "error", "fail", "runtime error", "skipped")}
    assert [*found.values()] == ["passed", "passed", "warned", "failed", "failed", "failed", "skipped"]
