"""What people may name: branches and directories, and which connections a push concerns or a wish meets."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app import following
from app.following import NO_BRANCH, Following
from app.jobs import Connection, Repository
from app.web.models.connections import NO_DIRECTORY, ConnectRequest, directory

REPOSITORY = Repository(7, "octo/shop", 3, "main")
PARTS = st.lists(
    st.sampled_from(["a", ".", "..", "/", "//", "~", "@{", "@", ".lock", "-", "ü", " ", "\\", "\x7f", "*", "HEAD"]), max_size=4
)


def connection(name: str, directory: str | None, branch: str | None = None, *, by_hand: bool = False) -> Connection:
    return Connection(name, REPOSITORY, directory, branch, datetime.now(UTC), by_hand=by_hand)


@given(PARTS)
def test_a_branch_is_what_git_takes_for_one(parts: list[str]) -> None:
    name = "".join(parts)
    taken = run(["git", "check-ref-format", "--branch", name], capture_output=True, cwd=Path("/"), check=False)
    previous = name.startswith("@{")  # "the branch before", which only a work tree knows
    assert following.is_branch(name) == (taken.returncode == 0 and not previous), name


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
def test_a_directory_has_one_spelling(written: str, cleaned: str) -> None:
    assert directory(written) == cleaned
    assert not re.search(NO_DIRECTORY, written), "the schema lets it through, too"


@pytest.mark.parametrize("written", ["/", "/a", "..", "a/..", "a/../b", "a\\b", "a\nb", "a\0", ".git", "a/.git/b"])
def test_a_directory_outside_of_the_files_is_none(written: str) -> None:
    with pytest.raises(ValidationError, match="directory inside of the repository"):
        ConnectRequest(repository="octo/shop", project_dir=written)
    assert re.search(NO_DIRECTORY, written), "the schema says so, too"


def test_the_schema_says_what_no_branch_is() -> None:
    assert ConnectRequest.model_json_schema()["properties"]["branch"]["anyOf"][0]["not"] == {"pattern": NO_BRANCH}


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
    assert [one.id for one in following.concerned(KNOWN, branch)] == extracting


def test_who_looks_for_its_project_extracts_its_own_branch_only_where_others_know_theirs() -> None:
    searching = connection("searching", None, "dev")
    assert following.concerned([searching], "side") == [searching]
    assert [one.id for one in following.concerned([*KNOWN, searching], "side")] == ["main-a", "dev-b"]
    assert [one.id for one in following.concerned([*KNOWN, searching], "dev")] == ["dev-a", "dev-b", "searching"]


@pytest.mark.parametrize(
    ("directory", "branch", "met"),
    [("a", "main", "main-a"), ("a", "dev", "dev-a"), ("c", "dev", None), (None, "dev", "dev-a"), (None, "side", None), ("b", "main", None)],
)
def test_a_wish_meets_who_is_of_the_same_project_and_branch(directory: str | None, branch: str, met: str | None) -> None:
    found = following.clash(KNOWN, directory, branch)
    assert (found and found.id) == met


def test_who_looks_for_its_project_may_find_any() -> None:
    found = following.clash([connection("searching", None)], "a", "main")
    assert found is not None
    assert found.id == "searching"


def test_what_was_asked_for_is_neither_hidden_nor_moved() -> None:
    known = [connection("c0", "a", by_hand=True), connection("c1", "b")]
    assert following.follow(known, ["c"]) == Following(move=(("c1", "c"),))
    assert following.follow(known[:1], ["c"]) == Following(create=("c",))
    assert following.follow(known, []) == Following(hide=("c1",))


def test_what_was_taken_away_is_passed_over() -> None:
    assert following.follow([connection("c0", "a")], ["a", "b", "c"], removed=["b"]) == Following(create=("c",))
    assert following.follow([connection("c0", None)], ["a", "b"], removed=["a"]) == Following(move=(("c0", "b"),))


def test_branches_beside_the_default_one_are_followed_where_somebody_says_so() -> None:
    known = [connection("c0", "a", "dev"), connection("c1", None, "dev")]
    assert following.follow(known, ["b", "c"], default=False) == Following(move=(("c1", "b"),))
    assert following.follow(known[:1], ["b"], default=False) == Following()
