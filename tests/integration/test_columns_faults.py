"""Columns that go wrong: what the reasons say, what they must not say, and what the next job starts with. A real worker and database."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from app.core.errors import ColumnsError
from app.pipeline import refresh
from app.store import Store
from tests.integration.columns_world import A, document, head_of, with_an_old_image, with_columns
from tests.integration.life_world import World, make_world
from tests.integration.test_columns_storing import pushed, summary


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> World:
    return await make_world(store, dsn, tmp_path)


async def test_an_image_of_an_earlier_release_says_how_to_get_columns(world: World) -> None:
    with_an_old_image(world)
    async with world.working():
        ended = await world.ended(await world.queued())
        carried = await world.ended(await pushed(world, {"README.md": "not read by dbt"}))
    head = await head_of(world)
    assert (ended.status, head.columns_state) == ("succeeded", "failed")
    for text in (head.columns_reason or "", summary(ended), summary(carried)):
        assert "was built by an earlier release of Freshet" in text
        assert "make image" in text


async def test_a_lineage_whose_columns_have_another_form_or_are_of_an_earlier_release_is_not_carried_forward(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = with_columns(world)
    async with world.working():
        with monkeypatch.context() as earlier:
            earlier.setattr(refresh, "STORED", "0")
            await world.ended(await world.queued())
        for number in range(2):
            ended = await world.ended(await pushed(world, {"README.md": f"not read by dbt {number}"}))
            assert (ended.result.get("carried_from") is not None, len(container.runs)) == (number == 1, 2)


async def test_a_document_that_is_none_is_refused_so_that_the_next_job_starts_without(world: World) -> None:
    container = with_columns(world, b"not a document", document(A))
    async with world.working():
        for number in range(2):
            await world.ended(await pushed(world, {"models/a.sql": f"select {number} as id"}))
    assert [run.refused for run in container.runs] == [True, False]


async def test_a_refused_document_that_an_earlier_one_had_a_part_in_is_made_again_by_the_next_push(world: World) -> None:
    container = with_columns(world, b"not a document", document(A))
    container.states_of = frozenset({"followed main 0"})
    async with world.working():
        await world.ended(await world.queued())
        await world.ended(await pushed(world, {"README.md": "not read by dbt"}))
    assert (len(container.runs), (await head_of(world)).columns_state) == (2, "ready")


async def test_secrets_of_the_project_are_masked_in_what_columns_say(world: World) -> None:
    secret = "correct horse battery"
    said = {**A, "status": "unknown", "reason": f"no {secret}", "compiled_code": f"select '{secret}' as id", "compiled_reason": secret}
    with_columns(world, document(said), ColumnsError("tracing", f"{secret} is token=abc123abc123"))
    async with world.working():
        ended = await world.ended(await world.queued())
        head = await head_of(world)
        failed = await world.ended(await pushed(world, {"models/a.sql": "select 2"}))
    one = await world.store.columns.one(head.id, "model.shop.a")
    assert one is not None
    content = orjson.loads(one[0].content)
    assert (content["reason"], content["compiled_reason"], one[1]) == ("no ***", "***", b"select '***' as id")
    assert secret not in f"{ended.result}{failed.result}"
    assert (await head_of(world)).columns_reason == failed.result["columns"]["reason"] == "While tracing: *** is token=***."
