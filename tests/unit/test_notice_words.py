"""What people and programs read when a lineage breaks and is well again: right, bounded, and harmless whatever strangers wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from app.jobs import Connection, Extraction, Problem, Repository
from app.notices import EVENTS, Notice, Subscription
from app.notify.mail import letter, sender
from app.wording.notice import MAX_OUTPUT_BYTES, Links, Told, message

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
    "A model that is referred to does not exist",
    "While parsing octo/shop: dbt stopped with the message below.",
    "Mend it and push again.",
    "Compilation Error\n  Model 'model.shop.orders' depends on a node named 'stg' which was not found",
    "transform/models/orders.sql",
    3,
)
EXTRACTION = Extraction(
    *("e1", 5, "c1", REPOSITORY, "main", SHA, "transform", "failed", "push", NOW), attempt=1, finished_at=NOW, problem=PROBLEM
)
SUBSCRIPTION = Subscription("s1", "webhook", "https://hooks.example.com/x", frozenset(EVENTS), NOW, "c1")
LINKS = Links("https://freshet.example", "https://github.com")
HOSTILE = "x\r\nBcc: eve@example.net\r\n\r\n<!channel> @here [a](https://evil.example) <https://evil.example|x> `code` \x1b[31m\u202e"


def told(event: Any, *, connection: Connection | None = CONNECTION, extraction: Extraction | None = EXTRACTION, **more: Any) -> Told:
    return Told(Notice("n1", SUBSCRIPTION, event, NOW, connection_id="c1", since=NOW, **more), connection, extraction, LINKS)


def test_a_failure_says_what_where_and_what_to_do() -> None:
    found = message(told("failure"))
    assert found.subject == "octo/shop (transform): dbt lineage failed at 1a2b3c4"
    for words in (
        "The newest commit of main, 1a2b3c4, could not be extracted.",
        "A model that is referred to does not exist. While parsing",
        "Where: transform/models/orders.sql, line 3",
        "    Compilation Error\n      Model 'model.shop.orders' depends",
        "Mend it and push again.",
        "Until then the lineage is that of 9f8e7d6.",
        "https://freshet.example/extractions/e1",
        f"https://github.com/octo/shop/commit/{SHA}",
        "Notification s1 of Freshet at https://freshet.example asks for this (failure, recovery, stale).",
    ):
        assert words in found.text
    assert found.document["text"] == (
        "`octo/shop (transform)`: dbt lineage failed at `1a2b3c4`: A model that is referred to does not exist "
        "(`transform/models/orders.sql`, line 3)\nhttps://freshet.example/extractions/e1"
    )
    assert found.document["url"] == "https://freshet.example/extractions/e1"
    assert found.document["extraction"]["error"]["line"] == 3
    assert found.document["extraction"]["conclusion"] == "failure"
    assert found.document["connection"]["repository_id"] == "7"


def test_a_recovery_says_what_it_ends() -> None:
    well = replace(EXTRACTION, status="succeeded", problem=None, result={"counts": {"model": 2}, "edges": 1, "change": None})
    found = message(told("recovery", extraction=well, before="failure"))
    assert found.subject == "octo/shop (transform): dbt lineage works again at 1a2b3c4"
    assert "It was broken since 2026-11-02T09:00:00Z." in found.text
    assert "2 models, 1 edges" in found.text
    assert (found.document["before"], found.document["since"]) == ("failure", "2026-11-02T09:00:00Z")


def test_a_stale_lineage_says_why() -> None:
    found = message(told("stale", extraction=None))
    assert found.subject == "octo/shop (transform): dbt lineage is stale, 1a2b3c4 is not extracted"
    assert "behind since 2026-11-02T09:00:00Z. Its extraction waits for its turn." in found.text
    assert found.document["extraction"] is None


def test_a_test_of_an_installation_names_nothing_that_is_not_there() -> None:
    found = message(told("test", connection=None, extraction=None))
    assert found.subject == "Freshet: a test of your notification"
    assert "Nothing happened." in found.text
    assert found.document["text"].startswith("Freshet: a test")


@pytest.mark.parametrize("event", [*EVENTS, "test"])
def test_nothing_that_a_stranger_wrote_works(event: Any) -> None:
    repository = replace(REPOSITORY, full_name=HOSTILE, default_branch=HOSTILE)
    connection = replace(
        CONNECTION, repository=repository, project_dir=HOSTILE, project_name=HOSTILE, head_problem=HOSTILE, head_status="failed"
    )
    problem = Problem(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, 3)
    found = message(told(event, connection=connection, extraction=replace(EXTRACTION, repository=repository, problem=problem)))
    mail = letter(found, sender("freshet@example.com"), "ann@example.com")
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
    found = message(told("failure", extraction=long))
    assert len(found.text.encode()) < 2 * MAX_OUTPUT_BYTES
    assert len(orjson.dumps(found.document)) < 3 * MAX_OUTPUT_BYTES


def test_it_is_the_same_however_often_it_is_sent() -> None:
    first, second = message(told("failure")), message(told("failure", attempts=3))
    assert first == second
    by = sender("freshet@example.com")
    assert bytes(letter(first, by, "ann@example.com")) == bytes(letter(second, by, "ann@example.com"))
