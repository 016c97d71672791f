from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.models.pull_requests import PullRequest
from app.pipeline import events
from app.pipeline.events import (
    InstallationChanged,
    Installed,
    MergeGroupChanged,
    Ping,
    PullRequestChanged,
    Push,
    RepositoriesChanged,
    RepositoryChanged,
    Rerequested,
    Uninstalled,
    UnknownActionRequested,
    UnreadableEventError,
)

SHA = "1a2b3c4d5e6f708192a3b4c5d6e7f80910111213"


REPOSITORY = {"id": 7, "full_name": "octo/shop", "private": True, "default_branch": "main"}


def payload(**changes: Any) -> bytes:
    repository = {"id": 7, "full_name": "octo/shop", "private": True, "default_branch": "main", "owner": {"login": "octo"}}
    push = {"ref": "refs/heads/main", "before": "0" * 40, "after": SHA, "repository": repository, "installation": {"id": 3}, "commits": []}
    return json.dumps({**push, **changes}).encode()


def test_a_push_has_repository_branch_and_commit() -> None:
    event = events.parse("push", payload(ref="refs/heads/feature/ünï"))
    assert isinstance(event, Push)
    assert (event.repository.id, event.repository.installation_id, event.branch, event.after) == (7, 3, "feature/ünï", SHA)
    assert not event.deleted


def test_a_push_of_a_tag_is_ignored() -> None:
    assert events.parse("push", payload(ref="refs/tags/v1")) is None


def test_a_push_that_deletes_a_branch() -> None:
    event = events.parse("push", payload(after=events.ZERO_SHA))
    assert isinstance(event, Push)
    assert event.deleted


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"after": "not a sha; rm -rf"}, "$.after"),
        ({"after": None}, "$.after"),
        ({"installation": {}}, "$.installation"),
        ({"repository": {"id": "7", "full_name": "octo/shop"}}, "$.repository.id"),
        ({"repository": {"id": 7, "full_name": "../../etc/passwd"}}, "$.repository.full_name"),
        ({"repository": {"id": 7, "full_name": "octo/.."}}, "$.repository.full_name"),
        ({"repository": {"id": 7, "full_name": "./shop"}}, "$.repository.full_name"),
    ],
)
def test_an_invalid_push_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(UnreadableEventError, match="push") as caught:
        events.parse("push", payload(**changes))
    assert field in str(caught.value)


def test_installation_events() -> None:
    installation = {"id": 3, "account": {"login": "octo", "type": "Organization"}}
    repositories = [{"id": 7, "full_name": "octo/shop", "private": False}]
    created = events.parse(
        "installation", json.dumps({"action": "created", "installation": installation, "repositories": repositories}).encode()
    )
    assert isinstance(created, Installed)
    assert [(r.id, r.full_name, r.private) for r in created.repositories] == [(7, "octo/shop", False)]
    deleted = events.parse("installation", json.dumps({"action": "deleted", "installation": installation}).encode())
    assert deleted == Uninstalled(3)
    changed = {"action": "added", "installation": installation, "repositories_added": repositories, "repositories_removed": [{"id": 9}]}
    event = events.parse("installation_repositories", json.dumps(changed).encode())
    assert isinstance(event, RepositoriesChanged)
    assert ([r.id for r in event.added], event.removed) == ([7], (9,))


def test_other_events_are_ignored() -> None:
    assert events.parse("check_suite", b'{"action": "requested"}') is None
    assert events.parse("check_run", b'{"action": "completed"}') is None
    assert (
        events.parse("repository", json.dumps({"action": "starred", "repository": REPOSITORY, "installation": {"id": 3}}).encode()) is None
    )
    assert isinstance(events.parse("ping", b'{"zen": "Keep it logically awesome."}'), Ping)


@pytest.mark.parametrize("action", ["suspend", "unsuspend", "new_permissions_accepted"])
def test_other_changes_of_an_installation_are_reported(action: str) -> None:
    body = {"action": action, "installation": {"id": 3, "account": {"login": "octo", "type": "Organization"}}}
    event = events.parse("installation", json.dumps(body).encode())
    assert isinstance(event, InstallationChanged)
    assert event.installation.id == 3


@pytest.mark.parametrize("action", ["renamed", "transferred", "deleted", "privatized", "publicized", "archived", "unarchived", "edited"])
def test_changes_of_a_repository_are_reported(action: str) -> None:
    body = {"action": action, "repository": REPOSITORY, "installation": {"id": 3}}
    event = events.parse("repository", json.dumps(body).encode())
    assert isinstance(event, RepositoryChanged)
    assert (event.repository.id, event.action) == (7, action)


def check_run(action: str, **more: Any) -> bytes:
    suite = {"head_sha": SHA, "head_branch": "main", "id": 1}
    run = {"head_sha": SHA, "check_suite": suite, "external_id": "5f9f2f3e-0000-4000-8000-000000000000"}
    return json.dumps({"action": action, "repository": REPOSITORY, "installation": {"id": 3}, "check_run": run, **more}).encode()


@pytest.mark.parametrize(("action", "more"), [("rerequested", {}), ("requested_action", {"requested_action": {"identifier": "extract"}})])
def test_rerequested_checks(action: str, more: dict[str, Any]) -> None:
    event = events.parse("check_run", check_run(action, **more))
    assert isinstance(event, Rerequested)
    assert (event.sha, event.branch, event.external_id) == (SHA, "main", "5f9f2f3e-0000-4000-8000-000000000000")


def test_a_rerequested_suite_is_of_all_checks() -> None:
    body = {"repository": REPOSITORY, "installation": {"id": 3}, "check_suite": {"head_sha": SHA, "head_branch": "main", "id": 1}}
    event = events.parse("check_suite", json.dumps({"action": "rerequested", **body}).encode())
    assert isinstance(event, Rerequested)
    assert (event.branch, event.external_id) == ("main", None)


@pytest.mark.parametrize("requested", [{}, {"requested_action": None}, {"requested_action": {}}, {"requested_action": {"identifier": "x"}}])
def test_a_button_that_is_not_ours_requests_nothing(requested: dict[str, Any]) -> None:
    event = events.parse("check_run", check_run("requested_action", **requested))
    assert isinstance(event, UnknownActionRequested)
    assert event.identifier == (requested.get("requested_action") or {}).get("identifier")


def pull_request(action: str = "opened", **changes: Any) -> bytes:
    head = {"ref": "feature", "sha": SHA, "label": "octo:feature", "repo": {"id": 7}, "user": {"login": "octo"}}
    pull = {"number": 12, "state": "open", "draft": True, "updated_at": "2026-01-02T03:04:05Z", "head": head, "base": {"ref": "main"}}
    return json.dumps({"action": action, "pull_request": pull | changes, "repository": REPOSITORY, "installation": {"id": 3}}).encode()


def read_pull_request(**changes: Any) -> PullRequest:
    event = events.parse("pull_request", pull_request(**changes))
    assert isinstance(event, PullRequestChanged)
    assert event.repository.id == 7
    return event.pull_request


def test_a_pull_request_has_its_head_and_its_base() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read_pull_request() == PullRequest(12, SHA, "feature", "main", draft=True, open=True, updated_at=at)
    assert not read_pull_request(action="closed", state="closed").open


@pytest.mark.parametrize(
    ("head", "branch"),
    [
        ({"label": "mona:patch-1", "repo": {"id": 8}}, "mona:patch-1"),
        ({"label": "mona:patch-1", "repo": None}, "mona:patch-1"),
        ({"label": None, "repo": {"id": 8}, "user": {"login": "mona"}}, "mona:patch-1"),
        ({"label": None, "repo": None, "user": None}, "unknown:patch-1"),
        ({"label": "m" * 500, "repo": None}, f"{'m' * 100}:patch-1"),
        ({"label": "octo:patch-1", "repo": {"id": 7}}, "patch-1"),
    ],
)
def test_the_branch_of_a_fork_is_named_with_its_owner(head: dict[str, Any], branch: str) -> None:
    found = read_pull_request(head={"ref": "patch-1", "sha": SHA, **head})
    assert (found.branch, found.of_fork) == (branch, ":" in branch)


def test_only_what_concerns_us_of_a_pull_request_is_reported() -> None:
    for action in ("opened", "reopened", "synchronize", "ready_for_review", "converted_to_draft", "closed"):
        assert events.parse("pull_request", pull_request(action)) is not None
    for action in ("labeled", "assigned", "review_requested", "enqueued", "auto_merge_enabled"):
        assert events.parse("pull_request", pull_request(action)) is None
    edited = json.loads(pull_request("edited"))
    assert events.parse("pull_request", json.dumps(edited).encode()) is None
    assert events.parse("pull_request", json.dumps(edited | {"changes": {"title": {"from": "x"}}}).encode()) is None
    based = events.parse("pull_request", json.dumps(edited | {"changes": {"base": {"ref": {"from": "main"}}}}).encode())
    assert isinstance(based, PullRequestChanged)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-02T03:04:05", "yesterday", 5])
def test_a_time_that_is_none_is_refused_by_name(at: object) -> None:
    with pytest.raises(UnreadableEventError, match="updated_at"):
        events.parse("pull_request", pull_request(updated_at=at))


@pytest.mark.parametrize(("action", "requested"), [("checks_requested", True), ("destroyed", False)])
def test_a_merge_group_has_its_branch(action: str, requested: bool) -> None:  # noqa: FBT001 - a parameter of the test
    group = {
        "head_sha": SHA,
        "head_ref": f"refs/heads/gh-readonly-queue/main/pr-1-{SHA}",
        "base_sha": "0" * 40,
        "base_ref": "refs/heads/main",
    }
    body = {"action": action, "merge_group": group, "repository": REPOSITORY, "installation": {"id": 3}}
    event = events.parse("merge_group", json.dumps(body).encode())
    assert isinstance(event, MergeGroupChanged)
    assert (event.branch, event.sha, event.requested) == (f"gh-readonly-queue/main/pr-1-{SHA}", SHA, requested)


@given(st.binary(max_size=200), st.sampled_from(["push", "pull_request", "installation", "installation_repositories", "ping"]))
def test_no_payload_crashes_the_parser(content: bytes, name: str) -> None:
    with suppress(UnreadableEventError):
        events.parse(name, content)


RUN = {"head_sha": SHA, "external_id": "", "id": 1, "name": "dbt lineage"}


@pytest.mark.parametrize(
    "suite", [{}, {"check_suite": None}, {"check_suite": {}}, {"check_suite": {"head_sha": None, "head_branch": None}}]
)
def test_a_check_run_needs_nothing_of_its_suite(suite: dict[str, Any]) -> None:
    body = {"action": "rerequested", "repository": REPOSITORY, "installation": {"id": 3}, "check_run": RUN | suite}
    event = events.parse("check_run", json.dumps(body).encode())
    assert isinstance(event, Rerequested)
    assert (event.sha, event.branch, event.external_id) == (SHA, None, None)


@pytest.mark.parametrize("installation", [{}, {"installation": None}])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("push", {"ref": "refs/heads/main", "before": "0" * 40, "after": SHA}),
        ("repository", {"action": "renamed"}),
        ("check_run", {"action": "rerequested", "check_run": RUN}),
        ("check_suite", {"action": "rerequested", "check_suite": {"head_sha": SHA}}),
        ("pull_request", {**json.loads(pull_request()), "installation": None}),
        ("merge_group", {"action": "destroyed", "merge_group": {"head_sha": SHA, "head_ref": "refs/heads/gh-readonly-queue/main/x"}}),
    ],
)
def test_an_event_that_was_not_sent_to_the_app_is_ignored(name: str, more: dict[str, Any], installation: dict[str, Any]) -> None:
    assert events.parse(name, json.dumps({"repository": REPOSITORY, **more, **installation}).encode()) is None


@pytest.mark.parametrize(
    ("account", "name", "kind"),
    [
        ({"login": "octo", "type": "Organization"}, "octo", "Organization"),
        ({"login": "mona"}, "mona", "User"),
        ({"slug": "acme", "name": "Acme"}, "acme", "Enterprise"),
        (None, "", "User"),
    ],
)
def test_an_installation_is_of_an_account_or_an_enterprise(account: Any, name: str, kind: str) -> None:
    for installation in ({"id": 3, "account": account}, {"id": 3, "account": account, "repository_selection": "all"}):
        body = {"action": "created", "installation": installation, "repositories": None}
        event = events.parse("installation", json.dumps(body).encode())
        assert isinstance(event, Installed)
        assert (event.installation.account_name, event.installation.account_type, event.repositories) == (name, kind, ())
    event = events.parse("installation_repositories", json.dumps({"action": "added", "installation": {"id": 3}}).encode())
    assert isinstance(event, RepositoriesChanged)
    assert (event.added, event.removed) == ((), ())
