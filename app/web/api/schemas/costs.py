"""What extractions and models cost, in requests and responses."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints

from app.store.costs import ConnectionCost, ModelCost, MonthCost, OwnerCost
from app.web.api.schemas.common import Model, Query, Text, Time, example

CPU = "Processor seconds of dbt's containers"
COUNT = "Extractions for which a container ran"
MONTH: dict[str, Any] = {"month": "2026-11", "extractions": 120, "cpu_seconds": 431.2}
OWNER: dict[str, Any] = {"owner": "octo", "extractions": 120, "cpu_seconds": 431.2}
CONNECTION: dict[str, Any] = {
    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "repository": "octo/shop",
    "project_dir": "transform",
    **OWNER,
}
MODEL: dict[str, Any] = {
    "unique_id": "model.shop.orders",
    "runs": 20,
    "since": "2026-10-13T04:20:09Z",
    "seconds": 84.5,
    "bytes": 25_000_000_000,
    "slot_ms": None,
}


class CostsQuery(Query):
    """Which month."""

    month: Annotated[
        str | None,
        StringConstraints(pattern=r"^20\d\d-(0[1-9]|1[0-2])$"),
        Field(description="As `2026-11`, in UTC; by default the current one"),
    ] = None
    owner: Annotated[Text | None, Field(description="Only this account on GitHub")] = None


class MonthCostView(Model):
    """What the extractions of a month cost."""

    model_config = example(**MONTH)

    month: Annotated[str, Field(description="As `2026-11`, in UTC")]
    extractions: Annotated[int, Field(description=COUNT)]
    cpu_seconds: Annotated[float, Field(description=CPU)]

    @classmethod
    def of(cls, cost: MonthCost) -> Self:
        """Make one."""
        return cls(month=f"{cost.month:%Y-%m}", extractions=cost.extractions, cpu_seconds=cost.cpu_seconds)


class ModelCostView(Model):
    """What a model, seed or snapshot cost in dbt's own runs."""

    model_config = example(**MODEL)

    unique_id: Annotated[str, Field(description="dbt's id")]
    runs: Annotated[int, Field(description="The newest runs that are counted, at most 20")]
    since: Annotated[Time, Field(description="When the oldest of them was")]
    seconds: Annotated[float | None, Field(description="How long they took together")]
    bytes: Annotated[float | None, Field(description="Bytes that the warehouse billed, or else read; null: it does not say")]
    slot_ms: Annotated[float | None, Field(description="BigQuery's slot milliseconds; null for other warehouses")]

    @classmethod
    def of(cls, cost: ModelCost) -> Self:
        """Make one."""
        return cls(**{name: getattr(cost, name) for name in cls.model_fields})


class ConnectionCostsView(Model):
    """What a connection costs."""

    model_config = example(connection_id=CONNECTION["connection_id"], months=[MONTH], models=[MODEL])

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    months: Annotated[list[MonthCostView], Field(description="Its extractions, the newest 24 months first")]
    models: Annotated[
        list[ModelCostView],
        Field(description="From results of dbt's own runs: the 100 that cost most, by bytes, then slots, then seconds"),
    ]


class OwnerCostView(Model):
    """What the extractions of an account cost in a month."""

    model_config = example(**OWNER)

    owner: Annotated[str, Field(description="The account on GitHub")]
    extractions: Annotated[int, Field(description=COUNT)]
    cpu_seconds: Annotated[float, Field(description=CPU)]

    @classmethod
    def of(cls, cost: OwnerCost) -> Self:
        """Make one."""
        return cls(owner=cost.owner, extractions=cost.extractions, cpu_seconds=cost.cpu_seconds)


class ConnectionCostView(OwnerCostView):
    """What the extractions of a connection cost in a month."""

    model_config = example(**CONNECTION)

    connection_id: Annotated[str, Field(description="UUID of the connection")]
    repository: Annotated[str, Field(description="`owner/name` on GitHub")]
    project_dir: Annotated[str | None, Field(description="Directory of the project, empty for the repository's root")]

    @classmethod
    def of_connection(cls, cost: ConnectionCost) -> Self:
        """Make one."""
        return cls(**{name: getattr(cost, name) for name in cls.model_fields})


class CostsView(Model):
    """What extractions cost in a month, over all connections."""

    model_config = example(month="2026-11", owners=[OWNER], connections=[CONNECTION])

    month: Annotated[str, Field(description="As `2026-11`, in UTC")]
    owners: Annotated[list[OwnerCostView], Field(description="The 100 accounts that cost most")]
    connections: Annotated[list[ConnectionCostView], Field(description="The 100 connections that cost most")]


def first_day(month: str) -> date:
    """Of a month such as `2026-11`."""
    return date.fromisoformat(f"{month}-01")
