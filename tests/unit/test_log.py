"""The log: what is repeated is written once a minute, and an outage has a beginning and an end."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.core import log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.configure(stream)
    yield stream
    log.configure()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_repeated_warning_is_written_once_whatever_it_measures(stream: io.StringIO) -> None:
    logger = log.get("test")
    for number in range(1000):
        logger.warning("away", reason="refused", seconds=number)
    logger.warning("away", reason="another")
    logger.info("work")
    logger.info("work")
    assert [line.get("reason", line["event"]) for line in lines(stream)] == ["refused", "another", "work", "work"]


def test_a_repeated_error_of_a_library_is_written_once(stream: io.StringIO) -> None:
    library = logging.getLogger("some.library")
    for number in range(1000):
        try:
            raise OSError(24, "Too many open files")
        except OSError:
            library.exception("accept of socket %s failed", number)
    library.warning("something else")
    assert [line["event"] for line in lines(stream)] == ["accept of socket 0 failed", "something else"]


def test_after_a_minute_a_line_says_how_often_it_was_repeated() -> None:
    now = [0.0]
    repeats = log.Repeats(lambda: now[0])
    for _ in range(3):
        try:
            repeats.of_ours(None, "warning", {"event": "away"})
        except structlog.DropEvent:
            continue
    now[0] = 61.0
    assert repeats.of_ours(None, "warning", {"event": "away"}) == {"event": "away", "repeated": 2}


def test_the_memory_of_repeats_is_bounded() -> None:
    repeats = log.Repeats()
    for number in range(3 * log.MAX_SEEN):
        repeats.of_ours(None, "warning", {"event": "away", "of": number})
    assert len(repeats._seen) <= log.MAX_SEEN


def test_an_outage_is_written_at_its_beginning_every_minute_and_at_its_end() -> None:
    now = [0.0]
    with structlog.testing.capture_logs() as written:
        outage = log.Outage(log.get("test"), "the database", lambda: now[0])
        outage.is_over()
        for now[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
            outage.goes_on("refused")
        outage.is_over()
        outage.is_over()
    events = ["the database does not answer", "the database still does not answer", "the database answers again"]
    assert [line["event"] for line in written] == events
    assert written[-1]["seconds"] == 61.0


def test_on_a_terminal_a_link_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str], stream: io.StringIO) -> None:
    log.announce("open this link", "http://127.0.0.1/setup")
    assert lines(stream)[0]["url"] == "http://127.0.0.1/setup"
    text = io.StringIO()
    log.configure(text, pretty=True)
    log.get("test").info("listening", port=1)
    log.announce("open this link", "http://127.0.0.1/setup")
    assert "    http://127.0.0.1/setup" in capsys.readouterr().err.splitlines()
    assert "{" not in text.getvalue()
