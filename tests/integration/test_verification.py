"""A share of partial parses is checked against full ones: a wrong one is found, said and replaced, and nothing waits for that."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.core.errors import DbtError
from app.core.models.extractions import Extraction
from app.core.models.github import Repository
from app.core.spool import Spool
from app.pipeline import verification
from app.pipeline.leases import VERIFICATION_ATTEMPTS, VERIFICATIONS_WAITING
from app.pipeline.ports import DbtJob, PackageTree, Parsed, StateScope, TarStream
from app.pipeline.refresh import Commit
from app.pipeline.verification import PartialParse, Verifier
from app.store import Store
from tests.double import CheckRun
from tests.integration.impact_world import ImpactWorld, SqlRunner, make_world
from tests.patience import HANGS_S

Change = Callable[[bytes], bytes]
OUTCOMES = ("same", "different", "varies", "other_input", "failed", "interrupted", "dropped")


class StatefulRunner(SqlRunner):
    """A dbt that keeps a state for each connection, and with it changes its manifest by `wrong`; without it by `always`."""

    def __init__(self, work_dir: Path) -> None:
        super().__init__(work_dir)
        self.states: set[str] = set()
        self.wrong: Change = lambda manifest: manifest
        self.always: Change = lambda manifest: manifest
        self.full: list[DbtJob] = []
        """Jobs of verifications."""
        self.refuses_full = False
        self.may_verify = asyncio.Event()
        self.may_verify.set()

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        if job.unhurried:
            self.full.append(job)
            await self.may_verify.wait()
        parsed = await super().parse(job, tree, packages)
        partial = job.state is not None and not job.state.fresh and job.state.connection_id in self.states
        if job.state is not None:
            self.states.add(job.state.connection_id)
        if self.refuses_full and not partial:
            parsed.spool.close()
            raise DbtError(f"parsing {job.label}", "Compilation Error\n  a full parse finds it")
        spool = Spool(self._work_dir)
        await spool.write((self.wrong if partial else self.always)(parsed.manifest))
        await spool.flush()
        parsed.spool.close()
        return replace(parsed, spool=spool, states_of=frozenset({job.state.own} if partial and job.state else ()))

    async def distrust(self, scope: StateScope) -> None:
        self.states.discard(scope.connection_id)


def edited(**changed: object) -> Change:
    """Changes the model `a`."""

    def edit(manifest: bytes) -> bytes:
        document = json.loads(manifest)
        document["nodes"]["model.shop.a"] |= changed
        return json.dumps(document).encode()

    return edit


def new_each_time() -> Change:
    numbers = iter(range(1000))

    def edit(manifest: bytes) -> bytes:
        return edited(description=f"at {next(numbers)}")(manifest)

    return edit


def outcomes() -> Mapping[str, float]:
    return {name: REGISTRY.get_sample_value("freshet_verifications_total", {"outcome": name}) or 0.0 for name in OUTCOMES}


class Verified:
    """A repository whose second push was parsed with a state, and what became of it."""

    def __init__(self, world: ImpactWorld, runner: StatefulRunner) -> None:
        self.world, self.runner = world, runner
        self._before = outcomes()

    def verifier(self, share: float = 1.0) -> Verifier:
        return Verifier(self.world.store, self.world.tools, self.runner, share)

    async def push(self, text: str = "select 2 as id", branch: str = "main") -> str:
        sha = await self.world.push({"models/a.sql": text}, branch)
        await self.world.ended(sha)
        return sha

    def counted(self) -> dict[str, float]:
        return {name: number - self._before[name] for name, number in outcomes().items() if number > self._before[name]}

    async def until(self, **expected: float) -> None:
        async with asyncio.timeout(HANGS_S):
            while self.counted() != expected:
                await asyncio.sleep(0.01)

    async def description(self, sha: str | None = None) -> object:
        head = await self.world.store.lineages.head(await self.world.connection_id(), sha)
        assert head is not None
        found = await self.world.store.lineages.definitions(head, ("model.shop.a",), 1 << 20)
        return json.loads(found["model.shop.a"]).get("description", "")


@pytest_asyncio.fixture
async def verified(store: Store, dsn: str, tmp_path: Path) -> AsyncIterator[Verified]:
    async with make_world(store, dsn, tmp_path) as world:
        runner = StatefulRunner(tmp_path / "work")
        world.runner, world.tools = runner, replace(world.tools, runner=runner)
        yield Verified(world, runner)


async def test_a_right_one_is_left_alone(verified: Verified) -> None:
    async with verified.world.working(verifier=verified.verifier()):
        await verified.push("select 1 as id, 2 as b")
        sha = await verified.push()
        await verified.until(same=1)
    assert [(one.label[-7:], one.state, one.unhurried) for one in verified.runner.full] == [(sha[:7], None, True)]
    assert [one.trigger for one in await verified.world.all_extractions(sha)] == ["push"]
    assert verified.runner.states


async def test_a_wrong_one_is_said_and_replaced_and_its_state_forgotten(verified: Verified) -> None:
    verified.runner.wrong = edited(description="of another commit")
    with capture_logs() as logs:
        async with verified.world.working(verifier=verified.verifier()):
            await verified.push("select 1 as id, 2 as b")
            sha = await verified.push()
            connection_id = await verified.world.connection_id()
            await verified.until(different=1)
            again = await verified.world.ended(sha, verification.TRIGGER)
            assert again.status == "succeeded"
            assert await verified.description() == ""
    [error] = [line for line in logs if line["log_level"] == "error"]
    assert (error["connection_id"], error["sha"], error["differences"], error["count"]) == (connection_id, sha, ("nodes model.shop.a",), 1)
    runs: list[CheckRun] = verified.world.github.check_runs(verified.world.repository, sha)
    assert [run.conclusion for run in runs] == ["success"] * len(runs)
    assert runs[-1].external_id == again.id
    assert len(verified.runner.full) == 2, "a second full parse confirms the first"


async def test_what_came_after_a_wrong_one_is_extracted_again_too(verified: Verified) -> None:
    verified.runner.wrong = edited(description="of another commit")
    async with verified.world.working(verifier=verified.verifier(), places=4):
        await verified.push("select 1 as id, 2 as b")
        verified.runner.may_verify.clear()
        wrong = await verified.push()
        async with asyncio.timeout(HANGS_S):
            while not verified.runner.full:
                await asyncio.sleep(0.01)
        newer = await verified.push("select 3 as id")
        verified.runner.may_verify.set()
        for sha in (wrong, newer):
            assert (await verified.world.ended(sha, verification.TRIGGER)).status == "succeeded"
            assert await verified.description(sha) == ""
    connection = await verified.world.store.connections.get(await verified.world.connection_id())
    assert connection is not None
    assert connection.lineage_sha == newer


async def test_a_commit_that_a_full_parse_refuses_fails_in_the_end(verified: Verified) -> None:
    async with verified.world.working(verifier=verified.verifier()):
        await verified.push("select 1 as id, 2 as b")
        verified.runner.refuses_full = True
        sha = await verified.push()
        await verified.until(different=1)
        assert (await verified.world.ended(sha, verification.TRIGGER)).status == "failed"


async def test_a_project_that_is_never_parsed_the_same_twice_proves_nothing(verified: Verified) -> None:
    verified.runner.always = new_each_time()
    async with verified.world.working(verifier=verified.verifier()):
        await verified.push("select 1 as id, 2 as b")
        sha = await verified.push()
        await verified.until(varies=1)
        assert [one.trigger for one in await verified.world.all_extractions(sha)] == ["push"]
    assert verified.runner.states


async def test_what_dbt_writes_anew_in_each_run_is_no_difference(verified: Verified) -> None:
    verified.runner.always, verified.runner.wrong = edited(created_at=1), edited(created_at=2)
    async with verified.world.working(verifier=verified.verifier()):
        await verified.push("select 1 as id, 2 as b")
        await verified.push()
        await verified.until(same=1)


@pytest.mark.parametrize("share", [0.0, 0.5])
async def test_only_the_share_that_was_asked_for_is_checked(verified: Verified, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    async with verified.world.working(verifier=verified.verifier(share)):
        await verified.push("select 1 as id, 2 as b")
        await verified.push()
        await verified.push("select 3 as id")
    assert verified.runner.full == []
    assert verified.counted() == {}


async def test_it_gives_way_to_extractions_that_need_its_place_and_is_given_up_in_the_end(verified: Verified) -> None:
    """With one place, each push of another connection ends the check; the push does not wait for it."""
    async with verified.world.working(verifier=verified.verifier(), places=1):
        await verified.push("select 1 as id, 2 as b")
        verified.runner.may_verify.clear()
        await verified.push()
        for number in range(VERIFICATION_ATTEMPTS):
            async with asyncio.timeout(HANGS_S):
                while len(verified.runner.full) <= number:
                    await asyncio.sleep(0.01)
            sha = await verified.world.push({"README.md": f"{number}"})
            await verified.world.ended(sha)
        await verified.until(interrupted=VERIFICATION_ATTEMPTS)
        verified.runner.may_verify.set()
        await verified.world.push({"README.md": "the last"})
    assert len(verified.runner.full) == VERIFICATION_ATTEMPTS


async def test_it_starts_only_when_nothing_waits(verified: Verified) -> None:
    async with verified.world.working(verifier=verified.verifier(), places=1):
        await verified.push("select 1 as id, 2 as b")
        first = await verified.world.push({"models/a.sql": "select 2 as id"})
        second = await verified.world.push({"models/a.sql": "select 3 as id"}, branch="side")
        for sha in (first, second):
            await verified.world.ended(sha)
        await verified.until(same=1, dropped=1)
    assert [one.label[-7:] for one in verified.runner.full] == [second[:7]], "the newest of a connection"


async def test_a_service_that_stops_ends_it(verified: Verified) -> None:
    verified.runner.may_verify.clear()
    async with verified.world.working(verifier=verified.verifier()):
        await verified.push("select 1 as id, 2 as b")
        await verified.push()
        async with asyncio.timeout(HANGS_S):
            while not verified.runner.full:
                await asyncio.sleep(0.01)
    assert verified.counted() == {"interrupted": 1}


async def test_one_installation_does_not_push_out_what_others_have_waiting(store: Store, tmp_path: Path) -> None:
    nothing: Any = None
    verifier = Verifier(store, nothing)

    async def wait(installation_id: int, connection_id: str) -> None:
        spool = Spool(tmp_path)
        await spool.write(b"{}")
        await spool.flush()
        repository = Repository(1, "octo/shop", installation_id, "main")
        extraction = Extraction(connection_id, 1, connection_id, repository, "main", "1" * 40, "", "succeeded", "push", datetime.now(UTC))
        scope = StateScope(installation_id, 1, connection_id, "a", "a", fresh=False)
        commit = Commit(connection_id, repository, "1" * 40)
        verifier._add(PartialParse(extraction, commit, scope, "", b"", "image", await spool.finished()))

    await wait(1, "quiet")
    for number in range(VERIFICATIONS_WAITING * 2):
        await wait(666, f"hog{number}")
    waiting = [one.extraction.id for one in verifier._waiting]
    assert len(waiting) == VERIFICATIONS_WAITING
    assert (waiting[0], waiting[-1]) == ("quiet", f"hog{number}")
    await wait(666, f"hog{number}")
    assert [one.extraction.id for one in verifier._waiting] == waiting, "the newer one of a connection takes the place of the earlier one"
    await verifier.stop()
    assert verifier._waiting == []
