"""What a columns document says is stored and shown without secrets, and never takes long, whatever a container wrote."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from app.lineage.column_document import MAX_NAME, MAX_REASON, ColumnContent, nodes_of
from app.pipeline.decoding.document_redaction import LEFT_OUT, DocumentRedaction
from app.reports import redaction
from tests.unit.test_column_document import KNOWN, document, line

PASSWORD = "correct horse battery"
SECRETS = redaction.secret_values({"db_password": PASSWORD, "api": {"token": "line one\nline  two"}, "host": "warehouse"})


def read(secrets: set[str] = SECRETS, **changed: Any) -> tuple[ColumnContent, str | None]:
    """The stored content of a node, and its compiled code."""
    [node] = nodes_of(document(line(**changed)), KNOWN, DocumentRedaction(secrets))
    return msgspec.json.decode(node.content, type=ColumnContent), None if node.compiled_code is None else node.compiled_code.decode()


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        (f"f(p => '{PASSWORD}', h => 'warehouse')", "f(p => '***', h => 'warehouse')"),
        ("select 'ghp_0123456789abcdef'", "select '***'"),
        ("from read_csv('https://bob:pw@hub.example/a.csv')", "from read_csv('https://***@hub.example/a.csv')"),
        (
            "a join b on a.account_key = b.account_key and b.token = a.token",
            "a join b on a.account_key = b.account_key and b.token = a.token",
        ),
        ("select 'x\u202ey', '\u2764\ufe0f'\r\n", "select 'x\u202ey', '\u2764\ufe0f'\r\n"),
    ],
)
def test_secrets_in_compiled_sql_are_masked_and_nothing_else(sql: str, shown: str) -> None:
    assert read(compiled_code=sql) == (read()[0], shown)


@pytest.mark.parametrize("field", ["reason", "compiled_reason"])
def test_reasons_are_redacted_as_logs_are(field: str) -> None:
    said = f"no {PASSWORD}, no line one line two, token=abc123abc123, https://bob:pw@hub \x1b]0;owned\x07"
    more: dict[str, Any] = {field: said}
    found = getattr(read(**more)[0], field)
    assert found == "no ***, no ***, token=***, https://***@hub \\x1b]0;owned\\x07"


def test_tables_that_dbt_does_not_know_are_masked() -> None:
    found, _ = read(hard_coded=["https://bob:pw@hub.example/a.csv", "raw.crm.accounts", "://" * 300 + "@"])
    assert found.hard_coded[:2] == ("https://***@hub.example/a.csv", "raw.crm.accounts")


def test_a_secret_that_the_container_cut_is_masked() -> None:
    found, _ = read(reason="x" * (MAX_REASON - 11) + PASSWORD[:11])
    assert found.reason is not None
    assert found.reason.endswith("x***")


def test_texts_that_grow_stay_within_their_limits() -> None:
    found, _ = read(reason="\x07" * MAX_REASON, hard_coded=[("a://b@" * MAX_NAME)[:MAX_NAME]])
    assert found.reason == "\\x07" * (MAX_REASON // 4)
    assert len(found.hard_coded[0]) <= MAX_NAME


@pytest.mark.growth
@pytest.mark.parametrize("turn", ["\n", "-----BEGIN KEY-----", "eyJaaaaaaaa.", "://", "pwd=", "bearer ", "private key"])
def test_a_huge_text_has_a_limit(turn: str) -> None:
    text = turn * ((8 << 20) // len(turn))
    masks = DocumentRedaction(SECRETS, cpu_s=0.05)
    since = time.thread_time()
    shown, reason = masks.code(text)
    assert time.thread_time() - since < 5
    assert shown is None or reason is None


def test_many_secrets_have_a_limit_too() -> None:
    masks = DocumentRedaction({f"secret {number}" for number in range(10_000)}, cpu_s=0.05)
    since = time.thread_time()
    assert masks.code("x" * (16 << 20)) == (None, LEFT_OUT)
    assert time.thread_time() - since < 5


def test_without_time_nothing_is_shown_unmasked() -> None:
    content = json.dumps({"password": PASSWORD})
    [node] = nodes_of(
        document(line(compiled_code=content, reason=content, hard_coded=[content])), KNOWN, DocumentRedaction(SECRETS, cpu_s=-1)
    )
    found = msgspec.json.decode(node.content, type=ColumnContent)
    assert (node.compiled_code, found.reason, found.compiled_reason, found.hard_coded) == (None, LEFT_OUT, LEFT_OUT, (LEFT_OUT,))
