from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import retry
from app.core.models.connections import Connection
from app.core.models.extractions import Newest
from app.core.models.github import Repository
from app.pipeline import queue_rules
from app.pipeline.connection_rules import ConnectionChanges, plan_changes

REPOSITORY = Repository(7, "octo/shop", 3, "main")
DIRECTORIES = st.lists(st.sampled_from(["", "a", "b", "c", "d/e"]), unique=True, max_size=5)


def connections(*directories: str | None) -> list[Connection]:
    return [Connection(f"c{number}", REPOSITORY, directory, None, datetime.now(UTC)) for number, directory in enumerate(directories)]


@pytest.mark.parametrize(
    ("known", "found", "following"),
    [
        ([], ["a"], ConnectionChanges(create=("a",))),
        (["a"], ["a"], ConnectionChanges()),
        (["a"], ["a", "b"], ConnectionChanges(create=("b",))),
        (["a", "b"], ["a"], ConnectionChanges(hide=("c1",))),
        (["a"], ["b"], ConnectionChanges(move=(("c0", "b"),))),
        (["a", "b"], ["b", "c"], ConnectionChanges(move=(("c0", "c"),))),
        (["a", "b"], ["c", "d"], ConnectionChanges(create=("c", "d"), hide=("c0", "c1"))),
        ([None], ["a", "b"], ConnectionChanges(move=(("c0", "a"),), create=("b",))),
        ([None], [], ConnectionChanges()),
        (["a"], [], ConnectionChanges(hide=("c0",))),
    ],
)
def test_planned_changes_of_connections(known: list[str | None], found: list[str], following: ConnectionChanges) -> None:
    assert plan_changes(connections(*known), found) == following


@given(st.lists(st.sampled_from([None, "a", "b", "c", "d/e"]), unique=True, max_size=4), DIRECTORIES)
def test_after_the_changes_each_project_has_one_connection(known: list[str | None], found: list[str]) -> None:
    before = connections(*known)
    following = plan_changes(before, found)
    after = {connection.id: connection.project_dir for connection in before if connection.id not in following.hide} | dict(following.move)
    placed = [directory for directory in after.values() if directory is not None]
    assert sorted([*placed, *following.create]) == sorted(found)


@pytest.mark.parametrize(
    ("newest", "behind"),
    [
        (None, True),
        (Newest("old", "succeeded", None), True),
        (Newest("head", "succeeded", None), False),
        (Newest("head", "queued", None), False),
        (Newest("head", "running", None), False),
        (Newest("head", "failed", "failure"), False),
        (Newest("head", "failed", "neutral"), True),
        (Newest("head", "cancelled", None), False),
    ],
)
def test_a_head_is_behind_without_an_extraction_or_after_a_fault_of_freshet(newest: Newest | None, behind: bool) -> None:  # noqa: FBT001
    assert queue_rules.is_behind(newest, "head") is behind


def test_a_head_is_behind_if_its_success_did_not_become_the_lineage() -> None:
    assert queue_rules.is_behind(Newest("head", "succeeded", None), "head", lineage_sha="old")
    assert not queue_rules.is_behind(Newest("head", "succeeded", None), "head", lineage_sha="head")


@pytest.mark.parametrize(
    ("head", "before", "newest"),
    [(None, "a", True), ("a", "a", True), ("b", "a", True), ("x", "a", False), ("x", "0" * 40, False)],
)
def test_a_push_is_the_newest_if_it_starts_at_the_known_head(head: str | None, before: str, newest: bool) -> None:  # noqa: FBT001
    assert queue_rules.is_newest(head, before, "b") is newest


def test_retry_delays_grow_and_respect_the_requested_wait() -> None:
    delays = [retry.retry_delay(attempt, None) for attempt in range(6)]
    assert delays == sorted(set(delays))
    assert retry.retry_delay(0, 90.0) == timedelta(seconds=90)
