"""What is sealed can only be opened with the same secret, for the same purpose and context, and unchanged."""

from __future__ import annotations

from pydantic import SecretStr

from app.web.auth.sealing import Seal

SECRET = SecretStr("the client secret")


def test_what_is_sealed_opens_for_the_same_secret_purpose_and_context_only() -> None:
    sealed = Seal(SECRET, "session").close(b"ghu_token", b"row 1")
    assert b"ghu" not in sealed
    assert Seal(SECRET, "session").open(sealed, b"row 1") == b"ghu_token"
    assert Seal(SecretStr("another"), "session").open(sealed, b"row 1") is None
    assert Seal(SECRET, "sign-in").open(sealed, b"row 1") is None
    assert Seal(SECRET, "session").open(sealed, b"row 2") is None
    for position in range(len(sealed)):
        changed = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        assert Seal(SECRET, "session").open(changed, b"row 1") is None
    for short in (b"", b"x", sealed[:12], sealed[:-1]):
        assert Seal(SECRET, "session").open(short, b"row 1") is None


def test_the_same_content_looks_different_each_time() -> None:
    seal = Seal(SECRET, "session")
    assert len({seal.close(b"content") for _ in range(100)}) == 100
