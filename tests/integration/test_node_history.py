"""The history of a node, from lineages in a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.models.extractions import CommitFacts, Facts
from app.core.models.github import Repository
from app.lineage.nodes import Lineage
from app.store import Store, node_history
from app.store.node_history import NodeHistory
from tests.integration.columns_world import storable
from tests.unit.test_nodes import build, resource

ORDERS, STG = "model.shop.orders", "model.shop.stg_orders"
WHEN = datetime(2026, 11, 2, 9, tzinfo=UTC)


def sha(number: int) -> str:
    return f"{number:040x}"


class Branches:
    """A connection whose branches get commits."""

    def __init__(self, store: Store, connection_id: str) -> None:
        self.store, self.connection_id = store, connection_id

    async def push(
        self,
        number: int,
        lineage: Lineage,
        *,
        branch: str = "main",
        values: dict[str, str] | None = None,
        result: dict[str, Any] | None = None,
    ) -> None:
        """Extract a commit; `values`: digests of the columns of `ORDERS`."""
        await self.store.extractions.enqueue(self.connection_id, branch, sha(number), "push", forced=True)
        extraction = await self.store.extractions.claim("w", timedelta(minutes=1))
        assert extraction is not None
        found = [[name, None, value] for name, value in (values or {}).items()]
        line = {"unique_id": ORDERS, "status": "exact", "columns": found, "edges": [], "compiled_code": "x", "rendered": "full"}
        facts = Facts(commit=CommitFacts(f"Ann {number}", WHEN, f"Subject {number}"))
        async with self.store.transaction() as tx:
            await tx.lineages.save(extraction, lineage, b"input %d" % number, columns_follow=values is not None)
            if values is not None:
                await tx.columns.save(extraction, storable(line), b"input %d" % number)
            await tx.extractions.finish(extraction.id, "w", "succeeded", [], facts=facts, result=result)

    async def read(self, unique_id: str = ORDERS, until: str | None = None, branch: str = "main") -> NodeHistory:
        return await self.store.node_histories.read(self.connection_id, branch, unique_id, until)


@pytest.fixture
async def branches(store: Store) -> Branches:
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    return Branches(store, (await store.connections.create(7, "")).id)


def orders(sql: str = "select 1", description: str = "", **columns: str) -> Lineage:
    described = {name: {"name": name, "description": text} for name, text in columns.items()}
    return build(resource(ORDERS, raw_code=sql, description=description, columns=described), resource(STG))


def told(history: NodeHistory) -> list[tuple[int, str, tuple[str, ...]]]:
    return [
        (int(event.commit.sha, 16), event.change.kind if event.change else "?", tuple(event.change.changes) if event.change else ())
        for event in history.events
    ]


async def test_each_commit_that_changed_the_node_says_what_and_by_whom(branches: Branches) -> None:
    await branches.push(1, build(resource(STG)))
    await branches.push(2, orders(total="The sum"))
    await branches.push(3, orders(total="The sum"))
    await branches.push(4, orders("select 2", total="The sum"), result={"impact": {"changes": [{"unique_id": ORDERS, "class": "logic"}]}})
    await branches.push(5, orders("select 2", "All of them.", total="The sum.", id="The key."))
    history = await branches.read()
    assert told(history) == [(5, "changed", ("columns", "description")), (4, "changed", ("sql",)), (2, "added", ())]
    newest, logic, _ = history.events
    assert newest.commit.facts == CommitFacts("Ann 5", WHEN, "Subject 5")
    assert (newest.before, logic.before, logic.classes, newest.classes) == (sha(4), sha(3), ("logic",), ())
    assert newest.change is not None
    assert (newest.change.columns_added, newest.change.columns_changed) == (("id",), ("total",))
    assert history.since is not None
    assert history.since.sha == sha(1)
    assert {name: commit.sha for name, commit in history.blame(["id", "total", "x"]).items()} == {
        "id": sha(5),
        "total": sha(5),
        "x": sha(2),
    }


async def test_a_column_is_blamed_on_the_commit_that_changed_its_value(branches: Branches) -> None:
    await branches.push(1, orders(), values={"id": "1a", "total": "1b"})
    await branches.push(2, orders("select 2"), values={"id": "1a", "total": "1c"})
    await branches.push(3, orders("select 3"), values={"id": "1a", "total": "1c"})
    history = await branches.read()
    assert told(history) == [(3, "changed", ("sql",)), (2, "changed", ("sql",))]
    assert {name: commit.sha for name, commit in history.blame(["id", "total"]).items()} == {"total": sha(2)}


async def test_the_history_is_that_of_one_branch_up_to_a_commit(branches: Branches) -> None:
    await branches.push(1, orders())
    await branches.push(2, orders("select 2"))
    await branches.push(8, orders("select 8"), branch="feature")
    await branches.push(3, orders("select 3"))
    assert [number for number, *_ in told(await branches.read())] == [3, 2]
    assert [number for number, *_ in told(await branches.read(until=sha(2)))] == [2]
    assert [number for number, *_ in told(await branches.read(until=sha(8)))] == [3, 2], "the branch does not have it"
    assert (await branches.read(branch="feature")).events == ()


async def test_what_is_gone_and_comes_back(branches: Branches) -> None:
    for number in (1, 3):
        await branches.push(number, orders())
        await branches.push(number + 1, build(resource(STG)))
    assert [(number, kind) for number, kind, _ in told(await branches.read())] == [(4, "removed"), (3, "added"), (2, "removed")]
    assert (await branches.read("model.shop.never")) == NodeHistory()


async def test_a_long_history_ends(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 9):
        await branches.push(number, orders(f"select {number}"))
    for name, number in (("MAX_CHANGES", 3), ("MAX_VERSIONS", 3), ("MAX_COMMITS", 4)):
        monkeypatch.setattr(node_history, name, number)
        history = await branches.read()
        assert [one for one, *_ in told(history)][:2] == [8, 7]
        assert len(history.events) < 4
        assert history.since is not None
        assert history.since.sha == sha(int(history.events[-1].commit.sha, 16) - 1)
        monkeypatch.undo()


async def test_an_extraction_of_an_earlier_release_names_nobody(branches: Branches) -> None:
    await branches.push(1, orders())
    await branches.push(2, orders("select 2"))
    await branches.store._db.execute("UPDATE extractions SET facts = '{}'")
    [event] = (await branches.read()).events
    assert event.commit.facts is None
    assert replace(event.commit, facts=None) == event.commit


async def test_big_versions_are_not_compared(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    await branches.push(1, orders())
    await branches.push(2, orders("select 2"))
    monkeypatch.setattr(node_history, "MAX_CONTENT", 1)
    assert told(await branches.read()) == [(2, "?", ())]
