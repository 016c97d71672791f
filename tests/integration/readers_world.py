"""Several connections, of which some read the tables of others as sources: stored as the worker does, without any container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.core.models.github import Repository
from app.lineage.column_document import StorableColumns
from app.lineage.impact.elsewhere import Elsewhere
from app.lineage.impact.model import Change
from app.lineage.nodes import Lineage
from app.store import Store
from app.store.lineages import LineageHead
from tests.integration.columns_world import storable
from tests.unit.test_nodes import build, resource

SHOP = Repository(7, "octo/shop", 3, "main")
ORDERS = "model.shop.orders"
BASE, HEAD = "b" * 40, "c" * 40
TABLE = '"db"."prod"."orders"'
POSTGRES: Mapping[str, Any] = {
    "metadata": {"dbt_schema_version": "/v12.json", "dbt_version": "1.11.16", "project_name": "shop", "adapter_type": "postgres"}
}


def removed(*columns: str, unique_id: str = ORDERS, certain: bool = True) -> Change:
    return Change(unique_id=unique_id, change_class="removed", certain=certain, columns=columns, reason="It is gone.")


def made(name: str | None = TABLE, materialized: str = "table", **more: Any) -> dict[str, Any]:
    """What a manifest says of a table."""
    return {"relation_name": name, "config": {"materialized": materialized}, **more}


def shop(**orders: Any) -> Lineage:
    """The project whose tables others read."""
    return postgres(resource(ORDERS, **made(**orders)))


def postgres(*nodes: dict[str, Any]) -> Lineage:
    """A project without edges."""
    return build(*nodes, **POSTGRES)


def reading(
    package: str, *, table: str | None = TABLE, reads: Sequence[str] = ("amount",), adapter_type: str = "postgres", **more: Any
) -> tuple[Lineage, StorableColumns]:
    """A project with a source, a model that reads columns of it, and a dashboard below."""
    source, model, board = f"source.{package}.raw.orders", f"model.{package}.revenue", f"exposure.{package}.board"
    lineage = build(
        resource(model, raw_code=" ".join(reads), **made(f'"db"."{package}"."revenue"')),
        parents={model: [source], board: [model]},
        sources={source: resource(source, source_name="raw", relation_name=table, **more)},
        exposures={board: resource(board, type="dashboard")},
        metadata={**POSTGRES["metadata"], "adapter_type": adapter_type},
    )
    edges = [[source, column, column, "IDENTITY", True] for column in reads]
    columns = [[column, None] for column in reads]
    lines = ({"unique_id": one, "status": "exact", "columns": columns} for one in (source, model))
    return lineage, storable(*({**line, "edges": edges if line["unique_id"] == model else []} for line in lines))


@dataclass
class Readers:
    """The connection `shop`, with the lineages of `BASE` and `HEAD`, and others by repository."""

    store: Store
    shop: str = ""
    others: dict[str, str] = field(default_factory=dict)

    async def save(
        self, connection_id: str, sha: str, lineage: Lineage, columns: StorableColumns | None = None, *, branch: str = "main"
    ) -> None:
        """Store a lineage as the worker does. Of the branch that is followed, it becomes the connection's."""
        async with self.store.transaction() as tx:  # no worker sees what is queued
            if branch == "main":
                await tx.connections.move_head(connection_id, sha)
            await tx.extractions.enqueue(connection_id, branch, sha, "push", forced=True)
            extraction = await tx.extractions.claim("w", timedelta(minutes=1))
            assert extraction is not None
            assert extraction.connection_id == connection_id
            await tx.lineages.save(extraction, lineage, b"input", columns_follow=columns is not None)
            if columns is not None:
                await tx.columns.save(extraction, columns, b"input")
            await tx.extractions.finish(extraction.id, "w", "succeeded", [])
            await tx._db.execute("DELETE FROM check_runs WHERE extraction_id = $1::text::uuid", extraction.id)

    async def add(self, repository: Repository, lineage: Lineage, columns: StorableColumns | None = None, project_dir: str = "") -> str:
        """Follow a project of a repository, with a lineage."""
        await self.store.installations.update_from_push(repository)
        connection = await self.store.connections.create(repository.id, project_dir)
        await self.save(connection.id, f"{len(self.others):040x}", lineage, columns)
        self.others[repository.full_name + (f" {project_dir}" if project_dir else "")] = connection.id
        return connection.id

    async def head(self, sha: str) -> LineageHead:
        """A stored lineage of `shop`."""
        found = await self.store.lineages.head(self.shop, sha)
        assert found is not None
        return found

    async def elsewhere(self, *changes: Change) -> Elsewhere:
        """What changes between `BASE` and `HEAD` break."""
        return await self.store.readers.elsewhere(self.shop, await self.head(BASE), await self.head(HEAD), changes or [removed("amount")])


async def make_readers(store: Store, base: Lineage | None = None, head: Lineage | None = None, repository: Repository = SHOP) -> Readers:
    """Follow `shop` alone."""
    world = Readers(store)
    await store.installations.update_from_push(repository)
    world.shop = (await store.connections.create(repository.id, "")).id
    await world.save(world.shop, BASE, base or shop())
    await world.save(world.shop, HEAD, head or shop(raw_code="select id from raw"), branch="change")
    return world


def named(elsewhere: Elsewhere) -> Mapping[str, list[tuple[str, str, bool]]]:
    """What breaks by repository."""
    return {
        project.repository.full_name: [(one.kind, one.unique_id, one.certain) for one in project.breaks] for project in elsewhere.projects
    }
