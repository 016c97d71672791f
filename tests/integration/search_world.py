"""Connections whose lineages are searched: stored as the worker does, and indexed as the background task does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.core.models.github import Repository
from app.lineage.column_document import StorableColumns
from app.lineage.nodes import Lineage
from app.lineage.search import queries, tiers
from app.pipeline.search_updates import SearchUpdates
from app.store import Store
from app.store.search import SearchPlace, SearchResults
from tests.unit.test_nodes import build, resource

LEASE = timedelta(minutes=1)
SHAS = [f"{number:040x}" for number in range(1, 30)]


async def follow(store: Store, repository_id: int, full_name: str = "", *, private: bool = True) -> str:
    """A connection of a new repository; its id."""
    name = full_name or f"octo/shop{repository_id}"
    await store.installations.update_from_push(Repository(repository_id, name, 3, "main", private))
    return (await store.connections.create(repository_id, "")).id


async def save(
    store: Store, connection_id: str, sha: str, what: Lineage, columns: StorableColumns | None = None, branch: str = "main"
) -> None:
    """Store a lineage; its columns follow if there are some, unless they are stored later (`save_columns`)."""
    if branch == "main":
        await store.connections.move_head(connection_id, sha)
    await store.extractions.enqueue(connection_id, branch, sha, "push", forced=True)
    extraction = await store.extractions.claim("w", LEASE)
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, what, sha.encode(), columns_follow=columns is not None)
        if columns is not None:
            await tx.columns.save(extraction, columns, sha.encode())
        await tx.extractions.finish(extraction.id, "w", "succeeded", [])


async def catch_up(store: Store) -> int:
    """Do all updates that are due; the number of steps."""
    updates, steps = SearchUpdates(store), 0
    while await updates.step():
        steps += 1
    return steps


async def search(
    store: Store,
    q: str,
    *,
    listed: Sequence[int] | None = None,
    connection_id: str | None = None,
    after: SearchPlace | None = None,
    limit: int = 50,
) -> SearchResults:
    found = tiers.tiers_of(queries.parse(q))
    return await store.search.find(found, listed=listed, connection_id=connection_id, after=after or SearchPlace(), limit=limit)


async def names(store: Store, q: str, **where: Any) -> list[str]:
    """The names of the nodes found, in order."""
    return [one.node.name for one in (await search(store, q, **where)).found]


def project(nodes: Mapping[str, Mapping[str, Any]] | Sequence[str], **sections: Any) -> Lineage:
    """A lineage of models by their names."""
    described = nodes if isinstance(nodes, Mapping) else {name: {} for name in nodes}
    return build(*(resource(f"model.shop.{name}", **more) for name, more in described.items()), **sections)
