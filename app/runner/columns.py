"""Why there are no columns, although dbt has delivered its manifest. The same for every backend."""

from __future__ import annotations

from app.core.errors import ColumnsError, ContainerOutOfMemoryError, FreshetError, UnavailableError
from app.pipeline.ports import ColumnsDocument, DbtJob
from app.runner.job_protocol import ColumnsFollow, MalformedResultError
from app.runner.outcome import ContainerLimits, Exit

RERUN = "Run the extraction again."
REBUILD = "The operator can rebuild the image with `make image`."
MAX_WORDS = 500
"""Characters of a container's log in a reason."""


class NoColumns:
    """A `ports.ColumnsDelivery` of an image that cannot read columns."""

    def __init__(self, job: DbtJob) -> None:
        self._job = job

    async def wait(self) -> ColumnsDocument:
        """Raises ColumnsError that says how to get such an image."""
        reason = f"the runner image {self._job.image.name} was built by an earlier release of Freshet, which did not read columns"
        raise ColumnsError(doing(self._job), reason, "The operator can rebuild it with `make image`. Then push again.")

    async def refuse(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing to free."""


def doing(job: DbtJob) -> str:
    """For errors."""
    return f"reading the columns of {job.label}"


def failure(job: DbtJob, error: BaseException, limits: ContainerLimits) -> ColumnsError:
    """The error for people from what reading a container's output raised; a TimeoutError is that of the container."""
    if isinstance(error, ColumnsError):
        return error
    reason, next_step = _explained(job, error, limits)
    return ColumnsError(doing(job), reason, next_step, temporary=_is_temporary(error))


def _is_temporary(error: BaseException) -> bool:
    # A TimeoutError is an OSError.
    return isinstance(error, UnavailableError | OSError | ValueError) and not isinstance(error, TimeoutError)


def _explained(job: DbtJob, error: BaseException, limits: ContainerLimits) -> tuple[str, str]:
    """The reason and the next step."""
    match error:
        case TimeoutError():
            reason = f"the container was stopped before it had read them all: it may take {limits.timeout_s:g} seconds, dbt included"
            return reason, "If the project needs more time, raise Freshet's setting `DBT_TIMEOUT` (seconds)."
        case ContainerOutOfMemoryError():
            reason = f"this needed more than the {limits.memory_bytes / (1 << 20):,.0f} MiB of memory of a container (its files count too)"
            return reason, error.next_step
        case MalformedResultError():
            reason = f"the container of the image {job.image.name} did not answer as expected"
            return reason, REBUILD
        case FreshetError():
            return error.reason, RERUN if error.retryable else error.next_step
    return f"{type(error).__name__}: {error}", RERUN


def ended_early(job: DbtJob, end: Exit, *, broken: bool) -> ColumnsError:
    """The error for a container that ended without its document. `broken`: the connection broke, or the output ended within an answer."""
    if end.status:
        return ColumnsError(doing(job), f"the container ended with exit status {end.status} before it had read them all")
    if broken:
        return ColumnsError(doing(job), "the connection to the container broke before the end of the columns", RERUN, temporary=True)
    last = end.log.strip()[-MAX_WORDS:].rpartition("\n")[2].strip()
    words = f". The end of its log: {last}" if last else ""
    return ColumnsError(doing(job), f"the container of the image {job.image.name} ended without columns{words}", REBUILD)


def check(job: DbtJob, found: ColumnsFollow | None) -> ColumnsFollow:
    """What the container says of its document. Raises ColumnsError if there is none."""
    if found is not None and found.columns_bytes and found.error is None:
        return found
    raise ColumnsError(doing(job), (found.error if found else None) or "the container gave no reason why it read none")
