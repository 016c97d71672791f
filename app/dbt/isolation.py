"""What a container is and may do: all of the isolation stands here. `docs/security.md` says against what.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

USER = "10001:10001"
NO_NETWORK = "none"
TMP_BYTES = 256 << 20
SHM_BYTES = 8 << 20
"""For the locks of Python's `multiprocessing`, which dbt makes."""
WORK_INODES = 200_000
"""Files and directories below /work: four times as many files as a project may have (`project.MAX_FILES`)."""
TMP_INODES = 20_000
OPEN_FILES = 4096
CPU_SHARES = 512
"""Half of the usual: other containers of this host, a database perhaps, come first."""
WARMING_CPU_SHARES = 64
"""Of a container without a job: those that have one come first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one container may take."""

    cpus: float
    memory_bytes: int
    timeout_s: float
    pids: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants of the engine."""

    runtime: str | None = None
    """An OCI runtime that the engine knows, such as `runsc`; None is the engine's default."""
    seccomp: str | None = None
    """A seccomp profile as JSON, https://docs.docker.com/engine/security/seccomp/; None is the engine's default profile."""
    strict: bool = True
    """False: go on where the engine lacks something, and say so."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One container to be. `doing` is for errors: "parsing octo/shop at 1a2b3c4"."""

    name: str
    image: str
    """Its id: the image that was looked at, also when its name has moved on."""
    image_name: str
    doing: str
    labels: Mapping[str, str]
    limits: Limits
    network: str = NO_NETWORK
    environment: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    cpu_shares: int = CPU_SHARES


def config(spec: Spec) -> dict[str, Any]:
    """Return the body of the request that creates the container.

    What is not named keeps the engine's default on purpose: its AppArmor or SELinux label, masked and read-only paths of /proc and
    /sys, a process namespace and a host name of its own, no device of the host, no user namespace but the engine's.
    """
    return {
        "Image": spec.image,
        "User": USER,
        # Not the container's id, by which the engine knows it.
        "Hostname": "dbt",
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        # There is nothing to save: an engine that shuts down does not wait for who ignores a signal.
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {**_walls(spec), **_network(spec.network), **_resources(spec.limits), "CpuShares": spec.cpu_shares},
    }


def _walls(spec: Spec) -> dict[str, Any]:
    """Return what keeps a container from the host and from other containers."""
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
        # Nothing that a container writes lands on the engine's disk.
        "LogConfig": {"Type": "none"},
    }


def _network(network: str) -> dict[str, Any]:
    """Return the network; without one, no name server of the host stands in /etc/resolv.conf either."""
    names = {"Dns": ["127.0.0.1"], "DnsSearch": ["."]} if network == NO_NETWORK else {}
    return {"NetworkMode": network, **names}


def _resources(limits: Limits) -> dict[str, Any]:
    """Return what bounds a container. Files on a tmpfs, and what the kernel keeps for it, count as its memory."""
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
        # On top of the engine's defaults for a tmpfs, noexec among them.
        "Tmpfs": {
            "/work": _tmpfs(limits.memory_bytes * 3 // 4, WORK_INODES),
            "/tmp": _tmpfs(min(TMP_BYTES, limits.memory_bytes // 4), TMP_INODES),  # noqa: S108
        },
    }


def _ulimit(name: str, value: int) -> dict[str, Any]:
    # No `nproc`: the kernel counts processes of a user over all containers, one would stop the others. `PidsLimit` is for each.
    return {"Name": name, "Soft": value, "Hard": value}


def _tmpfs(size_bytes: int, inodes: int) -> str:
    uid, gid = USER.split(":")
    return f"rw,nosuid,nodev,noexec,size={size_bytes},nr_inodes={inodes},uid={uid},gid={gid},mode=0700"
