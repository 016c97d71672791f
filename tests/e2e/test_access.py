"""Authorization in a service that runs as in production."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.double import GitHubDouble
from tests.engine import EngineDouble
from tests.service import TOKEN, Service, serving

FILES = {"dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n", "models/one.sql": "select 1 as id"}
IN_FILE, ROTATED = "in-the-file-0123456", "rotated-to-0123456"


async def status(service: Service, token: str, path: str, method: str = "GET") -> int:
    async with service.session.request(method, service.url + path, headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status


async def becomes(wanted: int, service: Service, token: str, path: str, *, within_s: float = 45.0) -> None:
    async with asyncio.timeout(within_s):
        while await status(service, token, path) != wanted:
            await asyncio.sleep(0.1)


async def test_rights_follow_github(tmp_path: Path, dsn: str, engine: EngineDouble) -> None:
    ours: dict[str, Any] = {"DATABASE_URL": dsn, "DOCKER_HOST": engine.url, "FRESHET_WARM_CONTAINERS": "0"}
    file = tmp_path / "tokens"
    file.write_text(IN_FILE)
    async with (
        GitHubDouble() as github,
        serving(github, tmp_path / "data", **ours, FRESHET_API_TOKENS_FILE=str(file)) as service,
    ):
        repository = await github.create_repository("octo/shop", FILES)
        await github.install("octo")
        path = f"/api/metadata/connections/{(await service.connection('octo/shop'))['id']}"
        reader, writer = github.user_token("mona", {repository: "pull"}), github.user_token("hubot", {repository: "push"})
        workflow = github.actions_token(repository, {"contents": "write"})
        others = github.user_token("mona", {repository: "admin"}, client_id="Iv1.deputy")
        stranger = github.classic_token("eve", {})
        callers = (reader, writer, workflow, others, stranger, TOKEN, IN_FILE)
        assert [await status(service, token, path) for token in callers] == [200, 200, 200, 401, 404, 200, 200]
        triggers = [await status(service, token, f"{path}/extract", "POST") for token in callers]
        assert triggers == [403, 202, 202, 401, 404, 202, 202]

        # GitHub tells the App that something changed: what was believed of everybody is asked anew, long before its minute is over.
        github.state.tokens[reader].roles.clear()
        assert await status(service, reader, path) == 200
        await github.rename_repository(repository, "store")
        await becomes(404, service, reader, path)
        assert await status(service, writer, path) == 200

        new = tmp_path / "new"
        new.write_text(ROTATED)
        new.replace(file)
        await becomes(200, service, ROTATED, path)
        assert [await status(service, token, path) for token in (IN_FILE, TOKEN)] == [401, 200]
        assert not [token for token in (*callers, ROTATED) if token in service.log]
