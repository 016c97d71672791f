"""From deliveries to the queue, on a real PostgreSQL: what is durable when GitHub gets its 202."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from app import handlers
from app.events import UnreadableEventError
from app.jobs import Extraction
from app.store import Store

SHAS = [f"{number:040x}" for number in range(1, 20)]
INSTALLATION = {"id": 3, "account": {"login": "octo", "type": "Organization"}}


def repository(number: int = 7) -> dict[str, Any]:
    return {"id": number, "full_name": f"octo/shop{number}", "private": True, "default_branch": "main"}


async def push(store: Store, sha: str, *, branch: str = "main", delivery: str | None = None, number: int = 7, **more: Any) -> None:
    body = {
        "ref": f"refs/heads/{branch}",
        "before": "0" * 40,
        "after": sha,
        "repository": repository(number),
        "installation": {"id": 3},
        **more,
    }
    await handlers.receive(store, delivery or f"delivery-{sha}-{branch}-{number}", "push", json.dumps(body).encode())


async def installation(store: Store, action: str, *numbers: int) -> None:
    body = {"action": action, "installation": INSTALLATION, "repositories": [repository(number) for number in numbers]}
    await handlers.receive(store, f"installation-{action}", "installation", json.dumps(body).encode())


async def queue(store: Store) -> list[Extraction]:
    return await store.extractions.active(after=None, limit=100)


async def test_a_push_is_queued_with_a_connection_of_its_own_and_the_head_moves(store: Store) -> None:
    await push(store, SHAS[0])
    [queued] = await queue(store)
    assert (queued.sha, queued.branch, queued.trigger, queued.repository.full_name) == (SHAS[0], "main", "push", "octo/shop7")
    found = await store.connections.get(queued.connection_id)
    assert found is not None
    assert (found.head_sha, found.followed_branch, found.stale) == (SHAS[0], "main", True)


async def test_a_redelivery_has_no_second_effect(store: Store) -> None:
    await push(store, SHAS[0], delivery="same")
    claimed = await store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    await store.extractions.finish(claimed.id, "w", "succeeded", [])
    await push(store, SHAS[0], delivery="same")
    assert await queue(store) == []


async def test_a_late_push_does_not_take_the_head_back(store: Store) -> None:
    await push(store, SHAS[0], before="0" * 40)
    await push(store, SHAS[2], before=SHAS[1])
    [project] = await store.connections.of_repository(7)
    assert project.head_sha == SHAS[0], "one in between is missing: GitHub is asked"
    assert await store.installations.claim_look() is not None
    await push(store, SHAS[1], before=SHAS[0])
    assert [one.sha for one in await queue(store)] == [SHAS[1]], "what is surely newer supersedes"
    await push(store, SHAS[2], before=SHAS[1], delivery="again")
    [project] = await store.connections.of_repository(7)
    assert project.head_sha == SHAS[2]
    assert [one.sha for one in await queue(store)] == [SHAS[2]]
    await push(store, SHAS[1], before=SHAS[0], delivery="late")
    [project] = await store.connections.of_repository(7)
    assert project.head_sha == SHAS[2]
    assert SHAS[2] in [one.sha for one in await queue(store)]


async def test_a_push_to_another_branch_is_extracted_without_moving_the_head(store: Store) -> None:
    await push(store, SHAS[0])
    await push(store, SHAS[1], branch="feature/x")
    assert {(one.branch, one.sha) for one in await queue(store)} == {("main", SHAS[0]), ("feature/x", SHAS[1])}
    [found] = await store.connections.of_repository(7)
    assert found.head_sha == SHAS[0]


@pytest.mark.parametrize("more", [{"after": "0" * 40}, {"ref": "refs/tags/v1"}])
async def test_deleted_branches_and_tags_queue_nothing(store: Store, more: dict[str, Any]) -> None:
    await push(store, SHAS[0], **more)
    assert await queue(store) == []


async def test_installing_asks_for_a_look_at_each_repository(store: Store) -> None:
    await installation(store, "created", 7, 8)
    looks = [await store.installations.claim_look() for _ in range(3)]
    assert sorted(look.repository.full_name for look in looks if look) == ["octo/shop7", "octo/shop8"]
    assert looks[2] is None


async def test_uninstalling_cancels_what_is_queued_and_late_pushes_say_nothing(store: Store) -> None:
    await installation(store, "created", 7)
    await push(store, SHAS[0])
    await installation(store, "deleted", 7)
    await push(store, SHAS[1])
    assert await queue(store) == []
    assert await store.connections.page(owner=None, repository=None, q=None, after=None, limit=10) == []


async def test_repositories_come_and_go(store: Store) -> None:
    await installation(store, "created", 7)
    await push(store, SHAS[0])
    await push(store, SHAS[0], number=8)
    body = {"action": "removed", "installation": INSTALLATION, "repositories_added": [], "repositories_removed": [repository(7)]}
    await handlers.receive(store, "r1", "installation_repositories", json.dumps(body).encode())
    assert [one.repository.id for one in await queue(store)] == [8]
    body = {"action": "added", "installation": INSTALLATION, "repositories_added": [repository(7)], "repositories_removed": []}
    await handlers.receive(store, "r2", "installation_repositories", json.dumps(body).encode())
    await push(store, SHAS[1])
    assert {one.repository.id for one in await queue(store)} == {7, 8}


async def test_an_unreadable_payload_stores_nothing_so_that_it_can_be_sent_again(store: Store) -> None:
    with pytest.raises(UnreadableEventError):
        await push(store, "not a sha", delivery="d")
    await push(store, SHAS[0], delivery="d")
    assert len(await queue(store)) == 1


async def test_an_event_that_we_do_not_act_on_is_taken_and_forgotten(store: Store) -> None:
    await handlers.receive(store, "d", "check_suite", b'{"action": "requested"}')
    assert await store.deliveries.record("d", "check_suite")


async def test_a_changed_installation_is_surveyed_again(store: Store) -> None:
    await installation(store, "created", 7)
    assert await store.installations.claim_survey() == (3, False)
    await store.installations.survey_done(3, None)
    assert await store.installations.claim_survey() is None
    await installation(store, "suspend")
    assert await store.installations.claim_survey() == (3, False)


async def repository_event(store: Store, action: str, **changes: Any) -> None:
    body = {"action": action, "repository": repository() | changes, "installation": {"id": 3}}
    await handlers.receive(store, f"repository-{action}", "repository", json.dumps(body).encode())


async def test_a_changed_repository_is_looked_at_and_a_deleted_one_hidden(store: Store) -> None:
    await push(store, SHAS[0])
    await repository_event(store, "renamed", full_name="octo/store")
    look = await store.installations.claim_look()
    assert look is not None
    assert (look.repository.id, look.etag) == (7, None)
    [queued] = await queue(store)
    await repository_event(store, "deleted")
    assert await store.connections.get(queued.connection_id) is None
    assert await queue(store) == []


async def test_asking_for_one_check_run_again_extracts_its_project_and_for_the_suite_all(store: Store) -> None:
    await push(store, SHAS[0])
    [first] = await queue(store)
    await finish(store)
    second = await store.connections.create(7, "other")
    body = {
        "action": "rerequested",
        "repository": repository(),
        "installation": {"id": 3},
        "check_run": {"head_sha": SHAS[0], "external_id": first.id, "check_suite": {"head_sha": SHAS[0], "head_branch": "main"}},
    }
    await handlers.receive(store, "again", "check_run", json.dumps(body).encode())
    [again] = await queue(store)
    assert (again.connection_id, again.sha, again.forced, again.trigger) == (first.connection_id, SHAS[0], True, "rerequested")
    assert again.id != first.id
    body = {key: value for key, value in body.items() if key != "check_run"} | {"check_suite": {"head_sha": SHAS[1], "head_branch": "main"}}
    await handlers.receive(store, "suite", "check_suite", json.dumps(body).encode())
    assert {one.connection_id for one in await queue(store) if one.sha == SHAS[1]} == {first.connection_id, second.id}


async def finish(store: Store) -> None:
    claimed = await store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    await store.extractions.finish(claimed.id, "w", "succeeded", [])


async def test_projects_are_followed_by_the_head_of_the_followed_branch_only(store: Store) -> None:
    await push(store, SHAS[0])
    [queued] = await queue(store)

    async def follow(branch: str, sha: str, *projects: str) -> list[str | None]:
        async with store.transaction() as tx:
            await handlers.follow(tx, queued.repository, branch, sha, projects)
            return [connection.project_dir for connection in await tx.connections.of_repository(7)]

    assert await follow("other", SHAS[0], "a") == [None]
    assert await follow("main", SHAS[5], "a") == [None], "a newer head is known"
    assert await follow("main", SHAS[0], "a", "b") == ["a", "b"]
    assert await follow("main", SHAS[0], "b") == ["b"]
    assert await follow("main", SHAS[0], "b", "a") == ["a", "b"], "what comes back has its history"
    assert {one.project_dir for one in await queue(store)} == {"a", "b"}
