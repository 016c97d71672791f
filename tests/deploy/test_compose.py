"""The stack of deploy/compose: the service's image with the settings of the file, PostgreSQL, and both proxies, as containers."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.deploy import stack as stacks
from tests.deploy.images import command, stand_in_image
from tests.deploy.stack import SITE, FixedResolver, Stack
from tests.double import GitHubDouble
from tests.patience import HANGS_S
from tests.service import ROOT, TOKEN

PROJECT = {
    "dbt_project.yml": "name: tiny\nversion: '1.0'\nprofile: tiny\n",
    "models/a.sql": "select 1 as id",
    "models/b.sql": "select * from {{ ref('a') }}",
}
MEGABYTE = 1 << 20


@pytest_asyncio.fixture(scope="module")
async def github() -> AsyncIterator[GitHubDouble]:
    async with GitHubDouble() as double:
        yield double
        assert double.violations == []


@pytest_asyncio.fixture(scope="module")
async def stack(github: GitHubDouble, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stacks.running(github, tmp_path_factory.mktemp("compose")) as started:
        yield started


@pytest_asyncio.fixture(params=["caddy", "nginx"])
async def proxied(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests to the site through Caddy, as Compose starts it, and through nginx with deploy/nginx.conf."""
    if request.param == "caddy":
        yield stack.session
        return
    service = await stack.container("freshet")
    site = stack.directory / "nginx.conf"
    site.write_text((ROOT / "deploy" / "nginx.conf").read_text().replace("freshet.example.com", SITE))
    files = ("-v", f"{site}:/etc/nginx/conf.d/freshet.conf:ro", "-v", f"{stack.directory}/tls:/etc/ssl/freshet:ro")
    image = await stand_in_image()
    started = await command("docker", "run", "-d", "--network", f"container:{service['Id']}", *files, image, "nginx", "-g", "daemon off;")
    try:
        address = service["NetworkSettings"]["Networks"][f"{stack.project}_front"]["IPAddress"]
        connector = aiohttp.TCPConnector(resolver=FixedResolver(address), ssl=stack.trusted)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=HANGS_S)) as session:
            await _listening(session)
            yield session
    finally:
        await command("docker", "rm", "-f", started.strip())


async def _listening(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(HANGS_S):
        while True:
            try:
                async with session.get(f"https://{SITE}/livez"):
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.1)


async def test_a_push_is_extracted_in_a_container_that_the_engine_starts_through_its_proxy(github: GitHubDouble, stack: Stack) -> None:
    repository = await github.create_repository("octo/shop", PROJECT)
    await github.install("octo", [repository])
    sha = await github.push(repository, {"models/c.sql": "select * from {{ ref('b') }}"})
    run = await github.wait_for_check_run(repository, sha)
    assert (run.conclusion, run.details_url is not None and run.details_url.startswith(f"https://{SITE}/extractions/")) == ("success", True)
    [connection] = (await stack.api("/connections"))["items"]
    lineage = await stack.api(f"/connections/{connection['id']}/lineage")
    assert (lineage["sha"], len(lineage["nodes"]), len(lineage["edges"])) == (sha, 3, 2)
    told = await stack.inside("freshet", "freshet", "doctor", status=None)
    assert "not ok" not in "\n".join(line for line in told.splitlines() if not line.startswith("not ok: webhook"))


async def test_pages_come_over_tls_and_metrics_do_not(proxied: aiohttp.ClientSession) -> None:
    async with proxied.get(f"https://{SITE}/", headers={"Accept": "text/html"}) as response:
        assert (response.status, "Sign in with GitHub" in await response.text()) == (200, True)
        assert int(response.headers["Strict-Transport-Security"].partition("=")[2]) >= 31_536_000
    async with proxied.get(f"https://{SITE}/sign-in", allow_redirects=False) as response:
        assert all("Secure" in cookie for cookie in response.headers.getall("Set-Cookie"))
    async with proxied.get(f"https://{SITE}/metrics") as response:
        assert response.status == 404


@pytest.mark.parametrize(("megabytes", "status"), [(24.9, 401), (25.5, 413), (27, 413)])
async def test_deliveries_of_25_mebibytes_reach_the_service(proxied: aiohttp.ClientSession, megabytes: float, status: int) -> None:
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1", "X-Hub-Signature-256": "sha256=" + "0" * 64}
    body = io.BytesIO(b" " * int(megabytes * MEGABYTE))
    try:
        async with proxied.post(f"https://{SITE}/api/webhooks/github", data=body, headers=headers) as response:
            assert response.status == status
    except aiohttp.ClientOSError:
        # A proxy may answer and hang up before it has read everything.
        assert status == 413


async def test_events_arrive_while_the_extraction_runs(stack: Stack, proxied: aiohttp.ClientSession) -> None:
    [connection] = (await stack.api("/connections"))["items"]
    await stack.api(f"/connections/{connection['id']}/extract", "POST")
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
    path = f"https://{SITE}/api/metadata/connections/{connection['id']}/progress"
    events = list[Any]()
    async with proxied.get(path, headers=headers) as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                events.append(json.loads(line.removeprefix(b"data: ")))
    assert events[0]["status"] in {"queued", "running"}, "buffered: what comes first was sent before the end"
    assert events[-1]["status"] == "succeeded"


async def test_the_service_has_no_rights_in_its_container(stack: Stack) -> None:
    status = await stack.inside("freshet", "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10002"] * 4
    assert (int(fields["CapEff"], 16), int(fields["CapBnd"], 16), fields["NoNewPrivs"], fields["Seccomp"]) == (0, 0, "1", "2")
    for place in ("/opt/freshet/lib/x", "/etc/x", "/x"):
        assert "Read-only file system" in await stack.inside("freshet", "sh", "-c", f"echo x > {place}", status=None)
    mounts = (await stack.container("freshet"))["Mounts"]
    assert [mount["Destination"] for mount in mounts] == ["/var/lib/freshet"], "no socket of the engine"


async def test_stopping_ends_with_success_and_leaves_no_container(stack: Stack) -> None:
    identity = (await stack.inside("freshet", "cat", "/var/lib/freshet/instance")).strip()
    label = f"label=io.freshet.host={hashlib.sha256(f'{identity} service'.encode()).hexdigest()[:16]}"
    async with asyncio.timeout(HANGS_S):
        while not await command("docker", "ps", "-q", "--filter", label):
            await asyncio.sleep(0.1)
    await stack.compose("stop", "freshet")
    assert (await stack.container("freshet"))["State"]["ExitCode"] == 0
    assert await command("docker", "ps", "-aq", "--filter", label) == ""
    await stack.compose("start", "freshet")
    await stack.ready()


def steps(heading: str) -> str:
    """The commands below a heading of docs/running.md."""
    return (ROOT / "docs" / "running.md").read_text().split(f"### {heading}\n")[1].split("```sh\n")[1].split("```")[0]


async def documented(stack: Stack, heading: str) -> None:
    """Run these commands as they are written, with whatever Compose there is."""
    compose = " ".join((*await stacks.compose_command(), "-p", stack.project))
    docker = f'docker() {{ if [ "$1" = compose ]; then shift; command {compose} "$@"; else command docker "$@"; fi; }}'
    await command("bash", "-euo", "pipefail", "-c", f"{docker}\n{steps(heading)}", cwd=stack.directory)


async def test_a_lost_host_is_restored_with_the_commands_of_the_documentation(github: GitHubDouble, stack: Stack) -> None:
    [connection] = (await stack.api("/connections"))["items"]
    repository = next(one for one in github.state.repositories.values() if one.full_name == "octo/shop")
    instance = await stack.inside("freshet", "cat", "/var/lib/freshet/instance")
    await documented(stack, "Compose: backup")
    await stack.compose("down", "-v", "-t", "30")
    sha = await github.push(repository, {"models/d.sql": "select * from {{ ref('c') }}"})
    await documented(stack, "Compose: restore")
    await stack.ready()
    run = await github.wait_for_check_run(repository, sha)
    assert run.conclusion == "success"
    lineage = await stack.api(f"/connections/{connection['id']}/lineage")
    assert (lineage["sha"], lineage["stale"], len(lineage["nodes"])) == (sha, False, 4)
    assert await stack.inside("freshet", "cat", "/var/lib/freshet/instance") == instance
