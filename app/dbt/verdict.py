"""What became of a container's job: a result, or the error that says why there is none."""

from __future__ import annotations

from app.dbt import container, engine
from app.dbt.command import Answers, Result
from app.dbt.container import MAX_LOG_SHOWN, Exit
from app.dbt.isolation import Limits, Spec
from app.errors import DbtError, EngineUnavailableError, RunnerImageError
from app.remarks import Placeholder
from app.usage import Usage


def judge(answers: Answers, end: Exit, spec: Spec) -> Result:
    """Return the result of a container that did its job, raise what stopped the others."""
    result = answers.result
    if end.status != 0:
        tail = end.log.strip()[-MAX_LOG_SHOWN:] or "(it wrote nothing)"
        output = f"dbt's container ended with exit status {end.status} before it gave a result. The end of its log:\n\n{tail}"
        raise DbtError(spec.doing, output, end.log)
    if result is None:
        raise not_ours(spec)
    if not result.ok and (end.oom_killed or result.kind != "dbt"):
        raise container.out_of_memory(spec, end.log)
    if not result.ok:
        refusal = DbtError(spec.doing, result.error, end.log)
        refusal.placeholders = placeholders(result)
        raise refusal
    if not answers.delivered.is_set():
        reason = f"the result broke off after {answers.received_bytes:,} of {result.bytes:,} bytes"
        raise EngineUnavailableError(spec.doing, reason, engine.NEXT_STEP)
    return result


def not_ours(spec: Spec) -> RunnerImageError:
    """Return the error of a container that did not answer as our runner does."""
    reason = f"the container of the image {spec.image_name!r} did not answer in the way of this version of Freshet's runner"
    return RunnerImageError(spec.doing, reason, "Build the image again with `make image`.")


def placeholders(result: Result) -> tuple[Placeholder, ...]:
    """Return what was invented."""
    return tuple(Placeholder(found.kind, found.name, found.value, found.path, found.line) for found in result.placeholders)


def usage(result: Result | None, seconds: float, limits: Limits) -> Usage:
    """Return what the container says that it took, as far as that can be: it is a stranger's word."""
    if result is None:
        return Usage(seconds)
    cpu_seconds, peak_bytes = result.cpu_seconds, result.peak_memory_bytes
    return Usage(
        seconds,
        cpu_seconds if cpu_seconds is not None and 0 <= cpu_seconds <= limits.cpus * limits.timeout_s else None,
        peak_bytes if peak_bytes is not None and 0 <= peak_bytes <= 2 * limits.memory_bytes else None,
    )
