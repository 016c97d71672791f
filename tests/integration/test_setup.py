"""The setup page over real HTTP, against the double: who may use it, for which GitHub server, and what it stores."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from app.github.app.credentials_file import FILE, CredentialsFile
from app.service import app_identity
from app.service.config import Settings
from app.store.operations import FirstRun
from app.web.pages.setup_access import STATE_LIFE_S
from tests.double import Answer, LostAnswer
from tests.double.schema import validate_response
from tests.html_forms import Form, forms, open_page
from tests.integration.setup_world import PUBLIC, World, running


async def test_one_button_creates_the_app_and_stores_it(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        callback = await world.begin()
        assert callback.startswith(f"{world.url}/setup/callback?")
        status, text = await world.finish(callback)
        assert status == 200
        app = world.github.app
        assert f'href="{world.github.server_url}/apps/{app.slug}/installations/new"' in text
        assert (app.name, app.permissions, app.events) == ("Freshet", dict(world.setup.manifest.permissions), ("push", "repository"))
        stored = CredentialsFile(tmp_path).load()
        assert stored is not None
        assert (stored.app_id, stored.private_key.get_secret_value()) == (app.id, app.private_key_pem)
        assert stored.client_secret is not None
        assert (stored.client_id, stored.client_secret.get_secret_value()) == (app.client_id, app.client_secret)
        secrets = (app.webhook_secret, app.client_secret, app.private_key_pem[40:80])
        assert not [secret for secret in secrets if secret in text]
        status, text = await world.page()
        assert (status, "GitHub App status" in text) == (200, True)
        assert not [secret for secret in (*secrets, "manifest") if secret in text]
        conversion = next(request for request in world.github.requests if "conversions" in request.path)
        assert "Authorization" not in conversion.headers
        assert validate_response("POST", conversion.path, conversion.status, conversion.response_json) == []
        assert world.github.violations == []


async def test_access_to_pull_requests_is_a_choice(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        _, text = await world.page()
        [button] = forms(text)
        _, text = await world.page(account="")
        [change] = forms(text)
        assert "pull_requests" not in json.loads(button.fields["manifest"])["default_permissions"]
        assert "pull_requests" not in change.fields, "it is not ticked"
        assert "to check pull requests from forks" in text
        assert forms((await world.page(pull_requests="yes", account=""))[1])[0].fields["pull_requests"] == "yes"
        assert "With access to pull requests." in (await world.page(pull_requests="yes"))[1]
        await world.finish(await world.begin(pull_requests="yes"))
        app = world.github.app
        assert (app.permissions["pull_requests"], app.events) == ("read", ("push", "repository", "pull_request"))
        early = await world.github.install("acme")
        assert "accepted by every account" in await finding(world, "pull requests")
        del early.permissions["pull_requests"]
        assert "not accepted yet by 1 account (acme)" in await finding(world, "pull requests")
        del app.permissions["pull_requests"]
        assert await finding(world, "pull requests") == ""
        assert "optional and not given: pull_requests: read" in await finding(world, "permissions")
        assert world.github.violations == []


async def finding(world: World, name: str) -> str:
    """The text of a passed check of `doctor`; empty if it was not done."""
    found = [one for one in (await world.setup.run_checkup()).findings if one.name == name]
    assert all(one.passed for one in found)
    return found[0].text if found else ""


async def test_the_page_allows_only_the_form_to_github(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        _, text, headers = await open_page(world.browser, f"{world.url}/setup", token=world.access.token, account="personal")
        assert f"form-action 'self' {world.github.server_url}" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script| style=| on\w+=", text)
        cookie = headers["Set-Cookie"]
        assert ("HttpOnly" in cookie, "SameSite=Lax" in cookie, "Path=/setup" in cookie, "Secure" in cookie) == (True, True, True, False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:3001", "[::1]", "freshet.example", "10.0.0.7"])
@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
async def test_nothing_but_the_token_from_the_log_opens_the_page(tmp_path: Path, host: str, protocol: str) -> None:
    """As through a proxy or relay on the same host: the peer is a loopback address, and no header is added."""
    async with running(tmp_path) as world:
        port = int(world.url.rpartition(":")[2])
        for query, expected in (("", b"403"), ("token=", b"403"), ("token=guess", b"403"), (f"token={world.access.token}", b"200")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /setup?account=personal&{query} {protocol}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            assert (answer.split(b" ")[1], b"manifest" in answer) == (expected, expected == b"200")


async def test_without_a_token_the_page_says_where_the_link_is(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        world.browser.headers["X-Forwarded-For"] = "192.0.2.7"
        for token in ("", "guess"):
            status, text = await world.page(token=token)
            assert (status, "/setup?token=" in text, "manifest" in text) == (403, True, False)
        _, text, headers = await open_page(world.browser, f"{world.url}/setup", token=world.access.token, account="personal")
        assert "Secure" in headers["Set-Cookie"]
        [button] = forms(text)
        assert json.loads(button.fields["manifest"])["redirect_url"] == f"{PUBLIC}/setup/callback"
        assert forms((await world.page(account=""))[1])[0].fields["token"] == world.access.token
        assert world.access.token not in button.fields["manifest"] + button.action


async def test_a_program_gets_a_problem_document(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        headers = {"X-Forwarded-For": "192.0.2.7"}
        async with world.browser.get(f"{world.url}/setup", headers=headers) as response:
            assert (response.status, response.content_type) == (403, "application/problem+json")


async def test_the_account_is_asked_for_first(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        _, text = await world.page(account="")
        assert "Who will own the GitHub App?" in text
        [form] = forms(text)
        assert (form.method, form.action, "manifest" in text) == ("get", "/setup", False)
        status, text = await world.page(account="organization", organization="")
        assert (status, "Write the organization" in text, "manifest" in text) == (200, True, False)
        _, text = await world.page(account="personal", organization="octo-org")
        assert "your personal account" in text
        assert urlsplit(forms(text)[0].action).path == "/settings/apps/new"


async def test_nothing_is_registered_that_github_cannot_reach(tmp_path: Path) -> None:
    async with running(tmp_path, fixed=False, public_url="http://127.0.0.1:3001") as world:
        for account in ("", "personal"):
            status, text = await world.page(account=account)
            assert (status, "This cannot work yet." in text, "manifest" in text) == (200, True, False), account
        _, text = await world.page(account="personal", server=world.github.server_url)
        assert "manifest" in text, "a GitHub on this host reaches it"
    async with running(tmp_path, public_url="http://127.0.0.1:3001") as world:
        assert "manifest" in (await world.page())[1]


async def test_each_page_after_the_registration_says_what_is_next(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert (await world.page("/setup/steps"))[0] == 404
        _, text = await world.finish(await world.begin())
        assert "Waiting for the first installation." in text
        for found, words in (
            (FirstRun(installed=True, found=False, working=False, failed=False, extracted=False), "Looking for dbt projects"),
            (FirstRun(installed=True, found=True, working=True, failed=False, extracted=False), "The first lineage is being extracted."),
            (FirstRun(installed=True, found=True, working=False, failed=True, extracted=False), "The first extraction failed."),
            (FirstRun(installed=True, found=True, working=False, failed=False, extracted=True), "The first lineage is here."),
        ):
            world.first_run[:] = [found]
            status, text = await world.page("/setup/steps")
            assert (status, words in text, "data-final" in text) == (200, True, found.extracted)
            assert "acme" not in text
        assert "What is left to do" not in (await world.page())[1]


async def test_an_app_for_an_organization(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        status, text = await world.page(organization="octo-org")
        assert urlsplit(forms(text)[0].action).path == "/organizations/octo-org/settings/apps/new"
        await world.finish(await world.begin(organization="octo-org"))
        assert world.github.state.app_owner == "octo-org"
        async with running(tmp_path / "another") as other:
            status, text = await other.page(organization="../x")
            assert (status, "organization" in text) == (400, True)


async def test_a_github_enterprise_server_chosen_on_the_page(tmp_path: Path) -> None:
    async with running(tmp_path, fixed=False) as world:
        _, text = await world.page()
        assert forms(text)[0].action.startswith("https://github.invalid/settings/apps/new?state=")
        status, text = await world.finish(await world.begin(server=world.github.server_url))
        assert (status, world.setup.server_url) == (200, world.github.server_url)
        stored = CredentialsFile(tmp_path).load()
        assert stored is not None
        assert (stored.api_url, stored.server_url) == (world.github.api_url, world.github.server_url)
        settings = Settings(freshet_data_dir=tmp_path)
        assert app_identity.addresses(settings, app_identity.identity(settings)) == (world.github.api_url, world.github.server_url)
        # The running service uses that server too.
        assert (await world.setup.run_checkup()).findings[0].passed
        status, text = await world.page(server="nonsense/")
        assert status == 200


@pytest.mark.parametrize("server", ["https://other.example", "ftp://x", "https://a.example; x"])
async def test_the_environment_sets_the_github_server(tmp_path: Path, server: str) -> None:
    async with running(tmp_path) as world:
        status, text = await world.page(server=server)
        assert (status, "server" in text) == (400, True)


async def test_a_callback_without_a_valid_state_does_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        callback = URL(await world.begin())
        code = callback.query["code"]
        for query in ({"code": code}, {"code": code, "state": "guess"}, {"state": callback.query["state"], "code": "a/../b"}):
            status, text = await world.page("/setup/callback", **query)
            assert (status, "/setup" in text) == (400, True)
        assert not world.setup.configured
        assert not [request for request in world.github.requests if "conversions" in request.path]


async def test_somebody_elses_callback_does_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        callback = await world.begin()
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as victim:
            await open_page(victim, f"{world.url}/setup", token=world.access.token)
            status, _, _ = await open_page(victim, callback)
        assert (status, world.setup.configured) == (400, False)


async def test_a_state_expires(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        callback = await world.begin()
        world.clock[0] += STATE_LIFE_S
        assert ((await world.finish(callback))[0], world.setup.configured) == (400, False)


async def test_two_tabs_are_both_valid_until_one_finishes(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        first, second = await world.begin(), await world.begin()
        assert (await world.finish(first))[0] == 200
        app_id = world.github.app.id
        for callback in (first, second):
            status, text = await world.finish(callback)
            assert (status, "already" in text) == (409, True)
        stored = CredentialsFile(tmp_path).load()
        assert stored is not None
        assert stored.app_id == app_id


async def test_a_used_code_is_explained(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        callback = await world.begin()
        world.github.state.registrations.clear()
        status, text = await world.finish(callback)
        assert (status, "start again" in text, world.setup.configured) == (400, True, False)


async def test_the_code_exchange_is_retried(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        callback = await world.begin()
        world.github.faults.add("POST", "conversions", 2, Answer(502, "<html>"))
        assert (await world.finish(callback))[0] == 200
    async with running(tmp_path / "lost") as world:
        callback = await world.begin()
        world.github.faults.add("POST", "conversions", 1, LostAnswer())
        status, text = await world.finish(callback)
        assert (status, "delete it there" in text) == (400, True)


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A data directory that nobody can write, not even root."""
    path = tmp_path / "no-directory"
    path.write_text("")
    return path


async def test_credentials_that_cannot_be_stored_are_shown_once(unwritable: Path) -> None:
    async with running(unwritable) as world:
        status, text = await world.finish(await world.begin())
        key = world.github.app.private_key_pem.strip().replace("\n", "\\n")
        assert status == 200
        assert all(f"{name}={value}" in text for name, value in {"GITHUB_APP_ID": world.github.app.id, "GITHUB_PRIVATE_KEY": key}.items())
        assert "FRESHET_DATA_DIR" in text
        assert world.setup.configured


async def test_credentials_are_shown_and_not_stored_on_request(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        status, text, headers = await open_page(world.browser, await world.begin(store="no"))
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        assert f"GITHUB_WEBHOOK_SECRET={world.github.app.webhook_secret}" in text
        assert (world.setup.configured, (tmp_path / FILE).exists()) == (True, False)


async def test_an_app_without_a_webhook_secret_gets_one(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        callback = await world.begin()
        [(app, _)] = world.github.state.registrations.values()
        setattr(app, "webhook_secret", None)  # noqa: B010 - GitHub's schema allows it, the double's App does not
        assert (await world.finish(callback))[0] == 200
        assert world.setup.identity is not None
        assert world.github.app.webhook_secret == world.setup.identity.webhook_secret.get_secret_value()
        assert len(world.github.app.webhook_secret) == 64


async def test_the_webhook_operation_sets_url_and_secret(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert (await world.set_webhook("wrong"))[0] == 401
        status, problem = await world.set_webhook()
        assert (status, problem["title"]) == (503, "No GitHub App is configured")
        await world.finish(await world.begin())
        app, secret = world.github.app, world.github.app.webhook_secret
        app.webhook_url, app.webhook_secret = f"{world.url}/nowhere", "another"
        await world.github.ping()
        status, answer = await world.set_webhook()
        assert status == 200
        assert answer["webhook"] == {
            "url": f"{PUBLIC}/api/webhooks/github",
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": "********",
        }
        assert (app.webhook_url, app.webhook_secret) == (f"{PUBLIC}/api/webhooks/github", secret)
        deliveries = answer["deliveries"]
        assert isinstance(deliveries, dict)
        [failure] = deliveries.pop("failures")
        assert deliveries.pop("last_delivered_at") == failure["delivered_at"]
        assert failure["delivered_at"].endswith("Z")
        assert (deliveries, failure["event"], failure["status_code"]) == ({"total": 1, "ok": 0, "failed": 1}, "ping", 404)
        assert world.github.violations == []
        world.github.faults.add("PATCH", "/app/hook/config", 1, Answer(502, "<html>"))
        assert (await world.set_webhook())[0] == 503
        world.github.app.id += 1
        status, problem = await world.set_webhook()
        assert (status, "GITHUB_APP_ID" in str(problem["detail"])) == (502, True)


async def test_the_app_status_is_requested_at_most_once_a_minute(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.finish(await world.begin())
        await world.page()
        asked = len(world.github.requests)
        world.github.app.permissions = {}
        assert "not ok" not in (await world.page())[1].split("webhook URL")[0]
        assert len(world.github.requests) == asked
        world.clock[0] += 61
        assert ">not ok</td>" in (await world.page())[1].split("webhook URL")[0]
        world.clock[0] += 61
        world.github.faults.add("GET", "/app", 9, Answer(502, "<html>"))
        status, text = await world.page()
        assert (status, "GitHub App status" in text, "not ok" in text) == (200, True, True)


def test_the_browser_of_these_tests_parses_forms() -> None:
    page = '<form action="/a"><input name="x" value="&lt;1"><input type="checkbox" name="y" value="no"></form>'
    assert forms(page) == [Form("get", "/a", {"x": "<1"})]
