"""A project and a change of it, for the tests of what a check run says about changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.core.models.comparisons import Base
from app.core.models.extractions import Extraction
from app.lineage.graph import Graph, GraphNode
from app.lineage.impact.model import Break, Change, Impact, Reached
from app.lineage.nodes import ChangeSummary
from app.project.impact_policy import EffectivePolicy
from app.reports import impact
from app.reports.impact_places import Places
from tests.unit.test_check_run import succeeded

MERGE_BASE = Base("merge_base", "abcdef1" + "0" * 33, "main", behind_by=3)
ORDERS = "model.shop.orders"
KPIS = "model.shop.kpis"
NOT_NULL = "test.shop.not_null_orders_amount.5a1c"
WEEKLY = "exposure.shop.weekly_kpis"
CHURN = "exposure.shop.churn"
CUSTOMERS = "model.shop.customers"


def graph(*nodes: tuple[str, list[str], dict[str, Any]]) -> Graph:
    """Nodes with what they depend on and the fields of their JSON that matter here."""
    found = sorted(nodes)
    return Graph([_node(unique_id, fields) for unique_id, _, fields in found], [above for _, above, _ in found])


def _node(unique_id: str, fields: Mapping[str, Any]) -> GraphNode:
    kind, package, name = unique_id.split(".", 2)
    content = {"original_file_path": f"models/{name}.sql", **fields}
    return GraphNode(unique_id, kind, name.partition(".")[0], package, json.dumps(content).encode())


HEAD = graph(
    ("model.shop.stg_orders", [], {}),
    (ORDERS, ["model.shop.stg_orders"], {"group": "core"}),
    ("model.shop.orders_all", [ORDERS], {}),
    (KPIS, [ORDERS], {"owner": "finance", "tags": ["finance"], "original_file_path": "models/marts/kpis.sql"}),
    (CUSTOMERS, [ORDERS], {}),
    (NOT_NULL, [ORDERS], {"original_file_path": "models/schema.yml"}),
    (
        WEEKLY,
        [KPIS],
        {"original_file_path": "models/_exposures.yml", "type": "dashboard", "url": "https://bi.example/weekly", "owner": "Ann"},
    ),
    (CHURN, [CUSTOMERS], {"original_file_path": "models/_exposures.yml", "type": "ml"}),
    ("metric.shop.revenue", [KPIS], {"original_file_path": "models/_metrics.yml"}),
)
PLACES = Places(
    HEAD,
    project_dir="t",
    project_name="shop",
    head_code={ORDERS: "select\n  id,\n  customer_id\nfrom a", KPIS: "-- amount\nselect\n  sum(o.amount) as revenue\nfrom b as o"},
    base_code={ORDERS: "select\n  id,\n  amount,\n  cust\nfrom a"},
)


def change(unique_id: str = ORDERS, kind: Any = "removed", *columns: str, **more: Any) -> Change:
    """A change; its reason names its class."""
    return Change(**{"unique_id": unique_id, "change_class": kind, "certain": True, "columns": columns, "reason": f"It is {kind}.", **more})


def reached(unique_id: str, **more: Any) -> Reached:
    """A node that depends on a change."""
    kind = unique_id.partition(".")[0]
    return Reached(**{"unique_id": unique_id, "resource_type": kind, "distance": 1, "by": "column", "owner": None, **more})


def breaks(unique_id: str = KPIS, **more: Any) -> Break:
    """A node that misses `amount` of `orders`."""
    fields = {
        "kind": "column_removed",
        "certain": True,
        "reason": "`kpis` reads `amount` of `orders`, which is gone.",
        "cause": ORDERS,
        "column": "amount",
    }
    return Break(**{"unique_id": unique_id, **fields, **more})


WHOLE = Impact(
    (
        change(ORDERS, "removed", "amount", reason="`amount` is no longer a column of `orders`."),
        change(ORDERS, "renamed", "cust", new_columns=("customer_id",), reason="`cust` of `orders` is now named `customer_id`."),
        change(
            CUSTOMERS, "logic", "lifetime_value", certain=False, reason="`lifetime_value` of `customers` may be computed in another way."
        ),
        change("model.shop.orders_all", "removed", "amount", inherited=True),
    ),
    (
        reached(WEEKLY, columns=("revenue",), owner="Ann"),
        reached(CHURN),
        reached("metric.shop.revenue"),
        reached(KPIS, owner="finance"),
        reached(CUSTOMERS),
        reached("model.shop.orders_all"),
        reached(NOT_NULL),
    ),
    (
        breaks(),
        breaks(NOT_NULL, kind="test", reason="The test `not_null` is of `amount` of `orders`, which is gone."),
        breaks(WEEKLY, kind="exposure", certain=False, reason="`weekly_kpis` depends on `kpis`, which breaks."),
    ),
    {
        "changes": {"removed": 1, "renamed": 1, "logic": 1},
        "columns": {"removed": 1, "renamed": 1, "logic": 1},
        "reached": {"exposure": 2, "metric": 1, "model": 3, "test": 1},
        "owners": {"Ann": 1, "finance": 1},
        "groups": {"core": 1},
    },
)
"""A column is gone and another renamed: a model and a test break, an exposure may."""


def extraction(stored: Mapping[str, Any] | None = None, *, followed: bool = False, **more: Any) -> Extraction:
    """A successful extraction with a comparison; by default of `WHOLE`."""
    found = succeeded(ChangeSummary(nodes_changed=(ORDERS,)))
    kept = impact.stored(**{"impact": WHOLE, "base": MERGE_BASE, "places": PLACES, "policy": EffectivePolicy(), **more})
    return replace(found, followed=followed, result={**found.result, "impact": kept if stored is None else stored})


def hostile(text: str, evil: str) -> tuple[Impact, Places]:
    """A change in which strangers wrote `text` or `evil` wherever they can."""
    ids = [f"model.shop.{evil}", f"exposure.shop.{evil}", f"metric.shop.{text}"]
    fields = dict.fromkeys(("original_file_path", "owner", "group", "type", "url", "label"), evil)
    clean = [unique_id.encode("utf-8", "replace").decode() for unique_id in ids]
    usable = {key: value.encode("utf-8", "replace").decode() for key, value in fields.items()}
    head = graph(*((unique_id, clean[:number], {**usable, "tags": [usable["owner"]]}) for number, unique_id in enumerate(clean)))
    places = Places(head, project_dir="t", head_code=dict.fromkeys(ids, f"{evil}\n{text}"), base_code=dict.fromkeys(ids, evil))
    broken = [
        breaks(unique_id, cause=ids[0], column=text or "x", reason=evil, certain=bool(number)) for number, unique_id in enumerate(ids)
    ]
    changes = [
        change(ids[0], kind, evil, text, new_columns=(text, evil), reason=evil) for kind in ("removed", "renamed", "retyped", "rows")
    ]
    inherited = change(ids[2], "renamed", evil, new_columns=(text,), inherited=True)
    counts = {
        "changes": {"removed": 1},
        "columns": {"removed": 1},
        "reached": {"exposure": 1, evil: 1},
        "owners": {evil: 1, text: 2},
        "groups": {evil: 1},
    }
    nodes = tuple(reached(one, columns=(evil,), owner=evil) for one in ids)
    return Impact((*changes, inherited), nodes, tuple(broken), counts), places
