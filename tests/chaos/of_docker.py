"""Faults of the Docker engine and of containers; they are real, and so is dbt."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.runner.docker.backend import HOST_LABEL
from app.runner.docker.engine import SOCKETS
from tests.chaos.audit import audit
from tests.chaos.fault import NEEDS_DOCKER, NEEDS_ROOT, Outcome, fault
from tests.chaos.of_process import installed
from tests.chaos.relay import Relay
from tests.chaos.world import World, opened, until
from tests.service import Service

REPOSITORIES = 3
TOGETHER = 2
"""So many strikes come before an audit."""
REAL = {"EXTRACTION_CONCURRENCY": "2", "FRESHET_WARM_CONTAINERS": "0"}
SETTLES_S = 600.0
"""dbt is real, and takes its time."""
IMAGE = "dbt-runner:latest"
ENGINE_S = 60.0

Strike = Callable[[World, Relay, Service], Awaitable[Service]]
"""Returns the process that goes on."""


async def docker(*arguments: str, host: str | None = None) -> list[str]:
    """The lines that the command wrote."""
    environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return output.decode().split("\n")[:-1]


def label(world: World) -> str:
    """Of the containers and volumes of the service."""
    identity = (world.directory / "service0" / "instance").read_text().strip()
    return f"label={HOST_LABEL}={hashlib.sha256(f'{identity} service'.encode()).hexdigest()[:16]}"


async def containers(world: World, host: str | None = None) -> list[str]:
    return await docker("ps", "--all", "--quiet", "--filter", label(world), host=host)


async def struck(seed: int, strikes: int, strike: Strike, host: str | None = None) -> Outcome:
    """Push everywhere, and let a fault strike while containers work on it."""
    volumes = set(await docker("volume", "ls", "--quiet", host=host))
    behind = (host or next(path for path in SOCKETS if Path(path).is_socket())).removeprefix("unix://")
    async with opened(seed, REAL) as world, Relay(behind, world.directory / "engine.sock") as relay:
        world.variables["DOCKER_HOST"], world.settles_s = relay.url, SETTLES_S
        await installed(world, REPOSITORIES)
        outcome = Outcome()
        while outcome.strikes < strikes:
            service = await world.start()
            for _ in range(min(TOGETHER, strikes - outcome.strikes)):
                for repository in world.repositories:
                    await world.push(repository)
                await asyncio.sleep(world.random.uniform(0.2, 4.0))
                service = await strike(world, relay, service)
                outcome.strikes += 1
            outcome.violations += await audit(world, service)
            outcome.violations += [f"a container is left: {one}" for one in await containers(world, host)]
        left = set(await docker("volume", "ls", "--quiet", host=host)) - volumes
        outcome.violations += [f"a volume is left: {one}" for one in left] if host else []
        return outcome


@fault("a container is killed or removed from outside while it works", strikes=12, needs=NEEDS_DOCKER)
async def container_killed(seed: int, strikes: int) -> Outcome:
    async def kill(world: World, relay: Relay, service: Service) -> Service:
        async def there() -> list[str]:
            return await containers(world)

        await until(there, 30.0)
        found = await containers(world)
        if found:
            await docker(*world.random.choice([["kill"], ["rm", "--force"]]), world.random.choice(found))
        return service

    return await struck(seed, strikes, kill)


@fault("the service is killed while its containers work, and started again", strikes=6, needs=NEEDS_DOCKER)
async def service_killed_with_containers(seed: int, strikes: int) -> Outcome:
    async def kill(world: World, relay: Relay, service: Service) -> Service:
        await world.kill(service)
        return await world.start()

    return await struck(seed, strikes, kill)


@fault("every connection to the engine is cut", strikes=6, needs=NEEDS_DOCKER)
async def engine_connections_cut(seed: int, strikes: int) -> Outcome:
    async def cut(world: World, relay: Relay, service: Service) -> Service:
        relay.cut()
        return service

    return await struck(seed, strikes, cut)


@fault("the engine's socket answers nothing for 8 s, and goes on", strikes=4, needs=NEEDS_DOCKER)
async def engine_stalled(seed: int, strikes: int) -> Outcome:
    async def stall(world: World, relay: Relay, service: Service) -> Service:
        relay.stall()
        await asyncio.sleep(8.0)
        relay.flow()
        return service

    return await struck(seed, strikes, stall)


@fault("the engine's socket is gone for 5 s", strikes=4, needs=NEEDS_DOCKER)
async def engine_socket_gone(seed: int, strikes: int) -> Outcome:
    async def leave(world: World, relay: Relay, service: Service) -> Service:
        await relay.close()
        await asyncio.sleep(5.0)
        await relay.open()
        return service

    return await struck(seed, strikes, leave)


class Engine:
    """An engine of its own, in a network namespace of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.host = directory, f"unix://{directory}/docker.sock"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        options = {
            "host": self.host,
            "data-root": self.directory / "data",
            "exec-root": self.directory / "exec",
            "pidfile": self.directory / "pid",
        }
        command = ["dockerd", *(f"--{name}={value}" for name, value in options.items()), "--bridge=none", "--iptables=false"]
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "unshare", "--net", "--", *command, stdout=log, stderr=log, start_new_session=True
            )
        assert await until(self._answers, ENGINE_S), (self.directory / "log").read_text()[-2000:]

    async def _answers(self) -> bool:
        return bool(await docker("info", "--format", "{{.ServerVersion}}", host=self.host))

    async def end(self, how: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(how)
        await self._process.wait()

    async def load(self) -> None:
        archive = self.directory / "image.tar"
        await docker("save", "--output", str(archive), IMAGE)
        await docker("load", "--input", str(archive), host=self.host)
        archive.unlink()


@asynccontextmanager
async def engine() -> AsyncIterator[Engine]:
    """An engine that has the runner image, on the disk where the other has its own: images are not for memory."""
    directory = Path(f"/var/lib/freshet-chaos-{secrets.token_hex(4)}")
    directory.mkdir()
    found = Engine(directory)
    try:
        await found.start()
        await found.load()
        yield found
    finally:
        await found.end(signal.SIGTERM)
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(str(directory)):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)
        shutil.rmtree(directory, ignore_errors=True)


@fault("the engine is stopped, or killed, and started again after up to 4 s", strikes=4, needs=NEEDS_ROOT)
async def engine_restarted(seed: int, strikes: int) -> Outcome:
    async with engine() as own:

        async def restart(world: World, relay: Relay, service: Service) -> Service:
            await own.end(world.random.choice([signal.SIGTERM, signal.SIGKILL]))
            await asyncio.sleep(world.random.uniform(0.0, 4.0))
            await own.start()
            return service

        return await struck(seed, strikes, restart, own.host)
