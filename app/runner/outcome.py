"""The outcome of a container's job: a result, or the error that says why there is none. The same for every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.core.errors import (
    ContainerOutOfMemoryError,
    ContainerTimedOutError,
    DbtError,
    EngineUnavailableError,
    FreshetError,
    OutputTooBigError,
    RunnerImageError,
)
from app.core.models.annotations import IgnoredCheck, Placeholder
from app.core.models.extractions import ContainerFacts, Usage
from app.runner.job_protocol import AnswerReader, Result, Sink

MAX_LOG_SHOWN = 4000
"""Characters of a log's end that are shown with an error."""


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """The resources of one container."""

    cpus: float
    memory_bytes: int
    timeout_s: float
    pids: int


class JobContainer(Protocol):
    """The facts about a container that errors need."""

    @property
    def doing(self) -> str:
        """For errors: "parsing octo/shop at 1a2b3c4"."""

    @property
    def image_name(self) -> str:
        """For errors: as the operator wrote it."""

    @property
    def limits(self) -> ContainerLimits:
        """For errors, and to check the usage that it reports."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a container that no limit stopped. `status` is 0 if it delivered a result."""

    status: int
    oom_killed: bool
    """Whether the kernel killed one of its processes; if `status` is 0, not the first one."""
    log: str


def judge(answers: AnswerReader, end: Exit, container: JobContainer, unavailable: Callable[[str], EngineUnavailableError]) -> Result:
    """Return the result, or raise the error that explains why there is none. `unavailable` is for a broken connection."""
    result = answers.result
    if end.status != 0:
        tail = end.log.strip()[-MAX_LOG_SHOWN:] or "(empty)"
        output = f"dbt's container ended with exit status {end.status} and without a result. The end of its log:\n\n{tail}"
        raise DbtError(container.doing, output)
    if result is None:
        raise wrong_protocol(container)
    if not result.ok and (end.oom_killed or result.kind != "dbt"):
        raise out_of_memory(container)
    if not result.ok:
        raise DbtError(container.doing, result.error)
    if not answers.delivered.is_set():
        raise unavailable(f"the connection to the container broke after {answers.received_bytes:,} of {result.bytes:,} bytes of the result")
    return result


def wrong_protocol(container: JobContainer) -> RunnerImageError:
    """The error for a container that does not speak our protocol."""
    reason = f"the image {container.image_name!r} does not fit this version of Freshet: its container did not answer as expected"
    return RunnerImageError(container.doing, reason, "Rebuild the image with `make image`.")


def timed_out(container: JobContainer) -> ContainerTimedOutError:
    """The error for a container that reached its time limit."""
    reason = f"dbt was stopped after {container.limits.timeout_s:g} seconds"
    return ContainerTimedOutError(
        container.doing, reason, "If the project needs more time, raise Freshet's setting `DBT_TIMEOUT` (seconds)."
    )


def out_of_memory(container: JobContainer) -> ContainerOutOfMemoryError:
    """The error for a container that reached its memory limit."""
    memory_mib = container.limits.memory_bytes / (1 << 20)
    reason = f"dbt needed more than the {memory_mib:,.0f} MiB of memory of a container (its files count too)"
    return ContainerOutOfMemoryError(container.doing, reason, "If the project is that big, raise Freshet's setting `DBT_MEMORY`.")


def bounded(sink: Sink, max_bytes: int, doing: str, what: str = "dbt's output") -> Sink:
    """Wrap a sink so that it raises OutputTooBigError beyond `max_bytes`."""
    taken = 0

    async def take(data: bytes) -> None:
        nonlocal taken
        taken += len(data)
        if taken > max_bytes:
            raise OutputTooBigError(doing, f"{what} is bigger than {max_bytes >> 20} MiB", "Split the project into several ones.")
        await sink(data)

    return take


def state_is_suspect(error: BaseException, result: Result | None) -> bool:
    """Whether a job may have failed because of the parse state. After an error of dbt the program has already tried without it."""
    dbt_failed = result is not None and result.kind == "dbt"
    return isinstance(error, FreshetError) and not isinstance(error, EngineUnavailableError) and not dbt_failed


def facts(result: Result | None, log: str, seconds: float, limits: ContainerLimits) -> ContainerFacts:
    """The facts about a container, however it ended."""
    usage = _usage(result, seconds, limits)
    return ContainerFacts(usage, log, _placeholders(result), _ignored(result)) if result else ContainerFacts(usage, log)


def _placeholders(result: Result) -> tuple[Placeholder, ...]:
    return tuple(Placeholder(found.kind, found.name, found.value, found.path, found.line) for found in result.placeholders)


def _ignored(result: Result) -> tuple[IgnoredCheck, ...]:
    return tuple(IgnoredCheck(found.kind, found.name, found.value) for found in result.ignored)


def _usage(result: Result | None, seconds: float, limits: ContainerLimits) -> Usage:
    return Usage(seconds) if result is None else plausible(Usage(seconds, result.cpu_seconds, result.peak_memory_bytes), limits)


def plausible(usage: Usage, limits: ContainerLimits) -> Usage:
    """The usage that a container reports, where it is possible: the report is untrusted."""
    cpu_seconds, peak_bytes = usage.cpu_seconds, usage.peak_memory_bytes
    return Usage(
        usage.seconds,
        cpu_seconds if cpu_seconds is not None and 0 <= cpu_seconds <= limits.cpus * limits.timeout_s else None,
        peak_bytes if peak_bytes is not None and 0 <= peak_bytes <= 2 * limits.memory_bytes else None,
    )
