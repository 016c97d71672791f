"""A second Docker engine on this machine, temporary and in its own network namespace. Needs root."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

START_S = 60.0
STOP_S = 30.0


class CannotStartError(Exception):
    """Why there cannot be a second engine here."""


@asynccontextmanager
async def second_engine(*images: str) -> AsyncIterator[str]:
    """Yield the DOCKER_HOST of a new engine that holds `images` of the first one. All that it was made of is gone afterwards.

    It has no bridge and makes no rules for packets: Freshet's containers have no network. Raises CannotStartError.
    """
    if os.geteuid() != 0:
        raise CannotStartError("A second Docker engine takes root: run this as root, or in a virtual machine of yours.")
    missing = [name for name in ("unshare", "dockerd", "docker") if shutil.which(name) is None]
    if missing:
        raise CannotStartError(f"A second Docker engine takes {', '.join(missing)}, which is not installed here.")
    directory = Path(tempfile.mkdtemp(prefix="freshet-engine-"))
    host = f"unix://{directory}/docker.sock"
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--net", "dockerd", "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
            *(f"--data-root={directory}/data", f"--exec-root={directory}/exec", f"--pidfile={directory}/pid", f"--host={host}"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await _answering(process, host, directory / "log")
        for image in images:
            await _run("docker", "save", "--output", f"{directory}/image.tar", image)
            await _run("docker", "--host", host, "load", "--quiet", "--input", f"{directory}/image.tar")
            (directory / "image.tar").unlink()
        yield host
    finally:
        await asyncio.shield(_dispose(process, directory))


async def _answering(process: asyncio.subprocess.Process, host: str, log: Path) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                with suppress(CannotStartError):
                    await _run("docker", "--host", host, "version")
                    return
                await asyncio.sleep(0.5)
    said = " ".join(log.read_text().splitlines()[-3:])
    raise CannotStartError(f"The second Docker engine did not come up; it said: {said}")


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    if process.returncode:
        raise CannotStartError(f"{' '.join(command)}: {output.decode(errors='replace').strip()}")


async def _dispose(process: asyncio.subprocess.Process, directory: Path) -> None:
    """Stop the engine, its containers and its containerd, and delete their files."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    with suppress(OSError, ValueError):  # files of a killed engine
        os.kill(int((directory / "exec/containerd/containerd.pid").read_text()), 9)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{directory}/")), reverse=True):
        with suppress(CannotStartError):
            await _run("umount", "--lazy", mount)
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
