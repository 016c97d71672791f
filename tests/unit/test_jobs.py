from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import jobs
from app.following import Following, follow
from app.jobs import Connection, Newest, Repository

REPOSITORY = Repository(7, "octo/shop", 3, "main")
DIRECTORIES = st.lists(st.sampled_from(["", "a", "b", "c", "d/e"]), unique=True, max_size=5)


def connections(*directories: str | None) -> list[Connection]:
    return [Connection(f"c{number}", REPOSITORY, directory, None, datetime.now(UTC)) for number, directory in enumerate(directories)]


@pytest.mark.parametrize(
    ("known", "found", "following"),
    [
        ([], ["a"], Following(create=("a",))),
        (["a"], ["a"], Following()),
        (["a"], ["a", "b"], Following(create=("b",))),
        (["a", "b"], ["a"], Following(hide=("c1",))),
        (["a"], ["b"], Following(move=(("c0", "b"),))),
        (["a", "b"], ["b", "c"], Following(move=(("c0", "c"),))),
        (["a", "b"], ["c", "d"], Following(create=("c", "d"), hide=("c0", "c1"))),
        ([None], ["a", "b"], Following(move=(("c0", "a"),), create=("b",))),
        ([None], [], Following()),
        (["a"], [], Following(hide=("c0",))),
    ],
)
def test_connections_follow_the_projects(known: list[str | None], found: list[str], following: Following) -> None:
    assert follow(connections(*known), found) == following


@given(st.lists(st.sampled_from([None, "a", "b", "c", "d/e"]), unique=True, max_size=4), DIRECTORIES)
def test_afterwards_each_project_has_one_connection(known: list[str | None], found: list[str]) -> None:
    before = connections(*known)
    following = follow(before, found)
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
def test_a_head_is_extracted_again_only_when_the_fault_was_ours(newest: Newest | None, behind: bool) -> None:  # noqa: FBT001
    assert jobs.is_behind(newest, "head") is behind


def test_a_success_that_did_not_become_the_lineage_is_not_enough() -> None:
    assert jobs.is_behind(Newest("head", "succeeded", None), "head", lineage_sha="old")
    assert not jobs.is_behind(Newest("head", "succeeded", None), "head", lineage_sha="head")


@pytest.mark.parametrize(
    ("head", "before", "newest"),
    [(None, "a", True), ("a", "a", True), ("b", "a", True), ("x", "a", False), ("x", "0" * 40, False)],
)
def test_a_push_is_the_newest_when_it_begins_where_we_are(head: str | None, before: str, newest: bool) -> None:  # noqa: FBT001
    assert jobs.is_newest(head, before, "b") is newest


def test_a_try_waits_longer_than_the_one_before_and_as_long_as_it_was_asked_to() -> None:
    delays = [jobs.retry_delay(attempt, None) for attempt in range(6)]
    assert delays == sorted(set(delays))
    assert jobs.retry_delay(0, 90.0) == timedelta(seconds=90)
