"""From webhook deliveries to the queue, on a real PostgreSQL: everything is stored before GitHub gets its 202."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, cast

import pytest

from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.pipeline import connections, leases, queue_rules, triggers, webhooks
from app.pipeline.events import UnreadableEventError
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
    await webhooks.receive(store, delivery or f"delivery-{sha}-{branch}-{number}", "push", json.dumps(body).encode())


async def installation(store: Store, action: str, *numbers: int) -> None:
    body = {"action": action, "installation": INSTALLATION, "repositories": [repository(number) for number in numbers]}
    await webhooks.receive(store, f"installation-{action}", "installation", json.dumps(body).encode())


async def queue(store: Store) -> list[Extraction]:
    return await store.extractions.active(after=None, limit=100)


async def test_a_push_creates_a_connection_moves_the_head_and_is_queued(store: Store) -> None:
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


async def test_a_late_push_does_not_move_the_head_back(store: Store) -> None:
    await push(store, SHAS[0], before="0" * 40)
    await push(store, SHAS[2], before=SHAS[1])
    [project] = await store.connections.for_repository(7)
    assert project.head_sha == SHAS[0], "a push in between is missing, so GitHub is asked"
    assert await store.installations.claim_look(leases.LOOK_LEASE) is not None
    await push(store, SHAS[1], before=SHAS[0])
    assert [one.sha for one in await queue(store)] == [SHAS[1]], "a push that is certainly newer supersedes"
    await push(store, SHAS[2], before=SHAS[1], delivery="again")
    [project] = await store.connections.for_repository(7)
    assert project.head_sha == SHAS[2]
    assert [one.sha for one in await queue(store)] == [SHAS[2]]
    await push(store, SHAS[1], before=SHAS[0], delivery="late")
    [project] = await store.connections.for_repository(7)
    assert project.head_sha == SHAS[2]
    assert SHAS[2] in [one.sha for one in await queue(store)]


async def test_a_push_to_another_branch_is_extracted_without_moving_the_head(store: Store) -> None:
    await push(store, SHAS[0])
    await push(store, SHAS[1], branch="feature/x")
    assert {(one.branch, one.sha) for one in await queue(store)} == {("main", SHAS[0]), ("feature/x", SHAS[1])}
    [found] = await store.connections.for_repository(7)
    assert found.head_sha == SHAS[0]


@pytest.mark.parametrize("more", [{"after": "0" * 40}, {"ref": "refs/tags/v1"}])
async def test_deleted_branches_and_tags_queue_nothing(store: Store, more: dict[str, Any]) -> None:
    await push(store, SHAS[0], **more)
    assert await queue(store) == []


async def test_an_installation_schedules_a_look_at_each_repository(store: Store) -> None:
    await installation(store, "created", 7, 8)
    looks = [await store.installations.claim_look(leases.LOOK_LEASE) for _ in range(3)]
    assert sorted(look.repository.full_name for look in looks if look) == ["octo/shop7", "octo/shop8"]
    assert looks[2] is None


async def test_uninstalling_cancels_queued_extractions_and_late_pushes_are_ignored(store: Store) -> None:
    await installation(store, "created", 7)
    await push(store, SHAS[0])
    await installation(store, "deleted", 7)
    await push(store, SHAS[1])
    assert await queue(store) == []
    assert await store.connections.page(owner=None, repository=None, q=None, after=None, limit=10) == []


async def test_repositories_are_removed_and_added_back(store: Store) -> None:
    await installation(store, "created", 7)
    await push(store, SHAS[0])
    await push(store, SHAS[0], number=8)
    body = {"action": "removed", "installation": INSTALLATION, "repositories_added": [], "repositories_removed": [repository(7)]}
    await webhooks.receive(store, "r1", "installation_repositories", json.dumps(body).encode())
    assert [one.repository.id for one in await queue(store)] == [8]
    body = {"action": "added", "installation": INSTALLATION, "repositories_added": [repository(7)], "repositories_removed": []}
    await webhooks.receive(store, "r2", "installation_repositories", json.dumps(body).encode())
    await push(store, SHAS[1])
    assert {one.repository.id for one in await queue(store)} == {7, 8}


async def test_an_invalid_payload_is_not_recorded_so_it_can_be_redelivered(store: Store) -> None:
    with pytest.raises(UnreadableEventError):
        await push(store, "not a sha", delivery="d")
    await push(store, SHAS[0], delivery="d")
    assert len(await queue(store)) == 1


async def test_ignored_events_are_not_recorded(store: Store) -> None:
    await webhooks.receive(store, "d", "check_suite", b'{"action": "requested"}')
    assert await store.deliveries.record("d", "check_suite")


async def test_a_changed_installation_is_surveyed_again(store: Store) -> None:
    await installation(store, "created", 7)
    assert await store.installations.claim_survey(leases.SURVEY_LEASE) == (3, False)
    await store.installations.finish_survey(3, None)
    assert await store.installations.claim_survey(leases.SURVEY_LEASE) is None
    await installation(store, "suspend")
    assert await store.installations.claim_survey(leases.SURVEY_LEASE) == (3, False)


async def repository_event(store: Store, action: str, **changes: Any) -> None:
    body = {"action": action, "repository": repository() | changes, "installation": {"id": 3}}
    await webhooks.receive(store, f"repository-{action}", "repository", json.dumps(body).encode())


async def test_a_changed_repository_gets_a_look_and_a_deleted_one_is_hidden(store: Store) -> None:
    await push(store, SHAS[0])
    await repository_event(store, "renamed", full_name="octo/store")
    look = await store.installations.claim_look(leases.LOOK_LEASE)
    assert look is not None
    assert (look.repository.id, look.etag) == (7, None)
    [queued] = await queue(store)
    await repository_event(store, "deleted")
    assert await store.connections.get(queued.connection_id) is None
    assert await queue(store) == []


async def test_rerunning_a_check_run_extracts_its_project_and_a_suite_all_projects(store: Store) -> None:
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
    await webhooks.receive(store, "again", "check_run", json.dumps(body).encode())
    [again] = await queue(store)
    assert (again.connection_id, again.sha, again.forced, again.trigger) == (first.connection_id, SHAS[0], True, "rerequested")
    assert again.id != first.id
    body = {key: value for key, value in body.items() if key != "check_run"} | {"check_suite": {"head_sha": SHAS[1], "head_branch": "main"}}
    await webhooks.receive(store, "suite", "check_suite", json.dumps(body).encode())
    assert {one.connection_id for one in await queue(store) if one.sha == SHAS[1]} == {first.connection_id, second.id}


async def test_a_repository_without_a_project_says_so_once(store: Store) -> None:
    await push(store, SHAS[0])
    [first] = await queue(store)
    await store.connections.hide_without_project(first.connection_id, first.id)
    await store.installations.record_missing_project(7)
    await store.extractions.cancel(first.id)
    for sha, branch in ((SHAS[1], "main"), (SHAS[2], "side")):
        await push(store, sha, branch=branch)
    assert await queue(store) == [], "no extraction, and so no check run"
    look = await store.installations.claim_look(leases.LOOK_LEASE)
    assert look is not None, "the default branch may have a project now"
    body = {
        "action": "rerequested",
        "repository": repository(),
        "installation": {"id": 3},
        "check_run": {"head_sha": SHAS[0], "external_id": first.id, "check_suite": {"head_sha": SHAS[0], "head_branch": "main"}},
    }
    await webhooks.receive(store, "again", "check_run", json.dumps(body).encode())
    assert [one.sha for one in await queue(store)] == [SHAS[0]], "a re-run is answered"


async def test_a_repository_that_nobody_chose_is_looked_at_instead(store: Store) -> None:
    body = {"action": "created", "installation": INSTALLATION | {"repository_selection": "all"}, "repositories": []}
    await webhooks.receive(store, "installed", "installation", json.dumps(body).encode())
    await push(store, SHAS[0])
    assert await queue(store) == []
    assert await store.installations.claim_look(leases.LOOK_LEASE) is not None


async def test_a_late_delivery_of_a_known_commit_queues_nothing(store: Store) -> None:
    await push(store, SHAS[0])
    await finish(store)
    await push(store, SHAS[1], before=SHAS[0])
    await finish(store)
    await push(store, SHAS[0], delivery="late")
    assert await queue(store) == []
    assert await store.installations.claim_look(leases.LOOK_LEASE) is not None, "GitHub is asked where the branch is"


async def test_many_repositories_are_looked_at_after_their_survey(store: Store) -> None:
    await installation(store, "created", *range(100, 130))
    assert await store.installations.claim_look(leases.LOOK_LEASE) is None
    assert await store.installations.claim_survey(leases.SURVEY_LEASE) == (3, False)


async def finish(store: Store) -> None:
    claimed = await store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    await store.extractions.finish(claimed.id, "w", "succeeded", [])
    await store._db.execute("UPDATE installations SET fork_at = NULL")  # nothing waits for a clock


async def test_only_the_head_of_the_followed_branch_changes_connections(store: Store) -> None:
    await push(store, SHAS[0])
    [queued] = await queue(store)

    async def follow(branch: str, sha: str, *projects: str) -> list[str | None]:
        async with store.transaction() as tx:
            await connections.sync_with_projects(tx, queued.repository, branch, sha, projects)
            return [connection.project_dir for connection in await tx.connections.for_repository(7)]

    assert await follow("other", SHAS[0], "a") == [None]
    assert await follow("main", SHAS[5], "a") == [None], "a newer head is known"
    assert await follow("main", SHAS[0], "a", "b") == ["a", "b"]
    assert await follow("main", SHAS[0], "b") == ["b"]
    assert await follow("main", SHAS[0], "b", "a") == ["a", "b"], "a project that comes back keeps its history"
    assert {one.project_dir for one in await queue(store)} == {"a", "b"}


async def pull_request(store: Store, action: str, at: int = 1, *, head: dict[str, Any] | None = None, **more: Any) -> None:
    """`at`: the second in which GitHub says that this happened."""
    pull = {
        "number": 12,
        "state": "closed" if action == "closed" else "open",
        "draft": False,
        "updated_at": f"2026-01-02T03:04:{at:02}Z",
        "head": {"ref": "side", "sha": SHAS[1], "label": "octo:side", "repo": {"id": 7}, **(head or {})},
        "base": {"ref": "main"},
        **more,
    }
    changes = {"changes": {"base": {"ref": {"from": "main"}}}} if action == "edited" else {}
    body = {"action": action, "pull_request": pull, "repository": repository(), "installation": {"id": 3}, **changes}
    await webhooks.receive(store, f"pull-{pull['number']}-{action}-{at}", "pull_request", json.dumps(body).encode())


async def test_the_base_branch_of_a_branch_is_that_of_its_pull_request(store: Store) -> None:
    await push(store, SHAS[0])

    async def base(branch: str = "side", sha: str = SHAS[1], followed: str = "main") -> tuple[str, int] | None:
        found = await store.pull_requests.base_branch_of(7, branch, sha, followed)
        return (found.branch, found.number) if found else None

    assert await base() is None
    await pull_request(store, "opened", base={"ref": "release"})
    assert await base() == ("release", 12)
    assert await base(sha=SHAS[2]) == ("release", 12), "a push may come before its event"
    assert await base("other") is None
    await pull_request(store, "opened", 2, number=13)
    await pull_request(store, "opened", 3, number=11, base={"ref": "next"})
    assert await base() == ("main", 13), "the one to the followed branch"
    assert await base(followed="trunk") == ("next", 11), "otherwise the lowest number"
    await pull_request(store, "edited", 4, number=13, base={"ref": "trunk"})
    assert await base(followed="trunk") == ("trunk", 13)
    for number in (11, 13):
        await pull_request(store, "closed", 5, number=number)
    assert await base() == ("release", 12)
    await pull_request(store, "closed", 6, base={"ref": "release"})
    assert await base() == ("main", 11), "the last ones still count for their last commit"
    assert await base(sha=SHAS[2]) is None
    await store.pull_requests.purge(timedelta(0))
    assert await base() is None


async def test_an_event_of_a_pull_request_that_comes_late_changes_nothing(store: Store) -> None:
    await push(store, SHAS[0])
    await pull_request(store, "closed", 5)
    await pull_request(store, "synchronize", 4, base={"ref": "release"})
    assert not await store.pull_requests.has_open(7, "side")


async def test_closing_a_pull_request_cancels_what_is_queued_for_its_head(store: Store) -> None:
    await push(store, SHAS[0])
    await push(store, SHAS[1], branch="side")
    await pull_request(store, "opened")
    await pull_request(store, "opened", number=13, base={"ref": "release"})
    await pull_request(store, "closed", 2)
    assert {one.branch for one in await queue(store)} == {"main", "side"}, "the other one is still open"
    await pull_request(store, "closed", 3, number=13)
    assert [one.branch for one in await queue(store)] == ["main"]


async def test_what_is_followed_or_was_requested_outlives_its_pull_request(store: Store) -> None:
    await push(store, SHAS[0])
    await pull_request(store, "closed", head={"ref": "main", "sha": SHAS[0]}, base={"ref": "release"})
    [queued] = await queue(store)
    await store.extractions.enqueue(queued.connection_id, "side", SHAS[1], "api", forced=True)
    await pull_request(store, "closed", number=13)
    assert {one.branch for one in await queue(store)} == {"main", "side"}


async def test_deleting_a_branch_cancels_what_is_queued_for_it(store: Store) -> None:
    await push(store, SHAS[0])
    await push(store, SHAS[1], branch="side")
    await push(store, "0" * 40, branch="side", before=SHAS[2], delivery="late")
    assert len(await queue(store)) == 2, "the branch was created again since"
    await push(store, "0" * 40, branch="side", before=SHAS[1])
    assert [one.branch for one in await queue(store)] == ["main"]


async def merge_group(store: Store, action: str, sha: str = SHAS[1]) -> str:
    branch = f"gh-readonly-queue/main/pr-12-{SHAS[0]}"
    group = {"head_sha": sha, "head_ref": f"refs/heads/{branch}"}
    body = {"action": action, "merge_group": group, "repository": repository(), "installation": {"id": 3}}
    await webhooks.receive(store, f"group-{action}-{sha}", "merge_group", json.dumps(body).encode())
    return branch


async def test_a_merge_group_is_queued_once_and_cancelled_with_its_end(store: Store) -> None:
    await push(store, SHAS[0])
    branch = await merge_group(store, "checks_requested")
    await push(store, SHAS[1], branch=branch)
    assert [(one.branch, one.sha) for one in await queue(store)] == [("main", SHAS[0]), (branch, SHAS[1])]
    await merge_group(store, "destroyed")
    assert [one.branch for one in await queue(store)] == ["main"]


async def test_a_button_that_is_not_ours_starts_nothing(store: Store) -> None:
    await push(store, SHAS[0])
    [first] = await queue(store)
    await finish(store)
    run = {"head_sha": SHAS[0], "external_id": first.id, "check_suite": {"head_sha": SHAS[0], "head_branch": "main"}}
    for number, requested in enumerate(({"identifier": "deploy"}, {}, {"identifier": "extract"})):
        assert await queue(store) == []
        body = {"action": "requested_action", "requested_action": requested, "check_run": run}
        more = {"repository": repository(), "installation": {"id": 3}}
        await webhooks.receive(store, f"action-{number}", "check_run", json.dumps(body | more).encode())
    assert [one.sha for one in await queue(store)] == [SHAS[0]]


FORK = {"label": "mona:patch-1", "ref": "patch-1", "repo": {"id": 8}}


async def known_project(store: Store) -> Connection:
    """The connection of a repository whose project is known."""
    await push(store, SHAS[0])
    await finish(store)
    [found] = await store.connections.for_repository(7)
    await store.connections.set_project(found.id, "", "shop")
    return found


async def test_the_head_of_a_fork_is_queued_and_moves_nothing(store: Store) -> None:
    connection = await known_project(store)
    await pull_request(store, "opened", head=FORK, draft=True)
    [queued] = await queue(store)
    assert (queued.branch, queued.sha, queued.trigger, queued.of_fork) == ("mona:patch-1", SHAS[1], "pull_request", True)
    for at, action in enumerate(("ready_for_review", "edited", "reopened"), 2):
        await pull_request(store, action, at, head=FORK)
    assert [one.id for one in await queue(store)] == [queued.id]
    await pull_request(store, "synchronize", 5, head=FORK | {"sha": SHAS[2]})
    assert [one.sha for one in await queue(store)] == [SHAS[2]], "the newer one supersedes it"
    found = await store.connections.get(connection.id)
    assert found is not None
    assert found.head_sha == SHAS[0]


async def test_a_commit_of_the_repository_is_not_read_as_a_strangers(store: Store) -> None:
    await known_project(store)
    await push(store, SHAS[1], branch="side")
    await pull_request(store, "opened", head=FORK)
    assert [one.branch for one in await queue(store)] == ["side"]
    await finish(store)
    await pull_request(store, "reopened", 2, head=FORK)
    assert await queue(store) == []


async def test_a_stranger_teaches_a_connection_nothing(store: Store) -> None:
    await push(store, SHAS[0])
    await finish(store)
    await pull_request(store, "opened", head=FORK)
    assert await queue(store) == [], "where the project is, is not known yet"


async def test_a_fork_is_extracted_for_those_who_follow_its_base(store: Store) -> None:
    await known_project(store)
    release = await store.connections.create(7, "", "release")
    await pull_request(store, "opened", head=FORK, base={"ref": "release"})
    assert [one.connection_id for one in await queue(store)] == [release.id]


async def test_closing_a_pull_request_stops_what_a_stranger_pushed(store: Store) -> None:
    await known_project(store)
    await pull_request(store, "opened", head=FORK)
    claimed = await store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    await pull_request(store, "closed", 2, head=FORK)
    stopped = await store.extractions.get(claimed.id)
    assert stopped is not None
    assert stopped.status == "cancelled"
    await pull_request(store, "reopened", 3, head=FORK)
    assert [one.sha for one in await queue(store)] == [SHAS[1]]


async def test_a_branch_that_was_pushed_before_the_app_came_is_queued_by_its_pull_request(store: Store) -> None:
    await known_project(store)
    await pull_request(store, "opened")
    await push(store, SHAS[1], branch="side")
    assert [(one.branch, one.sha) for one in await queue(store)] == [("side", SHAS[1])]
    await push(store, SHAS[2], branch="side", before=SHAS[1])
    await pull_request(store, "synchronize", 2)
    assert [one.sha for one in await queue(store)] == [SHAS[2]], "an event may be older than what is known"
    await pull_request(store, "opened", number=13, head={"ref": "main", "sha": SHAS[5]}, base={"ref": "release"})
    assert {one.branch for one in await queue(store)} == {"side"}, "the followed branch has pushes of its own"


async def rerequest_suite(store: Store, sha: str, branch: str | None, delivery: str) -> None:
    body = {"action": "rerequested", "check_suite": {"head_sha": sha, "head_branch": branch}}
    more = {"repository": repository(), "installation": {"id": 3}}
    await webhooks.receive(store, delivery, "check_suite", json.dumps(body | more).encode())


async def test_a_commit_of_a_stranger_that_is_requested_again_remains_one(store: Store) -> None:
    connection = await known_project(store)
    await pull_request(store, "opened", head=FORK)
    await finish(store)
    for number, branch in enumerate((None, "patch-1", "main")):
        await rerequest_suite(store, SHAS[1], branch, f"again-{number}")
        [queued] = await queue(store)
        assert (queued.branch, queued.forced) == ("mona:patch-1", True)
        await finish(store)
    again = await triggers.extract_now(store, cast("Any", None), connection, SHAS[1], "api")
    assert again.of_fork
    await finish(store)
    await rerequest_suite(store, SHAS[9], None, "unknown")
    assert await queue(store) == [], "of a commit of no branch nothing is known"
    await push(store, SHAS[1], branch="side")
    await finish(store)
    await rerequest_suite(store, SHAS[1], None, "pushed")
    assert [one.branch for one in await queue(store)] == ["side"], "somebody pushed it here since"


@pytest.mark.parametrize(
    ("followed", "branch", "listed"),
    [
        ("main", "main", None),
        ("main", "side", "side"),
        ("main", "mona:side", None),
        ("main", f"gh-readonly-queue/main/pr-12-{SHAS[0]}", None),
        ("main", f"gh-readonly-queue/release/1.0/pr-12-{SHAS[0]}", "release/1.0"),
    ],
)
async def test_which_branch_settings_can_leave_out(store: Store, followed: str, branch: str, listed: str | None) -> None:
    connection = await known_project(store)
    await store.extractions.enqueue(connection.id, branch, SHAS[1], "push")
    claimed = await store.extractions.claim("w", timedelta(minutes=1))
    assert claimed is not None
    assert claimed.trust.followed_branch == followed
    assert queue_rules.listed_branch(claimed) == listed
