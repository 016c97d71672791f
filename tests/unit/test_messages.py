"""The texts of emails and webhooks: complete, limited in size, and harmless with untrusted names and messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from app.core.models.connections import Connection
from app.core.models.extractions import Extraction, Problem
from app.core.models.github import Repository
from app.core.models.notifications import EVENTS, Notice, Subscription
from app.notifications.channels.email import email_message, sender
from app.notifications.messages import MAX_OUTPUT_BYTES, MessageLinks, NoticeContext, message

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
SHA = "1a2b3c4d" * 5
REPOSITORY = Repository(7, "octo/shop", 3, "main")
CONNECTION = Connection(
    *("c1", REPOSITORY, "transform", None, NOW),
    project_name="shop",
    head_sha=SHA,
    lineage_sha="9f8e7d6c" * 5,
    extracted_at=NOW,
    head_status="queued",
)
PROBLEM = Problem(
    "`ref()` points to a model that does not exist",
    "dbt could not parse octo/shop.",
    "Fix the error and push again.",
    "Compilation Error\n  Model 'model.shop.orders' depends on a node named 'stg' which was not found",
    "transform/models/orders.sql",
    3,
)
EXTRACTION = Extraction(
    *("e1", 5, "c1", REPOSITORY, "main", SHA, "transform", "failed", "push", NOW), attempt=1, finished_at=NOW, problem=PROBLEM
)
SUBSCRIPTION = Subscription("s1", "webhook", "https://hooks.example.com/x", frozenset(EVENTS), NOW, "c1")
LINKS = MessageLinks("https://freshet.example", "https://github.com")
HOSTILE = "x\r\nBcc: eve@example.net\r\n\r\n<!channel> @here [a](https://evil.example) <https://evil.example|x> `code` \x1b[31m\u202e"


def context(
    event: Any, *, connection: Connection | None = CONNECTION, extraction: Extraction | None = EXTRACTION, **more: Any
) -> NoticeContext:
    return NoticeContext(Notice("n1", SUBSCRIPTION, event, NOW, connection_id="c1", since=NOW, **more), connection, extraction, LINKS)


def test_a_failure_message_has_the_problem_the_file_and_the_next_step() -> None:
    found = message(context("failure"))
    assert found.subject == "octo/shop (transform): dbt lineage failed at 1a2b3c4"
    for words in (
        "The newest commit of main, 1a2b3c4, could not be extracted.",
        "`ref()` points to a model that does not exist. dbt could not parse octo/shop.",
        "File: transform/models/orders.sql, line 3",
        "    Compilation Error\n      Model 'model.shop.orders' depends",
        "Fix the error and push again.",
        "For now, Freshet shows the lineage of 9f8e7d6.",
        "https://freshet.example/extractions/e1",
        f"https://github.com/octo/shop/commit/{SHA}",
        "This message was sent by notification s1 (failure, recovery, stale) of Freshet at https://freshet.example.",
        "Anyone who can push to the repository can change or delete the notification",
    ):
        assert words in found.text
    assert found.document["text"] == (
        "`octo/shop (transform)`: dbt lineage failed at `1a2b3c4`: `ref()` points to a model that does not exist "
        "(`transform/models/orders.sql`, line 3)\nhttps://freshet.example/extractions/e1"
    )
    assert found.document["url"] == "https://freshet.example/extractions/e1"
    assert found.document["extraction"]["error"]["line"] == 3
    assert found.document["extraction"]["conclusion"] == "failure"
    assert found.document["connection"]["repository_id"] == "7"


def test_a_recovery_message_names_the_problem_that_ended() -> None:
    succeeded = replace(EXTRACTION, status="succeeded", problem=None, result={"counts": {"model": 2}, "edges": 1, "change": None})
    found = message(context("recovery", extraction=succeeded, before="failure"))
    assert found.subject == "octo/shop (transform): dbt lineage works again at 1a2b3c4"
    assert "It had been broken since 2026-11-02T09:00:00Z." in found.text
    assert "2 models, 1 edge" in found.text
    assert (found.document["before"], found.document["since"]) == ("failure", "2026-11-02T09:00:00Z")


def test_a_stale_message_has_the_reason() -> None:
    found = message(context("stale", extraction=None))
    assert found.subject == "octo/shop (transform): dbt lineage is stale, 1a2b3c4 has not been extracted"
    assert "behind since 2026-11-02T09:00:00Z. Its extraction is queued." in found.text
    assert found.document["extraction"] is None


def test_a_test_message_for_an_installation_names_no_connection() -> None:
    found = message(context("test", connection=None, extraction=None))
    assert found.subject == "Freshet: test notification"
    assert "This is a test message from Freshet" in found.text
    assert found.document["text"].startswith("Freshet: test notification")


@pytest.mark.parametrize("event", [*EVENTS, "test"])
def test_untrusted_text_adds_no_headers_mentions_or_links(event: Any) -> None:
    repository = replace(REPOSITORY, full_name=HOSTILE, default_branch=HOSTILE)
    connection = replace(
        CONNECTION, repository=repository, project_dir=HOSTILE, project_name=HOSTILE, head_problem=HOSTILE, head_status="failed"
    )
    problem = Problem(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, 3)
    found = message(context(event, connection=connection, extraction=replace(EXTRACTION, repository=repository, problem=problem)))
    mail = email_message(found, sender("freshet@example.com"), "ann@example.com")
    raw = bytes(mail)
    head = raw.partition(b"\r\n\r\n")[0]
    assert not [line for line in head.split(b"\r\n") if line.lower().startswith(b"bcc")]
    assert mail["Subject"].count("\n") == 0
    assert len(mail["Subject"].encode()) <= 200
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text
    chat = found.document["text"]
    assert "<" not in chat, "Slack makes links and mentions of what stands between < and >"
    outside = "".join(chat.partition("\nhttps://freshet.example")[0].split("`")[::2])
    assert "@" not in outside
    assert "http" not in outside


def test_dbts_message_is_bounded() -> None:
    long = replace(EXTRACTION, problem=replace(PROBLEM, output="line of dbt\n" * 100_000))
    found = message(context("failure", extraction=long))
    assert len(found.text.encode()) < 2 * MAX_OUTPUT_BYTES
    assert len(orjson.dumps(found.document)) < 3 * MAX_OUTPUT_BYTES


def test_every_attempt_sends_the_same_message() -> None:
    first, second = message(context("failure")), message(context("failure", attempts=3))
    assert first == second
    address = sender("freshet@example.com")
    assert bytes(email_message(first, address, "ann@example.com")) == bytes(email_message(second, address, "ann@example.com"))
