"""What `extract --base` prints of a change."""

from __future__ import annotations

from app.lineage.impact.model import Impact
from app.reports import impact_listing
from app.reports.impact_places import Places
from tests.unit.impact_scene import KPIS, ORDERS, PLACES, WHOLE, breaks, change, graph, reached


def text(impact: Impact, places: Places = PLACES) -> str:
    return "\n".join("".join(part for part, _ in line) for line in impact_listing.lines(impact, "1" * 40, places))


def test_what_breaks_comes_first_then_what_is_reached_then_what_changed() -> None:
    assert (
        text(WHOLE)
        == """\
1 column removed, 1 column renamed, 1 model and 1 test break, 1 more may break, other values in 1 model

What breaks
x kpis (mart, owner finance) in t/models/marts/kpis.sql: `kpis` reads `amount` of `orders`, which is gone.
x not_null_orders_amount (test) in t/models/schema.yml: The test `not_null` is of `amount` of `orders`, which is gone.

What may break
? weekly_kpis (exposure, dashboard, owner Ann) in t/models/_exposures.yml: `weekly_kpis` depends on `kpis`, which breaks.

What is reached: 2 exposures, 1 metric, 3 marts, 1 test
→ weekly_kpis (exposure, dashboard, owner Ann, https://bi.example/weekly), 1 edge away through revenue
→ churn (exposure, ml), 1 edge away
→ revenue (metric), 1 edge away
→ kpis (mart, owner finance), 1 edge away
→ customers (mart), 1 edge away
→ orders_all (mart), 1 edge away
by owner: Ann 1, finance 1
by group: core 1

What changed
- orders removed: `amount` is no longer a column of `orders`.
~ orders renamed: `cust` of `orders` is now named `customer_id`.
~ customers other values (possible): `lifetime_value` of `customers` may be computed in another way.
- orders_all inherits removed: amount"""
    )


def test_no_change_to_data_is_one_line() -> None:
    assert text(Impact()) == "No change to data"


def test_versions_of_a_model_are_told_apart() -> None:
    versions = [f"model.shop.customers.v{number}" for number in (1, 2)]
    found = text(Impact(tuple(map(change, versions))), Places(graph(*((one, [], {}) for one in versions))))
    assert ("- customers.v1 removed: " in found, "- customers.v2 removed: " in found) == (True, True)


def test_long_lists_are_cut_and_the_rest_is_counted() -> None:
    found = text(
        Impact(
            tuple(change(kind="removed", reason=f"{number}") for number in range(60)),
            tuple(reached(KPIS, by="rows", distance=2) for _ in range(70)),
            tuple(breaks(reason=f"{number}") for number in range(80)),
            {"reached": {"model": 70}},
            {"changes": 5, "reached": 6},
        )
    )
    assert "… and 15 more changes" in found
    assert "→ kpis (mart, owner finance), 2 edges away in all rows\n… and 26 more nodes" in found
    assert "… and 30 more breaks" in found


def test_columns_that_are_not_known_are_said() -> None:
    found = text(Impact((change(ORDERS, "logic", certain=False),), without_columns=("base",)))
    assert "The columns of the commit that it is compared with are not known" in found
