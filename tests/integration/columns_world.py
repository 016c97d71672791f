"""Columns of a scripted container, in a `World`: a document, an error, or none yet."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.core.errors import ColumnsError
from app.core.models.extractions import Usage
from app.core.spool import Spool
from app.pipeline.decoding import spooled_columns
from app.pipeline.decoding.spooled_columns import ColumnsScope, SpooledColumns
from app.pipeline.ports import ColumnsDocument, DbtJob, Parsed
from app.runner.columns import NoColumns
from app.store.columns import StoredColumns
from app.store.lineages import LineageHead
from tests.integration.life_world import World

USAGE = Usage(0.5, 0.4, 300 << 20)
HEAD = {"version": 1, "dialect": "duckdb", "engine": "sqlglot 30.30.0", "dbt_version": "1.11.16"}
A = {
    "unique_id": "model.shop.a",
    "status": "exact",
    "columns": [["id", "integer"]],
    "edges": [],
    "compiled_code": "select 1 as id",
    "rendered": "full",
}


def document(*nodes: Mapping[str, Any]) -> bytes:
    """A columns document."""
    return b"\n".join(json.dumps(line).encode() for line in (HEAD, *nodes))


@dataclass
class Delivery:
    """A scripted `ports.ColumnsDelivery`."""

    world: World
    outcome: bytes | Exception
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    refused: bool = False
    closed: bool = False

    async def wait(self) -> ColumnsDocument:
        self.begun.set()
        await self.may_end.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        spool = Spool(self.world.work_dir)
        await spool.write(self.outcome)
        await spool.flush()
        return ColumnsDocument(spool, USAGE)

    async def refuse(self) -> None:
        self.refused = True

    def close(self) -> None:
        self.closed = True


@dataclass
class Container:
    """What dbt and then the columns stage leave: one outcome per run, the last one again and again."""

    world: World
    outcomes: list[bytes | Exception]
    runs: list[Delivery] = field(default_factory=list)
    hold: bool = False
    """Whether columns come only when `may_end` is set."""
    states_of: frozenset[str] = frozenset()
    """See `Parsed.states_of`."""

    async def dbt(self, job: DbtJob) -> Parsed:
        assert job.columns, "the image gives columns"
        delivery = Delivery(self.world, self.outcomes[min(len(self.runs), len(self.outcomes) - 1)])
        if not self.hold:
            delivery.may_end.set()
        self.runs.append(delivery)
        return replace(await self.world.parsed(), columns=delivery, states_of=self.states_of)


def with_columns(world: World, *outcomes: bytes | Exception, hold: bool = False) -> Container:
    """Have the world's containers leave columns."""
    container = Container(world, list(outcomes) or [document(A)], hold=hold)
    world.runner.dbt = container.dbt
    world.runner.image = replace(world.runner.image, gives_columns=True)
    return container


def with_an_old_image(world: World) -> None:
    """Have the world's containers parse and answer for columns as those of an earlier release do."""

    async def dbt(job: DbtJob) -> Parsed:
        return replace(await world.parsed(), columns=NoColumns(job) if job.columns else None)

    world.runner.dbt = dbt


def failure(*, temporary: bool) -> ColumnsError:
    """Why there are no columns."""
    return ColumnsError("tracing the columns of octo/shop at 1a2b3c4", "the container needed more than 600 MiB", temporary=temporary)


async def head_of(world: World, sha: str | None = None) -> LineageHead:
    """The stored lineage."""
    head = await world.store.lineages.head(world.connection_id, sha)
    assert head is not None
    return head


async def columns_of(world: World, sha: str | None = None) -> list[StoredColumns]:
    """The stored columns."""
    return await world.store.columns.of((await head_of(world, sha)).id)


def storable(*nodes: Mapping[str, Any]) -> SpooledColumns:
    """Columns as they are decoded, of these lines of a document."""
    rows = tempfile.TemporaryFile()  # noqa: SIM115 - the columns close it
    return SpooledColumns(rows, spooled_columns.write(document(*nodes), ColumnsScope(frozenset(node["unique_id"] for node in nodes)), rows))
