"""The settings of a container that isolate and limit it, all in one place. `docs/security.md` lists the threats.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.runner.container import ContainerSpec
from app.runner.outcome import ContainerLimits

USER = "10001:10001"
NO_NETWORK = "none"
TMP_BYTES = 256 << 20
SHM_BYTES = 8 << 20
"""For the locks of Python's `multiprocessing`, which dbt uses."""
WORK_INODES = 200_000
"""Files and directories below /work: four times the limit for a project (`project.layout.MAX_FILES`)."""
TMP_INODES = 20_000
OPEN_FILES = 4096
CPU_SHARES = 512
"""Half of the default: other containers on this host, such as a database, come first."""
WARMING_CPU_SHARES = 64
"""While a container has no job: those with a job come first."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator requires from the engine."""

    runtime: str | None = None
    """An OCI runtime of the engine, such as `runsc`; None: the engine's default."""
    seccomp: str | None = None
    """A seccomp profile as JSON, https://docs.docker.com/engine/security/seccomp/; None: the engine's default profile."""
    strict: bool = True
    """False: warn about missing capabilities, and go on."""


@dataclass(frozen=True, slots=True)
class DockerSpec(ContainerSpec):
    """With what only Docker has. `image` is an id, because the name may move to another build."""

    network: str = NO_NETWORK
    environment: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    cpu_shares: int = CPU_SHARES


def config(spec: DockerSpec) -> dict[str, Any]:
    """Return the body of the request that creates the container.

    Everything else keeps the engine's default on purpose: its AppArmor or SELinux label, masked and read-only paths of /proc and /sys,
    a separate process namespace, no devices of the host, and the engine's user namespace.
    """
    return {
        "Image": spec.image,
        "User": USER,
        # The default would be the container's id.
        "Hostname": "dbt",
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        # There is nothing to save, so an engine that shuts down need not wait for containers that ignore signals.
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {**_isolation(spec), **_network(spec.network), **_resources(spec.limits), "CpuShares": spec.cpu_shares},
    }


def _isolation(spec: DockerSpec) -> dict[str, Any]:
    """The settings that isolate a container from the host and from other containers."""
    policy = spec.policy
    runtime = {"Runtime": policy.runtime} if policy.runtime else {}
    return {
        **runtime,
        "Privileged": False,
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", *([f"seccomp={policy.seccomp}"] if policy.seccomp else [])],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        # Output is not written to the engine's disk.
        "LogConfig": {"Type": "none"},
    }


def _network(network: str) -> dict[str, Any]:
    """The network; without one, /etc/resolv.conf does not contain the host's name servers either."""
    names = {"Dns": ["127.0.0.1"], "DnsSearch": ["."]} if network == NO_NETWORK else {}
    return {"NetworkMode": network, **names}


def _resources(limits: ContainerLimits) -> dict[str, Any]:
    """The limits of a container. Files on a tmpfs, and the kernel's data about them, count as its memory."""
    return {
        "Memory": limits.memory_bytes,
        # Equal: no swap.
        "MemorySwap": limits.memory_bytes,
        # When the host itself runs out of memory, containers go first.
        "OomScoreAdj": 1000,
        "NanoCpus": int(limits.cpus * 1e9),
        "PidsLimit": limits.pids,
        "Ulimits": [_ulimit("core", 0), _ulimit("nofile", OPEN_FILES), _ulimit("fsize", limits.memory_bytes), _ulimit("msgqueue", 0)],
        "ShmSize": SHM_BYTES,
        # In addition to the engine's defaults for a tmpfs, which include noexec.
        "Tmpfs": {
            "/work": _tmpfs(limits.memory_bytes * 3 // 4, WORK_INODES),
            "/tmp": _tmpfs(min(TMP_BYTES, limits.memory_bytes // 4), TMP_INODES),  # noqa: S108
        },
    }


def _ulimit(name: str, value: int) -> dict[str, Any]:
    # Not `nproc`: the kernel counts a user's processes over all containers. `PidsLimit` is per container.
    return {"Name": name, "Soft": value, "Hard": value}


def _tmpfs(size_bytes: int, inodes: int) -> str:
    uid, gid = USER.split(":")
    return f"rw,nosuid,nodev,noexec,size={size_bytes},nr_inodes={inodes},uid={uid},gid={gid},mode=0700"
