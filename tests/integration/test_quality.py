"""The quality of commits: stored with their lineage, read over HTTP, and shown on pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.core.models.comparisons import Base
from app.core.models.quality import RULES, USUAL, QualitySettings
from app.lineage.nodes import Lineage
from app.lineage.quality.findings import NEEDS_COLUMNS
from app.pipeline.quality import measure, save
from app.store import Store, lineage_cache
from app.web.api.schemas.quality import QualityView
from tests.integration.impact_world import make_world
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading, save_lineage
from tests.integration.page_world import READ, World, running
from tests.unit.test_column_tests import generic
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

RAW, SECOND, BOARD = "source.shop.raw.orders", "model.shop.days", "exposure.shop.board"
COLUMNS = {"id": {"name": "id", "description": "The key."}}
DESCRIBED = {"description": "D.", "columns": COLUMNS, "original_file_path": "models/marts/orders.sql", "group": "finance"}


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def world(store: Store, dsn: str) -> AsyncIterator[World]:
    async with running(store, dsn) as made:
        yield made


def well() -> Lineage:
    return build(resource(ORDERS, **DESCRIBED), resource(CUSTOMERS), generic("not_null", ORDERS, "id"), resource("model.utils.days"))


def worse() -> Lineage:
    return build(resource(ORDERS, **DESCRIBED | {"description": ""}), resource(CUSTOMERS), resource("model.utils.days"))


async def quality(reader: Reader, query: str = "", *, status: int = 200) -> Any:
    path = f"/api/metadata/connections/{reader.connection_id}/quality?{query}"
    async with reader.client.get(path, headers=TOKEN) as response:
        body = await response.json(content_type=None)
        assert response.status == status, body
        if status == 200:
            QualityView.model_validate_json(await response.read())
        return body


async def test_a_commit_is_counted_and_compared_with_the_one_before(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[3], well())
    await save_lineage(reader.store, reader.connection_id, SHAS[4], worse())
    found = await quality(reader)
    assert (found["sha"], found["branch"]) == (SHAS[4], "main")
    assert {name: (one["satisfied"], one["total"]) for name, one in found["counts"].items()} == {
        "descriptions": (0, 2),
        "column_descriptions": (1, 1),
        "tests": (0, 2),
        "keys": (0, 2),
        "owners": (0, 2),
    }
    assert found["score"] == 23.5
    assert found["changes"] == {
        "base": SHAS[3],
        "score": 47.1,
        "items": [{"unique_id": ORDERS, "dimension": name, "missing": 1, "exposures": 0} for name in ("descriptions", "tests")],
        "more": 0,
    }
    assert [(one["sha"], one["score"]) for one in found["trend"]][-2:] == [(SHAS[3], 47.1), (SHAS[4], 23.5)]
    assert {one["name"]: one["nodes"] for one in found["packages"]} == {"shop": 2, "utils": 1}
    assert [(one["name"], one["nodes"], one["counts"]["descriptions"]) for one in found["folders"]] == [
        ("", 1, [0, 1]),
        ("models/marts", 1, [0, 1]),
    ]
    assert [one["name"] for one in found["groups"]] == ["finance"]
    assert found["owners"] == []


async def test_any_two_commits_are_compared(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[3], well())
    await save_lineage(reader.store, reader.connection_id, SHAS[4], worse())
    found = await quality(reader, f"sha={SHAS[3]}&base={SHAS[4]}")
    assert (found["sha"], found["changes"]["base"]) == (SHAS[3], SHAS[4])
    assert {one["missing"] for one in found["changes"]["items"]} == {-1}
    problem = await quality(reader, f"base={SHAS[8]}", status=404)
    assert problem["field"] == "base"
    assert (await quality(reader, "shaa=1", status=400))["status"] == 400


async def test_what_a_client_has_is_not_sent_again(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[3], well())
    path = f"/api/metadata/connections/{reader.connection_id}/quality"
    async with reader.client.get(path, headers=TOKEN) as response:
        etag = response.headers["ETag"]
    async with reader.client.get(path, headers=TOKEN | {"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    await save_lineage(reader.store, reader.connection_id, SHAS[4], worse())
    async with reader.client.get(path, headers=TOKEN | {"If-None-Match": etag}) as response:
        assert (response.status, (await response.json())["sha"]) == (200, SHAS[4])
    async with reader.client.get(f"{path}?sha={SHAS[3]}", headers=TOKEN | {"If-None-Match": etag}) as response:
        assert response.status == 200, "the trend has another commit"


def shop(*, described: bool, tests: int = 2, days: str = "") -> Lineage:
    """Two models, an exposure that reads one through the other, and tests that are about both."""
    parents = {CUSTOMERS: [ORDERS], BOARD: [CUSTOMERS], SECOND: [RAW], ORDERS: [RAW]}
    more = {"description": "D."} if described else {}
    singular = [resource(f"test.shop.about_{number}") for number in range(tests)]
    return build(
        *(resource(ORDERS, original_file_path="models/marts/orders.sql", **more), resource(CUSTOMERS), resource(SECOND, description=days)),
        *singular,
        parents=parents | {one["unique_id"]: [ORDERS, CUSTOMERS] for one in singular},
        sources={RAW: resource(RAW)},
        exposures={BOARD: resource(BOARD, description="")},
    )


async def test_findings_name_their_nodes_and_changes_what_hangs_on_them(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[3], shop(described=True, days="Days."))
    await save_lineage(reader.store, reader.connection_id, SHAS[4], shop(described=False))
    found = await quality(reader)
    assert found["findings"]["source_fanout"] == {
        "description": "sources that several models read",
        "count": 1,
        "items": [{"subject": RAW, "nodes": [SECOND, ORDERS], "more": 0}],
    }
    assert found["findings"]["marts_or_intermediate_dependent_on_source"]["items"] == [{"subject": ORDERS, "nodes": [RAW], "more": 0}]
    assert [item["subject"] for item in found["findings"]["exposures_without_owner"]["items"]] == [BOARD]
    assert "hard_coded_references" not in found["findings"], "columns are not known"
    assert (found["relationships"], found["inherited_descriptions"]) == (0, None)
    assert [(one["unique_id"], one["missing"], one["exposures"]) for one in found["changes"]["items"]] == [(ORDERS, 1, 1), (SECOND, 1, 0)]


async def test_a_project_sets_what_counts(reader: Reader) -> None:
    settings = QualitySettings({"descriptions": 0, "owners": 0, "tests": 50}, frozenset({"source_fanout"}), ("models/marts",))
    await save_lineage(reader.store, reader.connection_id, SHAS[3], replace(shop(described=True), quality_settings=settings))
    found = await quality(reader)
    assert {name: (one["satisfied"], one["total"], one["weight"]) for name, one in found["counts"].items()} == {
        "descriptions": (0, 4, 0),
        "tests": (1, 3, 50),
        "keys": (0, 2, 15),
        "owners": (0, 4, 0),
        "freshness": (0, 1, 10),
    }
    assert found["score"] == 22.2
    assert "source_fanout" not in found["findings"]
    assert found["findings"]["marts_or_intermediate_dependent_on_source"]["count"] == 0, "it is in a folder that is left out"
    assert {one["name"] for one in found["folders"]} == {""}
    assert await reader.store.quality.scores([reader.connection_id]) == {reader.connection_id: 22.2}


async def test_only_what_may_differ_is_compared_and_that_is_enough(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [shop(described=True), shop(described=False, tests=1), shop(described=True, tests=0), well(), worse()]
    for sha, lineage in zip(SHAS[2:], versions, strict=False):
        await save_lineage(reader.store, reader.connection_id, sha, lineage)
    heads = [head for sha in SHAS[2:7] if (head := await reader.store.lineages.head(reader.connection_id, sha))]
    cache = reader.store.lineage_cache
    named = [await cache.quality_changes(base, head, USUAL) for base in heads for head in heads]
    monkeypatch.setattr(lineage_cache, "MAX_NAMED", -1)
    assert [await cache.quality_changes(base, head, USUAL) for base in heads for head in heads] == named
    assert any(named)


async def test_an_extraction_that_ends_keeps_what_was_found_and_what_it_changed(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[3], shop(described=True))
    await save_lineage(reader.store, reader.connection_id, SHAS[4], shop(described=False, tests=0))
    [extraction] = (
        await reader.store.extractions.search(reader.connection_id, statuses=None, branch=None, sha=SHAS[4], before=None, limit=1)
    ).extractions
    before = await measure(reader.store, replace(extraction, sha=SHAS[3]), Base("none"))
    assert before is not None
    assert before.change == {"score": 18.7, "shown": True}
    await save(reader.store, before)
    after = await measure(reader.store, extraction, Base("previous_head", SHAS[3]))
    assert after is not None
    assert (after.change["base"], after.change["base_score"], after.change["findings"]) == (SHAS[3], 18.7, {})
    assert after.change["dimensions"] == {
        "descriptions": {"more": 1, "fewer": 0, "exposures": 1},
        "tests": {"more": 2, "fewer": 0, "exposures": 1},
    }
    await save(reader.store, after)
    kept = await reader.store.quality.get(after.head)
    assert kept is not None
    assert kept.findings == after.findings
    assert [*(await quality(reader))["findings"]] == [name for name in RULES if name not in NEEDS_COLUMNS], "in their order"


async def test_a_commit_that_is_carried_forward_keeps_its_score(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[3], well())
    known = await reader.store.lineages.head(reader.connection_id, SHAS[3])
    assert known is not None
    await reader.store.extractions.enqueue(reader.connection_id, "main", SHAS[5], "push")
    extraction = await reader.store.extractions.claim("w", timedelta(minutes=1))
    assert extraction is not None
    async with reader.store.transaction() as tx:
        await tx.lineages.carry_forward(extraction, known.id)
    [newest, before, *_] = await reader.store.quality.trend(reader.connection_id, "main", 10)
    assert (newest.sha, newest.counts) == (SHAS[5], before.counts)


async def test_a_commit_of_an_earlier_release_is_counted_when_it_is_asked_for(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[3], well())
    await reader.store._db.execute("UPDATE lineages SET quality = NULL, quality_groups = NULL")
    found = await quality(reader)
    assert found["score"] == 47.1
    assert (found["trend"], found["changes"]) == ([], None)


async def test_a_push_says_what_it_changes_unless_its_settings_do_not_want_that(store: Store, dsn: str, tmp_path: Path) -> None:
    async with make_world(store, dsn, tmp_path) as world, world.working():
        first = await world.push({"models/b.sql": "select 2 as id"})
        await world.ended(first)
        assert "Quality" not in ((await world.shown(first)).summary or ""), "a project that has nothing of it, and nothing changed"
        side = await world.push({"models/marts/stg_s.sql": "select 3 as id"}, "side")
        run = await world.shown(
            side, "Quality 0: 1 more undocumented node, 1 more node without a test, 1 more node without a tested key, and "
        )
        assert run.conclusion == "success"
        [connection] = await store.connections.for_repository(world.repository.id)
        quiet = await world.push({".github/freshet.yml": "quality: {check_runs: false, weights: {keys: 0}}"}, "side")
        assert "carried_from" not in (await world.ended(quiet)).result, "what counts is another input"
        assert "Quality" not in ((await world.shown(quiet)).summary or "")
        again = await world.push({"README.md": "Read me"}, "side")
        assert (await world.ended(again)).result["carried_from"] == quiet
        head = await store.lineages.head(connection.id, again)
        assert head is not None
        kept = await store.quality.get(head)
    assert kept is not None
    assert kept.settings == QualitySettings({"keys": 0}, check_runs=False)
    assert kept.findings is not None
    assert [item.subject for item in kept.findings.rules["model_directories"].items] == ["model.shop.stg_s"]


async def test_pages_show_the_score(world: World) -> None:
    browser = await world.browser(READ)
    assert 'id="quality"' not in (await world.open(browser, f"/connections/{world.connection_id}")).text
    sha = "c" * 40
    await world.store.connections.move_head(world.connection_id, sha)
    await world.store.extractions.cancel(world.extraction_id)
    await save_lineage(world.store, world.connection_id, sha, well())
    listed = await world.open(browser, "/")
    assert f'/connections/{world.connection_id}#quality">47</a>' in listed.text
    page = await world.open(browser, f"/connections/{world.connection_id}")
    assert "<strong>47.1</strong> of 100" in page.text
    assert "Models, sources, seeds and snapshots with a test" in page.text
    assert "1 of 2" in page.text
