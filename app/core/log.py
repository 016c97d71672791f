"""Logs: one JSON object per line on standard error, with the ids of the current delivery, installation, repository and extraction."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import structlog

DELIVERY = "delivery_id"
EVENT = "event_name"
INSTALLATION = "installation_id"
REPOSITORY = "repository"
EXTRACTION = "extraction_id"

REPEAT_S = 60.0
MAX_SEEN = 1000
VARYING = {"seconds", "ms", "attempt", "delay_s"}
"""Fields that do not make a line another one."""

_for_people = False

bound = structlog.contextvars.bound_contextvars


def ids(**found: object) -> dict[str, object]:
    """The ids that are known, for log lines."""
    return {name: value for name, value in found.items() if value is not None}


def get(name: str) -> Any:  # structlog's own type for a lazily configured logger
    """The logger of a module."""
    return structlog.get_logger(name)


def configure(stream: TextIO = sys.stderr, *, level: int = logging.INFO, pretty: bool = False) -> None:
    """Write our events, and warnings and errors of libraries, to `stream`: as JSON lines, or with `pretty` as text for people."""
    global _for_people  # noqa: PLW0603 - the configuration of logs is global
    _for_people = pretty
    repeats = Repeats()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        repeats.of_ours,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, _renderer(pretty=pretty)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(repeats.of_libraries)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[one for one in shared if one != repeats.of_ours],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _renderer(pretty=pretty),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def announce(text: str, url: str) -> None:
    """Show a person a link: on a line of its own where the log is text."""
    if _for_people:
        sys.stderr.write(f"\n{text[0].upper()}{text[1:]}:\n\n    {url}\n\n")
    else:
        get(__name__).warning(text, url=url)


class Repeats:
    """Drops warnings and errors that are repeated within `REPEAT_S`; the next one says how many there were."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}
        """By content: when it was last written, and how many were dropped since."""

    def of_ours(self, _logger: object, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """A processor of structlog."""
        if level in ("warning", "error"):
            content = sorted((name, str(value)) for name, value in event.items() if name not in VARYING)
            dropped = self._dropped(repr((content, sys.exc_info()[0])))
            if dropped is None:
                raise structlog.DropEvent
            if dropped:
                event["repeated"] = dropped
        return event

    def of_libraries(self, record: logging.LogRecord) -> bool:
        """A filter of logging."""
        # Not the arguments: they often have a number or an address that differs each time.
        dropped = self._dropped(repr((record.name, record.levelno, str(record.msg), record.exc_info and record.exc_info[0])))
        if dropped:
            record.msg, record.args = f"{record.getMessage()} (repeated {dropped} times)", ()
        return dropped is not None

    def _dropped(self, content: str) -> int | None:
        """How many of these were dropped since the last one was written; None if this one is dropped too."""
        now_s = self._clock()
        written_s, dropped = self._seen.get(content, (-REPEAT_S, 0))
        if now_s - written_s < REPEAT_S:
            self._seen[content] = (written_s, dropped + 1)
            return None
        if len(self._seen) >= MAX_SEEN:
            self._seen = {key: one for key, one in self._seen.items() if now_s - one[0] < REPEAT_S}
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
        self._seen[content] = (now_s, 0)
        return dropped


class Outage:
    """Writes that something does not answer: once, then every minute, and when it answers again."""

    def __init__(self, logger: Any, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._first, self._later, self._over = f"{what} does not answer", f"{what} still does not answer", f"{what} answers again"
        self._since_s: float | None = None
        self._said_s = 0.0

    def goes_on(self, reason: str) -> None:
        """Record that it did not answer."""
        now_s = self._clock()
        if self._since_s is None:
            self._since_s = self._said_s = now_s
            self._logger.warning(self._first, reason=reason)
        elif now_s - self._said_s >= REPEAT_S:
            self._said_s = now_s
            self._logger.warning(self._later, reason=reason, seconds=round(now_s - self._since_s))

    def is_over(self) -> None:
        """Record that it answered."""
        if self._since_s is not None:
            self._logger.info(self._over, seconds=round(self._clock() - self._since_s, 1))
            self._since_s = None


def _renderer(*, pretty: bool) -> structlog.typing.Processor:
    if pretty:
        return structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(default=str)
