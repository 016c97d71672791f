"""The demo's fixed port."""

from __future__ import annotations

import socket

import pytest

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
