"""The connection to the Docker engine, and its errors in our words."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiodocker
import aiohttp

from app.errors import ConfigurationError, EngineFullError, EngineUnavailableError

CALL_TIMEOUT_S = 60.0
"""For one call to the engine. aiodocker has none of its own; a busy engine may take many seconds to create a container."""
SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", f"/run/user/{os.getuid()}/docker.sock")
NEXT_STEP = "It is tried again by itself. If it stays so, look at the Docker engine of this host."
FULL = os.strerror(errno.ENOSPC).lower()
"""As Go, and so the engine, says it."""
DOING = "connecting to the Docker engine"


@asynccontextmanager
async def connect(host: str | None = None, *, tls_verify: bool = False, cert_path: Path | None = None) -> AsyncIterator[aiodocker.Docker]:
    """Give a client for the engine at `host`, closed at the end. Does not talk to the engine yet.

    The arguments are Docker's own `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`. Raises ConfigurationError, which names them.
    """
    # aiodocker would read the environment and ~/.docker/contexts for what is not given, and speak plain text to tcp:// with TLS.
    url = host or _local()
    secure = url.startswith("https://") or (tls_verify and url.startswith(("tcp://", "http://")))
    connector: aiohttp.BaseConnector
    # limit=0: every running container holds one connection, and their number is bounded elsewhere.
    if url.startswith("unix://"):
        connector = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0)
    elif url.startswith(("tcp://", "http://", "https://")):
        connector = aiohttp.TCPConnector(limit=0, ssl=await asyncio.to_thread(_tls, cert_path) if secure else True)
        url = ("https://" if secure else "http://") + url.split("://", 1)[1]
    else:
        raise ConfigurationError(DOING, f"`DOCKER_HOST` is {url!r}", "Use unix:///PATH, tcp://HOST:PORT or https://HOST:PORT.")
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S, sock_connect=10)
    # As with the docker command, HTTP_PROXY does not apply: aiohttp reads it only when asked to.
    docker = aiodocker.Docker("unix://localhost" if url.startswith("unix://") else url, connector=connector, timeout=timeout)
    docker._connection_info = url  # noqa: SLF001 - what its error messages name
    try:
        yield docker
    finally:
        await docker.close()
        await connector.close()


@contextmanager
def errors(doing: str) -> Iterator[None]:
    """Turn errors of the engine, or of the way to it, into EngineUnavailableError. DockerError 404 and 409 are the caller's."""
    try:
        yield
    except aiodocker.DockerError as error:
        if FULL in error.message.lower():
            reason = "the Docker engine has no space left on its disk"
            raise EngineFullError(
                doing, reason, "It is tried again by itself. Make room there: `docker system df` shows what takes it."
            ) from error
        # 900: aiodocker's own, for no connection.
        away = error.status == 900  # noqa: PLR2004
        reason = f"the Docker engine does not answer ({error.message})" if away else f"the Docker engine says: {error.message}"
        raise EngineUnavailableError(doing, reason, NEXT_STEP) from error
    except TimeoutError as error:
        raise EngineUnavailableError(doing, f"the Docker engine did not answer within {CALL_TIMEOUT_S:g} seconds", NEXT_STEP) from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineUnavailableError(doing, f"the connection to the Docker engine broke ({error})", NEXT_STEP) from error


def _local() -> str:
    return "unix://" + next((path for path in SOCKETS if Path(path).is_socket()), SOCKETS[1])


def _tls(cert_path: Path | None) -> ssl.SSLContext:
    """https://docs.docker.com/engine/security/protect-access/: ca.pem, cert.pem and key.pem in one directory."""
    directory = cert_path or Path.home() / ".docker"
    try:
        context = ssl.create_default_context(cafile=_existing(directory / "ca.pem"))
        if certificate := _existing(directory / "cert.pem"):
            context.load_cert_chain(certificate, _existing(directory / "key.pem"))
    except (OSError, ssl.SSLError) as error:
        reason = f"the certificates in {directory} cannot be used ({error})"
        raise ConfigurationError(DOING, reason, "Mend `DOCKER_CERT_PATH`: it holds ca.pem, cert.pem and key.pem.") from error
    return context


def _existing(path: Path) -> str | None:
    return str(path) if path.exists() else None
