"""Extractions: the queue and its history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import asyncpg

from app.core.models.extractions import BranchTrust, Extraction, Facts, Newest, Problem, Stage, StageTime, Status
from app.core.models.origins import Origin
from app.core.models.pull_requests import is_of_fork, merge_queue_of
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("extractions")
STEP = 1000
"""The number of extractions that one step of a search reads."""


@dataclass(frozen=True, slots=True)
class ExtractionPage:
    """Matches of a search, newest first."""

    extractions: list[Extraction]
    last: int | None
    """The number of the last extraction that was read, where the next page begins; None: there are no more."""


@dataclass(frozen=True, slots=True)
class QueuedCommit:
    """A commit for the queue.

    `newest`: it is known to be the newest of its branch, so it supersedes what is queued. `was_head`: it was so once. `created_branch`: its
    push created the branch.
    """

    connection_id: str
    branch: str
    sha: str
    trigger: str
    forced: bool = False
    newest: bool = True
    was_head: bool = False
    created_branch: bool = False
    origin: Origin | None = None

    @property
    def key(self) -> tuple[UUID, str, str]:
        """What at most one active extraction has."""
        return UUID(self.connection_id), self.branch, self.sha


class Extractions:
    """Extractions by our id.

    `claim` is the name of one claim of one extraction, never used again: after the claim is lost, changes under its name have no effect,
    even if the same process has claimed the extraction anew.
    """

    def __init__(self, db: Database, origin: Origin | None = None) -> None:
        """`origin`: of what is queued without one of its own."""
        self._db, self._origin = db, origin

    async def enqueue(  # noqa: PLR0913 - what is known of the commit, each by its name
        self,
        connection_id: str,
        branch: str,
        sha: str,
        trigger: str,
        *,
        forced: bool = False,
        newest: bool = True,
        was_head: bool = False,
        created_branch: bool = False,
    ) -> str:
        """Queue a commit and return the extraction's id, which is that of the active one if there is one."""
        commit = QueuedCommit(connection_id, branch, sha, trigger, forced, newest, was_head, created_branch)
        return (await self.enqueue_all([commit]))[commit]

    async def enqueue_all(self, commits: Sequence[QueuedCommit]) -> dict[QueuedCommit, str]:
        """The same for several commits of different branches, in this order."""
        connections, _, shas = _keys(commits)
        await self._db.execute(SQL["supersede"], *_keys([one for one in commits if one.newest]), connections, shas)
        found: dict[tuple[UUID, str, str], str] = {}
        while left := [one for one in commits if one.key not in found]:
            said = [one.trigger for one in left], [one.forced for one in left], [one.newest for one in left]
            known = [one.newest or one.was_head for one in left], [one.created_branch for one in left]
            origins = _origins([one.origin or self._origin for one in left])
            made = await self._db.rows(SQL["enqueue"], *_keys(left), *said, *known, *origins)
            if len(made) < len(left):
                # An active one may end between these two.
                made += await self._db.rows(SQL["active_of_commit"], *_keys(left), *known, *origins)
            found |= {(row["connection_id"], row["branch"], row["sha"]): str(row["id"]) for row in made}
        return {one: found[one.key] for one in commits}

    async def branch_with_head(self, connection_id: str, sha: str, preferred: str) -> str | None:
        """Return the branch whose head a commit is or was; `preferred` if that is one of several."""
        found: str | None = await self._db.value(SQL["branch_with_head"], UUID(connection_id), sha, preferred)
        return found

    async def supersede(self, connection_id: str, branch: str, head: str) -> None:
        """Supersede the queued extractions of a branch, except those of its head."""
        await self._db.execute(SQL["supersede"], [UUID(connection_id)], [branch], [head], [], [])

    async def newest_of_branch(self, connection_id: str, branch: str) -> Newest | None:
        """Return the newest extraction of a branch, ignoring superseded ones."""
        return (await self.newest_of_branches([(connection_id, branch)])).get((connection_id, branch))

    async def newest_of_branches(self, branches: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Newest]:
        """The same for several branches, each with the id of its connection; those without an extraction are left out."""
        found = await self._db.rows(SQL["newest_of_branch"], [UUID(one) for one, _ in branches], [branch for _, branch in branches])
        return {branches[row["place"]]: Newest(row["sha"], row["status"], row["conclusion"]) for row in found}

    async def knows(self, connection_id: str, sha: str) -> bool:
        """True if a connection has an extraction of this commit."""
        return bool(await self.known([(connection_id, sha)]))

    async def known(self, commits: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of commits, each with the id of its connection: those that have an extraction."""
        found = await self._db.rows(SQL["knows"], [UUID(one) for one, _ in commits], [sha for _, sha in commits])
        return {commits[row["place"]] for row in found}

    async def fail_queued(self, connection_id: str, problem: Problem) -> None:
        """End the queued extractions of a connection with the same problem."""
        await self._db.execute(SQL["fail_queued"], UUID(connection_id), rows.to_json(problem))

    async def stop_connection(self, connection_id: str) -> None:
        """Cancel the queued and running extractions of a connection."""
        await self._db.execute(SQL["stop_connection"], UUID(connection_id))

    async def claim(self, claim: str, lease: timedelta, full: Collection[int] = (), *, spare: bool = True) -> Extraction | None:
        """Claim the next extraction under a new name, if there is one.

        `full` are installations that have to wait. `spare`: also one of a fork or in the background.
        """
        async with self._db.transaction() as tx:
            await tx.execute(SQL["lock_claims"])
            while (claimed := await tx.row(SQL["claim"], claim, lease, list(full), spare)) is not None:
                found = await Extractions(tx).get(str(claimed["id"]))
                if found is None:  # its repository was removed while it ran; otherwise it would be claimed again and again
                    await tx.execute(SQL["cancel"], claimed["id"])
                    continue
                if not claimed["background"]:
                    await tx.execute(SQL["served"], claimed["installation_id"], claimed["of_fork"])
                return replace(found, trust=await Extractions(tx).trust(found.id))
        return None

    async def trust(self, extraction_id: str) -> BranchTrust:
        """Return whose parse states and lineages an extraction may use."""
        return _trust(await self._db.row(SQL["trust"], UUID(extraction_id)))

    async def renew(self, claims: Collection[str], lease: timedelta) -> set[str]:
        """Renew the leases of claims, and return those that are still valid."""
        return {row["worker"] for row in await self._db.rows(SQL["renew"], list(claims), lease)}

    async def holds(self, extraction_id: str, claim: str) -> bool:
        """True if a claim is still valid; it then stays so until the end of the transaction."""
        return await self._db.row(SQL["hold"], UUID(extraction_id), claim) is not None

    async def requeue_expired(self) -> int:
        """Queue the extractions of dead workers again, and return how many."""
        return await self._db.execute(SQL["requeue_expired"])

    async def hand_back(self, extraction_id: str, claim: str) -> None:
        """Queue an extraction again without counting the attempt."""
        await self._db.execute(SQL["hand_back"], UUID(extraction_id), claim)

    async def give_back(self, claims: Collection[str], extraction_ids: Collection[str]) -> int:
        """Queue the extractions of these claims again after an outage, without counting the attempts; how many still had the claim.

        Of `extraction_ids`, the attempt does not count even if the claim has expired meanwhile.
        """
        return int(await self._db.value(SQL["give_back"], list(claims), [UUID(one) for one in extraction_ids]))

    async def retry(
        self, extraction_id: str, claim: str, delay: timedelta, *, problem: Problem | None = None, facts: Facts | None = None
    ) -> int | None:
        """Queue an extraction again after `delay`, because of `problem`. Returns like `finish`."""
        values = delay, rows.to_json(problem), rows.to_json(facts or Facts())
        return await self._try(SQL["retry"], extraction_id, claim, *values)

    async def enter_stage(
        self,
        extraction_id: str,
        claim: str,
        stage: Stage,
        stages: Sequence[StageTime],
        facts: Facts | None = None,
        *,
        result: dict[str, object] | None = None,
    ) -> bool:
        """Record the start of a stage, and the facts known so far; False if the claim is lost.

        `result`: of an extraction whose lineage is stored before this stage begins; it outlives the attempt.
        """
        values = rows.to_json(stages), rows.to_json(facts or Facts()), None if result is None else rows.to_json(result)
        return await self._db.execute(SQL["enter_stage"], UUID(extraction_id), claim, stage, *values) == 1

    async def finish(  # noqa: PLR0913 - one named argument per column
        self,
        extraction_id: str,
        claim: str,
        status: Status,
        stages: Sequence[StageTime],
        *,
        problem: Problem | None = None,
        result: dict[str, object] | None = None,
        facts: Facts | None = None,
    ) -> int | None:
        """End an extraction. Return the number of the attempt; None if the claim is lost."""
        values = rows.to_json(stages), rows.to_json(problem), rows.to_json(result or {}), rows.to_json(facts or Facts())
        return await self._try(SQL["finish"], extraction_id, claim, status, *values)

    async def _try(self, statement: str, extraction_id: str, claim: str, *values: object) -> int | None:
        row = await self._db.row(statement, UUID(extraction_id), claim, *values)
        return None if row is None else row["try"] or 1

    async def cancel(self, extraction_id: str) -> bool:
        """Cancel an extraction; False if it is neither queued nor running."""
        return await self._db.execute(SQL["cancel"], UUID(extraction_id)) == 1

    async def cancel_queued(self, installation_id: int, repository_ids: Sequence[int] | None = None) -> None:
        """Cancel the queued extractions of an installation, or of some of its repositories."""
        await self._db.execute(SQL["cancel_installation"], installation_id, None if repository_ids is None else list(repository_ids))

    async def cancel_of_branch(self, repository_id: int, branch: str, sha: str) -> None:
        """Cancel what is queued for the last commit of a branch that is not followed, except what somebody requested."""
        await self._db.execute(SQL["cancel_of_branch"], repository_id, branch, sha)

    async def cancel_of_fork(self, repository_id: int, branch: str) -> None:
        """Cancel what is queued or running for a branch of a fork."""
        await self._db.execute(SQL["cancel_of_fork"], repository_id, branch)

    async def needs_extraction(self, connection_id: str, sha: str) -> bool:
        """True if a commit has no answer yet: no extraction that is queued, running or succeeded, or that failed because of the project."""
        return bool(await self._db.value(SQL["needs_extraction"], UUID(connection_id), sha))

    async def get(self, extraction_id: str) -> Extraction | None:
        """Return an extraction; None if it does not exist or is hidden."""
        row = await self._db.row(SQL["by_id"], UUID(extraction_id))
        return None if row is None else rows.extraction(row)

    async def active(self, *, after: int | None, seen_by: Sequence[int] | None = None, limit: int) -> list[Extraction]:
        """Return queued and running extractions, oldest first; `after` is the number of the last one of the previous page.

        `seen_by`: the ids of the private repositories to include; None: all.
        """
        return [rows.extraction(row) for row in await self._db.rows(SQL["active"], after, limit, seen_by)]

    async def for_connection(self, connection_id: str, *, before: int | None = None, limit: int) -> list[Extraction]:
        """Return the history of a connection, newest first; `before` is the number of the last one of the previous page.

        Without what ran in the background.
        """
        return [rows.extraction(row) for row in await self._db.rows(SQL["for_connection"], UUID(connection_id), before, limit)]

    async def search(  # noqa: PLR0913 - filters, each by its name
        self,
        connection_id: str,
        *,
        statuses: Sequence[Status] | None = None,
        branch: str | None = None,
        sha: str | None = None,
        before: int | None = None,
        limit: int,
        step: int = STEP,
    ) -> ExtractionPage:
        """Search one step of a connection's history, newest first.

        A step reads `step` extractions and may return fewer than `limit` although there are more: continue from `ExtractionPage.last`.
        """
        key = UUID(connection_id)
        asked = key, before, statuses, branch, step
        row = await (self._db.row(SQL["find_of_commit"], *asked, sha) if sha else self._db.row(SQL["find"], *asked))
        numbers = (row["found"] or []) if row else []
        last = row["last"] if row and row["seen"] == step else None
        if len(numbers) > limit:
            numbers, last = numbers[:limit], numbers[limit - 1]
        found = await self._db.rows(SQL["by_numbers"], key, numbers) if numbers else []
        return ExtractionPage([rows.extraction(one) for one in found], last)


def _trust(row: asyncpg.Record | None) -> BranchTrust:
    if row is None:
        return BranchTrust()
    kind = "fork" if is_of_fork(row["branch"]) else "followed" if row["followed"] else "side"
    own = f"{kind} {row['branch']} {row['created'] or 0}"
    leaves = kind != "fork" and merge_queue_of(row["branch"]) is None
    followed = f"followed {row['followed_branch']} {row['followed_created'] or 0}"
    shared = not row["followed"] and (row["made_by"] not in (None, own) or row["is_followed_head"])
    return BranchTrust(own, followed, row["was_head"], shared, leaves, row["followed_branch"])


def _origins(found: Sequence[Origin | None]) -> tuple[list[str | None], list[timedelta | None], list[str | None]]:
    known = [(one.delivery_id, one.age, one.traceparent) if one else (None, None, None) for one in found]
    return [one[0] for one in known], [one[1] for one in known], [one[2] for one in known]


def _keys(commits: Sequence[QueuedCommit]) -> tuple[list[UUID], list[str], list[str]]:
    return [UUID(one.connection_id) for one in commits], [one.branch for one in commits], [one.sha for one in commits]
