"""What a check run says of sources that are late, and that a change reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from app.lineage.impact.model import Change
from app.reports import stale_sources
from tests.unit.impact_scene import graph

RAW, ITEMS, STG, ORDERS = "source.shop.erp.orders", "source.shop.erp.items", "model.shop.stg_orders", "model.shop.orders"
GRAPH = graph((RAW, [], {}), (ITEMS, [], {}), (STG, [RAW], {}), (ORDERS, [STG], {}))
AT = datetime(2026, 11, 2, 4, 20, tzinfo=UTC)


def change(unique_id: str) -> Change:
    return Change(unique_id=unique_id, change_class="logic", certain=True, reason="It is another sum.")


def said(*changed: str, failed: tuple[str, ...] = (RAW, ITEMS)) -> str:
    at = dict.fromkeys(failed, AT)
    read = stale_sources.read_by([change(one) for one in changed], GRAPH, at)
    return stale_sources.sentence(json.loads(json.dumps(stale_sources.stored(read, at))))


def test_a_change_that_reads_a_stale_source_is_said_in_a_line() -> None:
    assert said(ORDERS) == "What changed reads a source whose freshness check failed: `erp.orders` (2026-11-02 04:20 UTC)."


def test_nothing_is_said_of_other_changes_and_of_what_is_gone() -> None:
    assert said(ORDERS, failed=()) == ""
    assert said("model.shop.gone") == ""
    assert said(ORDERS, failed=(ITEMS, "source.shop.erp.gone")) == ""


def test_many_are_counted() -> None:
    names = [f"source.shop.erp.t{number}" for number in range(8)]
    found = stale_sources.stored(names, dict.fromkeys(names, AT))
    assert stale_sources.sentence(found).endswith("`erp.t4` (2026-11-02 04:20 UTC) and 3 more sources.")
