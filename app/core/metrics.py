"""Prometheus metrics: https://prometheus.io/docs/practices/naming/. Any part may update them; `web/metrics` serves them.

No label contains an untrusted name: each has a few fixed values, defined here or where it is set.
`process_cpu_seconds_total`, `process_resident_memory_bytes` and others come from prometheus_client.
"""

from __future__ import annotations

import asyncio
import shutil
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

LOOP_LAG = Histogram("freshet_loop_lag_seconds", "Delay of timers on the event loop", buckets=LAGS)
LOOP_LAG_MAX = Gauge("freshet_loop_lag_max_seconds", "Longest delay of a timer since /metrics was last read")

TASKS = Gauge("freshet_tasks", "Tasks of the event loop")
CLIENTS = Gauge("freshet_http_connections", "Open connections of clients")
CLIENTS_LIMIT = Gauge("freshet_http_connections_limit", "Maximum number of open connections of clients")
STREAMS = Gauge("freshet_http_streams", "Open event streams")

HTTP_SECONDS = Histogram(
    "freshet_http_request_seconds", "Duration of requests, without streams", ["route", "status"], buckets=(0.005, *SECONDS[:10])
)
DELIVERIES = Counter("freshet_webhook_deliveries", "Webhook deliveries by event and outcome", ["event", "outcome"])

DELIVERY_TO_CHECK_RUN = Histogram(
    "freshet_delivery_to_check_run_seconds",
    "From a delivery's arrival until GitHub has its check run; the objective is 95 % within 1 s",
    buckets=(0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800),
)
DELIVERY_TO_CONCLUSION = Histogram(
    "freshet_delivery_to_conclusion_seconds",
    "From a delivery's arrival until its check run has a conclusion on GitHub; the objective is 95 % within 30 s",
    ["conclusion"],
    buckets=(0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600),
)

EXTRACTIONS = Counter("freshet_extractions", "Attempts of extractions that ended in this process", ["status", "conclusion"])
CARRIED = Counter("freshet_extractions_carried", "Extractions that reused the lineage of an earlier commit, without running dbt")
EXTRACTION_SECONDS = Histogram("freshet_extraction_seconds", "Duration of an extraction after its claim", ["status"], buckets=SECONDS)
EXTRACTION_WAIT = Histogram("freshet_extraction_wait_seconds", "Wait of an extraction in the queue until its first claim", buckets=SECONDS)
STAGE_SECONDS = Histogram("freshet_extraction_stage_seconds", "Duration of a stage of an extraction", ["stage"], buckets=SECONDS)
RUNNING = Gauge("freshet_worker_running", "Extractions running in this process")
CONCURRENCY = Gauge("freshet_worker_concurrency", "Maximum number of extractions running in this process")

CONTAINER_STARTS = Counter("freshet_container_starts", "Containers that received a job: warm, still warming, or cold", ["kind"])
CONTAINERS_DISCARDED = Counter("freshet_containers_discarded", "Containers deleted before they completed a job", ["reason"])
WARM_CONTAINERS = Gauge("freshet_warm_containers", "Containers of the warm pool", ["state"])
WARM_LIMIT = Gauge("freshet_warm_containers_limit", "How many containers the warm pool may hold")
WARM_MEMORY = Gauge("freshet_warm_containers_memory_bytes", "Memory of the ready containers of the warm pool")
CONTAINER_CPU = Counter("freshet_container_cpu_seconds", "CPU time of containers that ran dbt")
CONTAINER_MEMORY = Histogram(
    "freshet_container_peak_memory_bytes",
    "Peak memory of containers that ran dbt",
    buckets=[size * MIB for size in (64, 128, 256, 512, 1024, 2048)],
)
PARSES = Counter("freshet_parses", "Runs of dbt parse: full, or partial with an earlier parse state", ["kind"])
VERIFICATIONS = Counter("freshet_verifications", "Partial parses that were compared with a full one, by outcome", ["outcome"])
MANIFEST_BYTES = Histogram("freshet_manifest_bytes", "Sizes of manifests", buckets=[size * MIB for size in (0.25, 1, 4, 16, 64, 256)])

CACHE_BYTES = Gauge("freshet_cache_bytes", "Size of the caches on this host, updated every few minutes", ["cache"])
DISK_FREE = Gauge("freshet_work_disk_free_bytes", "Free space on the disk of DBT_WORK_DIR, updated every few minutes")
CACHE_REQUESTS = Counter("freshet_cache_requests", "Lookups in the caches: hit or miss", ["cache", "result"])
STATE_BYTES = CACHE_BYTES.labels(cache="states")

QUEUE = Gauge("freshet_extractions_active", "Extractions of all processes on this database, up to 10,000", ["status"])
QUEUE_AGE = Gauge("freshet_extractions_oldest_due_seconds", "Age of the oldest due extraction in the queue")
CHECK_RUNS_DUE = Gauge("freshet_check_runs_due", "Check runs whose state GitHub does not have yet, up to 10,000")
CHECK_RUNS_AGE = Gauge("freshet_check_runs_oldest_due_seconds", "Age of the oldest due check run")
CHECK_RUNS_UNSENT = Gauge("freshet_check_runs_unsent", "Check runs that were not sent in the last attempt either, up to 10,000")
DATABASE_UP = Gauge("freshet_database_up", "1 if the database answered, 0 if the metrics that are read from it are missing (NaN)")
DATABASE_USED = Gauge("freshet_database_connections_used", "Connections to the database in use")
DATABASE_LIMIT = Gauge("freshet_database_connections_limit", "Maximum number of connections of this process to the database")

CONNECTIONS = Gauge(
    "freshet_connections", "Connections of all processes on this database by state of their lineage, up to 10,000", ["state"]
)
OLDEST_STALE = Gauge(
    "freshet_connections_oldest_stale_seconds", "Longest time for which a lineage has been stale, without those whose project has an error"
)

OUTBOX = Counter("freshet_check_run_sends", "Attempts to update a check run", ["outcome"])
NOTICES = Counter("freshet_notices", "Attempts to send emails and webhooks", ["kind", "outcome"])
RECONCILED = Counter("freshet_reconciler_steps", "Steps of the reconciler that asked GitHub", ["step"])
GITHUB_REQUESTS = Counter("freshet_github_requests", "Requests to GitHub's API by status, `none` without a response", ["method", "status"])
GITHUB_REMAINING = Gauge(
    "freshet_github_rate_limit_remaining", "Requests left this hour for the token with the fewest left; NaN: not known"
)


class LongestLag:
    """The longest delay since the last `take`."""

    def __init__(self) -> None:
        self._longest_s = 0.0

    def note(self, seconds: float) -> None:
        """Record a delay."""
        self._longest_s = max(self._longest_s, seconds)

    def take(self) -> float:
        """The longest delay in seconds; resets it."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s


class RateLimit:
    """The fewest requests left of any token. Within an hour of GitHub's the numbers only fall, so the tokens need not be told apart."""

    def __init__(self) -> None:
        self._fewest: dict[int, int] = {}
        """By the end of the hour, as in `x-ratelimit-reset`."""

    def note(self, headers: Mapping[str, str]) -> None:
        """Read the headers of a response: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api."""
        with suppress(KeyError, ValueError):
            reset, remaining = int(headers["x-ratelimit-reset"]), int(headers["x-ratelimit-remaining"])
            if reset not in self._fewest:
                self._forget(time.time())
            self._fewest[reset] = min(remaining, self._fewest.get(reset, remaining))

    def remaining(self) -> float:
        """The current number; NaN if no response of this hour had it."""
        self._forget(time.time())
        return min(self._fewest.values(), default=float("nan"))

    def _forget(self, now: float) -> None:
        self._fewest = {reset: remaining for reset, remaining in self._fewest.items() if reset > now}


# A series that first appears with 1 has no increase that an alert could see.
for _outcome in ("sent", "postponed", "abandoned", "crashed"):
    OUTBOX.labels(_outcome)
for _outcome in ("same", "different", "failed"):
    VERIFICATIONS.labels(_outcome)
for _status, _conclusion in (
    ("succeeded", "success"),
    ("failed", "failure"),
    ("failed", "neutral"),
    ("failed", "timed_out"),
    ("retried", ""),
    ("claim_lost", ""),
):
    EXTRACTIONS.labels(_status, _conclusion)
for _conclusion in ("success", "failure", "neutral", "timed_out"):
    DELIVERY_TO_CONCLUSION.labels(_conclusion)

LONGEST_LAG, RATE_LIMIT = LongestLag(), RateLimit()
LOOP_LAG_MAX.set_function(LONGEST_LAG.take)
GITHUB_REMAINING.set_function(RATE_LIMIT.remaining)


async def watch_loop() -> None:
    """Measure the delay of timers until cancelled: blocking code and a busy CPU show here."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_INTERVAL_S
        await asyncio.sleep(LOOP_INTERVAL_S)
        late_s = max(loop.time() - due, 0.0)
        LOOP_LAG.observe(late_s)
        LONGEST_LAG.note(late_s)


async def watch_caches(work_dir: Path) -> None:
    """Measure the sizes of `CACHES`, and the space that is left, until cancelled."""
    while True:
        with suppress(OSError):
            DISK_FREE.set((await asyncio.to_thread(shutil.disk_usage, work_dir)).free)
        for cache in CACHES:
            CACHE_BYTES.labels(cache).set(await asyncio.to_thread(_size_of, work_dir / cache))
        await asyncio.sleep(WEIGH_S)


def _size_of(directory: Path) -> int:
    size_bytes = 0
    for path in directory.rglob("*"):
        with suppress(OSError):  # deleted in the meantime
            size_bytes += path.lstat().st_size
    return size_bytes
