"""The connection to the Docker engine, and its errors as ours."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiodocker
import aiohttp

from app.core.errors import ConfigurationError, EngineFullError, EngineUnavailableError

CALL_TIMEOUT_S = 60.0
"""The timeout of one call: aiodocker has none, and a busy engine can take many seconds to create a container."""
SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", f"/run/user/{os.getuid()}/docker.sock")
NEXT_STEP = "Freshet retries automatically. If the problem persists, check the Docker engine of this host."
FULL = os.strerror(errno.ENOSPC).lower()
"""The message of Go, and so of the engine."""
DOING = "connecting to the Docker engine"

Docker = aiodocker.Docker
"""A client for one engine."""


@asynccontextmanager
async def connect(host: str | None = None, *, tls_verify: bool = False, cert_path: Path | None = None) -> AsyncIterator[aiodocker.Docker]:
    """Yield a client for the engine at `host`. This does not contact the engine yet.

    The arguments are Docker's own `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`. Raises ConfigurationError, which names them.
    """
    # Left to itself, aiodocker reads the environment and ~/.docker/contexts, and speaks plain text to tcp:// with TLS.
    url = host or _local()
    if not _is_address(url):
        raise ConfigurationError(DOING, f"`DOCKER_HOST` is {url!r}", "Use unix:///PATH, tcp://HOST:PORT or https://HOST:PORT.")
    secure = url.startswith("https://") or (tls_verify and url.startswith(("tcp://", "http://")))
    connector: aiohttp.BaseConnector
    # limit=0: each running container uses one connection, and their number is limited elsewhere.
    if url.startswith("unix://"):
        connector = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0)
    else:
        connector = aiohttp.TCPConnector(limit=0, ssl=await asyncio.to_thread(_tls, cert_path) if secure else True)
        url = ("https://" if secure else "http://") + url.split("://", 1)[1]
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S, sock_connect=10)
    # As with the docker command, HTTP_PROXY is ignored: aiohttp reads it only on request.
    docker = aiodocker.Docker("unix://localhost" if url.startswith("unix://") else url, connector=connector, timeout=timeout)
    docker._connection_info = url  # noqa: SLF001 - for its error messages
    try:
        yield docker
    finally:
        await docker.close()
        await connector.close()


def unavailable(doing: str, reason: str) -> EngineUnavailableError:
    """The error for a failure of the engine."""
    return EngineUnavailableError(doing, reason, NEXT_STEP)


@contextmanager
def errors(doing: str) -> Iterator[None]:
    """Turn errors of the engine or the connection into EngineUnavailableError. Callers handle 404 and 409 themselves, inside."""
    try:
        yield
    except aiodocker.DockerError as error:
        if FULL in error.message.lower():
            reason = "the Docker engine has no space left on its disk"
            raise EngineFullError(
                doing, reason, "Freshet retries automatically. Free some space there: `docker system df` shows what uses it."
            ) from error
        # aiodocker uses 900 for a failed connection.
        away = error.status == 900  # noqa: PLR2004
        reason = f"the Docker engine does not answer ({error.message})" if away else f"the Docker engine answered: {error.message}"
        raise unavailable(doing, reason) from error
    except TimeoutError as error:
        raise unavailable(doing, f"the Docker engine did not answer within {CALL_TIMEOUT_S:g} seconds") from error
    except (aiohttp.ClientError, OSError) as error:
        raise unavailable(doing, f"the connection to the Docker engine broke ({error})") from error


def _is_address(url: str) -> bool:
    """Whether it is an address in one of Docker's forms, with a host or a path.

    >>> [_is_address(url) for url in ("unix:///run/docker.sock", "tcp://docker:2375", "tcp://", "unix://docker.sock", "tcp://docker:port")]
    [True, True, False, False, False]
    """
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return parts.path.startswith("/") and not parts.netloc
        return parts.scheme in {"tcp", "http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _local() -> str:
    return "unix://" + next((path for path in SOCKETS if Path(path).is_socket()), SOCKETS[1])


def _tls(cert_path: Path | None) -> ssl.SSLContext:
    """From ca.pem, cert.pem and key.pem in one directory: https://docs.docker.com/engine/security/protect-access/."""
    directory = cert_path or Path.home() / ".docker"
    try:
        context = ssl.create_default_context(cafile=_existing(directory / "ca.pem"))
        if certificate := _existing(directory / "cert.pem"):
            context.load_cert_chain(certificate, _existing(directory / "key.pem"))
    except (OSError, ssl.SSLError) as error:
        reason = f"the certificates in {directory} cannot be used ({error})"
        raise ConfigurationError(DOING, reason, "Correct `DOCKER_CERT_PATH`, the directory of ca.pem, cert.pem and key.pem.") from error
    return context


def _existing(path: Path) -> str | None:
    return str(path) if path.exists() else None
