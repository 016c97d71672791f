"""A client that reads lineages over HTTP: the real routes over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.core.models.github import Repository
from app.github.app.auth import AppAuth
from app.github.app.credentials_file import CredentialsFile
from app.github.app.registration import AppSetup
from app.github.rest.http import ApiClient
from app.lineage.column_document import StorableColumns
from app.lineage.nodes import Lineage, Node
from app.service import app_identity
from app.store import Store
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from app.web.pages import frame

TOKEN = {"Authorization": "Bearer token"}
SHAS = [f"{number:040x}" for number in range(9)]
UPSTREAM = {
    "source.shop.raw.orders": [],
    "model.shop.stg_orders": ["source.shop.raw.orders"],
    "model.shop.orders": ["model.shop.stg_orders", "model.utils.days"],
    "model.utils.days": [],
    "model.shop.ünï 😀": ["model.shop.orders"],
    "test.shop.not_null": ["model.shop.orders"],
    "exposure.shop.days": ["model.utils.days"],
}
TAGS = {"model.shop.orders": ["nightly"], "model.shop.ünï 😀": ["nightly", "ünï"]}


class Reader:
    """Requests the lineage of one connection from the real routes."""

    def __init__(self, client: TestClient[web.Request, web.Application], store: Store, connection_id: str) -> None:
        self.client = client
        self.store = store
        self.connection_id = connection_id
        self.path = f"/api/metadata/connections/{connection_id}/lineage"

    async def get(self, query: Mapping[str, str] | str = "", *, status: int = 200) -> Any:
        params = query if isinstance(query, Mapping) else None
        path = self.path if params is not None else f"{self.path}?{query}"
        async with self.client.get(path, params=params, headers=TOKEN) as response:
            body = await response.json(content_type="application/json" if status == 200 else "application/problem+json")
            assert response.status == status, body
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            return body

    async def shown(self, query: str) -> set[str]:
        return {node["unique_id"] for node in (await self.get(query))["nodes"]}


async def save(store: Store, connection_id: str, sha: str, upstream: Mapping[str, list[str]], description: str = "") -> None:
    """Store nodes with little content."""
    nodes = []
    for unique_id, above in sorted(upstream.items()):
        kind, package, *rest = unique_id.split(".")
        names = {"unique_id": unique_id, "resource_type": kind, "name": rest[-1], "package_name": package}
        content = {**names, "relation_name": f'"main"."{rest[-1]}"', "description": description, "tags": TAGS.get(unique_id, [])}
        nodes.append(Node(unique_id, kind, rest[-1], package, orjson.dumps(content), tuple(sorted(above)), b""))
    await save_lineage(store, connection_id, sha, Lineage("shop", "1.11.16", "duckdb", "v12", tuple(nodes)))


async def save_lineage(store: Store, connection_id: str, sha: str, lineage: Lineage, columns: StorableColumns | None = None) -> None:
    """Store a lineage, and its columns, as the worker does."""
    await store.extractions.enqueue(connection_id, "main", sha, "push", forced=True)
    extraction = await store.extractions.claim("w", timedelta(minutes=1))
    assert extraction is not None
    async with store.transaction() as tx:
        await tx.lineages.save(
            extraction, lineage, sha.encode(), columns_follow=columns is not None, quality_settings=lineage.quality_settings
        )
        if columns is not None:
            await tx.columns.save(extraction, columns, sha.encode())
        result: dict[str, object] = {
            "project_name": lineage.project_name,
            "counts": lineage.counts(),
            "edges": lineage.edge_count,
            "change": None,
        }
        await tx.extractions.finish(extraction.id, "w", "succeeded", [], result=result)


@asynccontextmanager
async def reading(store: Store, directory: Path) -> AsyncIterator[Reader]:
    """Serve a connection with the lineage of `UPSTREAM` at `SHAS[1]`."""

    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
    web_app[keys.STORE] = store
    web_app[keys.CALLERS] = ServiceCallers(ServiceTokens(["token"]))
    async with ApiClient("https://api.github.invalid") as api:
        web_app[keys.SETUP] = AppSetup(
            api,
            AppAuth(None, None, api),
            CredentialsFile(directory),
            app_identity.app_manifest(),
            public_url="https://freshet.example.com",
            addresses=("https://api.github.invalid", "https://github.example.com"),
            server_is_fixed=True,
        )
        frame.set_up(web_app, "https://freshet.example.com")
        routes.add(web_app, webhook)
        await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
        connection = await store.connections.create(7, "")
        await save(store, connection.id, SHAS[1], UPSTREAM)
        async with TestClient(TestServer(web_app)) as client:
            yield Reader(client, store, connection.id)
