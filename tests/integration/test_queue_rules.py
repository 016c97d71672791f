"""The queue's invariants under any order of pushes, crashes, duplicates and completions, searched by hypothesis.

GitHub is a list of pushes, and a worker is a name. Everything else is real: payloads, `webhooks`, the reconciler, `Store`, PostgreSQL.
"""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from app.core.models.extractions import ENDED, Problem
from app.pipeline import connections, leases, triggers, webhooks
from app.pipeline.connections import ConnectionRequest
from app.pipeline.reconciler import Reconciler, RetentionPolicy
from app.store import Store
from app.store.check_runs import CheckRunDue
from tests.integration.queue_model import (
    FOLLOWED,
    INSTALLATION,
    ONE_PROJECT,
    OTHER,
    TWO_PROJECTS,
    Api,
    Claim,
    GitHub,
    Push,
    World,
    everything,
    keep,
    known,
    sha,
    world,
)

T = TypeVar("T")
LEASE = timedelta(minutes=5)
NONE, LONG = timedelta(0), timedelta(hours=1)
OPEN = {"queued", "running", "succeeded"}
REPOSITORIES = st.sampled_from([ONE_PROJECT, TWO_PROJECTS])
COMMITS = st.integers(0, 3)
"""Few, so branches often return to an earlier commit."""
ANY = st.integers(0, 7)
"""Selects an existing item: the number is taken modulo their count."""


class QueueRules(RuleBasedStateMachine):
    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.db, self.store, self.github = self.world.db, Store(self.world.db), GitHub()
        self.api = cast("Any", Api(self.github))
        survey = cast("Any", self.github)
        self.reconciler = Reconciler(self.store, self.api, survey, survey, RetentionPolicy(LONG, LONG, LONG))
        self.taken: list[Push] = []
        self.lost: list[Push] = []
        self.missed: set[int] = set()
        """Repositories with a lost or late push."""
        self.claims: list[Claim] = []
        self.zombies: list[Claim] = []
        self.lineages: dict[str, str] = {}
        self.publishing: list[tuple[CheckRunDue, str]] = []
        self.asleep: list[CheckRunDue] = []
        """Claims of check runs that were lost to another process."""
        self.shown: dict[int, str] = {}
        """The state of each check run on GitHub."""
        self.numbers = itertools.count()
        self.connections: dict[str, int] = {}
        self.branches: dict[str, str] = {}
        """The branch that each connection follows."""
        self.switched_on: dict[str, str] = {}
        """The branch of each connection's lineage."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.world.runner.run(work)

    @initialize()
    def install(self) -> None:
        """Each repository starts with a commit, so there is work from the start."""
        self.run(self._install())
        for repository in (ONE_PROJECT, TWO_PROJECTS):
            self.push(repository, FOLLOWED, 0, arrives=True)

    async def _install(self) -> None:
        await self.db.execute("TRUNCATE installations, repositories, deliveries, connections CASCADE")
        for repository_id, projects in ((ONE_PROJECT, ("",)), (TWO_PROJECTS, ("a", "b"))):
            await self.store.installations.update_from_push(known(repository_id))
            for project in projects:
                connection = await self.store.connections.create(repository_id, project)
                self.connections[connection.id], self.branches[connection.id] = repository_id, FOLLOWED

    # -- GitHub

    @rule(repository=REPOSITORIES, branch=st.sampled_from([FOLLOWED, OTHER]), commit=COMMITS, arrives=st.sampled_from([True, True, False]))
    def push(self, repository: int, branch: str, commit: int, *, arrives: bool) -> None:
        """Any commit may be pushed again: with force, or to another branch."""
        made = self.github.push(repository, branch, sha(commit))
        if made is not None and arrives:
            self.arrive(made)
        elif made is not None:
            self.lost.append(made)
            self.missed.add(repository)

    def arrive(self, push: Push) -> None:
        self.run(webhooks.receive(self.store, push.delivery, "push", push.payload))
        self.taken.append(push)
        self.github.tell(push)

    @precondition(lambda self: self.lost)
    @rule(which=ANY)
    def late_delivery(self, which: int) -> None:
        self.arrive(self.lost.pop(which % len(self.lost)))

    @precondition(lambda self: self.taken)
    @rule(which=ANY)
    def duplicate_delivery(self, which: int) -> None:
        push = self.taken[which % len(self.taken)]
        self.changes_nothing(webhooks.receive(self.store, push.delivery, "push", push.payload))

    @rule(which=ANY, commit=st.none() | ANY)
    def extract_by_api(self, which: int, commit: int | None) -> None:
        self.run(self._extract(list(self.connections)[which % len(self.connections)], commit))

    async def _extract(self, connection_id: str, commit: int | None) -> None:
        connection = await self.store.connections.get(connection_id)
        assert connection is not None
        told = sorted(self.github.told[connection.repository.id, self.branches[connection_id]])
        if told:
            chosen = None if commit is None else told[commit % len(told)]
            queued = await triggers.extract_now(self.store, self.api, connection, chosen, "api")
            assert queued.sha == (chosen or self.github.head(connection.repository.id, self.branches[connection_id]))

    @rule(which=ANY, branch=st.sampled_from([FOLLOWED, OTHER, None]))
    def follow_another_branch(self, which: int, branch: str | None) -> None:
        """None is the default branch. If GitHub has no such branch, nothing changes."""
        connection_id = list(self.connections)[which % len(self.connections)]
        if self.github.head(self.connections[connection_id], branch or FOLLOWED):
            self.run(self._follow(connection_id, branch))
            self.branches[connection_id] = branch or FOLLOWED

    async def _follow(self, connection_id: str, branch: str | None) -> None:
        connection = await self.store.connections.get(connection_id)
        assert connection is not None
        changed = await connections.change(self.store, self.api, connection, ConnectionRequest(connection.project_dir, branch))
        assert (changed.followed_branch, changed.lineage_sha) == (branch or FOLLOWED, connection.lineage_sha)

    @rule(hours=st.integers(0, 1))
    def reconcile(self, hours: int) -> None:
        """After an hour no retry is waiting any more, and everything is surveyed; before that, only what is due."""
        self.run(self._reconcile(hours))

    async def _reconcile(self, hours: int) -> None:
        if hours:
            await self.db.execute("UPDATE repositories SET looked_at = looked_at - interval '2 hours'")
            await self.db.execute("UPDATE extractions SET due_at = now() WHERE status = 'queued'")
            assert await self.reconciler.survey(INSTALLATION)
        while await self.reconciler._next_look():
            pass

    # -- workers

    @rule(worker=st.sampled_from("abc"))
    def a_worker_claims(self, worker: str) -> None:
        name = f"{worker}/{next(self.numbers)}"
        if extraction := self.run(self.store.extractions.claim(name, LEASE)):
            self.claims.append(Claim(name, extraction))

    @precondition(lambda self: self.claims)
    @rule(which=ANY, how=st.sampled_from(["succeeds", "tries again", "tries later", "hands back"]))
    def end(self, which: int, how: str) -> None:
        claim = self.claims.pop(which % len(self.claims))
        self.run(self._ends(claim)[how]())

    def _ends(self, claim: Claim) -> dict[str, Callable[[], Coroutine[Any, Any, object]]]:
        key, extractions = (claim.extraction.id, claim.name), self.store.extractions
        return {
            "succeeds": lambda: keep(self.store, claim),
            "fails": lambda: extractions.finish(*key, "failed", [], problem=Problem("t", "m")),
            "tries again": lambda: extractions.retry(*key, NONE),
            "tries later": lambda: extractions.retry(*key, LONG),
            "hands back": lambda: extractions.hand_back(*key),
        }

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def cancel_and_ask_again(self, which: int) -> None:
        """The worker continues until it notices."""
        claim = self.claims.pop(which % len(self.claims))
        assert self.run(self.store.extractions.cancel(claim.extraction.id))
        assert not self.changes_nothing(self.store.extractions.cancel(claim.extraction.id))
        again = self.run(triggers.extract_again(self.store, claim.extraction, "api"))
        assert again.id != claim.extraction.id
        self.zombies.append(claim)

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def stall(self, which: int) -> None:
        """A worker dies or sleeps: all its leases expire. It may claim the same extractions again when it wakes."""
        worker = self.claims[which % len(self.claims)].worker
        self.run(self.store.extractions.renew([claim.name for claim in self.claims if claim.worker == worker], -LEASE))
        self.claims = [replace(claim, expired=claim.expired or claim.worker == worker) for claim in self.claims]

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def heartbeat(self, which: int) -> None:
        worker = self.claims[which % len(self.claims)].worker
        lost = [claim.name for claim in self.zombies if claim.worker == worker]
        ours = [claim.name for claim in self.claims if claim.worker == worker]
        assert self.run(self.store.extractions.renew([*lost, *ours], LEASE)) == set(ours)
        self.claims = [replace(claim, expired=claim.expired and claim.worker != worker) for claim in self.claims]

    @precondition(lambda self: any(claim.expired for claim in self.claims))
    @rule()
    def requeue_expired(self) -> None:
        dead = [claim for claim in self.claims if claim.expired]
        assert self.run(self.store.extractions.requeue_expired()) == len(dead)
        self.claims = [claim for claim in self.claims if not claim.expired]
        self.zombies += dead

    @precondition(lambda self: self.zombies)
    @rule(which=ANY, how=st.sampled_from(["succeeds", "fails", "tries again", "tries later", "hands back"]))
    def a_zombie_ends(self, which: int, how: str) -> None:
        claim = self.zombies.pop(which % len(self.zombies))
        assert not self.changes_nothing(self._ends(claim)[how]())

    # -- the outbox

    @rule()
    def outbox(self) -> None:
        """Anything may happen between reading and sending."""
        if self.publishing:
            due, status = self.publishing.pop()
            assert self.run(self.store.check_runs.mark_created(due, due.id))
            assert self.run(self.store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE))
            if not due.completed or status in ENDED:
                self.shown[due.id] = status
        else:
            self.run(self._outbox_reads())

    @rule()
    def a_publisher_sleeps(self) -> None:
        """Its lease ends, so that another process may send the check run."""
        self.run(self.db.execute("UPDATE check_runs SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL"))
        self.asleep += [due for due, _ in self.publishing]
        self.publishing.clear()
        self.run(self._outbox_reads())

    @rule()
    def a_publisher_wakes(self) -> None:
        """No precondition: what is due depends on the time."""
        if not self.asleep:
            return
        due, runs = self.asleep.pop(), self.store.check_runs
        if any((other.id, other.claim) > (due.id, due.claim) for other, _ in self.publishing if other.id == due.id):
            for late in (runs.mark_created(due, 7), runs.mark_sent(due, NONE), runs.mark_in_doubt(due), runs.postpone(due, LONG)):
                assert not self.changes_nothing(late)

    async def _outbox_reads(self) -> None:
        if due := await self.store.check_runs.claim(leases.CHECK_RUN_LEASE):
            extraction = await self.store.extractions.get(due.extraction_id)
            assert extraction is not None
            self.publishing.append((due, extraction.status))

    # -- invariants

    @invariant()
    def rules_hold(self) -> None:
        self.run(self._rules_hold())

    async def _rules_hold(self) -> None:
        found = await self.db.rows(
            "SELECT e.*, k.id AS run, k.sent < k.revision AS due, k.completed "
            "FROM extractions e LEFT JOIN check_runs k ON k.extraction_id = e.id ORDER BY e.number"
        )
        running = [row for row in found if row["status"] == "running"]
        assert {str(row["id"]) for row in running} == {claim.extraction.id for claim in self.claims}
        assert len({row["connection_id"] for row in running}) == len(running), "never two of one connection (and so of one commit) at once"
        for row in found:
            sent = row["run"] is None or row["due"] or (row["completed"] and row["status"] not in ENDED)
            assert sent or self.shown.get(row["run"]) == row["status"], "GitHub has the current state, or an update is due"
            if row["status"] == "superseded":
                repository, branch = self.connections[str(row["connection_id"])], row["branch"]
                others = {other["sha"] for other in found if (other["connection_id"], other["branch"]) == (row["connection_id"], branch)}
                assert self.github.has_newer(repository, branch, row["sha"], others), "only a newer commit supersedes another"
        self._one_check_run_per_commit(found)
        for connection, before in (await self._switched()).items():
            branch = self.branches[connection]
            told = self.github.told[self.connections[connection], branch]
            former = told.get(before, -1) if self.switched_on.get(connection) == branch else -1
            assert former < told[self.lineages[connection]], "the lineage never goes back to an older push"
            self.switched_on[connection] = branch

    def _one_check_run_per_commit(self, found: list[Any]) -> None:
        """Besides those that somebody requested. It is the one of the extraction with most to say."""
        commits = defaultdict(list)
        for row in found:
            commits[row["connection_id"], row["sha"]].append(row)
        for rows in commits.values():
            shown = [row for row in rows if row["run"] is not None]
            silent = {row["status"] for row in rows if row["run"] is None}
            assert 1 <= len(shown) <= 1 + sum(row["forced"] for row in rows)
            assert shown[-1]["status"] in OPEN or not silent & OPEN, "a check run does not end while another extraction goes on"

    async def _switched(self) -> dict[str, str]:
        """The previous lineage ("" for none) of each connection whose lineage changed."""
        found = await self.db.rows("SELECT c.id, l.sha FROM connections c JOIN lineages l ON l.id = c.lineage_id")
        now = {str(row["id"]): row["sha"] for row in found}
        before, self.lineages = self.lineages, now
        return {connection: before.get(connection, "") for connection in now if now[connection] != before.get(connection)}

    def changes_nothing(self, work: Coroutine[Any, Any, T]) -> T:
        before = self.run(everything(self.db))
        result = self.run(work)
        assert self.run(everything(self.db)) == before
        return result

    # -- what holds at the end

    def settle(self) -> None:
        """All is worked off: where every push came in its order, at once; elsewhere once the reconciler has looked."""
        self.reconcile(0)
        self._drain()
        self._lineages_are_at_the_heads(but=self.missed)
        self.reconcile(1)
        self._drain()
        self._lineages_are_at_the_heads(but=set())

    def _lineages_are_at_the_heads(self, but: set[int]) -> None:
        for connection, repository in self.connections.items():
            assert repository in but or self.lineages.get(connection) == self.github.head(repository, self.branches[connection]), (
                "the lineage is at the head"
            )

    def _drain(self) -> None:
        self.run(self.db.execute("UPDATE extractions SET due_at = now() WHERE status = 'queued'"))
        self.a_worker_claims("a")
        while self.claims:
            assert self.run(keep(self.store, self.claims.pop())), "whoever has the claim can end it"
            self.rules_hold()
            self.a_worker_claims("a")
            self.rules_hold()
        assert self.run(self.db.value("SELECT count(*) FROM extractions WHERE status IN ('queued', 'running')")) == 0

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.settle()


def test_every_order_of_events_ends_with_the_lineage_of_the_head(dsn: str) -> None:
    # derandomize: the same orders in every run, so that a red build is about the change; raise max_examples to look for new ones.
    checks = settings(
        max_examples=35,
        stateful_step_count=30,
        derandomize=True,
        deadline=None,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with world(dsn) as shared:
        machine = type("QueueRules", (QueueRules,), {"world": shared})
        run_state_machine_as_test(machine, settings=checks)
