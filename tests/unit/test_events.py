from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pipeline import events
from app.pipeline.events import (
    InstallationChanged,
    Installed,
    Ping,
    Push,
    RepositoriesChanged,
    RepositoryChanged,
    Rerequested,
    Uninstalled,
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


@pytest.mark.parametrize("action", ["rerequested", "requested_action"])
def test_rerequested_checks(action: str) -> None:
    suite = {"head_sha": SHA, "head_branch": "main", "id": 1}
    body = {"action": action, "repository": REPOSITORY, "installation": {"id": 3}}
    run = body | {"check_run": {"head_sha": SHA, "check_suite": suite, "external_id": "5f9f2f3e-0000-4000-8000-000000000000"}}
    event = events.parse("check_run", json.dumps(run).encode())
    assert isinstance(event, Rerequested)
    assert (event.sha, event.branch, event.external_id) == (SHA, "main", "5f9f2f3e-0000-4000-8000-000000000000")
    event = events.parse("check_suite", json.dumps(body | {"check_suite": suite}).encode())
    assert isinstance(event, Rerequested)
    assert event.external_id is None


@given(st.binary(max_size=200), st.sampled_from(["push", "installation", "installation_repositories", "ping"]))
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
