"""Which means of isolation an engine has, according to its own report.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemInfo
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.core.errors import ConfigurationError
from app.runner.docker.isolation import Policy

DOING: Final = "checking how the Docker engine isolates containers"

Info = Mapping[str, Any]
"""The answer of `GET /info`."""


@dataclass(frozen=True, slots=True)
class MissingCapability:
    """Something that the engine does not have. `text`: what, and the consequence. `remedy`: a sentence."""

    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Engine:
    """The capabilities of an engine that matter for isolation."""

    cpus: float
    memory_bytes: int
    """Of its host."""
    missing: tuple[MissingCapability, ...]
    """Required: without them containers are not isolated. `FRESHET_ISOLATION` decides whether Freshet starts."""
    advice: tuple[MissingCapability, ...]
    """Recommended as an additional layer."""

    def line(self) -> str:
        """Describe the isolation in one line for operators."""
        if not self.missing and not self.advice:
            return "isolation: complete"
        missing = [f"MISSING {one.text}. {one.remedy}" for one in self.missing]
        recommended = "; ".join(one.text for one in self.advice)
        required = missing or ["everything required"]
        return " ".join(["isolation:", *required, *([f"(recommended, but missing: {recommended})"] if recommended else [])])


def judge(info: Info, policy: Policy) -> Engine:
    """Evaluate an engine's report."""
    missing = tuple(one for test, one in _required(policy) if not test(info))
    advice = tuple(one for test, one in RECOMMENDED if not test(info))
    return Engine(float(info.get("NCPU") or 1), int(info.get("MemTotal") or 0), missing, advice)


def require(engine: Engine, policy: Policy) -> None:
    """Raise ConfigurationError if a strict policy is not met."""
    if policy.strict and engine.missing:
        reason = f"the engine does not have {'; '.join(one.text for one in engine.missing)}"
        steps = " ".join(dict.fromkeys(one.remedy for one in engine.missing))
        raise ConfigurationError(DOING, reason, f"{steps} Or accept the risk: `FRESHET_ISOLATION=available` runs without it.")


def _options(info: Info) -> dict[str, dict[str, str]]:
    """Parse `SecurityOptions`, by name.

    >>> _options({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]})
    {'seccomp': {'profile': 'default'}, 'rootless': {}}
    """
    options = {}
    for text in info.get("SecurityOptions") or ():
        facts = dict(part.partition("=")[::2] for part in str(text).split(","))
        # Before Docker 1.13 an option was just its name, and Podman still reports some like that.
        options[facts.pop("name", str(text))] = facts
    return options


def _confined(info: Info) -> bool:
    return _options(info).get("seccomp", {"profile": "unconfined"}).get("profile") != "unconfined"


def _has(*names: str) -> Callable[[Info], bool]:
    return lambda info: not {*names}.isdisjoint(_options(info))


def _says(key: str) -> Callable[[Info], bool]:
    # Docker always reports these; engines that do not (Podman) are assumed to have them.
    return lambda info: info.get(key) is not False


def _required(policy: Policy) -> list[tuple[Callable[[Info], bool], MissingCapability]]:
    limits = "Enable these control groups for the engine (rootless engines need cgroup v2 and its delegation)."
    profile = "Remove `seccomp-profile` from the engine's daemon.json, or set a profile in `FRESHET_SECCOMP`."
    required: list[tuple[Callable[[Info], bool], MissingCapability]] = [
        (
            lambda info: info.get("OSType", "linux") == "linux",
            MissingCapability("Linux containers", "Point `DOCKER_HOST` at a Linux engine."),
        ),
        (
            _has("seccomp"),
            MissingCapability("seccomp: project code can use any system call", "Use a kernel and an engine with seccomp."),
        ),
        (_says("MemoryLimit"), MissingCapability("a memory limit: one project can use up the host's memory", limits)),
        (_says("CpuCfsQuota"), MissingCapability("a CPU limit: one project can use up the host's CPUs", limits)),
        (_says("PidsLimit"), MissingCapability("a process limit: one project can use up the host's processes", limits)),
    ]
    if policy.seccomp is None:
        text = "a default seccomp profile: project code can use any system call"
        required.append((lambda info: not _has("seccomp")(info) or _confined(info), MissingCapability(text, profile)))
    if policy.runtime is not None:
        runtime = policy.runtime
        step = "Add it to the engine's daemon.json, or correct `FRESHET_CONTAINER_RUNTIME`."
        required.append((lambda info: runtime in (info.get("Runtimes") or {}), MissingCapability(f"the runtime {runtime!r}", step)))
    return required


def _keeps_from_the_hypervisor(info: Info) -> bool:
    """Docker 23's default profile denies AF_VSOCK, which network namespaces do not cover: https://docs.docker.com/engine/release-notes/23.0/."""
    major = re.match(r"\d+", str(info.get("ServerVersion", "")))
    # Versions before 17.03 were 1.x; other engines have small numbers too.
    return major is None or not 17 <= int(major[0]) < 23  # noqa: PLR2004


RECOMMENDED: Final = (
    (_says("SwapLimit"), MissingCapability("a swap limit", "Start the kernel with `swapaccount=1`, or without swap.")),
    (
        _keeps_from_the_hypervisor,
        MissingCapability("a seccomp profile that blocks vsock, which reaches the host of a virtual machine", "Use Docker 23 or later."),
    ),
    (_has("apparmor", "selinux"), MissingCapability("AppArmor or SELinux", "Enable the one of your distribution.")),
    (
        _has("userns", "rootless"),
        MissingCapability("a user namespace", "Set `userns-remap` in the engine's daemon.json, or use a rootless engine."),
    ),
)
