"""Traces by OpenTelemetry, if the service was started with a collector. Otherwise a span is a context manager that does nothing.

The trace of a delivery goes through the queue as a `traceparent`: https://www.w3.org/TR/trace-context/#traceparent-header.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.core.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

SHUTDOWN_S = 5.0
"""The time for sending the last spans."""
_NOTHING = nullcontext()
_tracer: Tracer | None = None


@asynccontextmanager
async def exporting(collector: str | None) -> AsyncIterator[None]:
    """Send spans to an OTLP collector until this is left; without one, there are none. OpenTelemetry's own variables say how.

    Raises ConfigurationError if the extra `otel` is not installed.
    """
    global _tracer  # noqa: PLW0603 - like the configuration of logs
    if collector is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        reason = f"OTEL_EXPORTER_OTLP_ENDPOINT: a library for traces is not installed ({error.name})"
        raise ConfigurationError("starting the traces", reason, "Run `pip install 'freshet[otel]'`, or unset the variable.") from error
    resource = Resource({"service.name": "freshet"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("freshet")
    try:
        yield
    finally:
        _tracer = None
        # A thread of its own: a collector that hangs must not keep the process from ending.
        sending = threading.Thread(target=provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, SHUTDOWN_S)


def span(name: str, parent: str | None = None, **attributes: object) -> AbstractContextManager[None]:
    """A span of the current one, or of a `traceparent`. An exception that leaves it is its status."""
    return _NOTHING if _tracer is None else _span(_tracer, name, parent, attributes)


def record(name: str, began_at: datetime, ended_at: datetime) -> None:
    """Add a span of the current one that has ended already."""
    if _tracer is not None:
        _tracer.start_span(name, start_time=_ns(began_at)).end(_ns(ended_at))


def traceparent() -> str | None:
    """The current span, as a header with which another process continues its trace."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - an extra

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def _span(tracer: Tracer, name: str, parent: str | None, attributes: dict[str, Any]) -> Iterator[None]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - an extra

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    known = {f"freshet.{key}": value for key, value in attributes.items() if value is not None}
    with tracer.start_as_current_span(name, context, attributes=known):
        yield


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
