"""From an unconfigured service to a check run, with and without a restart."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.double import GitHubDouble, Repository
from tests.html_forms import forms, open_page, press
from tests.service import TOKEN, Service, serving

FILES = {"dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n", "models/one.sql": "select 1 as id"}


def plain(dsn: str) -> dict[str, Any]:
    """Settings for tests in which neither the database nor dbt matters."""
    return {"DATABASE_URL": dsn, "FRESHET_WARM_CONTAINERS": "0"}


@asynccontextmanager
async def browsing() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def set_up(service: Service) -> tuple[str, str]:
    """Go through the setup page as the operator does; returns the last page and the callback URL."""
    async with browsing() as browser:
        assert (await open_page(browser, f"{service.url}/setup"))[0] == 403
        status, page, _ = await open_page(browser, setup_link(service))
        assert (status, "Who will own" in page) == (200, True), page
        status, page, _ = await open_page(browser, setup_link(service), account="personal")
        assert status == 200, page
        callback = await press(browser, forms(page)[0])
        status, page, _ = await open_page(browser, callback)
        assert status == 200, page
        return page, callback


def setup_link(service: Service) -> str:
    """The newest link to the setup page in the log."""
    links = [line["url"] for line in map(json.loads, service.log.splitlines()) if "/setup?token=" in line.get("url", "")]
    return str(links[-1])


async def readiness(service: Service) -> str:
    async with service.session.get(f"{service.url}/readyz") as response:
        return await response.text()


async def see_users(service: Service, github: GitHubDouble, repository: Repository) -> list[int]:
    """The statuses for a user token of the App and one of another App, for a connection that both users may read on GitHub."""
    path = f"{service.url}/api/metadata/connections/{(await service.connection(repository.full_name))['id']}"
    tokens = [github.user_token("mona", {repository: "pull"}, client_id=client_id) for client_id in (None, "Iv1.another")]
    statuses = []
    for token in tokens:
        async with service.session.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
            statuses.append(response.status)
    return statuses


async def test_from_nothing_to_a_check_run_and_on_after_a_restart(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with GitHubDouble() as github:
        repository = await github.create_repository("octo/shop", FILES)
        async with serving(github, data_dir, with_app=False, FRESHET_WARM_CONTAINERS="0") as service:
            port = int(service.url.rpartition(":")[2])
            assert "not ok: GitHub credentials" in await readiness(service)
            async with service.session.post(f"{service.url}/api/webhooks/github", json={}) as response:
                assert response.status == 503
            page, callback = await set_up(service)
            assert f"{github.server_url}/apps/{github.app.slug}/installations/new" in page
            assert "ok: GitHub credentials: App freshet" in await readiness(service)

            await github.install("octo")
            await service.connection("octo/shop")
            sha = await github.push(repository, {"models/two.sql": "select * from {{ ref('one') }}"})
            run = await github.wait_for_check_run(repository, sha)
            assert run.conclusion == "success"
            assert await see_users(service, github, repository) == [200, 401]

            async with browsing() as stranger:
                assert (await open_page(stranger, callback))[0] == 409
                status, page, headers = await open_page(stranger, f"{service.url}/setup")
                assert (status, "GitHub App status" in page, headers["Cache-Control"]) == (200, True, "no-store")
            secrets = {github.app.webhook_secret, github.app.client_secret, github.app.private_key_pem.splitlines()[1]}
            assert not [secret for secret in secrets if secret in service.log + page]
        files = [data_dir / "app.key", data_dir / "app.json.enc"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert not [secret for secret in secrets if secret.encode() in files[1].read_bytes()]

        async with serving(github, data_dir, port=port, with_app=False, FRESHET_WARM_CONTAINERS="0") as service:
            github.app.webhook_url = f"{service.url}/api/webhooks/github"
            assert "open this link" not in service.log.rpartition('"stopped"')[2]
            assert await see_users(service, github, repository) == [200, 401]
            sha = await github.push(repository, {"models/three.sql": "select 3 as id"})
            assert (await github.wait_for_check_run(repository, sha)).conclusion == "success"


async def test_the_link_in_the_log_opens_setup_from_elsewhere(tmp_path: Path, dsn: str) -> None:
    async with GitHubDouble() as github, serving(github, tmp_path, with_app=False, **plain(dsn)) as service, browsing() as browser:
        browser.headers["X-Forwarded-For"] = "192.0.2.7"
        assert (await open_page(browser, f"{service.url}/setup"))[0] == 403
        link = setup_link(service)
        assert re.fullmatch(rf"{service.url}/setup\?token=[\w-]{{43}}", link)
        status, page, _ = await open_page(browser, link, account="personal")
        assert status == 200
        status, page, _ = await open_page(browser, await press(browser, forms(page)[0]))
        assert (status, "is registered" in page) == (200, True)


async def test_the_environment_overrides_stored_credentials(tmp_path: Path, dsn: str) -> None:
    async with GitHubDouble() as github:
        own = github.app
        async with serving(github, tmp_path, with_app=False, **plain(dsn)) as service:
            await set_up(service)
            assert github.app is not own
        made, github.state.app = github.app, own
        async with serving(github, tmp_path, **plain(dsn)) as service:
            assert f"(id {own.id})" in await readiness(service)
        github.state.app = made
        async with serving(github, tmp_path, with_app=False, **plain(dsn)) as service:
            assert f"(id {made.id})" in await readiness(service)


async def test_damaged_credentials_stop_the_start(tmp_path: Path, dsn: str) -> None:
    async with GitHubDouble() as github:
        async with serving(github, tmp_path, with_app=False, **plain(dsn)) as service:
            await set_up(service)
        file = tmp_path / "app.json.enc"
        file.write_bytes(file.read_bytes()[:-8])
        with pytest.raises(RuntimeError, match=r"app\.json\.enc") as caught:
            async with serving(github, tmp_path, with_app=False, **plain(dsn)):
                pass
        assert "Traceback" not in str(caught.value)


async def test_one_request_sets_the_webhook_again(tmp_path: Path, dsn: str) -> None:
    async with GitHubDouble() as github, serving(github, tmp_path, **plain(dsn)) as service:
        url, github.app.webhook_url, github.app.webhook_secret = github.app.webhook_url, "https://old.example", ""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with service.session.post(f"{service.url}/api/webhooks/github/setup", headers=headers) as response:
            answer = await response.json()
        assert answer["webhook"] == {"url": url, "content_type": "json", "insecure_ssl": "0", "secret": "********"}
        await github.ping()
        assert github.deliveries[-1].status_code == 202
