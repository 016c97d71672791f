"""What an image has, and how the cluster isolates a pod, found out by a small program in a pod: neither is in the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec

from app.core.errors import ConfigurationError, RunnerImageError
from app.project.runner_images import RunnerImage
from app.runner.cleanup import Leftovers
from app.runner.kubernetes.cluster import Cluster, errors
from app.runner.kubernetes.manifests import PodSpec
from app.runner.kubernetes.pod import started

MAX_ANSWER: Final = 64 << 10
TIMEOUT_S: Final = 60.0
STRICT_STEP: Final = "Or accept the risk: `FRESHET_ISOLATION=available` runs without it."
PROGRAM: Final = r"""
import glob, importlib.metadata, json, os, socket, sysconfig

def read(*paths):
    for path in paths:
        try:
            with open(path) as file:
                return file.read()
        except OSError:
            pass
    return ""

def reaches(host, port):
    try:
        socket.create_connection((host, port), 3).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True

def writable(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    except OSError:
        return False
    return True

status = dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines() if ":\t" in line)
limit = read("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes").strip()
address = os.environ.get("KUBERNETES_SERVICE_HOST"), int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
modules = sysconfig.get_path("purelib")
print(json.dumps({
    "dbt_version": importlib.metadata.version("dbt-core"),
    "adapters": [path.split("/")[-2] for path in glob.glob(modules + "/dbt/adapters/*/__version__.py")],
    "columns": os.path.exists("/opt/freshet/runner/freshet_column_stage.py"),
    "network": bool(address[0]) and reaches(*address),
    "seccomp": status.get("Seccomp", "0").strip() == "2",
    "no_new_privileges": status.get("NoNewPrivs", "1").strip() == "1",
    "capabilities": int(status.get("CapBnd", "0"), 16) != 0,
    "root": os.getuid() == 0,
    "writable": writable("/freshet-probe"),
    "memory_limit": limit.isdigit() and int(limit) < 1 << 60,
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
}))
"""


class ProbeAnswer(msgspec.Struct, frozen=True):
    """What the program has found; see there."""

    dbt_version: str
    adapters: frozenset[str]
    columns: bool
    network: bool
    seccomp: bool
    no_new_privileges: bool
    capabilities: bool
    root: bool
    writable: bool
    memory_limit: bool
    token: bool


def missing(found: ProbeAnswer) -> list[str]:
    """What does not isolate pods, each with its consequence.

    >>> missing(ProbeAnswer("1.11.16", frozenset(), True, False, True, True, False, False, False, True, False))
    []
    """
    return list(_missing(found))


def _missing(found: ProbeAnswer) -> Iterator[str]:
    if found.network:
        yield "a network plugin that enforces NetworkPolicy: project code reaches the API server, and perhaps the internet"
    if not found.seccomp:
        yield "seccomp: project code can use any system call"
    if not found.memory_limit:
        yield "a memory limit: one project can use up a node's memory"
    if not found.no_new_privileges or found.capabilities or found.root:
        yield "containers without privileges"
    if found.writable:
        yield "a read-only root"
    if found.token:
        yield "pods without the token of a service account"


def require(found: ProbeAnswer) -> None:
    """Raise ConfigurationError if something is missing."""
    if lacks := missing(found):
        step = f"docs/kubernetes.md says what a cluster needs. {STRICT_STEP}"
        raise ConfigurationError("checking how the cluster isolates pods", f"pods lack {'; '.join(lacks)}", step)


async def probe(cluster: Cluster, spec: PodSpec, leftovers: Leftovers) -> tuple[RunnerImage, ProbeAnswer]:
    """Look into an image. Raises RunnerImageError, EngineUnavailableError or ConfigurationError."""
    async with started(cluster, spec, leftovers) as (pod, _):
        with errors(spec.doing):
            connection = await cluster.execute(spec.name, ("/opt/dbt/bin/python", "-I", "-c", PROGRAM))
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    output, log = bytearray(), bytearray()
                    while (message := await connection.read()) and len(output) + len(log) < MAX_ANSWER:
                        (output if message[0] == 1 else log).extend(message[1])
            finally:
                await connection.close()
    try:
        found = msgspec.json.decode(bytes(output), type=ProbeAnswer)
    except msgspec.DecodeError as error:
        words = (bytes(log) or bytes(output)).decode(errors="replace").split("\n")
        said = next((line[-500:] for line in reversed(words) if line.strip()), "no answer")
        reason = f"{spec.image_name!r} is not a runner image ({said})"
        raise RunnerImageError(
            spec.doing, reason, "Build it with `make image`, or set another one in `FRESHET_KUBERNETES_IMAGE`."
        ) from error
    build = pod["status"]["containerStatuses"][0].get("imageID") or spec.image
    return RunnerImage(spec.image_name, build, found.dbt_version, found.adapters, None, found.columns), found
