"""What the service counts and measures: https://prometheus.io/docs/practices/naming/. Any part may add to it; `web/metrics` shows it.

No label holds a name from outside: each has a handful of values that stand here or in the place that observes.
What the process itself costs (`process_cpu_seconds_total`, `process_resident_memory_bytes`) comes from prometheus_client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations

LOOP_INTERVAL_S = 0.01
WEIGH_S = 300.0
CACHES = ("git", "git-packages", "packages", "states")
"""Directories of `DBT_WORK_DIR`."""
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
MIB = 1 << 20

LOOP_LAG = Histogram("freshet_loop_lag_seconds", "How late the event loop woke who asked for it", buckets=LAGS)
LOOP_LAG_MAX = Gauge("freshet_loop_lag_max_seconds", "The longest such delay since /metrics was last read")

HTTP_SECONDS = Histogram(
    "freshet_http_request_seconds", "Requests answered, without streams", ["route", "status"], buckets=(0.005, *SECONDS[:10])
)
DELIVERIES = Counter("freshet_webhook_deliveries", "Webhook deliveries by GitHub's event and what became of them", ["event", "outcome"])

EXTRACTIONS = Counter("freshet_extractions", "Runs of extractions that ended in this process", ["status", "conclusion"])
CARRIED = Counter("freshet_extractions_carried", "Extractions for which dbt did not have to run: nothing that it reads had changed")
EXTRACTION_SECONDS = Histogram("freshet_extraction_seconds", "From the claim of an extraction to its end", ["status"], buckets=SECONDS)
EXTRACTION_WAIT = Histogram("freshet_extraction_wait_seconds", "From the queueing of an extraction to its first claim", buckets=SECONDS)
STAGE_SECONDS = Histogram("freshet_extraction_stage_seconds", "Time that an extraction spent in a stage", ["stage"], buckets=SECONDS)
RUNNING = Gauge("freshet_worker_running", "Extractions that this process runs now")
CONCURRENCY = Gauge("freshet_worker_concurrency", "Extractions that this process runs at once at most")

CONTAINER_STARTS = Counter("freshet_container_starts", "Containers given a job: warm, still warming, or cold", ["kind"])
CONTAINERS_DISCARDED = Counter("freshet_containers_discarded", "Containers thrown away before they had done a job", ["reason"])
WARM_CONTAINERS = Gauge("freshet_warm_containers", "Containers of the warm pool", ["state"])
WARM_MEMORY = Gauge("freshet_warm_containers_memory_bytes", "Memory that the ready containers of the warm pool took to get warm")
CONTAINER_CPU = Counter("freshet_container_cpu_seconds", "CPU time of containers that ran dbt")
CONTAINER_MEMORY = Histogram(
    "freshet_container_peak_memory_bytes",
    "Peak memory of containers that ran dbt",
    buckets=[size * MIB for size in (64, 128, 256, 512, 1024, 2048)],
)
PARSES = Counter("freshet_parses", "Runs of dbt parse: full, or partial with the state of the one before", ["kind"])
MANIFEST_BYTES = Histogram("freshet_manifest_bytes", "Sizes of manifests", buckets=[size * MIB for size in (0.25, 1, 4, 16, 64, 256)])

CACHE_BYTES = Gauge("freshet_cache_bytes", "What is kept on this host between extractions, as of the last minutes", ["cache"])
CACHE_REQUESTS = Counter("freshet_cache_requests", "What was looked for among that, and was there (hit) or not (miss)", ["cache", "result"])
STATE_BYTES = CACHE_BYTES.labels(cache="states")

QUEUE = Gauge("freshet_extractions_active", "Extractions of all processes on this database, up to 10,000", ["status"])
QUEUE_AGE = Gauge("freshet_extractions_oldest_due_seconds", "For how long the oldest queued extraction has been due")
CHECK_RUNS_DUE = Gauge("freshet_check_runs_due", "Check runs that GitHub does not show as they are, up to 10,000")
CHECK_RUNS_AGE = Gauge("freshet_check_runs_oldest_due_seconds", "For how long the oldest of them has been due")
DATABASE_UP = Gauge("freshet_database_up", "1 when the database answered, 0 when the metrics that are read from it are missing (NaN)")
DATABASE_USED = Gauge("freshet_database_connections_used", "Connections to the database that somebody uses now")
DATABASE_LIMIT = Gauge("freshet_database_connections_limit", "Connections to the database that this process makes at most")

OUTBOX = Counter("freshet_check_run_sends", "Attempts to bring a check run up to date", ["outcome"])
NOTICES = Counter("freshet_notices", "Attempts to send mails and webhooks", ["kind", "outcome"])
RECONCILED = Counter("freshet_reconciler_steps", "Times that the reconciler asked GitHub what there is", ["step"])
GITHUB_REQUESTS = Counter(
    "freshet_github_requests", "Requests to GitHub's API by its answer's status, `none` when none came", ["method", "status"]
)
GITHUB_REMAINING = Gauge(
    "freshet_github_rate_limit_remaining", "Requests that GitHub still takes this hour from whoever has the fewest left, NaN: not known"
)


class LongestLag:
    """The longest delay since it was last asked for."""

    def __init__(self) -> None:
        self._longest_s = 0.0

    def note(self, seconds: float) -> None:
        """Remember a delay."""
        self._longest_s = max(self._longest_s, seconds)

    def take(self) -> float:
        """Return the longest, in seconds, and forget it."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s


class RateLimit:
    """The fewest requests left, of any token. Within one hour of GitHub's they only fall, so who they belong to need not be known."""

    def __init__(self) -> None:
        self._fewest: dict[int, int] = {}
        """By when the hour ends."""

    def note(self, headers: Mapping[str, str]) -> None:
        """Read the headers of an answer: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api."""
        with suppress(KeyError, ValueError):
            reset, remaining = int(headers["x-ratelimit-reset"]), int(headers["x-ratelimit-remaining"])
            if reset not in self._fewest:
                self._forget(time.time())
            self._fewest[reset] = min(remaining, self._fewest.get(reset, remaining))

    def remaining(self) -> float:
        """Return it as of now, NaN when no answer of the running hour said it."""
        self._forget(time.time())
        return min(self._fewest.values(), default=float("nan"))

    def _forget(self, now: float) -> None:
        self._fewest = {reset: remaining for reset, remaining in self._fewest.items() if reset > now}


LONGEST_LAG, RATE_LIMIT = LongestLag(), RateLimit()
LOOP_LAG_MAX.set_function(LONGEST_LAG.take)
GITHUB_REMAINING.set_function(RATE_LIMIT.remaining)


async def watch_loop() -> None:
    """Measure, for ever, how late the event loop wakes this task: whatever blocks it, and a host without a free core, shows here."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_INTERVAL_S
        await asyncio.sleep(LOOP_INTERVAL_S)
        late_s = max(loop.time() - due, 0.0)
        LOOP_LAG.observe(late_s)
        LONGEST_LAG.note(late_s)


async def watch_caches(work_dir: Path) -> None:
    """Measure, for ever, what is kept in `CACHES`."""
    while True:
        for cache in CACHES:
            CACHE_BYTES.labels(cache).set(await asyncio.to_thread(_size_of, work_dir / cache))
        await asyncio.sleep(WEIGH_S)


def _size_of(directory: Path) -> int:
    size_bytes = 0
    for path in directory.rglob("*"):
        with suppress(OSError):  # it went meanwhile
            size_bytes += path.lstat().st_size
    return size_bytes
