"""Logs: one JSON object a line on standard error, with the ids of the delivery, installation, repository and extraction in hand."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

DELIVERY = "delivery_id"
INSTALLATION = "installation_id"
REPOSITORY = "repository"
EXTRACTION = "extraction_id"

bound = structlog.contextvars.bound_contextvars


def get(name: str) -> Any:  # structlog's own type for a lazily configured logger
    """Return the logger of one module."""
    return structlog.get_logger(name)


def configure(stream: TextIO = sys.stderr, *, level: int = logging.INFO, pretty: bool = False) -> None:
    """Send our events and those of libraries (warnings and worse) to `stream`, as JSON lines or, at a terminal, as text."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, _renderer(pretty=pretty)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _renderer(pretty=pretty),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _renderer(*, pretty: bool) -> structlog.typing.Processor:
    if pretty:
        return structlog.dev.ConsoleRenderer(colors=False)
    return structlog.processors.JSONRenderer(default=str)
