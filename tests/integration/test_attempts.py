"""Attempts: which problems are retried, and what is stored of each attempt, with the real worker, queue and log."""

from __future__ import annotations

import asyncio
import errno
from datetime import timedelta
from pathlib import Path

import aiodocker
import pytest
import pytest_asyncio

from app.core import errors
from app.core.models.extractions import ContainerFacts, LeftOut, Usage
from app.core.spool import disk_errors
from app.pipeline import worker
from app.pipeline.ports import DbtJob, Parsed
from app.runner.docker import engine
from app.store import Store
from tests.integration.life_world import PLACEHOLDERS, USAGE, World, make_world
from tests.patience import HANGS_S

DOING = "fetching octo/shop at 1a2b3c4"
PASSING = {
    "GitHub away": errors.GitHubUnavailableError(DOING, "it answered with 502", "See https://www.githubstatus.com."),
    "GitHub asks to wait": errors.GitHubUnavailableError(DOING, "it is a rate limit", retry_after_s=900),
    "the engine away": errors.EngineUnavailableError(DOING, "the Docker engine does not answer"),
    "the engine's disk full": errors.EngineFullError(DOING, "the Docker engine has no space left on its disk"),
    "no runner image yet": errors.RunnerImageError(DOING, "the engine has no image 'dbt-runner:latest'"),
    "the disk full": errors.DiskFullError(DOING, "the disk of the work directory is full"),
    "a disk full that nobody foresaw": OSError(errno.ENOSPC, "No space left on device"),
    "a quota used up": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "something else away": errors.UnavailableError(DOING, "a package's host did not answer"),
}
LASTING = {
    "dbt said no": errors.DbtError(DOING, "Compilation Error\n  no space left on device"),
    "no project": errors.NoProjectError(DOING, "there is no dbt_project.yml"),
    "too big": errors.TreeTooBigError(DOING, "the commit is bigger than 2,048 MiB"),
    "out of memory, or of the room that a container has": errors.ContainerOutOfMemoryError(DOING, "dbt needed more than 600 MiB"),
    "too slow": errors.ContainerTimedOutError(DOING, "dbt was stopped after 600 seconds"),
    "too much output": errors.OutputTooBigError(DOING, "dbt's output is bigger than 256 MiB"),
    "packages not to be had": errors.PackagesError(DOING, "one of its packages cannot be used"),
    "an address that is not allowed": errors.RejectedAddressError(DOING, "it is private"),
    "the commit gone": errors.CommitGoneError(DOING, "GitHub does not have this commit any more"),
    "the repository gone": errors.GoneError(DOING, "it is not to be seen"),
    "no image for this dbt": errors.NoImageError(DOING, "the project asks for dbt 1.2"),
    "a manifest that is none": errors.ManifestError(DOING, "it is not JSON"),
    "a setting of the operator's": errors.ConfigurationError(DOING, "the engine has no seccomp"),
    "a mistake of ours": ZeroDivisionError("division by zero"),
    "a file that is not there": FileNotFoundError(errno.ENOENT, "No such file or directory"),
}


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> World:
    return await make_world(store, dsn, tmp_path)


@pytest.mark.parametrize("trouble", PASSING)
async def test_temporary_problems_are_retried(world: World, trouble: str) -> None:
    world.git.trouble = PASSING[trouble]
    extraction_id = await world.queued()
    async with world.working():
        waiting = await world.until(extraction_id, lambda one: bool(one.tries and one.tries[0].outcome))
    [tried] = waiting.tries
    assert (waiting.status, waiting.attempt, tried.number, tried.outcome, tried.stage) == ("queued", 1, 1, "retried", "cloning")
    assert tried.title
    assert (tried.message or "").startswith(
        f"While {DOING if isinstance(PASSING[trouble], errors.FreshetError) else 'extracting octo/shop'}"
    )
    assert tried.ended_at is not None
    assert tried.next_due_at is not None
    wait_s = (tried.next_due_at - tried.ended_at).total_seconds()
    assert wait_s == pytest.approx(900 if trouble == "GitHub asks to wait" else 4, abs=0.1)


@pytest.mark.parametrize("trouble", LASTING)
async def test_permanent_problems_are_not_retried(world: World, trouble: str) -> None:
    world.git.trouble = LASTING[trouble]
    extraction_id = await world.queued()
    async with world.working():
        failed = await world.ended(extraction_id)
    [tried] = failed.tries
    assert (failed.status, tried.outcome, tried.next_due_at) == ("failed", "failed", None)
    assert failed.problem is not None
    assert (tried.title, tried.message) == (failed.problem.title, failed.problem.message)


async def test_after_three_attempts_the_problem_is_reported(world: World) -> None:
    world.git.trouble = PASSING["the engine away"]
    extraction_id = await world.queued()
    async with world.working():
        for number in (1, 2):
            await world.until(extraction_id, lambda one, number=number: len(one.tries) == number and one.tries[-1].outcome == "retried")  # type: ignore[misc]
            await world.hurry()
        failed = await world.ended(extraction_id)
    assert [(one.number, one.outcome) for one in failed.tries] == [(1, "retried"), (2, "retried"), (3, "failed")]
    assert failed.problem is not None
    assert failed.problem.conclusion == "neutral", "the commit is not to blame"


async def test_a_success_lists_earlier_failed_attempts(world: World) -> None:
    world.git.trouble = PASSING["the engine away"]
    extraction_id = await world.queued()
    async with world.working():
        await world.until(extraction_id, lambda one: bool(one.tries and one.tries[0].outcome))
        world.git.trouble = None
        await world.hurry()
        ended = await world.ended(extraction_id)
    assert [(one.outcome, one.title) for one in ended.tries] == [("retried", "The Docker engine is unavailable"), ("succeeded", None)]


async def test_a_stopped_service_hands_back_and_a_killed_one_loses_the_attempt(world: World) -> None:
    begun = asyncio.Event()

    async def hangs(_: DbtJob) -> Parsed:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    world.runner.dbt, well = hangs, world.runner.dbt
    extraction_id = await world.queued()
    async with world.working("first"):
        await asyncio.wait_for(begun.wait(), HANGS_S)
    await world.store.extractions.claim("dead", timedelta(seconds=-1))
    await world.store.extractions.requeue_expired()
    world.runner.dbt = well
    async with world.working("last"):
        ended = await world.ended(extraction_id)
    assert [(one.number, one.outcome, one.stage) for one in ended.tries] == [
        (1, "handed_back", "parsing"),
        (2, "lost", None),
        (3, "succeeded", None),
    ]
    assert ended.attempt == 2, "an attempt that was handed back does not count"


async def test_facts_and_log_of_a_success_are_stored(world: World) -> None:
    extraction_id = await world.queued()
    async with world.working():
        ended = await world.ended(extraction_id)
    assert ended.status == "succeeded", ended.problem
    facts = ended.facts
    assert (facts.project_dir, facts.profile, facts.image, facts.dbt_version) == ("", "shop", "dbt-runner:latest", "1.11.16")
    assert facts.adapter_type == "duckdb"
    assert facts.target
    assert facts.evidence
    assert facts.left_out == (LeftOut("integration_tests", "is named `integration_tests`, which suggests integration tests"),)
    assert (facts.placeholders, facts.usage) == (PLACEHOLDERS, USAGE)
    assert (facts.fetched_bytes, facts.packages_bytes) == (0, None)
    assert facts.manifest_bytes
    log = await world.store.logs.get(extraction_id)
    assert log is not None
    assert log.content.decode() == "09:00  Running with dbt=1.11.16\nconnecting as *** to warehouse\ntoken=***\n"


async def test_facts_and_log_of_a_failure_are_stored(world: World) -> None:
    async def refuses(_: DbtJob) -> Parsed:
        error = errors.DbtError("parsing octo/shop", "Compilation Error in model a (models/a.sql)\n  correct horse battery")
        raise error.carry(ContainerFacts(Usage(1.0, 0.5, None), "the log\n", PLACEHOLDERS))

    world.runner.dbt = refuses
    extraction_id = await world.queued()
    async with world.working():
        failed = await world.ended(extraction_id)
    assert (failed.status, failed.facts.image, failed.facts.usage) == ("failed", "dbt-runner:latest", Usage(1.0, 0.5, None))
    assert (failed.facts.placeholders, failed.facts.manifest_bytes) == (PLACEHOLDERS, None)
    assert failed.problem is not None
    assert failed.problem.output == "Compilation Error in model a (models/a.sql)\n  ***"
    log = await world.store.logs.get(extraction_id)
    assert log is not None
    assert (log.number, log.content) == (1, b"the log\n")


async def test_a_problem_without_a_message_shows_the_end_of_the_log(world: World) -> None:
    async def too_slow(_: DbtJob) -> Parsed:
        error = errors.ContainerTimedOutError("parsing octo/shop", "dbt was stopped after 600 seconds")
        raise error.carry(ContainerFacts(Usage(600.0), "first\n" + "x" * 5000 + "\npassword=hunter2 last\n"))

    world.runner.dbt = too_slow
    extraction_id = await world.queued()
    async with world.working():
        failed = await world.ended(extraction_id)
    assert failed.problem is not None
    assert failed.problem.output.endswith("password=*** last")
    assert "first" not in failed.problem.output
    log = await world.store.logs.get(extraction_id)
    assert log is not None
    assert log.content.startswith(b"first\n"), "the whole log is stored"


async def test_cancelling_stops_a_running_extraction_and_stores_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_S", 3600.0)  # otherwise the heartbeat would notice the cancellation
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def hangs(_: DbtJob) -> Parsed:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    world.runner.dbt = hangs
    extraction_id = await world.queued()
    async with world.working():
        await asyncio.wait_for(begun.wait(), HANGS_S)
        assert await world.store.extractions.cancel(extraction_id)
        await asyncio.wait_for(stopped.wait(), HANGS_S)
        next_id = await world.queued("b" * 40)
        await world.ended(next_id)
    cancelled = await world.get(extraction_id)
    assert (cancelled.status, cancelled.problem, cancelled.result) == ("cancelled", None, {})
    assert [(one.outcome, one.stage) for one in cancelled.tries] == [("cancelled", "parsing")]
    assert cancelled.stages[-1].ended_at == cancelled.finished_at
    assert not await world.store.extractions.cancel(extraction_id)
    connection = await world.store.connections.get(world.connection_id)
    assert connection is not None
    assert (connection.lineage_sha, connection.stale_reason) == (None, "Its extraction was cancelled")


async def test_an_extraction_that_is_being_stored_is_not_cancelled(world: World) -> None:
    """The first one to lock the row wins."""

    async def cancelled_meanwhile(_: DbtJob) -> Parsed:
        parsed = await world.parsed()
        await world.store.extractions.cancel(extraction_id)
        return parsed

    world.runner.dbt = cancelled_meanwhile
    extraction_id = await world.queued()
    async with world.working():
        await world.ended(extraction_id)
    assert (await world.get(extraction_id)).status == "cancelled"
    assert await world.store.lineages.head(world.connection_id) is None
    assert await world.store.logs.get(extraction_id) is None


def test_a_full_disk_has_its_own_error() -> None:
    for number, kind in ((errno.ENOSPC, errors.DiskFullError), (errno.EIO, errors.UnavailableError)):
        with pytest.raises(errors.UnavailableError) as caught, disk_errors():
            raise OSError(number, "x")
        assert type(caught.value) is kind
    words = "failed to create shim task: mkdir /run/x: no space left on device: unknown"
    for said, found in ((words, errors.EngineFullError), ("server misbehaving", errors.EngineUnavailableError)):
        with pytest.raises(errors.EngineUnavailableError) as refused, engine.errors(DOING):
            raise aiodocker.DockerError(500, said)
        assert type(refused.value) is found
