"""What the engine can and cannot do to keep containers in: read off what it says of itself, in plain words.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemInfo
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.dbt.isolation import Policy
from app.errors import ConfigurationError

DOING: Final = "checking how the Docker engine isolates containers"

Info = Mapping[str, Any]
"""The answer of `GET /info`."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that the engine does not have. `text` says what, and what follows from that; `remedy` is a sentence."""

    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as far as isolation goes."""

    cpus: float
    missing: tuple[Lack, ...]
    """Without these a container is no box: FRESHET_ISOLATION decides whether to go on."""
    advice: tuple[Lack, ...]
    """What would be one wall more."""

    def line(self) -> str:
        """Say all of it in one line for operators."""
        if not self.missing and not self.advice:
            return "isolation: complete"
        missing = [f"MISSING {lack.text}. {lack.remedy}" for lack in self.missing]
        lacking = "; ".join(lack.text for lack in self.advice)
        return " ".join(["isolation:", *(missing or ["all that is needed"]), *([f"(not there: {lacking})"] if lacking else [])])


def judge(info: Info, policy: Policy) -> Engine:
    """Read what an engine says of itself."""
    missing = tuple(lack for test, lack in _needed(policy) if not test(info))
    advice = tuple(lack for test, lack in ADVISED if not test(info))
    return Engine(float(info.get("NCPU") or 1), missing, advice)


def require(engine: Engine, policy: Policy) -> None:
    """Raise ConfigurationError where a strict policy is not met."""
    if policy.strict and engine.missing:
        reason = "; ".join(lack.text for lack in engine.missing)
        steps = " ".join(dict.fromkeys(lack.remedy for lack in engine.missing))
        raise ConfigurationError(DOING, reason, f"{steps} Or set `FRESHET_ISOLATION=available` to go on without, at your own risk.")


def _options(info: Info) -> dict[str, dict[str, str]]:
    """Return `SecurityOptions` by name.

    >>> _options({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]})
    {'seccomp': {'profile': 'default'}, 'rootless': {}}
    """
    options = {}
    for text in info.get("SecurityOptions") or ():
        facts = dict(part.partition("=")[::2] for part in str(text).split(","))
        # Before Docker 1.13 an option was its name alone, and Podman still answers so for some.
        options[facts.pop("name", str(text))] = facts
    return options


def _confined(info: Info) -> bool:
    return _options(info).get("seccomp", {"profile": "unconfined"}).get("profile") != "unconfined"


def _has(*names: str) -> Callable[[Info], bool]:
    return lambda info: not {*names}.isdisjoint(_options(info))


def _says(key: str) -> Callable[[Info], bool]:
    # Docker's own engine always says; what does not say (Podman) is taken to have it.
    return lambda info: info.get(key) is not False


def _needed(policy: Policy) -> list[tuple[Callable[[Info], bool], Lack]]:
    limits = "Start the engine with the control groups that this names (rootless engines need cgroup v2 and its delegation)."
    profile = "Take `seccomp-profile` out of the engine's daemon.json, or name a profile in `FRESHET_SECCOMP`."
    needed: list[tuple[Callable[[Info], bool], Lack]] = [
        (lambda info: info.get("OSType", "linux") == "linux", Lack("Linux containers", "Let `DOCKER_HOST` lead to a Linux engine.")),
        (_has("seccomp"), Lack("seccomp: any system call is open to the code of projects", "Use a kernel and an engine with seccomp.")),
        (_says("MemoryLimit"), Lack("a memory limit: one project can take all of the host's", limits)),
        (_says("CpuCfsQuota"), Lack("a CPU limit: one project can take all of the host's", limits)),
        (_says("PidsLimit"), Lack("a limit of processes: one project can fill the host with them", limits)),
    ]
    if policy.seccomp is None:
        text = "a default seccomp profile: any system call is open to the code of projects"
        needed.append((lambda info: not _has("seccomp")(info) or _confined(info), Lack(text, profile)))
    if policy.runtime is not None:
        runtime = policy.runtime
        lack = Lack(f"the runtime {runtime!r}", "Install it in the engine's daemon.json, or mend `FRESHET_CONTAINER_RUNTIME`.")
        needed.append((lambda info: runtime in (info.get("Runtimes") or {}), lack))
    return needed


def _keeps_from_the_hypervisor(info: Info) -> bool:
    """https://docs.docker.com/engine/release-notes/23.0/: its default profile leaves out AF_VSOCK, which no network namespace holds."""
    major = re.match(r"\d+", str(info.get("ServerVersion", "")))
    # Before 17.03 versions were 1.x, and so are those of other engines.
    return major is None or not 17 <= int(major[0]) < 23  # noqa: PLR2004


ADVISED: Final = (
    (_says("SwapLimit"), Lack("a limit of swap", "Start the kernel with `swapaccount=1`, or without swap.")),
    (
        _keeps_from_the_hypervisor,
        Lack("a seccomp profile that keeps containers from vsock, the host of this virtual machine", "Use Docker 23 or later."),
    ),
    (_has("apparmor", "selinux"), Lack("AppArmor or SELinux", "Switch on the one that this distribution has.")),
    (_has("userns", "rootless"), Lack("a user namespace", "Set `userns-remap` in the engine's daemon.json, or use a rootless engine.")),
)
