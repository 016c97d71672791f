"""`python -m tests.chaos.served serve`: the service, whose waits are a tenth, and which dies at a moment that it is told.

Variables, all optional:

- `CHAOS_DBT=miniature`: the dbt in miniature in place of Docker; one parse takes `CHAOS_DBT_S` seconds.
- `CHAOS_DIE_AT=POINT`: SIGKILL at the first time that this point is passed; `CHAOS_STOP_AT=POINT`: SIGSTOP, at the first time
  after the first webhook. `CHAOS_TRACE=FILE`: the points that were passed, one a line.
  Points are `before` or `after` a statement, a commit, a request to GitHub or dbt: what another program sees of this one.
- `CHAOS_CLOCK_S`: this host's clock is ahead by so many seconds.
- `CHAOS_MIGRATION=DIR`: a next release, which has one migration more.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

FASTER = 10


def hurry() -> None:
    """A tenth of every wait, before anything reads it by name."""
    from app.core import retry  # noqa: PLC0415 - in this order
    from app.pipeline import leases  # noqa: PLC0415

    for name, value in vars(leases).items():
        waits = (name.endswith("_S") and isinstance(value, float)) or isinstance(value, dt.timedelta)
        if waits and name not in ("SEND_S", "COMPARING_S", "PURGE_EVERY", "HISTORY_EVERY", "ASLEEP_S"):
            setattr(leases, name, value / FASTER)
    leases.LOOK_AGAIN = dt.timedelta(seconds=5)
    leases.STORE_RETRIES_S = (0.02, 0.1, 0.5)
    patient = retry.retry_delay
    retry.retry_delay = lambda attempt, asked_s: max(patient(attempt, None) / FASTER, dt.timedelta(seconds=asked_s or 0))


def hurry_others() -> None:
    """The same for two time limits that are shorter than the leases around them: of requests to GitHub, and of idle transactions."""
    from app.github.rest import http  # noqa: PLC0415
    from app.store import pool  # noqa: PLC0415

    pool.SESSION = pool.SESSION.replace(f"'{pool.IDLE_TRANSACTION_S}s'", f"'{pool.IDLE_TRANSACTION_S / FASTER}s'")

    defaults: Any = http.ApiClient.__init__.__kwdefaults__
    defaults["total_s"] /= FASTER


def shift(seconds: float) -> None:
    """Set the clock of this process, for those modules of ours that ask for the time and do not decode any."""
    from app.service import server  # noqa: F401, PLC0415 - loads them all

    real, real_time = dt.datetime, time.time

    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

    def now(tz: dt.tzinfo | None = None) -> dt.datetime:
        return real.now(tz) + dt.timedelta(seconds=seconds)

    shifted = Meta("datetime", (real,), {"now": staticmethod(now)})
    for name, module in sys.modules.items():
        if name.startswith(("app.pipeline.", "app.notifications.", "app.github.rest.http")) and getattr(module, "datetime", None) is real:
            cast("Any", module).datetime = shifted
    time.time = lambda: real_time() + seconds


class Points:
    """Writes down what is passed, and ends or stops this process where it is told."""

    def __init__(self, die_at: str, stop_at: str, trace: str) -> None:
        self._signals = {die_at: signal.SIGKILL, stop_at: signal.SIGSTOP}
        self._trace = Path(trace) if trace else None
        self._at_work = False

    def passed(self, point: str) -> None:
        if self._trace is not None:
            with self._trace.open("a") as file:
                file.write(f"{point}\n")
        self._at_work = self._at_work or "deliveries." in point
        if point in self._signals and (self._at_work or self._signals[point] == signal.SIGKILL):
            os.kill(os.getpid(), self._signals.pop(point))

    def around(self, owner: Any, method: str, name: Callable[..., str]) -> None:
        """Pass a point before and after each call of an async method."""
        original = getattr(owner, method)

        async def wrapped(*args: Any, **named: Any) -> Any:
            what = name(*args, **named)
            self.passed(f"before {what}")
            done = await original(*args, **named)
            self.passed(f"after {what}")
            return done

        setattr(owner, method, wrapped)


def watch(points: Points) -> None:
    """Pass points around everything that leaves the process."""
    from app.github.rest.http import ApiClient  # noqa: PLC0415
    from app.pipeline.refresh import Tools  # noqa: F401, PLC0415 - loads the stages
    from app.store import pool, sql  # noqa: PLC0415

    queries = Path(sql.__file__).parent / "queries"
    names = {text: f"{file.stem}.{name}" for file in queries.glob("*.sql") for name, text in sql.statements(file.stem).items()}

    def name(_db: object, statement: str, *_args: object) -> str:
        return names.get(statement) or " ".join(statement.split())[:60]

    for method in ("rows", "row", "value", "execute"):
        points.around(pool.Database, method, name)
    points.around(pool.Database, "copy", lambda _db, table, *_args: f"copy {table}")
    transaction = pool.Database.transaction

    @asynccontextmanager
    async def watched(db: Any, **options: Any) -> AsyncIterator[Any]:
        async with transaction(db, **options) as tx:
            yield tx
            points.passed("before commit")
        points.passed("after commit")

    cast("Any", pool.Database).transaction = watched
    points.around(ApiClient, "_once", lambda _client, request: f"{request.method} {shape(request.url.path)}")


def shape(path: str) -> str:
    """A path without what differs between requests."""
    parts = path.split("/")
    return "/".join("#" if part.isdigit() or len(part) >= 32 else part for part in parts if part not in ("api", "v3"))


def miniature(points: Points) -> None:
    """Put the dbt in miniature in place of Docker."""
    from app.service import components  # noqa: PLC0415
    from tests.dbt_double import DoubleRunner  # noqa: PLC0415

    seconds = float(os.environ.get("CHAOS_DBT_S", "0.05"))

    class Slow(DoubleRunner):
        async def parse(self, job: Any, tree: Any, packages: Any) -> Any:
            points.passed("before dbt")
            parsed = await super().parse(job, tree, packages)
            await asyncio.sleep(seconds)
            points.passed("after dbt")
            return parsed

    @asynccontextmanager
    async def runner(settings: Any, states: object, role: str = "service") -> AsyncIterator[Any]:
        yield Slow(settings.work_dir)

    components.runner = runner


def migrated(directory: str) -> None:
    """Have more migrations, as a later release."""
    from app.store import migrate  # noqa: PLC0415

    known = migrate.pending
    more = {file.stem: file.read_text() for file in sorted(Path(directory).glob("*.sql"))}
    migrate.pending = lambda: {**known(), **more}


def main() -> int:
    variables = {name: os.environ.pop(name, "") for name in [*os.environ] if name.startswith("CHAOS_")}
    hurry()
    hurry_others()
    if offset := float(variables.get("CHAOS_CLOCK_S") or 0):
        shift(offset)
    moments = [variables.get(name, "") for name in ("CHAOS_DIE_AT", "CHAOS_STOP_AT", "CHAOS_TRACE")]
    points = Points(*moments)
    if any(moments):
        watch(points)
    from app import __main__  # noqa: PLC0415

    if variables.get("CHAOS_DBT") == "miniature":
        os.environ["CHAOS_DBT_S"] = variables.get("CHAOS_DBT_S") or "0.05"
        miniature(points)
    if variables.get("CHAOS_MIGRATION"):
        migrated(variables["CHAOS_MIGRATION"])
    return __main__.run()


if __name__ == "__main__":
    sys.exit(main())
