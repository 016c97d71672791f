"""What a token may do, as far as GitHub's description of a repository tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import tokens
from app.github.grants import Described, Kind, Told, kind_of, scopes_of, told

PUBLIC, PRIVATE = False, True


def described(*, private: bool, role: str, scopes: set[str] | None = None) -> Described:
    pull, push = role in ("pull", "push"), role == "push"
    return Described("o/r", "main", private, pull, push, None if scopes is None else frozenset(scopes))


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
def test_a_kind_is_told_by_its_prefix(token: str, kind: Kind) -> None:
    assert kind_of(token) == kind


def test_scopes_are_those_of_classic_tokens() -> None:
    assert scopes_of("user", {"x-oauth-scopes": "repo, read:org"}) == frozenset({"repo", "read:org"})
    assert scopes_of("user", {"x-oauth-scopes": ""}) == frozenset()
    assert scopes_of("user", {}) is None
    assert scopes_of("app_user", {"x-oauth-scopes": ""}) is None


@pytest.mark.parametrize(
    ("kind", "private", "role", "scopes", "expected"),
    [
        ("user", PRIVATE, "push", {"repo"}, Told(read=True, push=True)),
        ("user", PRIVATE, "pull", {"repo"}, Told(read=True, push=False)),
        ("user", PRIVATE, "", {"repo"}, Told(read=False, push=False)),
        ("user", PRIVATE, "push", {"repo:status", "public_repo"}, Told(read=False, push=False)),
        ("user", PUBLIC, "push", {"public_repo"}, Told(read=True, push=True)),
        ("user", PUBLIC, "push", set(), Told(read=True, push=False)),
        ("user", PUBLIC, "pull", {"repo"}, Told(read=True, push=False)),
        ("user", PRIVATE, "push", None, Told(read=True, push=True)),
        ("user", PRIVATE, "", None, Told(read=False, push=False)),
        ("app_user", PRIVATE, "push", None, Told(read=None, push=True)),
        ("app_user", PUBLIC, "pull", None, Told(read=True, push=False)),
        ("fine_grained", PRIVATE, "push", None, Told(read=None, push=None)),
        ("installation", PUBLIC, "", None, Told(read=True, push=None)),
    ],
)
def test_what_a_description_tells(kind: Kind, *, private: bool, role: str, scopes: set[str] | None, expected: Told) -> None:
    assert told(kind, described(private=private, role=role, scopes=scopes)) == expected


def test_contents_that_are_known_to_be_reached_need_no_question() -> None:
    assert told("app_user", replace(described(private=PRIVATE, role="pull"), contents=True)).read is True
    assert told("app_user", replace(described(private=PRIVATE, role=""), contents=True)).read is None


def test_what_can_be_a_token_and_what_is_said_of_it() -> None:
    assert tokens.is_usable("ghs_" + "x" * 516)
    assert not [text for text in ("", "a b", "a\n", "\u00e9", "a\0", "x" * 4097) if tokens.is_usable(text)]
    assert len(tokens.fingerprint("ghp_abc")) == 16
    assert tokens.fingerprint("ghp_abc") != tokens.fingerprint("ghp_abd")
