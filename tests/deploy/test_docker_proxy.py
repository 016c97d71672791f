"""The proxy before the Docker engine: what the service asks passes, and nothing else does, whoever asks."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiodocker
import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from app.runner.docker import isolation
from app.runner.docker.isolation import DockerSpec, Policy
from app.runner.outcome import ContainerLimits
from tests.deploy.images import command, stand_in_image
from tests.deploy.stack import COMPOSE
from tests.integration.runner_images import RUNNER_IMAGE
from tests.patience import HANGS_S

OTHER = "freshet-database-1"
"""The name of a container of Compose."""


@pytest_asyncio.fixture(scope="module")
async def proxy() -> AsyncIterator[str]:
    """The URL of the proxy, started with the settings of compose.yaml."""
    files = ("docker-proxy.cfg", "docker-proxy.create")
    mounts = [word for name in files for word in ("-v", f"{COMPOSE / name}:/usr/local/etc/haproxy/{name}:ro")]
    rights = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "-v", "/var/run/docker.sock:/var/run/docker.sock")
    words = ("haproxy", "-db", "-f", "/usr/local/etc/haproxy/docker-proxy.cfg")
    started = (await command("docker", "run", "-d", *rights, *mounts, await stand_in_image(), *words)).strip()
    try:
        address = json.loads(await command("docker", "inspect", started))[0]["NetworkSettings"]["IPAddress"]
        async with asyncio.timeout(HANGS_S), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://{address}:2375/version"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
        yield f"http://{address}:2375"
    finally:
        await command("docker", "rm", "-f", started)


@pytest_asyncio.fixture(scope="module")
async def other() -> AsyncIterator[str]:
    """The id of a container that is not Freshet's, with a secret in its environment."""
    identity = (await command("docker", "create", "--name", f"other-{secrets.token_hex(4)}", "-e", "PASSWORD=x", RUNNER_IMAGE)).strip()
    yield identity
    await command("docker", "rm", "-f", identity)


def spec(**more: Any) -> DockerSpec:
    labels = {"io.freshet.app": "freshet", "io.freshet.boot": "1a", "io.freshet.host": "2b", "io.freshet.extraction": "octo/shop at main"}
    limits = ContainerLimits(1.5, 512 << 20, 60.0, 64)
    return replace(DockerSpec("freshet-x", "sha256:" + "0" * 64, RUNNER_IMAGE, "testing", labels, limits), **more)


async def ask(proxy: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> int:
    sent = {"Content-Type": "application/json", **(headers or {})}
    async with aiohttp.ClientSession() as session, session.request(method, proxy + path, data=body, headers=sent) as response:
        return response.status


async def create(proxy: str, config: Any) -> int:
    """Ask for a container as aiodocker does; 404 says that it passed, because the engine has no such image."""
    body = config if isinstance(config, bytes) else json.dumps(config, sort_keys=True).encode()
    return await ask(proxy, "POST", f"/v1.41/containers/create?name=freshet-x-{secrets.token_hex(4)}", body)


ALLOWED: Sequence[Mapping[str, Any]] = (
    {},
    {"policy": Policy(runtime="runc")},
    {"cpu_shares": 64},
    {"labels": {"io.freshet.app": "freshet", "io.freshet.role": "warm"}},
)


@pytest.mark.parametrize("more", ALLOWED)
async def test_containers_of_the_service_may_be_created(proxy: str, more: Mapping[str, Any]) -> None:
    assert await create(proxy, isolation.config(spec(**more))) == 404, "the engine's answer: it has no such image"


def _with(config: Any, **host: Any) -> Any:
    return {**config, "HostConfig": {**config["HostConfig"], **host}}


CONFIG = isolation.config(spec())
TEXT = json.dumps(CONFIG, sort_keys=True)
WIDER: Mapping[str, Any] = {
    "a mount": _with(CONFIG, Binds=["/:/host"]),
    "a mount, another way": _with(CONFIG, Mounts=[{"Type": "bind", "Source": "/", "Target": "/host"}]),
    "a mount, in other letters": {**CONFIG, "hostconfig": {"binds": ["/:/host"]}},
    "a mount, escaped": TEXT.replace('"Hostname"', '"\\u0048ostConfig": {"Binds": ["/:/host"]}, "Hostname"').encode(),
    "a second object": TEXT.encode() + b'{"HostConfig": {"Binds": ["/:/host"]}}',
    "a key twice": TEXT.replace('"Tty": false', '"Tty": false, "HostConfig": {"Privileged": true}').encode(),
    "a line break": TEXT.encode() + b"\n",
    "a label that ends": TEXT.replace('"freshet"', '"freshet"}, "Volumes": {"/x": {}').encode(),
    "privileges": _with(CONFIG, Privileged=True),
    "a capability": _with(CONFIG, CapAdd=["SYS_ADMIN"]),
    "all capabilities": _with(CONFIG, CapDrop=[]),
    "the host's network": _with(CONFIG, NetworkMode="host"),
    "another container's network": _with(CONFIG, NetworkMode=f"container:{OTHER}"),
    "the bridge": _with(CONFIG, NetworkMode="bridge"),
    "the host's processes": _with(CONFIG, PidMode="host"),
    "a device": _with(CONFIG, Devices=[{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]),
    "no seccomp": _with(CONFIG, SecurityOpt=["no-new-privileges", "seccomp=unconfined"]),
    "programs on its tmpfs": TEXT.replace("noexec", "exec").encode(),
    "no limit of processes": _with(CONFIG, PidsLimit=-1),
    "root": {**CONFIG, "User": "0"},
    "a command": {**CONFIG, "Cmd": ["sh"]},
    "an entry point": {**CONFIG, "Entrypoint": ["sh"]},
    "its environment": {**CONFIG, "Env": ["LD_PRELOAD=/work/x.so"]},
    "a writable root": _with(CONFIG, ReadonlyRootfs=False),
}


@pytest.mark.parametrize("what", WIDER)
async def test_no_container_has_more_rights_than_those_of_the_service(proxy: str, what: str) -> None:
    assert await create(proxy, WIDER[what]) == 403


async def test_a_body_that_the_proxy_does_not_see_is_refused(proxy: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield TEXT.encode()

    path = f"{proxy}/v1.41/containers/create?name=freshet-x-{secrets.token_hex(4)}"
    async with aiohttp.ClientSession() as session, session.post(path, data=chunks()) as response:
        assert response.status == 403
    long = TEXT.replace("octo/shop", "x" * 100_000).encode()
    assert await create(proxy, long) in {400, 403, 413}
    assert await ask(proxy, "POST", "/v1.41/containers/create?name=other", TEXT.encode()) == 403


FILTERS = "filters=%7B%22label%22:+%5B%22io.freshet.app%3Dfreshet%22,+%22io.freshet.host%3D00%22%5D%7D"
REFUSED = [
    ("GET", "/v1.41/containers/json"),
    ("GET", "/v1.41/containers/json?all=1&filters=%7B%7D"),
    ("GET", "/v1.41/containers/json?all=1&filters=%7B%22label%22%3A%20%5B%5D%7D"),
    ("GET", f"/v1.41/containers/json?all=1%26{FILTERS}"),
    ("GET", f"/v1.41/containers/json?all=1&filters=%7B%7D&{FILTERS}"),
    ("GET", f"/v1.41/containers/{OTHER}/json"),
    ("GET", "/v1.41/containers/0123456789ab/json"),
    ("POST", f"/v1.41/containers/{OTHER}/attach?stream=1"),
    ("POST", f"/v1.41/containers/{OTHER}/stop"),
    ("DELETE", f"/v1.41/containers/{OTHER}?force=1"),
    ("GET", "/v1.41/containers/ID/archive?path=/etc"),
    ("PUT", "/v1.41/containers/ID/archive?path=/etc"),
    ("POST", "/v1.41/containers/ID/exec"),
    ("POST", "/v1.41/containers/ID/rename?name=other"),
    ("GET", "/v1.41/containers/ID/logs?stdout=1"),
    ("POST", "/v1.41/containers/ID/kill"),
    ("POST", "/v1.41/containers/ID/commit"),
    ("POST", "/v1.41/commit?container=ID"),
    ("POST", "/v1.41/containers/prune"),
    ("POST", "/v1.41/build"),
    ("POST", "/v1.41/images/create?fromImage=x"),
    ("POST", "/v1.41/images/load"),
    ("GET", "/v1.41/images/get?names=x"),
    ("DELETE", f"/v1.41/images/{RUNNER_IMAGE}"),
    ("GET", "/v1.41/images/x/../../containers/ID/logs/json"),
    ("GET", "/v1.41/images/x%2F..%2F../json"),
    ("GET", "/v1.41/networks"),
    ("GET", "/v1.41/volumes"),
    ("POST", "/v1.41/volumes/create"),
    ("GET", "/v1.41/secrets"),
    ("POST", "/v1.41/swarm/init"),
    ("GET", "/v1.41/plugins"),
    ("GET", "/v1.41/events"),
    ("GET", "/v1.41/system/df"),
    ("POST", "/v1.41/session"),
    ("POST", "/grpc"),
    ("GET", "/debug/pprof/"),
    ("POST", "/v1.41/auth"),
]


@pytest.mark.parametrize(("method", "path"), REFUSED)
async def test_everything_else_is_refused(proxy: str, other: str, method: str, path: str) -> None:
    address = URL(proxy + path.replace("ID", other), encoded=True)
    async with aiohttp.ClientSession() as session, session.request(method, address) as response:
        assert response.status == 403


async def test_limits_of_a_container_cannot_be_lifted(proxy: str, other: str) -> None:
    assert await ask(proxy, "POST", f"/v1.41/containers/{other}/update", b'{"CpuShares": 512}') == 200
    for body in (b'{"Memory": 0}', b'{"CpuShares": 2, "PidsLimit": -1}', b'{"RestartPolicy": {"Name": "always"}}'):
        assert await ask(proxy, "POST", f"/v1.41/containers/{other}/update", body) == 403


@pytest.mark.parametrize("to", ["h2c", "websocket"])
async def test_no_other_protocol_is_spoken_to_the_engine(proxy: str, to: str) -> None:
    assert await ask(proxy, "GET", "/version", headers={"Connection": "Upgrade", "Upgrade": to}) in {400, 403}


async def test_the_images_of_the_engine_are_found(proxy: str) -> None:
    async with aiodocker.Docker(proxy) as docker:
        assert (await docker.images.inspect(RUNNER_IMAGE))["Id"].startswith("sha256:")
        assert await docker.images.list(filters={"label": ["io.freshet.runner=2"]})
        assert (await docker.system.info())["OSType"] == "linux"
        labels = ["io.freshet.app=freshet", "io.freshet.host=" + "0" * 16]
        assert await docker.containers.list(all=True, filters={"label": labels}) == []
