"""The service as a process of its own, as an operator runs it: started, asked over HTTP, stopped by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from app.store import pool
from tests.double import GitHubDouble, Repository
from tests.patience import HANGS_S

ROOT = Path(__file__).parents[1]
TOKEN = "a-service-token"
OWN_VARIABLES = ("GITHUB_", "FRESHET_", "DBT_", "EXTRACTION_", "DATABASE_URL", "HOST", "PORT", "BACKEND_URL")
"""Variables of the machine that could change what is tested."""


@dataclass
class Service:
    """A running service."""

    url: str
    log_file: Path
    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession = field(repr=False)

    @property
    def log(self) -> str:
        """Everything that it logged so far."""
        return self.log_file.read_text()

    async def get(self, path: str, *, status: int = 200, **params: str) -> Any:
        """GET a path of the JSON API with the service token, and return the body; the status is asserted."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.get(f"{self.url}/api/metadata{path}", headers=headers, params=params) as response:
            body = await response.json(content_type=None)
            assert response.status == status, f"GET {path}: {response.status} {body}"
            return body

    async def post(self, path: str, body: Any = None, *, status: int = 202) -> Any:
        """POST to a path of the JSON API."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.post(f"{self.url}/api/metadata{path}", headers=headers, json=body) as response:
            answer = await response.json(content_type=None)
            assert response.status == status, f"POST {path}: {response.status} {answer}"
            return answer

    async def connection(self, repository: str, *, timeout_s: float = HANGS_S) -> Any:
        """Wait for the connection of a repository."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = (await self.get("/connections", repository=repository))["items"]
                if found:
                    return found[0]
                await asyncio.sleep(0.1)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(HANGS_S):
            return await self.process.wait()


async def looked_at(dsn: str, repository: Repository) -> None:
    """Wait until the service has looked at a new repository: what comes later without a webhook, it does not see."""
    settled = (
        "SELECT looked_at IS NOT NULL AND look_at IS NULL AND survey_at IS NULL "
        "FROM repositories r JOIN installations i ON i.id = r.installation_id WHERE r.id = $1"
    )
    async with pool.connect(dsn, size=1) as db, asyncio.timeout(HANGS_S):
        while not await db.value(settled, repository.id):
            await asyncio.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(
    github: GitHubDouble, data_dir: Path, port: int, *, with_app: bool = True, with_client: bool = True, **more: str
) -> dict[str, str]:
    """Return the environment of a service that serves `github`, and points the App's webhook at it; `with_app` tells it of the App.

    Without a client (`with_client`), nobody can sign in, and pages are open.
    """
    public_url = more.get("BACKEND_URL", f"http://127.0.0.1:{port}")
    github.app.webhook_url = f"http://127.0.0.1:{port}/api/webhooks/github"
    github.app.callback_urls = [f"{public_url}/sign-in/callback"]
    ours = {
        "PORT": str(port),
        "FRESHET_DATA_DIR": str(data_dir),
        "FRESHET_API_TOKENS": TOKEN,
        "GITHUB_API_URL": github.api_url,
        "GITHUB_SERVER_URL": github.server_url,
    }
    app = {
        "GITHUB_APP_ID": str(github.app.id),
        "GITHUB_PRIVATE_KEY": github.app.private_key_pem,
        "GITHUB_WEBHOOK_SECRET": github.app.webhook_secret,
    }
    client = {"GITHUB_CLIENT_ID": github.app.client_id, "GITHUB_CLIENT_SECRET": github.app.client_secret}
    app |= client if with_client else {}
    return {**clean_environment(), **ours, **(app if with_app else {}), **more}


def clean_environment() -> Mapping[str, str]:
    """Return this process's environment without what configures Freshet; Docker's own variables stay."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}


@asynccontextmanager
async def serving(
    github: GitHubDouble,
    data_dir: Path,
    *,
    port: int | None = None,
    with_app: bool = True,
    with_client: bool = True,
    module: str = "app",
    **more: str,
) -> AsyncIterator[Service]:
    """Run `python -m app serve` until this is left; it is ready when this yields. Another `module` is one that does more before."""
    port = port or free_port()
    data_dir.mkdir(parents=True, exist_ok=True)
    log_file = data_dir / "service.log"
    with log_file.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", module, "serve"),
            cwd=ROOT,
            env=environment(github, data_dir, port, with_app=with_app, with_client=with_client, **more),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HANGS_S)) as session:
        service = Service(f"http://127.0.0.1:{port}", log_file, process, session)
        try:
            await _ready(service)
            yield service
        finally:
            try:
                await service.stop()
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                raise


async def _ready(service: Service) -> None:
    async with asyncio.timeout(HANGS_S):
        while service.process.returncode is None:
            try:
                async with service.session.get(f"{service.url}/livez") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise RuntimeError(f"the service did not start:\n{service.log}")
