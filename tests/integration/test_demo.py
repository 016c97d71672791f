"""The demo's fixed port."""

from __future__ import annotations

import json
import socket

import pytest

from app.lineage.run_results import decode
from demo import nightly
from demo.serving import require_port
from tests.service import free_port


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RuntimeError, match=rf"port {port} .*make demo-serve PORT={port + 1}"):
            require_port(port)


def test_a_port_that_is_free_is_fine() -> None:
    require_port(free_port())


def test_the_results_of_a_night_are_an_artifact() -> None:
    names = ("exposure.b.board", "model.b.trips", "test.b.not_null_trips_id.1", "test.b.unique_trips_id.2")
    found = decode(json.dumps(nightly.artifact({"nodes": [{"unique_id": name} for name in names]})).encode())
    assert [one.status for one in found.results.values()] == ["success", "fail", "pass"]
