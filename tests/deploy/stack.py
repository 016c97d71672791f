"""deploy/compose as an operator runs it, with its own files, a certificate of a test, and a double of GitHub."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.deploy.certificates import write_certificate
from tests.deploy.images import command, service_image, stand_in_image
from tests.double import GitHubDouble
from tests.patience import HANGS_S
from tests.service import ROOT, TOKEN

COMPOSE = ROOT / "deploy" / "compose"
SITE = "freshet.test"
SETTINGS = {"EXTRACTION_CONCURRENCY": "1", "FRESHET_WARM_CONTAINERS": "1", "FRESHET_API_TOKENS": TOKEN}
HOP_BY_HOP = {"Host", "Connection", "Transfer-Encoding", "Content-Length"}


class FixedResolver(AbstractResolver):
    """Every name is at one address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        return [{"hostname": host, "host": self._address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


@dataclass
class Stack:
    """A running stack of containers."""

    directory: Path
    project: str
    github: GitHubDouble
    session: aiohttp.ClientSession = field(repr=False)
    connector: aiohttp.TCPConnector = field(repr=False)
    trusted: ssl.SSLContext = field(repr=False)

    async def compose(self, *words: str, **more: Any) -> str:
        """Run a command of Compose."""
        return await command(*await compose_command(), "-p", self.project, *words, cwd=self.directory, **more)

    async def container(self, service: str) -> dict[str, Any]:
        """What the engine says of the container of a service."""
        found = (await command("docker", "ps", "-aq", *self._labels(service))).split()
        [described] = json.loads(await command("docker", "inspect", *found))
        return dict(described)

    async def inside(self, service: str, *words: str, status: int | None = 0, stdin: bytes = b"") -> str:
        """Run a program in the container of a service."""
        identity = (await self.container(service))["Id"]
        return await command("docker", "exec", "-i", identity, *words, status=status, stdin=stdin)

    async def api(self, path: str, method: str = "GET") -> Any:
        """Ask the JSON API, through the reverse proxy."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.request(method, f"https://{SITE}/api/metadata{path}", headers=headers) as response:
            body = await response.json(content_type=None)
            assert response.ok, f"{method} {path}: {response.status} {body}"
            return body

    async def ready(self) -> None:
        """Wait until the service is ready, asked through the reverse proxy. Raises RuntimeError with the log if it stops."""
        networks = (await self.container("proxy"))["NetworkSettings"]["Networks"]
        self.connector._resolver = FixedResolver(networks[f"{self.project}_front"]["IPAddress"])
        async with asyncio.timeout(HANGS_S):
            while True:
                try:
                    async with self.session.get(f"https://{SITE}/readyz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                if (await self.container("freshet"))["RestartCount"]:
                    raise RuntimeError(await self.compose("logs", "freshet"))
                await asyncio.sleep(0.2)

    def _labels(self, service: str) -> tuple[str, ...]:
        labels = {"com.docker.compose.project": self.project, "com.docker.compose.service": service}
        return tuple(word for name, value in labels.items() for word in ("--filter", f"label={name}={value}"))


async def compose_command() -> tuple[str, ...]:
    """The plugin of the docker command where it is there, otherwise the older program of its own."""
    plugin = await command("docker", "compose", "version", status=None)
    return ("docker", "compose") if "Docker Compose version" in plugin else ("docker-compose",)


@asynccontextmanager
async def running(github: GitHubDouble, directory: Path) -> AsyncIterator[Stack]:
    """Start the stack with a copy of deploy/compose, and remove it with its volumes afterwards."""
    service, stand_in = await service_image(), await stand_in_image()
    shutil.copytree(COMPOSE, directory, dirs_exist_ok=True)
    (directory / "tls").mkdir()
    trusted = write_certificate(directory / "tls", SITE)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_github_for_containers(github))
        images = {"SERVICE_IMAGE": service, **dict.fromkeys(("POSTGRES_IMAGE", "HAPROXY_IMAGE", "CADDY_IMAGE"), stand_in)}
        _write(
            directory / ".env",
            {"SITE_NAME": SITE, "SITE_TLS": "/tls/cert.pem /tls/key.pem", "POSTGRES_PASSWORD": secrets.token_hex(24), **images},
            HTTP_PORT="127.0.0.1:0",
            HTTPS_PORT="127.0.0.1:0",
        )
        _write(directory / "freshet.env", _app(github), **SETTINGS, GITHUB_API_URL=f"{url}/api/v3", GITHUB_SERVER_URL=url)
        connector = aiohttp.TCPConnector(resolver=FixedResolver(""), ssl=trusted)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=HANGS_S)))
        found = Stack(directory, f"freshet-test-{secrets.token_hex(4)}", github, session, connector, trusted)
        stack.push_async_callback(found.compose, "down", "-v", "-t", "30")
        await found.compose("up", "-d", "--no-build")
        await found.ready()
        github.app.webhook_url = await stack.enter_async_context(_delivering_to(session))
        yield found


def _write(path: Path, variables: dict[str, str], **more: str) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in {**variables, **more}.items()))
    path.chmod(0o600)


def _app(github: GitHubDouble) -> dict[str, str]:
    key = github.app.private_key_pem.replace("\n", "\\n")
    app = {"GITHUB_APP_ID": str(github.app.id), "GITHUB_PRIVATE_KEY": key, "GITHUB_WEBHOOK_SECRET": github.app.webhook_secret}
    return {**app, "GITHUB_CLIENT_ID": github.app.client_id, "GITHUB_CLIENT_SECRET": github.app.client_secret}


@asynccontextmanager
async def _github_for_containers(github: GitHubDouble) -> AsyncIterator[str]:
    """The double at an address of this host that containers reach: it listens on the loopback interface only."""
    subnet = (await command("docker", "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Subnet}}")).strip()
    gateway = str(ip_network(subnet)[1])
    port = int(github.server_url.rpartition(":")[2])

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, forth), _copy(back, writer))

    async with await asyncio.start_server(pass_on, gateway, 0) as server:
        yield f"http://{gateway}:{server.sockets[0].getsockname()[1]}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def _delivering_to(session: aiohttp.ClientSession) -> AsyncIterator[str]:
    """An address for the double's deliveries: it knows neither the name of the site nor its certificate."""

    async def deliver(request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        async with session.post(f"https://{SITE}{request.path}", data=await request.read(), headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read())

    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/{path:.*}", deliver)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/webhooks/github"
    finally:
        await runner.cleanup()
