"""What a container is and may do: all of the isolation stands here.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

USER = "10001:10001"
TMP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one container may take."""

    cpus: float
    memory_bytes: int
    timeout_s: float
    pids: int


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
    network: str = "none"
    environment: Mapping[str, str] = field(default_factory=dict)


def config(spec: Spec) -> dict[str, Any]:
    """Return the body of the request that creates the container."""
    limits = spec.limits
    return {
        "Image": spec.image,
        "User": USER,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": {
            "NetworkMode": spec.network,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "IpcMode": "private",
            "LogConfig": {"Type": "none"},
            "Memory": limits.memory_bytes,
            # Equal: no swap.
            "MemorySwap": limits.memory_bytes,
            "NanoCpus": int(limits.cpus * 1e9),
            "PidsLimit": limits.pids,
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 4096, "Hard": 4096}],
            # On top of the engine's defaults for a tmpfs, noexec among them. Its files count as memory of the container.
            "Tmpfs": {"/work": _tmpfs(limits.memory_bytes * 3 // 4), "/tmp": _tmpfs(min(TMP_BYTES, limits.memory_bytes // 4))},  # noqa: S108
        },
    }


def _tmpfs(size_bytes: int) -> str:
    uid, gid = USER.split(":")
    return f"rw,nosuid,nodev,noexec,size={size_bytes},uid={uid},gid={gid},mode=0700"
