"""Service tokens in a file, rotated while the service runs."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from app.core import log, token_digest
from app.core.errors import ConfigurationError
from app.web.auth.service_tokens import ServiceTokens
from app.web.auth.token_file import TokenFile

FIRST, SECOND, FIXED = "first-token-0123456", "second-token-0123456", "short"


class File:
    """The file, its reader, and a clock."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, 0.0
        path.write_text(f"# tokens of the reports\n\n  {FIRST}  \n")
        self.tokens = ServiceTokens([FIXED], TokenFile(path, clock=lambda: self.now))

    async def held(self) -> list[bool]:
        return [await self.tokens.contains(token) for token in (FIXED, FIRST, SECOND)]


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "tokens")


async def test_tokens_of_both_sources_are_valid(file: File) -> None:
    assert await file.held() == [True, True, False]
    assert not await file.tokens.contains("# tokens of the reports")
    assert not await file.tokens.contains("")


async def test_a_change_applies_within_a_second(file: File) -> None:
    file.path.write_text(f"{FIRST}\n{SECOND}\n")
    file.now = 0.9
    assert await file.held() == [True, True, False]
    file.now = 1.0
    assert await file.held() == [True, True, True]
    new = file.path.with_name("new")
    new.write_text(SECOND)
    new.replace(file.path)
    file.now = 2.1
    assert await file.held() == [True, False, True]
    file.path.write_text("")
    file.now = 3.2
    assert await file.held() == [True, False, False]


async def test_a_change_of_the_same_size_is_noticed(file: File) -> None:
    file.path.write_text(file.path.read_text().replace("first", "FIRST"))
    os.utime(file.path, ns=(1, 1))
    file.now = 1.0
    assert await file.held() == [True, False, False]


@pytest.mark.parametrize("trouble", ["gone", "a directory", "too short", "two words", "too long"])
async def test_an_invalid_file_keeps_the_previous_tokens_and_is_logged_once(file: File, trouble: str) -> None:
    stream = io.StringIO()
    log.configure(stream)
    match trouble:
        case "gone":
            file.path.unlink()
        case "a directory":
            file.path.unlink()
            file.path.mkdir()
        case "too short":
            file.path.write_text(f"{SECOND}\nhunter2\n")
        case "two words":
            file.path.write_text(f"{SECOND} {FIRST}\n")
        case _:
            file.path.write_text(f"{SECOND}\n{'x' * (2 << 20)}\n")
    for second in range(1, 5):
        file.now = 1.1 * second
        assert await file.held() == [True, True, False]
    log.configure()
    assert stream.getvalue().count("the previous ones stay valid") == 1
    assert "FRESHET_API_TOKENS_FILE" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    if file.path.is_dir():
        file.path.rmdir()
    file.path.write_text(SECOND)
    file.now = 10.0
    assert await file.held() == [True, False, True]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"# comment\n\nhunter2\n", "the token in line 3 is shorter than 16 characters"),
        (b"two words that are long\n", "line 1 is not a token"),
        ("token-with-ünï-codes\n".encode(), "line 1 is not a token"),
        (b"\xff" * 20, "line 1 is not a token"),
    ],
)
def test_an_invalid_file_at_the_start_is_an_error_that_names_it(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="FRESHET_API_TOKENS_FILE") as caught:
        TokenFile(path)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_only_digests_are_kept(file: File) -> None:
    kept = str(vars(file.tokens)) + str(vars(file.tokens._file))
    assert FIRST not in kept
    assert repr(token_digest.digest(FIRST)) in kept
