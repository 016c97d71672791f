"""What extractions cost by connection, owner and month, and what models cost in dbt's own runs."""

from __future__ import annotations

from datetime import UTC, datetime

from app.web.api.call import Call
from app.web.api.operation import API, NoQuery, Operation
from app.web.api.schemas.costs import (
    ConnectionCostsView,
    ConnectionCostView,
    CostsQuery,
    CostsView,
    ModelCostView,
    MonthCostView,
    OwnerCostView,
    first_day,
)

MONTHS = 24
LISTED = 100


async def get_connection_costs(call: Call[NoQuery, None]) -> ConnectionCostsView:
    """What one connection costs."""
    connection, costs = await call.connection(), call.store.costs
    return ConnectionCostsView(
        connection_id=connection.id,
        months=[MonthCostView.of(one) for one in await costs.of_connection(connection.id, MONTHS)],
        models=[ModelCostView.of(one) for one in await costs.models(connection.id, LISTED)],
    )


async def get_costs(call: Call[CostsQuery, None]) -> CostsView:
    """What all connections cost in a month."""
    month, owner, costs = call.query.month or f"{datetime.now(UTC):%Y-%m}", call.query.owner, call.store.costs
    return CostsView(
        month=month,
        owners=[OwnerCostView.of(one) for one in await costs.owners(first_day(month), owner, LISTED)],
        connections=[ConnectionCostView.of_connection(one) for one in await costs.connections(first_day(month), owner, LISTED)],
    )


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/costs",
        id="get_connection_costs",
        handler=get_connection_costs,
        summary="Get what a connection costs: processor time of its extractions by month, and its models in dbt's own runs",
        tag="results",
        response=ConnectionCostsView,
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/costs",
        id="get_costs",
        handler=get_costs,
        summary="Get the processor time of extractions in a month, by owner and connection",
        tag="service",
        query=CostsQuery,
        response=CostsView,
        guard="service",
    ),
)
