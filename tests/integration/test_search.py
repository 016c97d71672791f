"""Search over stored lineages, with a real PostgreSQL: what is found, in which order, and how the index follows the lineages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.lineage.nodes import Lineage, Node
from app.store import Store, pool, search_index
from app.store import search as searching
from app.store.search import SearchPlace
from tests.integration.columns_world import storable
from tests.integration.search_world import LEASE, SHAS, catch_up, follow, names, project, save, search
from tests.unit.test_nodes import resource

SHOP: dict[str, dict[str, Any]] = {
    "orders": {"original_file_path": "models/marts/orders.sql", "description": "What was bought.", "tags": ["daily"]},
    "fct_orders_daily": {"original_file_path": "models/marts/fct_orders_daily.sql", "meta": {"owner": "Finance Team"}},
    "stg_customer_orders": {"columns": {"amount_paid": {"name": "amount_paid"}, "customerId": {"name": "customerId"}}},
    "orders_by_week": {},
    "refunds": {"description": "Orders that came back.", "tags": ["daily", "pii"]},
}


async def shop(store: Store) -> str:
    connection_id = await follow(store, 7)
    test, board = "test.shop.not_null_orders_id.0a1b2c", "exposure.shop.order_board"
    parts = {"exposures": {board: resource(board, label="Weekly report", owner={"name": "Ann"})}}
    what = project(SHOP, sources={"source.shop.crm.orders": resource("source.shop.crm.orders")}, **parts)
    with_test = project({**SHOP}, **parts, unit_tests={test: resource(test) | {"name": "not_null_orders_id", "resource_type": "test"}})
    nodes = {node.unique_id: node for node in (*what.nodes, *with_test.nodes)}
    await save(store, connection_id, SHAS[0], Lineage("shop", "1.11.16", "duckdb", "v12", tuple(nodes[one] for one in sorted(nodes))))
    await catch_up(store)
    return connection_id


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        (
            "order",
            [
                *("orders", "order_board", "orders_by_week", "orders"),
                *("fct_orders_daily", "stg_customer_orders", "not_null_orders_id", "refunds"),
            ],
        ),
        ("orders", ["orders", "orders", "orders_by_week", "fct_orders_daily", "stg_customer_orders", "not_null_orders_id", "refunds"]),
        ("ord cust", ["stg_customer_orders"]),
        ("Fct_Orders_Daily", ["fct_orders_daily"]),
        ("fctOrd", ["fct_orders_daily"]),
        ("amount", ["stg_customer_orders"]),
        ("customerid", ["stg_customer_orders"]),
        ("customer_id", ["stg_customer_orders"]),
        ("finance", ["fct_orders_daily"]),
        ("weekly", ["order_board"]),
        ("crm", ["orders"]),
        ("bought", ["orders"]),
        ("type:exposure", ["order_board"]),
        ("tag:daily", ["orders", "refunds"]),
        ("tag:daily tag:pii", ["refunds"]),
        ("owner:ann", ["order_board"]),
        ("path:marts type:model", ["orders", "fct_orders_daily"]),
        ("package:shop path:crm", ["orders"]),
        ("package:sho", []),
        ("ord column:amount", ["stg_customer_orders"]),
        ("orders type:test", ["not_null_orders_id"]),
        ("nothing", []),
        ("orders nothing", []),
        ("%", []),
        ("0a1b2c", []),
    ],
)
async def test_what_is_found_and_in_which_order(store: Store, q: str, expected: list[str]) -> None:
    connection_id = await shop(store)
    found = await search(store, q)
    shown = [one.node.name for one in found.found]
    assert shown == expected
    assert (found.after, found.cut) == (None, False)
    assert await names(store, q, listed=[7]) == shown, "somebody who sees few connections finds the same in the same order"
    assert await names(store, q, connection_id=connection_id) == shown


async def test_better_matches_come_first_and_marts_before_others(store: Store) -> None:
    await shop(store)
    found = (await search(store, "orders")).found
    assert [(one.tier, one.node.resource_type) for one in found] == [
        (0, "model"),
        (0, "source"),
        (1, "model"),
        (2, "model"),
        (2, "model"),
        (2, "test"),
        (5, "model"),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize("listed", [None, [7]])
async def test_pages_together_are_the_whole(store: Store, limit: int, listed: list[int] | None) -> None:
    await shop(store)
    for q in ("ord", "orders", "daily", "type:model", "o s", "shop"):
        whole = [one.node.unique_id for one in (await search(store, q)).found]
        pages, after = list[str](), None
        while True:
            page = await search(store, q, listed=listed, after=after, limit=limit)
            assert len(page.found) <= limit
            pages += [one.node.unique_id for one in page.found]
            after = page.after
            if after is None:
                break
        assert pages == whole, q


@pytest.mark.parametrize("ranked", [2, 2000])
async def test_small_steps_find_the_same(store: Store, monkeypatch: pytest.MonkeyPatch, ranked: int) -> None:
    """However few words and nodes one statement looks at, pages are complete and in order."""
    for number in range(20, 24):
        connection_id = await follow(store, number)
        await save(store, connection_id, SHAS[0], project([f"orders_{kind}_{number}" for kind in ("a", "bb", "ccc", "dddd")]))
    await catch_up(store)
    whole = [one.node.unique_id for one in (await search(store, "ord")).found]
    both = sorted(await names(store, "orders 2"))
    assert (len(whole), len(both)) == (16, 16)
    monkeypatch.setattr(searching, "STEPS", ((2, 3), (50, 5)))
    monkeypatch.setattr(searching, "MAX_RANKED", ranked)
    for q, expected in (("ord", whole), ("orders 2", None)):
        for listed in (None, [20, 21, 22, 23]):
            found, after, pages = list[str](), None, 0
            while pages < 50:
                page = await search(store, q, listed=listed, after=after, limit=3)
                found += [one.node.unique_id for one in page.found]
                pages, after = pages + 1, page.after
                if after is None:
                    break
            assert after is None
            assert expected is None or found == expected
            assert len(found) == len(set(found)) == 16


async def test_a_push_reads_and_writes_only_what_changed(store: Store, db: pool.Database) -> None:
    connection_id = await shop(store)
    before = await _written(db)
    changed = {**SHOP, "refunds": {"description": "Money that went back."}, "new_one": {}}
    del changed["orders_by_week"]
    await save(store, connection_id, SHAS[1], project(changed))
    assert await names(store, "orders_by_week") == [], "what is not in the lineage any more is not shown, even before the index follows"
    await catch_up(store)
    assert (await names(store, "refund"), await names(store, "money"), await names(store, "came")) == (["refunds"], ["refunds"], [])
    assert await names(store, "new") == ["new_one"]
    after = await _written(db)
    unchanged = {name for name in ("stg_customer_orders", "fct_orders_daily", "orders") if before[name] == after[name]}
    assert unchanged == {"stg_customer_orders", "fct_orders_daily", "orders"}
    assert await _dangling(db) == []


async def _written(db: pool.Database) -> dict[str, Any]:
    """The transaction that wrote each entry of a model."""
    rows = await db.rows(
        "SELECT n.name, s.xmin::text AS wrote FROM search_nodes s JOIN nodes n ON n.id = s.node_id WHERE n.resource_type = 'model'"
    )
    return {row["name"]: row["wrote"] for row in rows}


async def _dangling(db: pool.Database) -> list[Any]:
    """Words and hits that are not those of the entries."""
    return await db.rows(
        """WITH expected AS (
             SELECT connection_id, word, array_agg(hit ORDER BY hit) AS hits
             FROM search_nodes, unnest(tsvector_to_array(words)) AS word GROUP BY connection_id, word)
           SELECT * FROM expected e FULL JOIN search_words w USING (connection_id, word) WHERE e.hits IS DISTINCT FROM w.hits"""
    )


async def test_the_index_is_that_of_a_fresh_one_after_many_changes(
    store: Store, db: pool.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "STEP_NODES", 2)
    monkeypatch.setattr(search_index, "READ_NODES", 1)
    connection_id = await follow(store, 7)
    versions = [["a_b", "b_c", "c_d"], ["a_b", "c_d"], ["c_d", "d_e", "e_f", "f_g", "a_b"], [], ["a_b"], ["a_b", "b_c", "c_d"]]
    steps = []
    for sha, version in zip(SHAS, versions, strict=False):
        traced = storable(*({"unique_id": f"model.shop.{name}", "status": "exact", "columns": [["x_" + name]]} for name in version))
        await save(store, connection_id, sha, project(version), traced)
        steps.append(await catch_up(store))
        assert await _dangling(db) == []
        assert sorted(await names(store, "type:model")) == sorted(version)
        assert sorted(await names(store, "column:x")) == sorted(version)
    assert steps == [2, 1, 2, 3, 1, 1]


async def test_a_commit_of_another_branch_is_never_found(store: Store) -> None:
    connection_id = await shop(store)
    await save(store, connection_id, SHAS[1], project(["secret_plan"]), branch="feature")
    await catch_up(store)
    assert await names(store, "secret") == []
    assert len(await names(store, "refunds")) == 1


async def test_traced_columns_are_found_once_they_are_known_and_stay_meanwhile(store: Store, db: pool.Database) -> None:
    connection_id = await follow(store, 7)
    traced = storable(
        {"unique_id": "model.shop.a", "status": "exact", "columns": [["only_in_sql"]]}, {"unique_id": "model.shop.b", "status": "exact"}
    )
    await save(store, connection_id, SHAS[0], project(["a", "b"]), traced)
    await catch_up(store)
    [found] = (await search(store, "only_in_sql")).found
    assert (found.node.name, found.tier, found.traced) == ("a", 3, ["only_in_sql"])
    await store.extractions.enqueue(connection_id, "main", SHAS[1], "push")
    await store.connections.move_head(connection_id, SHAS[1])
    extraction = await store.extractions.claim("w", LEASE)
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(extraction, project(["a", "b", "c"]), b"1", columns_follow=True)
    await catch_up(store)
    assert (await names(store, "c"), await names(store, "only_in_sql")) == (["c"], ["a"]), "the columns follow in seconds"
    async with store.transaction() as tx:
        await tx.columns.fail(extraction, "They could not be traced.", None)
        await tx.extractions.finish(extraction.id, "w", "succeeded", [])
    await catch_up(store)
    assert await names(store, "only_in_sql") == []
    assert await _dangling(db) == []


async def test_what_is_removed_is_not_found_from_that_moment_and_deleted_with_the_connection(store: Store, db: pool.Database) -> None:
    connection_id = await shop(store)
    await store.connections.change(connection_id, "elsewhere", None, manual=True)
    assert await names(store, "orders") == [], "another project has no lineage yet"
    await catch_up(store)
    assert await _rows(db) == (0, 0)
    await save(store, connection_id, SHAS[2], project(["orders"]))
    await catch_up(store)
    assert await names(store, "orders") == ["orders"]
    await store.connections.hide(connection_id)
    assert (await names(store, "orders"), await names(store, "orders", listed=[7])) == ([], [])
    await catch_up(store)
    assert await _rows(db) == (1, 5), "it may come back"
    await store.retention.purge(timedelta(0))
    assert await _rows(db) == (0, 0)
    await catch_up(store)


async def _rows(db: pool.Database) -> tuple[int, int]:
    return await db.value("SELECT count(*) FROM search_nodes"), await db.value("SELECT count(*) FROM search_words")


async def test_a_removed_repository_is_not_found(store: Store) -> None:
    await shop(store)
    await store.installations.remove_repositories(3, [7])
    assert await names(store, "orders") == []


async def test_one_update_is_one_claim_and_newer_ones_come_first(store: Store, db: pool.Database) -> None:
    await db.execute("DELETE FROM search_updates")
    first, second = await follow(store, 7), await follow(store, 8)
    await save(store, first, SHAS[0], project(["a"]))
    await save(store, second, SHAS[0], project(["b"]))
    claims = [await store.search_index.claim(LEASE) for _ in range(3)]
    assert [one and one.connection_id for one in claims] == [second, first, None]
    assert claims[0] is not None
    await save(store, second, SHAS[1], project(["c"]))
    await store.search_index.finish(claims[0])
    again = await store.search_index.claim(LEASE)
    assert again is not None
    assert again.connection_id == second, "its lineage changed meanwhile"


async def test_a_lineage_that_cannot_be_indexed_does_not_stop_the_others(store: Store, db: pool.Database) -> None:
    broken, fine = await follow(store, 8), await follow(store, 7)
    await save(store, fine, SHAS[0], project(["a"]))
    await save(store, broken, SHAS[0], project(["b"]))
    await db.execute("ALTER TABLE search_nodes ADD CONSTRAINT not_b CHECK (NOT words @@ '''nb'''::tsquery)")
    await catch_up(store)
    assert (await names(store, "a"), await names(store, "b")) == (["a"], [])
    assert await store.search_index.seconds_until_due() is not None


async def test_what_strangers_have_does_not_push_out_what_one_sees(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MAX_WORDS", 20)
    monkeypatch.setattr(searching, "STEPS", ((5, 5), (10, 10)))
    stranger, mine = await follow(store, 8), await follow(store, 7)
    await save(store, stranger, SHAS[0], project([f"ord{letter}{other}" for letter in "abcdefgh" for other in "abcdefgh"]))
    await save(store, mine, SHAS[0], project(["orders", "zz_orders"]))
    await catch_up(store)
    assert await names(store, "ord", listed=[7]) == ["orders", "zz_orders"]
    assert await names(store, "orders") == ["orders", "zz_orders"], "also for those who see both, with the whole word"
    assert (await search(store, "ord")).cut


async def test_what_strangers_have_is_not_said_to_be_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it push out anything, for those who see more connections than are searched one by one at first."""
    monkeypatch.setattr(searching, "MAX_WORDS", 20)
    monkeypatch.setattr(searching, "STEPS", ((5, 5), (10, 10)))
    monkeypatch.setattr(searching, "FEW_CONNECTIONS", 1)
    stranger, mine, other = await follow(store, 8), await follow(store, 7), await follow(store, 6)
    await save(store, stranger, SHAS[0], project([f"ord{letter}{other}" for letter in "abcdefgh" for other in "abcdefgh"]))
    await save(store, mine, SHAS[0], project(["orders", "zz_orders"]))
    await save(store, other, SHAS[0], project(["orders_old"]))
    await catch_up(store)
    found = await search(store, "ord", listed=[6, 7])
    assert ([one.node.name for one in found.found], found.cut) == (["orders", "orders_old", "zz_orders"], False)
    pages, after = [], SearchPlace()
    for _ in range(4):
        page = await search(store, "ord", listed=[6, 7], after=after, limit=1)
        pages += [one.node.name for one in page.found]
        if page.after is None:
            break
        after = page.after
    assert pages == ["orders", "orders_old", "zz_orders"]
    assert (await search(store, "ord", listed=[6, 7, 8])).cut, "of what one sees, some was not looked at"


async def test_hostile_contents_are_found_by_their_names(store: Store) -> None:
    connection_id = await follow(store, 7)
    bodies = [
        b'{"unique_id": "x", "resource_type": "model", "name": "' + b"x" * 400_000 + b'"}',
        b'{"unique_id": ["no text"], "tags": 7}',
        b'{"unique_id": "model.shop.n2", "resource_type": "model", "name": "n2", "columns": ['
        + b",".join([b'{"name": "c"}'] * 5000)
        + b"]}",
        b'{"unique_id": "model.shop.n3", "resource_type": "a new type", "name": "n3", "description": "\\ud83d\\ude00 \\u202e"}',
    ]
    nodes = tuple(Node(f"model.shop.n{place}", "model", f"n{place}", "shop", body, (), b"") for place, body in enumerate(bodies))
    odd = Node("model.shop.'&|!:*\\ ()", "model", "'&|!:*\\ () 😀 ünï", "shop", b"{}", (), b"")
    await save(store, connection_id, SHAS[0], Lineage("shop", "1.11.16", "duckdb", "v12", (odd, *nodes)))
    await catch_up(store)
    assert sorted(await names(store, "n")) == ["n0", "n1", "n2", "n3"]
    assert await names(store, "ÜNÏ '&|!:*\\ (") == ["'&|!:*\\ () 😀 ünï"]


async def test_a_place_behind_everything_is_the_end(store: Store) -> None:
    await shop(store)
    for place in (SearchPlace(9, 1), SearchPlace(5, (1 << 62)), SearchPlace(0, (1 << 62))):
        found = await search(store, "bought", after=place)
        assert found.after is None


async def test_no_connection_is_searched_for_nobody(store: Store) -> None:
    connection_id = await shop(store)
    assert await names(store, "orders", listed=[]) == []
    assert await names(store, "orders", listed=[8, 9]) == []
    assert await names(store, "orders", connection_id=str(UUID(int=1))) == []
    assert len(await names(store, "orders", connection_id=connection_id)) == 7


async def test_a_change_in_the_moment_when_an_update_ends_is_indexed_at_once(store: Store, db: pool.Database, dsn: str) -> None:
    connection_id = await follow(store, 7)
    await save(store, connection_id, SHAS[0], project(SHOP))
    claimed = await store.search_index.claim(LEASE)
    assert claimed is not None
    async with pool.connect(dsn, size=1) as other, other.transaction() as tx:
        await tx.execute("UPDATE search_updates SET due_at = now()")
        finishing = asyncio.create_task(store.search_index.finish(claimed))
        while not await db.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    await finishing
    assert await store.search_index.claim(LEASE) is not None
