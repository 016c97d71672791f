"""Redacted output contains no secrets and no control characters."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reports import redaction

WORDS = st.text(string.ascii_letters + string.digits, min_size=20, max_size=40)
AROUND = st.text(" \n\t,;'\"()=:x/", max_size=10)
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(["MIIEpAIBAAKCAQEA7bq4Zs0vY1uT" * 2] * 12) + "\n-----END RSA PRIVATE KEY-----"


@given(st.text())
def test_every_log_can_be_shown_stored_and_sent(text: str) -> None:
    shown = redaction.redact_log(text)
    assert all(char in "\n\t" or char.isprintable() or char.isspace() for char in shown)
    assert not set(shown) & set(map(chr, [*range(9), *range(11, 32), 127, *range(0x80, 0xA0), 0x202E, 0x2066, 0x200B, 0x2028, 0xFEFF]))
    shown.encode()


@given(st.text(string.printable, max_size=300))
def test_redaction_is_idempotent(text: str) -> None:
    once = redaction.redact(text)
    assert redaction.redact(once) == once


@pytest.mark.parametrize("form", ["gh{0}_{1}", "github_pat_{1}", "Bearer {1}", "bearer  {1}", "Authorization: Basic {1}", "glpat-{1}"])
@given(kind=st.sampled_from("pousr"), value=WORDS, before=AROUND, after=AROUND)
def test_tokens_are_masked(form: str, kind: str, value: str, before: str, after: str) -> None:
    assert value not in redaction.redact_log(before + form.format(kind, value) + after)


@pytest.mark.parametrize(
    "form",
    [
        "https://bob:{}@hub.example/x",
        "postgres://bob:p@{}@db/x",
        "https://{}@github.com/octo/shop.git",
        "password={}",
        "DB_PASSWORD: {}",
        '{{"password": "a {} \\" b"}}',
        "'api_key': '{}'",
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE = {}",
        "--token {}",
        "aws_secret_access_key={}",
        "x\x1b[31m_token=\x1b[0m{}",
        "password=\x1b[1m{}",
    ],
)
@given(value=WORDS)
def test_values_with_secret_names_are_masked(form: str, value: str) -> None:
    assert value not in redaction.redact_log(form.format(value))


@given(before=st.text("ab\n ", max_size=20), after=st.text("ab\n ", max_size=20))
def test_private_keys_are_masked_even_without_an_end(before: str, after: str) -> None:
    for key in (KEY, KEY.replace("\n", "\\n"), "\n".join(f"08:12:44  {line}" for line in KEY.split("\n")), KEY.rpartition("\n")[0]):
        shown = redaction.redact_log(f"{before}\n{key}\n{after}")
        assert "MIIEpAIBAAKCAQEA" not in shown
        assert redaction.MASK in shown


def test_ordinary_text_is_unchanged() -> None:
    text = (
        "Compilation Error in model tokens (models/tokens.sql)\n  'password' is undefined, at line 3\n"
        "expected token 'end of print statement', got 'x'\nsee https://docs.getdbt.com/@x and bob@example.com\n"
        "password: {{ env_var('DB_PASSWORD') }}\n  unique_key='id'\tünï 😀 日本\u3000語 -----BEGIN of the story\n"
    )
    assert redaction.redact_log(text) == text


def test_colors_are_removed_and_control_characters_are_escaped() -> None:
    assert (
        redaction.redact_log("\x1b[32mgreen\x1b[0m \x1b[2J\x1b]0;t\x07 a\u202eb\r\nc\rd\x00")
        == "green \\x1b[2J\\x1b]0;t\\x07 a\\u202eb\nc\nd\\x00"
    )


def test_secret_values_of_the_settings_are_masked_everywhere() -> None:
    values = {"DB_HOST": "warehouse", "DB_PASSWORD": 'hun"ter2', "nested": {"api_token": ["abcd", "x"], "port": 5432}, "PAT": 123456}
    secrets = redaction.secret_values(values)
    assert secrets == {'hun"ter2', 'hun\\"ter2', "abcd", "123456"}, "a single character is in every word"
    text = f'connecting to warehouse:5432 as hun"ter2, {json.dumps(values)}'
    assert redaction.redact_log(text, secrets) == (
        'connecting to warehouse:5432 as ***, {"DB_HOST": "warehouse", "DB_PASSWORD": ***, '
        '"nested": {"api_token": ["***", "x"], "port": 5432}, "PAT": ***}'
    )


def test_a_long_log_keeps_its_beginning_and_end() -> None:
    lines = [f"line {number} says something" for number in range(100_000)]
    shown = redaction.redact_log("\n".join(lines)).split("\n")
    assert (shown[0], shown[-1]) == (lines[0], lines[-1])
    [gap] = {*shown} - {*lines}
    assert "characters left out" in gap
    assert len("\n".join(shown)) <= redaction.MAX_BYTES
    assert len(redaction.redact_log("\x01" * redaction.MAX_BYTES).encode()) <= redaction.MAX_BYTES


def test_a_long_line_is_searched_in_pieces() -> None:
    line = "some words " * 5_000 + "password=hunter2hunter2 " + "and more " * 5_000
    assert redaction.redact_log(line) == line.replace("hunter2hunter2", redaction.MASK)


@pytest.mark.parametrize(
    "form", ["gh{0}_{1}", "github_pat_{1}", "Bearer {1}", "bEARER  {1}", "glpat-{1}", "dbtc_{1}", "AIza{1}", "ya29.{1}"]
)
@given(kind=st.sampled_from("pousr"), value=WORDS, before=AROUND, after=AROUND)
def test_tokens_in_code_are_masked(form: str, kind: str, value: str, before: str, after: str) -> None:
    assert value not in redaction.redact_code(before + form.format(kind, value) + after)


@pytest.mark.parametrize(
    "secret",
    ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "dapi" + "0a" * 16, "xoxb-0123456789-abc", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.abc"],
)
def test_keys_in_code_are_masked(secret: str) -> None:
    shown = redaction.redact_code(f"select '{secret}' as a,\n  b.token = c.token as same")
    assert shown == "select '***' as a,\n  b.token = c.token as same"


def test_private_keys_in_code_are_masked() -> None:
    assert redaction.redact_code(f"'{KEY}'\n as a") == "'***\n as a"
