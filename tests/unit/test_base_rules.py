"""Which commit an extraction is compared with, from what GitHub and the database say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.models.comparisons import Base
from app.core.models.github import MergeBase
from app.pipeline import base_rules
from app.pipeline.base_rules import NONE, BaseBranch, FoundBase
from app.store.bases import BaseCommit

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
MAIN = BaseBranch("main")
MERGE = Base("merge_base", A, "main", behind_by=2)
BEFORE = Base("previous_head", A, "main")


def test_a_side_branch_has_its_merge_base() -> None:
    found = base_rules.of_side_branch(B, BaseBranch("release", 7), MergeBase(A, 2))
    assert found == FoundBase(Base("merge_base", A, "release", behind_by=2, pull_request=7))


@pytest.mark.parametrize(
    ("found", "words"),
    [(None, "GitHub has no branch `main`"), (MergeBase(None), "have no commit in common"), (MergeBase(B), "`main` contains this commit")],
)
def test_a_side_branch_without_one_is_told_why(found: MergeBase | None, words: str) -> None:
    answer = base_rules.of_side_branch(B, MAIN, found)
    assert (answer.base, answer.failed) == (NONE, False)
    assert words in answer.reason


@pytest.mark.parametrize("earlier", [MERGE, replace(MERGE, kind="nearest", sha=C, wanted_sha=A)])
def test_a_commit_that_was_merged_keeps_the_right_one_of_before(earlier: Base) -> None:
    assert base_rules.of_side_branch(B, MAIN, MergeBase(B), earlier).base == MERGE


def test_a_name_cannot_break_out_of_its_code() -> None:
    assert "`a'b`" in base_rules.of_side_branch(B, BaseBranch("a`b"), None).reason


@pytest.mark.parametrize(
    ("before", "earlier", "switched", "base"),
    [
        (None, None, True, NONE),
        (BEFORE, None, True, BEFORE),
        (BEFORE, Base("previous_head", C, "main"), True, BEFORE),  # main came back to an old commit
        (Base("previous_head", B, "main"), BEFORE, True, BEFORE),  # a re-run of the newest
        (Base("previous_head", B, "main"), replace(BEFORE, kind="nearest", sha=C, wanted_sha=A), True, BEFORE),
        (Base("previous_head", B, "main"), NONE, True, NONE),  # a re-run of the first one
        (Base("previous_head", C, "main"), BEFORE, False, BEFORE),  # a re-run of an old one
        (Base("previous_head", C, "main"), None, False, None),
        (Base("previous_head", B, "main"), None, True, None),
    ],
)
def test_the_followed_branch_has_its_previous_head(before: Base | None, earlier: Base | None, base: Base | None, *, switched: bool) -> None:
    assert base_rules.of_followed_branch(B, before, earlier, switched=switched) == base


def test_no_commit_is_compared_with_itself() -> None:
    itself = Base("previous_head", B, "main")
    assert base_rules.of_followed_branch(B, itself, itself, switched=True) is None
    assert base_rules.of_side_branch(B, MAIN, MergeBase(B), replace(MERGE, sha=B)).base == NONE


def test_a_stored_base_is_compared_with() -> None:
    chosen = base_rules.choose(FoundBase(MERGE), BaseCommit(stored=True, active=False), None)
    assert (chosen.base, chosen.reason, chosen.awaited_sha) == (MERGE, "", None)


@pytest.mark.parametrize("nearest", [C, None])
@pytest.mark.parametrize(
    "commit",
    [
        BaseCommit(stored=False, active=False),
        BaseCommit(stored=False, active=True, status="failed", conclusion="failure"),
        BaseCommit(stored=False, active=False, status="superseded"),
        BaseCommit(stored=False, active=False, status="cancelled"),
        BaseCommit(stored=False, active=False, status="failed", conclusion="neutral"),
    ],
)
def test_a_missing_base_is_awaited(commit: BaseCommit, nearest: str | None) -> None:
    chosen = base_rules.choose(FoundBase(MERGE), commit, nearest)
    assert (chosen.base, chosen.awaited_sha) == (replace(MERGE, kind="nearest", sha=nearest, wanted_sha=A), A)


@pytest.mark.parametrize(
    ("commit", "tried", "words"),
    [
        (BaseCommit(stored=False, active=False, status="failed", title="It broke", conclusion="failure"), False, "failed (It broke)."),
        (BaseCommit(stored=False, active=False, status="failed", conclusion="neutral"), True, "its extraction failed."),
        (BaseCommit(stored=False, active=False, status="cancelled"), True, "was cancelled."),
    ],
)
def test_a_base_that_never_comes_is_not_awaited(commit: BaseCommit, words: str, *, tried: bool) -> None:
    chosen = base_rules.choose(FoundBase(MERGE), commit, C, tried=tried)
    assert (chosen.base.sha, chosen.base.wanted_sha, chosen.awaited_sha) == (C, A, None)
    assert chosen.reason.endswith(words)
    assert "`aaaaaaa`" in chosen.reason


def test_nothing_to_compare_with_stays_nothing() -> None:
    found = FoundBase(reason="Because.", failed=True, again=True)
    chosen = base_rules.choose(found, BaseCommit(stored=False, active=False), None)
    assert (chosen.base, chosen.reason, chosen.failed, chosen.again) == (NONE, "Because.", True, True)


def test_what_stands_in_leads_back_to_the_right_one() -> None:
    chosen = base_rules.choose(FoundBase(MERGE), BaseCommit(stored=False, active=False), C)
    assert base_rules.right_one(chosen.base, "merge_base") == MERGE
    assert base_rules.right_one(NONE, "merge_base") is None
    assert base_rules.right_one(Base("nearest", C), "merge_base") is None
