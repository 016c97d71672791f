"""Rights that follow from GitHub's description of a repository."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core import token_digest
from app.github.access.grants import ImpliedRights, Kind, RepositoryDescription, implied_rights, token_kind, token_scopes

PUBLIC, PRIVATE = False, True


def description(*, private: bool, role: str, scopes: set[str] | None = None) -> RepositoryDescription:
    pull, push = role in ("pull", "push"), role == "push"
    return RepositoryDescription("o/r", "main", private, pull, push, None if scopes is None else frozenset(scopes))


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("ghu_abc", "app_user"),
        ("ghs_123_abc.def.ghi", "installation"),
        ("github_pat_11A_b", "fine_grained"),
        ("ghp_abc", "user"),
        ("gho_abc", "user"),
        ("0123456789abcdef0123456789abcdef01234567", "user"),
        ("ghr_refresh", "user"),
        ("GHU_abc", "user"),
    ],
)
def test_the_prefix_tells_the_kind_of_a_token(token: str, kind: Kind) -> None:
    assert token_kind(token) == kind


def test_only_classic_tokens_have_scopes() -> None:
    assert token_scopes("user", {"x-oauth-scopes": "repo, read:org"}) == frozenset({"repo", "read:org"})
    assert token_scopes("user", {"x-oauth-scopes": ""}) == frozenset()
    assert token_scopes("user", {}) is None
    assert token_scopes("app_user", {"x-oauth-scopes": ""}) is None


@pytest.mark.parametrize(
    ("kind", "private", "role", "scopes", "expected"),
    [
        ("user", PRIVATE, "push", {"repo"}, ImpliedRights(read=True, push=True)),
        ("user", PRIVATE, "pull", {"repo"}, ImpliedRights(read=True, push=False)),
        ("user", PRIVATE, "", {"repo"}, ImpliedRights(read=False, push=False)),
        ("user", PRIVATE, "push", {"repo:status", "public_repo"}, ImpliedRights(read=False, push=False)),
        ("user", PUBLIC, "push", {"public_repo"}, ImpliedRights(read=True, push=True)),
        ("user", PUBLIC, "push", set(), ImpliedRights(read=True, push=False)),
        ("user", PUBLIC, "pull", {"repo"}, ImpliedRights(read=True, push=False)),
        ("user", PRIVATE, "push", None, ImpliedRights(read=True, push=True)),
        ("user", PRIVATE, "", None, ImpliedRights(read=False, push=False)),
        ("app_user", PRIVATE, "push", None, ImpliedRights(read=None, push=True)),
        ("app_user", PUBLIC, "pull", None, ImpliedRights(read=True, push=False)),
        ("fine_grained", PRIVATE, "push", None, ImpliedRights(read=None, push=None)),
        ("installation", PUBLIC, "", None, ImpliedRights(read=True, push=None)),
    ],
)
def test_implied_rights(kind: Kind, *, private: bool, role: str, scopes: set[str] | None, expected: ImpliedRights) -> None:
    assert implied_rights(kind, description(private=private, role=role, scopes=scopes)) == expected


def test_readable_contents_imply_the_right_to_read() -> None:
    assert implied_rights("app_user", replace(description(private=PRIVATE, role="pull"), contents=True)).read is True
    assert implied_rights("app_user", replace(description(private=PRIVATE, role=""), contents=True)).read is None


def test_usable_tokens_and_their_fingerprints() -> None:
    assert token_digest.is_usable("ghs_" + "x" * 516)
    assert not [text for text in ("", "a b", "a\n", "\u00e9", "a\0", "x" * 4097) if token_digest.is_usable(text)]
    assert len(token_digest.fingerprint("ghp_abc")) == 16
    assert token_digest.fingerprint("ghp_abc") != token_digest.fingerprint("ghp_abd")
