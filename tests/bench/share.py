"""Two services with two Docker engines and one PostgreSQL, compared with one service alone: `python -m tests.bench.share`.

    python -m tests.bench.share [--extractions 40] [--rounds 1] [--concurrency 1] [--image dbt-runner:1.10]

Each service represents a host with `--concurrency` cores: it runs that number of extractions at a time, each container with one core.
Webhooks go to the first service, and both share one PostgreSQL and one GitHub. The third phase kills the second service in the middle of
its work. Needs root, because it starts the second engine, and stops it at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import asyncpg

from app.store import embedded
from tests.bench.engine import CannotStartError, second_engine
from tests.double import GitHubDouble, Repository
from tests.service import Service, serving

INSTALLATIONS = {"large": 5, "middle": 3, "small": 1, "tiny": 1}
"""Accounts and their number of repositories; each repository has the same share of the backlog."""
MODELS = 5
TIMEOUT_S = 1800.0
KILL_AFTER = 0.2
"""The share of the backlog after which the second service is killed."""


@dataclass(frozen=True)
class Row:
    """An extraction in the database."""

    id: str
    account: str
    connection: str
    status: str
    attempt: int
    created_at: datetime
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class Phase:
    """The result of working off a backlog."""

    rows: list[Row]
    begun: list[Counter[str]]
    """For each service, how often it started each extraction."""
    done: list[Counter[str]]
    """For each service, how often it succeeded with each extraction."""
    check_runs: int
    taken_over_s: list[float]
    """Seconds from the end of the second service to the new start of each extraction that it was running."""

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return (max(row.finished_at for row in self.rows) - min(row.started_at for row in self.rows)).total_seconds()


@dataclass(frozen=True)
class World:
    """The environment of all phases."""

    directory: Path
    dsn: str
    engine: str
    options: argparse.Namespace

    async def run(self, name: str, services: int, *, kill: bool = False) -> Phase:
        """Work off a backlog, with a database and a GitHub of its own."""
        dsn = self.dsn.replace("/freshet?", f"/{name}?")
        await _execute(self.dsn, f"CREATE DATABASE {name}")
        async with AsyncExitStack() as stack:
            github = await stack.enter_async_context(GitHubDouble())
            running = [await stack.enter_async_context(self._serving(github, name, number, dsn)) for number in range(services)]
            github.app.webhook_url = f"{running[0].url}/api/webhooks/github"
            pushed = await _push_all(github, self.options.extractions)
            print(f"{name}: {len(pushed)} pushes sent", flush=True)
            killed_at = await _kill(running[1], self.options.extractions) if kill else None
            await asyncio.gather(*(github.wait_for_check_run(*commit, timeout_s=TIMEOUT_S) for commit in pushed))
            assert github.violations == [], github.violations
            return Phase(
                await _rows(dsn),
                [_count(service, "extraction started") for service in running],
                [_count(service, "extraction succeeded") for service in running],
                _check_runs(github, pushed),
                _taken_over(running, killed_at),
            )

    def _serving(self, github: GitHubDouble, name: str, number: int, dsn: str) -> AbstractAsyncContextManager[Service]:
        image = self.options.image
        more = {"DATABASE_URL": dsn, "DBT_DOCKER_IMAGE": image, "DBT_DOCKER_IMAGES": image, "DBT_CPUS": "1"}
        more |= {"EXTRACTION_CONCURRENCY": str(self.options.concurrency), **({"DOCKER_HOST": self.engine} if number else {})}
        return serving(github, self.directory / name / str(number), port=None, with_app=True, **more)


async def measure(options: argparse.Namespace) -> None:
    """Run all phases and print the results."""
    alone, shared = [], []
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(second_engine(options.image))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-share-")))
        dsn = await stack.enter_async_context(embedded.serve(directory / "database"))
        world = World(directory, dsn, engine, options)
        for number in range(options.rounds):
            alone.append(_checked(await world.run(f"alone_{number}", 1)))
            shared.append(_checked(await world.run(f"shared_{number}", 2)))
            print(f"round {number + 1}: alone {alone[-1].seconds:.1f} s, two {shared[-1].seconds:.1f} s", flush=True)
        killed = _checked(await world.run("killed", 2, kill=True), died=True)
    _report(alone, shared, killed)


async def _push_all(github: GitHubDouble, extractions: int) -> list[tuple[Repository, str]]:
    """Install the App on all accounts, and push one commit for each extraction, each to a branch of its own; return them."""
    repositories = []
    for account, count in INSTALLATIONS.items():
        own = [await github.create_repository(f"{account}/project{number}", {}) for number in range(count)]
        await github.install(account, own)
        repositories += own
    turns = list(islice(cycle(repositories), extractions))
    commits = []
    for number, repository in enumerate(turns):
        branch = None if number < len(repositories) else f"topic-{number}"
        commits.append((repository, await github.push(repository, _project(number), branch=branch)))
    return commits


def _project(number: int) -> dict[str, str]:
    models = {f"models/m{model}.sql": f"select {number} as id{model}" for model in range(MODELS)}
    return {"dbt_project.yml": "name: share\nversion: '1.0'\nprofile: share\n", **models}


async def _kill(service: Service, extractions: int) -> float:
    """Kill a service in the middle of its work, and return the time."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            begun, done = _count(service, "extraction started"), _count(service, "extraction succeeded")
            if done.total() >= KILL_AFTER * extractions and begun.total() > done.total():
                await service.stop(signal.SIGKILL)
                return time.time()
            await asyncio.sleep(0.1)


def _lines(service: Service, event: str) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    return [line for line in said if line["event"] == event]


def _count(service: Service, event: str) -> Counter[str]:
    return Counter(line["extraction_id"] for line in _lines(service, event))


def _taken_over(services: list[Service], killed_at: float | None) -> list[float]:
    if killed_at is None:
        return []
    left = _count(services[1], "extraction started") - _count(services[1], "extraction succeeded")
    begun = [line for line in _lines(services[0], "extraction started") if line["extraction_id"] in left]
    return [datetime.fromisoformat(line["timestamp"]).timestamp() - killed_at for line in begun]


def _check_runs(github: GitHubDouble, pushed: list[tuple[Repository, str]]) -> int:
    """The number of check runs, after checking that every commit has one that succeeded once."""
    runs = [run for repository, sha in pushed for run in github.check_runs(repository, sha)]
    for run in runs:
        ends = [step.conclusion for step in run.history if step.status == "completed"]
        assert ends == ["success"], (run.summary, run.history)
    return len(runs)


async def _rows(dsn: str) -> list[Row]:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch(
            "SELECT e.id::text, i.account, c.id::text AS connection, e.status, e.attempt, e.created_at, e.started_at, e.finished_at"
            " FROM extractions e JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id"
            " JOIN installations i ON i.id = r.installation_id ORDER BY e.started_at"
        )
        return [Row(**row) for row in found]
    finally:
        await connection.close()


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _checked(phase: Phase, *, died: bool = False) -> Phase:
    """Return the phase, after checking that nothing ran twice and nothing was lost."""
    ids = {row.id for row in phase.rows}
    once = Counter(ids)
    assert {row.status for row in phase.rows} == {"succeeded"}, phase.rows
    assert sum(phase.done, Counter()) == once, "each succeeds once"
    assert phase.check_runs == len(ids), "each has one check run"
    assert died or sum(phase.begun, Counter()) == once, "each begins once"
    return phase


def fair_claims(rows: list[Row]) -> int:
    """The number of extractions that started while no installation with waiting work had fewer running ones."""
    fair = 0
    for row in rows:
        running = [other for other in rows if other.started_at < row.started_at < other.finished_at]
        busy = {other.connection for other in running}
        waiting = [other for other in rows if other.created_at < row.started_at < other.started_at and other.connection not in busy]
        load = Counter(other.account for other in running)
        fair += all(load[row.account] <= load[other.account] for other in waiting)
    return fair


def _report(alone: list[Phase], shared: list[Phase], killed: Phase) -> None:
    ratios = [one.seconds / two.seconds for one, two in zip(alone, shared, strict=True)]
    print(
        "\n| services | extractions | seconds, median | each did | throughput against one alone, median (spread) |\n|---|---|---|---|---|"
    )
    for name, phases in (("one", alone), ("two", shared)):
        each = " + ".join(str(done.total()) for done in phases[-1].done)
        gain = "1" if name == "one" else f"**{statistics.median(ratios):.2f}×** ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"| {name} | {len(phases[-1].rows)} | {statistics.median(phase.seconds for phase in phases):.1f} | {each} | {gain} |")
    rows = shared[-1].rows
    places = {
        account: [place for place, row in enumerate(rows, 1) if row.account == account]
        for account in dict.fromkeys(row.account for row in rows)
    }
    print("\n| installation | extractions | place of its first | of its median | of its last |\n|---|---|---|---|---|")
    for account, own in places.items():
        print(f"| {account} | {len(own)} | {min(own)} | {statistics.median(own):g} | {max(own)} |")
    print(f"\n{fair_claims(rows)} of {len(rows)} claims went to an installation that had the fewest running.")
    again = [row for row in killed.rows if row.attempt > 1]
    waits = ", ".join(f"{seconds:.0f} s" for seconds in killed.taken_over_s)
    print(f"The second service was killed when it had done {killed.done[1].total()}. The other began {len(again)} again, after {waits}.")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.share", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extractions", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--image", default="dbt-runner:1.10")
    try:
        asyncio.run(_until_told(measure(parser.parse_args())))
    except CannotStartError as error:
        print(error)
        return 1
    return 0


async def _until_told(work: Coroutine[None, None, None]) -> None:
    """Measure; a signal ends it like an error, with all cleanup."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


if __name__ == "__main__":
    sys.exit(main())
