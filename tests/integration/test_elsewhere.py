"""What a change breaks in other connections of the same owner, and who learns of it; with a real PostgreSQL."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio

from app.core.models.github import Repository
from app.lineage.impact.elsewhere import Elsewhere, with_elsewhere
from app.lineage.impact.model import Change, Impact
from app.lineage.impact.tables import search_key
from app.lineage.nodes import Lineage
from app.store import Store, pool
from app.store import readers as limits
from app.store.readers import Readers
from tests.integration import readers_world as world
from tests.integration.columns_world import storable
from tests.integration.readers_world import (
    BASE,
    HEAD,
    ORDERS,
    POSTGRES,
    SHOP,
    TABLE,
    made,
    make_readers,
    named,
    postgres,
    reading,
    removed,
    shop,
)
from tests.unit.test_column_tests import generic
from tests.unit.test_nodes import build, resource

PUBLIC, PRIVATE = Repository(8, "octo/bi", 3, "main", private=False), Repository(9, "octo/secret", 3, "main")
OTHER_OWNER = Repository(10, "evil/copy", 4, "main", private=False)


@pytest_asyncio.fixture
async def connections(store: Store) -> world.Readers:
    return await make_readers(store)


async def test_nobody_learns_a_name_of_a_private_repository(connections: world.Readers) -> None:
    """A check run is for everybody who may read this repository: it has the numbers of what others hide."""
    await connections.add(PRIVATE, *reading("payroll"))
    await connections.add(PUBLIC, *reading("bi"))
    found = await connections.elsewhere()
    impact = with_elsewhere(Impact(), found, found.readable_with(SHOP))
    text = msgspec.json.encode(impact).decode()
    for secret in ("secret", "payroll", connections.others["octo/secret"], "revenue_of"):
        assert secret not in text
    assert {one.connection_id for one in impact.breaks} == {connections.others["octo/bi"]}
    assert impact.counts["elsewhere"] == {
        "breaks": 2,
        "repositories": 1,
        "hidden_nodes": 2,
        "hidden_repositories": 1,
        "not_searched": 0,
    }
    assert impact.counts["breaks"] == {"column_removed": 1, "exposure": 1}
    assert impact.counts["certain"] == {"breaks": 1}


async def test_what_a_caller_may_read_is_named(connections: world.Readers) -> None:
    await connections.add(PRIVATE, *reading("payroll"))
    impact = with_elsewhere(Impact(), await connections.elsewhere(), {PRIVATE.id})
    assert [(one.unique_id, one.connection_id) for one in impact.breaks] == [
        ("model.payroll.revenue", connections.others["octo/secret"]),
        ("exposure.payroll.board", connections.others["octo/secret"]),
    ]
    assert impact.breaks[0].reason == f"`revenue` in `octo/secret` reads `amount` of `{TABLE}`, which no longer has it."
    assert (impact.breaks[0].cause, impact.breaks[0].column) == (ORDERS, "amount")
    assert impact.breaks[1].reason == "`board` in `octo/secret` depends on `revenue`, which breaks."


async def test_another_owner_never_matches(connections: world.Readers) -> None:
    await connections.add(OTHER_OWNER, *reading("copy"))
    assert await connections.elsewhere() == Elsewhere()


async def test_a_repository_that_moved_belongs_to_its_new_owner_only(connections: world.Readers, db: pool.Database) -> None:
    await connections.add(OTHER_OWNER, *reading("copy"))
    await connections.add(PUBLIC, *reading("bi"))
    await connections.store.installations.add_repository(Repository(10, "octo/copy", 3, "main", private=False))
    await connections.store.installations.add_repository(Repository(8, "evil/bi", 4, "main", private=False))
    assert set(named(await connections.elsewhere())) == {"octo/copy"}
    # As if the repository had moved while its lineage was stored.
    await db.execute("UPDATE source_relations SET installation_id = 3")
    assert set(named(await connections.elsewhere())) == {"octo/copy"}


async def test_only_a_commit_of_the_followed_branch_says_anything_of_private_repositories(connections: world.Readers) -> None:
    """Anybody can open a pull request with models of any name: comparing two commits of it must not answer who reads these."""
    await connections.add(PRIVATE, *reading("payroll", table='"db"."hr"."salaries"', reads=("salary",)))
    await connections.add(
        Repository(8, "octo/bi", 3, "main", private=False), *reading("bi", table='"db"."hr"."salaries"', reads=("salary",))
    )
    guess = {"name": '"db"."hr"."salaries"'}
    await connections.save(connections.shop, "1" * 40, shop(**guess), branch="pull")
    await connections.save(connections.shop, "2" * 40, shop(**guess, raw_code="select 1"), branch="pull")
    found = await connections.store.readers.elsewhere(
        connections.shop, await connections.head("1" * 40), await connections.head("2" * 40), [removed("salary")]
    )
    assert set(named(found)) == {"octo/bi"}
    assert found.not_searched == 0


async def test_projects_of_one_repository_are_named(connections: world.Readers) -> None:
    await connections.add(SHOP, *reading("mart"), project_dir="mart")
    found = await connections.elsewhere()
    impact = with_elsewhere(Impact(), found, found.readable_with(SHOP))
    assert impact.breaks[0].reason == f"`revenue` in `octo/shop` (`mart`) reads `amount` of `{TABLE}`, which no longer has it."


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        (("amount",), [("column_removed", "model.bi.revenue", True), ("exposure", "exposure.bi.board", False)]),
        (("AMOUNT",), [("column_removed", "model.bi.revenue", True), ("exposure", "exposure.bi.board", False)]),
        (("id", "amounts"), []),
    ],
)
async def test_only_those_who_read_the_column_break(connections: world.Readers, reads: tuple[str, ...], expected: list[Any]) -> None:
    await connections.add(PUBLIC, *reading("bi", reads=reads))
    assert named(await connections.elsewhere()).get("octo/bi", []) == expected


async def test_who_selects_everything_hands_the_column_on(connections: world.Readers) -> None:
    """The usual staging model: it works without the column, and what names it below does not."""
    source, stg, mart, board = "source.bi.raw.orders", "model.bi.stg", "model.bi.mart", "exposure.bi.board"
    lineage = build(
        resource(stg, **made('"db"."bi"."stg"', "view"), columns={"amount": {"name": "amount"}}),
        resource(mart, **made('"db"."bi"."mart"')),
        generic("not_null", stg, "amount"),
        parents={stg: [source], mart: [stg], board: [mart], "test.shop.not_null_amount": [stg]},
        sources={source: resource(source, source_name="raw", relation_name=TABLE)},
        exposures={board: resource(board, type="dashboard")},
        **POSTGRES,
    )
    line = {"status": "exact", "columns": [["amount", None]], "rendered": "full"}
    columns = storable(
        {**line, "unique_id": source, "edges": [], "open": True},
        {
            **line,
            "unique_id": stg,
            "edges": [[source, "amount", "amount", "IDENTITY", True]],
            "open": True,
            "compiled_code": "select * from orders -- amount",
        },
        {**line, "unique_id": mart, "edges": [[stg, "amount", "amount", "IDENTITY", True]], "compiled_code": "select amount from stg"},
    )
    await connections.add(PUBLIC, lineage, columns)
    found = await connections.elsewhere()
    assert set(named(found)["octo/bi"]) == {
        ("test", "test.shop.not_null_amount", True),
        ("column_removed", mart, True),
        ("exposure", board, False),
    }
    assert "through `stg`" in found.projects[0].breaks[0].reason


async def test_without_columns_the_code_says_what_is_possibly_read(connections: world.Readers) -> None:
    lineage, columns = reading("bi")
    columns.close()
    await connections.add(PUBLIC, lineage)
    found = await connections.elsewhere(removed("amount", "tax"))
    assert named(found)["octo/bi"] == [("column_removed", "model.bi.revenue", False), ("exposure", "exposure.bi.board", False)]
    assert found.projects[0].breaks[0].column == "amount"
    assert await connections.elsewhere(removed("tax")) == Elsewhere()


@pytest.mark.parametrize(
    "head",
    [
        postgres(resource("model.shop.other", **made('"db"."prod"."other"'))),
        shop(name='"db"."prod"."orders_v2"'),
        shop(name=None, materialized="ephemeral"),
    ],
    ids=["removed", "moved", "ephemeral"],
)
async def test_a_table_that_is_no_longer_made(store: Store, head: Lineage) -> None:
    connections = await make_readers(store, head=head)
    await connections.add(PUBLIC, *reading("bi", reads=("id",)))
    found = await connections.elsewhere(Change(unique_id=ORDERS, change_class="moved", certain=True, reason="It is gone."))
    assert named(found)["octo/bi"] == [("node_removed", "model.bi.revenue", True), ("exposure", "exposure.bi.board", False)]
    assert found.projects[0].breaks[0].reason == f"`revenue` in `octo/bi` reads `{TABLE}`, which `{ORDERS}` no longer makes."


async def test_a_table_that_another_model_makes_now_is_not_lost(store: Store) -> None:
    connections = await make_readers(store, head=postgres(resource("model.shop.sales", **made())))
    await connections.add(PUBLIC, *reading("bi"))
    gone = [removed(), Change(unique_id="model.shop.sales", change_class="added", certain=True, reason="")]
    assert await connections.elsewhere(*gone) == Elsewhere()
    assert set(named(await connections.elsewhere(*gone, removed("amount", unique_id="model.shop.sales")))) == {"octo/bi"}


async def test_columns_that_are_lost_by_what_a_model_reads(store: Store) -> None:
    """Its own row is the same at both commits: only its columns differ."""
    connections = await make_readers(store, head=shop())
    await connections.add(PUBLIC, *reading("bi"))
    assert set(named(await connections.elsewhere())) == {"octo/bi"}


async def test_a_table_that_later_runs_only_add_to_keeps_its_columns(store: Store) -> None:
    connections = await make_readers(store, shop(materialized="incremental"), shop(materialized="incremental", raw_code="select 2"))
    await connections.add(PUBLIC, *reading("bi"))
    found = await connections.elsewhere()
    assert named(found)["octo/bi"][0] == ("column_removed", "model.bi.revenue", False)
    assert "until it is built again in full" in found.projects[0].breaks[0].reason


async def test_names_of_placeholders_never_match(connections: world.Readers) -> None:
    unknown = '"freshetunknown_database"."freshetunknown_schema"."orders"'
    await connections.add(PUBLIC, *reading("bi", table=unknown))
    assert await connections.elsewhere() == Elsewhere()
    await connections.save(connections.shop, BASE, shop(name=unknown))
    await connections.save(connections.shop, HEAD, shop(name=unknown, raw_code="select 2"), branch="change")
    assert await connections.elsewhere() == Elsewhere()


async def test_nothing_is_asked_when_nothing_was_taken_away(connections: world.Readers) -> None:
    nobody = Readers(cast("pool.Database", None))
    base, head = await connections.head(BASE), await connections.head(HEAD)
    added = Change(unique_id=ORDERS, change_class="added", certain=True, columns=("n",), reason="")
    gone_test = Change(unique_id="test.shop.not_null", change_class="removed", certain=True, reason="")
    assert await nobody.elsewhere(connections.shop, base, head, [added, gone_test]) == Elsewhere()


async def test_the_list_follows_the_current_lineage(connections: world.Readers, db: pool.Database) -> None:
    bi = await connections.add(PUBLIC, *reading("bi"))
    assert set(named(await connections.elsewhere())) == {"octo/bi"}
    await connections.save(bi, "d" * 40, *reading("bi", table='"db"."prod"."others"'))
    assert await connections.elsewhere() == Elsewhere()
    await connections.save(bi, "e" * 40, *reading("bi", description="Words."), branch="side")
    assert await connections.elsewhere() == Elsewhere(), "a side branch reads it, not the connection"
    await connections.save(bi, "d" * 40, *reading("bi", description="Words."), branch="side")
    assert set(named(await connections.elsewhere())) == {"octo/bi"}, "the nodes of its lineage are others now"
    await connections.store.connections.change(bi, "elsewhere", None, manual=True)
    assert await db.value("SELECT count(*) FROM source_relations") == 0


async def test_what_is_hidden_breaks_nothing(connections: world.Readers) -> None:
    bi = await connections.add(PUBLIC, *reading("bi"))
    await connections.store.connections.hide(bi)
    assert await connections.elsewhere() == Elsewhere()


async def test_the_rest_of_many_readers_is_counted(connections: world.Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 2)
    await connections.add(PRIVATE, *reading("payroll"))
    await connections.add(PUBLIC, *reading("bi"))
    await connections.add(SHOP, *reading("mart"), project_dir="mart")
    found = await connections.elsewhere()
    assert list(named(found)) == ["octo/shop", "octo/bi"], "those that can be named come first"
    assert with_elsewhere(Impact(), found, ()).counts["elsewhere"]["not_searched"] == 1


@pytest.mark.parametrize("name", [TABLE, "`p-1`.`Data Set`.`ORDERS`", "[db].[dbo].[Übersicht]", "a" * 5000, 'x."a""B"', "ÉTÉ.İ.ς"])
async def test_the_key_of_a_table_is_the_same_in_postgresql(db: pool.Database, name: str) -> None:
    assert await db.value("SELECT relation_key($1)", name) == search_key(name)


async def test_a_very_long_name_is_stored(connections: world.Readers) -> None:
    await connections.add(PUBLIC, *reading("bi", table=f'"db"."{"s" * 100_000}"."orders"'))
    assert await connections.elsewhere() == Elsewhere()
