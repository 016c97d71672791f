"""A server for one double, and the kubeconfig that leads to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import yaml
from aiohttp import web


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve all paths; yield the URL."""
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def kubeconfig(directory: Path, url: str) -> str:
    path = directory / "kubeconfig"
    cluster, user = {"name": "test", "cluster": {"server": url}}, {"name": "test", "user": {"token": "none"}}
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [context],
        "clusters": [cluster],
        "users": [user],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)
