"""Without a collector, traces cost nothing; a collector that is away costs nobody else anything."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.core import traces
from app.core.errors import ConfigurationError
from tests.collector import collecting
from tests.patience import HANGS_S

ROOT = Path(__file__).parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys, app.service.server; from app.core import traces\n"
        "with traces.span('a'): assert traces.traceparent() is None\n"
        "assert traces.span('a') is traces.span('b')\n"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry', 'google'))]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


async def test_without_the_extra_the_start_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT") as raised:
        async with traces.exporting("http://127.0.0.1:1"):
            pass
    assert "freshet[otel]" in raised.value.next_step


async def test_spans_continue_a_trace_that_was_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        now = datetime.now(UTC)
        async with traces.exporting(collector.url):
            with traces.span("outer", PARENT, number=1, nothing=None):
                assert (traces.traceparent() or "").startswith(PARENT[:36])
                traces.record("inner", now, now)
            with traces.span("unusable", "no traceparent"):
                pass
        spans = {span.name: span for span in collector.spans}
        assert f"00-{spans['outer'].trace}-{spans['outer'].parent}-01" == PARENT
        assert spans["outer"].attributes == {"freshet.number": "1"}
        assert spans["inner"].parent == spans["outer"].id
        assert spans["unusable"].parent == "", "it begins a trace"
        assert traces.traceparent() is None


async def test_a_collector_that_hangs_does_not_keep_the_service_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "SHUTDOWN_S", 0.1)
    connected: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    async with asyncio.timeout(HANGS_S):
        async with traces.exporting(url):
            with traces.span("lost"):
                pass
    for writer in connected:
        writer.close()
    server.close()
