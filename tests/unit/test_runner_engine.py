"""Connecting to an engine, with a server that answers like one."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiodocker
import pytest
from aiohttp import web

from app.core.errors import ConfigurationError, EngineUnavailableError
from app.runner.docker import engine


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for `DOCKER_CERT_PATH`, with one self-signed certificate for both sides."""
    directory = tmp_path_factory.mktemp("certificates")
    request = (
        "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    )
    subprocess.run(["openssl", *request.split()], cwd=directory, check=True, capture_output=True)
    (directory / "ca.pem").write_bytes((directory / "cert.pem").read_bytes())
    return directory


@asynccontextmanager
async def engine_like(context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def version(_: web.Request) -> web.Response:
        return web.json_response({"Version": "99.0", "ApiVersion": "1.41"})

    app = web.Application()
    app.router.add_get("/version", version)
    app.router.add_get("/v1.41/version", version)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
        yield f"tcp://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def version(docker: aiodocker.Docker) -> str:
    with engine.errors("asking"):
        return str((await docker.version())["Version"])


async def test_tcp_is_used_without_tls() -> None:
    async with engine_like() as host, engine.connect(host) as docker:
        assert await version(docker) == "99.0"


async def test_tcp_with_tls_presents_and_checks_certificates(certificates: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    async with engine_like(context) as host:
        async with engine.connect(host, tls_verify=True, cert_path=certificates) as docker:
            assert await version(docker) == "99.0"
        async with engine.connect(host) as docker:
            with pytest.raises(EngineUnavailableError):
                await version(docker)


async def test_a_server_with_another_certificate_is_not_trusted(certificates: Path, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    async with engine_like(context) as host, engine.connect(host, tls_verify=True, cert_path=tmp_path) as docker:
        with pytest.raises(EngineUnavailableError, match="certificate"):
            await version(docker)


async def test_unreadable_certificates_are_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not one")
    with pytest.raises(ConfigurationError, match=str(tmp_path)) as caught:
        async with engine.connect("tcp://localhost:1", tls_verify=True, cert_path=tmp_path):
            pass
    assert "DOCKER_CERT_PATH" in caught.value.user_text


async def test_another_kind_of_host_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="DOCKER_HOST"):
        async with engine.connect("ssh://somewhere"):
            pass


async def test_an_address_without_a_server_is_unavailable() -> None:
    async with engine.connect("tcp://127.0.0.1:1") as docker:
        with pytest.raises(EngineUnavailableError, match="does not answer"):
            await version(docker)


@pytest.mark.parametrize("host", ["tcp://", "tcp://:2375", "tcp://docker:port", "unix://docker.sock", "docker:2375", "ssh://docker"])
async def test_an_address_without_a_host_or_a_path_names_the_variable(host: str) -> None:
    with pytest.raises(ConfigurationError, match="DOCKER_HOST"):
        async with engine.connect(host):
            pass
