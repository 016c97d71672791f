"""A service that has extracted the demo's project, in a container that the engine's double forked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.double import GitHubDouble, Repository
from tests.engine import EngineDouble
from tests.service import ROOT, Service, serving

PROJECT = ROOT / "demo" / "project"


@dataclass(frozen=True, slots=True)
class World:
    """The service, and the ids that requests need."""

    github: GitHubDouble
    service: Service
    repository: Repository
    sha: str
    connection_id: str
    extraction_id: str


@asynccontextmanager
async def world(directory: Path, dsn: str, engine: EngineDouble, **settings: Any) -> AsyncIterator[World]:
    """Run a service and push to it, so that there are a connection, an extraction and a lineage."""
    ours = {"DATABASE_URL": dsn, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0", **settings}
    async with GitHubDouble() as github, serving(github, directory, **ours) as service:
        repository = await github.create_repository("acme/bikes", {"README.md": "bikes"})
        files = {f"transform/{path.relative_to(PROJECT)}": path.read_bytes() for path in PROJECT.rglob("*") if path.is_file()}
        sha = await github.push(repository, files, deliver=False)
        await github.install("acme", [repository])
        run = await github.wait_for_check_run(repository, sha)
        assert run.conclusion == "success", run.summary
        connection = await service.connection("acme/bikes")
        yield World(github, service, repository, sha, connection["id"], run.external_id or "")
