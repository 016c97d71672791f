"""An OpenTelemetry collector: takes OTLP over HTTP, and keeps the spans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.patience import HANGS_S


@dataclass(frozen=True)
class ReceivedSpan:
    """A span, with the service instance that sent it."""

    name: str
    trace: str
    id: str
    parent: str
    instance: str
    attributes: dict[str, str]
    seconds: float


@dataclass
class Collector:
    """Where spans arrive."""

    url: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            about = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert about["service.name"] == "freshet"
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes}
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
                    self.spans.append(ReceivedSpan(span.name, *ids, about.get("service.instance.id", ""), attributes, seconds))
        return web.Response(content_type="application/x-protobuf")

    async def of(self, name: str, count: int = 1) -> list[ReceivedSpan]:
        """Wait for spans of a name."""
        async with asyncio.timeout(HANGS_S):
            while len(found := [span for span in self.spans if span.name == name]) < count:
                await asyncio.sleep(0.1)
        return found


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector."""
    collector = Collector()
    web_app = web.Application(client_max_size=16 << 20)
    web_app.router.add_post("/v1/traces", collector.receive)
    async with TestServer(web_app) as server:
        collector.url = str(server.make_url("")).rstrip("/")
        yield collector
