"""Valid branches and directories, which connections extract a push, and which conflict with a request."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.models.connections import Connection
from app.core.models.github import Repository
from app.pipeline import connection_rules
from app.pipeline.connection_rules import INVALID_BRANCH, ConnectionChanges
from app.web.api.schemas.connections import NO_DIRECTORY, ConnectRequest, directory

REPOSITORY = Repository(7, "octo/shop", 3, "main")
PARTS = st.lists(
    st.sampled_from(["a", ".", "..", "/", "//", "~", "@{", "@", ".lock", "-", "ü", " ", "\\", "\x7f", "*", "HEAD"]), max_size=4
)


def connection(name: str, directory: str | None, branch: str | None = None, *, manual: bool = False) -> Connection:
    return Connection(name, REPOSITORY, directory, branch, datetime.now(UTC), manual=manual)


@given(PARTS)
def test_branch_names_follow_the_rules_of_git(parts: list[str]) -> None:
    name = "".join(parts)
    taken = run(["git", "check-ref-format", "--branch", name], capture_output=True, cwd=Path("/"), check=False)
    previous = name.startswith("@{")  # "the branch before", which only a work tree knows
    assert connection_rules.is_branch(name) == (taken.returncode == 0 and not previous), name


@pytest.mark.parametrize(
    ("written", "cleaned"),
    [
        ("", ""),
        (".", ""),
        ("./", ""),
        ("a", "a"),
        ("./a//b/", "a/b"),
        ("a/./b", "a/b"),
        ("mein Projekt/ü", "mein Projekt/ü"),
        ("...", "..."),
    ],
)
def test_directories_are_normalized(written: str, cleaned: str) -> None:
    assert directory(written) == cleaned
    assert not re.search(NO_DIRECTORY, written), "the schema accepts it too"


@pytest.mark.parametrize("written", ["/", "/a", "..", "a/..", "a/../b", "a\\b", "a\nb", "a\0", ".git", "a/.git/b"])
def test_directories_outside_the_repository_are_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="directory relative to the root of the repository"):
        ConnectRequest(repository="octo/shop", project_dir=written)
    assert re.search(NO_DIRECTORY, written), "the schema refuses it too"


def test_the_api_schema_has_the_pattern_of_invalid_branches() -> None:
    assert ConnectRequest.model_json_schema()["properties"]["branch"]["anyOf"][0]["not"] == {"pattern": INVALID_BRANCH}


KNOWN = [connection("main-a", "a"), connection("dev-a", "a", "dev"), connection("dev-b", "b", "dev"), connection("new-b", "b", "new")]


@pytest.mark.parametrize(
    ("branch", "extracting"),
    [
        ("main", ["main-a", "dev-b"]),
        ("dev", ["dev-a", "dev-b"]),
        ("new", ["main-a", "new-b"]),
        ("side", ["main-a", "dev-b"]),
    ],
)
def test_a_push_is_extracted_once_for_each_project_and_followed_branch(branch: str, extracting: list[str]) -> None:
    assert [one.id for one in connection_rules.connections_for_push(KNOWN, branch)] == extracting


def test_a_connection_without_a_directory_only_extracts_its_own_branch_beside_others() -> None:
    searching = connection("searching", None, "dev")
    assert connection_rules.connections_for_push([searching], "side") == [searching]
    assert [one.id for one in connection_rules.connections_for_push([*KNOWN, searching], "side")] == ["main-a", "dev-b"]
    assert [one.id for one in connection_rules.connections_for_push([*KNOWN, searching], "dev")] == ["dev-a", "dev-b", "searching"]


@pytest.mark.parametrize(
    ("directory", "branch", "met"),
    [("a", "main", "main-a"), ("a", "dev", "dev-a"), ("c", "dev", None), (None, "dev", "dev-a"), (None, "side", None), ("b", "main", None)],
)
def test_a_request_conflicts_with_the_same_project_and_branch(directory: str | None, branch: str, met: str | None) -> None:
    found = connection_rules.find_conflict(KNOWN, directory, branch)
    assert (found and found.id) == met


def test_a_connection_without_a_directory_conflicts_with_any_directory() -> None:
    found = connection_rules.find_conflict([connection("searching", None)], "a", "main")
    assert found is not None
    assert found.id == "searching"


def test_manual_connections_are_neither_hidden_nor_moved() -> None:
    known = [connection("c0", "a", manual=True), connection("c1", "b")]
    assert connection_rules.plan_changes(known, ["c"]) == ConnectionChanges(move=(("c1", "c"),))
    assert connection_rules.plan_changes(known[:1], ["c"]) == ConnectionChanges(create=("c",))
    assert connection_rules.plan_changes(known, []) == ConnectionChanges(hide=("c1",))


def test_removed_projects_get_no_new_connection() -> None:
    assert connection_rules.plan_changes([connection("c0", "a")], ["a", "b", "c"], removed=["b"]) == ConnectionChanges(create=("c",))
    assert connection_rules.plan_changes([connection("c0", None)], ["a", "b"], removed=["a"]) == ConnectionChanges(move=(("c0", "b"),))


def test_projects_on_other_branches_are_not_followed_automatically() -> None:
    known = [connection("c0", "a", "dev"), connection("c1", None, "dev")]
    assert connection_rules.plan_changes(known, ["b", "c"], default=False) == ConnectionChanges(move=(("c1", "b"),))
    assert connection_rules.plan_changes(known[:1], ["b"], default=False) == ConnectionChanges()
