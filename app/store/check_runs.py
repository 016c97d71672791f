"""The outbox: check runs that differ on GitHub and have to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("check_runs")
SUPERSEDED = 2
"""The rank of check runs that can wait longer than others."""

UNSENT = "not sent: "
"""How the reason begins if GitHub lacks a check run although the repository is there."""


@dataclass(frozen=True, slots=True)
class CheckRunDue:
    """A check run to send, under a claim: once the claim has passed to another process, changes through this one have no effect.

    `in_doubt`: GitHub may have it already, because the answer to an earlier request was lost.
    """

    id: int
    claim: int
    extraction_id: str
    created_as: str
    """The `external_id` with which it was created."""
    github_id: int | None
    revision: int
    in_doubt: bool
    attempts: int
    completed: bool
    """GitHub shows the result of an earlier extraction of the same commit."""
    obsolete: bool
    """Of a commit that a newer one superseded, or that a stranger pushed: it can wait longer than others."""
    annotations: frozenset[str] | None
    """Digests of those that GitHub has; None: an earlier release sent them."""
    doubled_s: float | None = None
    """Seconds since a second request to create it was sent, while the first one may still arrive. None: there was none."""
    forgotten: bool = False
    """GitHub may have one that this database does not know, because a backup was restored."""
    delivery_id: str | None = None


@dataclass(frozen=True, slots=True)
class SentState:
    """What GitHub shows now. `concluded`: for the first time a conclusion of this extraction."""

    concluded: bool
    age_s: float | None
    """Seconds since the delivery that led to the extraction arrived; None if none did."""


@dataclass(slots=True)
class Turns:
    """Who was served last, so that everybody else comes before the same one again."""

    installation: int = 0
    repositories: dict[int, int] = field(default_factory=dict)
    """By installation."""


class CheckRuns:
    """Check runs that have to be sent."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim(self, lease: timedelta, turns: Turns | None = None, *, late: timedelta = timedelta(minutes=5)) -> CheckRunDue | None:
        """Claim the next check run that is due: current ones first, and repositories and installations in turn.

        `late`: one that is created so long after its extraction may be `forgotten`.
        """
        turns = turns or Turns()
        turn = await self._db.row(SQL["next_turn"], turns.installation)
        if turn is None:
            return None
        rank, installation_id = turn["rank"], turn["installation_id"]
        row = await self._db.row(SQL["claim"], lease, rank, installation_id, turns.repositories.get(installation_id, 0), late)
        if row is None:
            return None
        turns.installation, turns.repositories[installation_id] = installation_id, row["repository_id"]
        return _due(row)

    async def release(self, due: CheckRunDue, delay: timedelta) -> None:
        """Give up the claim: another process may take it after `delay`."""
        await self._db.execute(SQL["release"], due.id, due.claim, delay)

    async def mark_in_doubt(self, due: CheckRunDue, *, creates: bool = False, again: bool = False) -> bool:
        """Record that a request is about to be sent: without its answer, nobody knows whether it succeeded. False if the claim is lost.

        `again`: it creates what an earlier one may still create.
        """
        created_as = UUID(due.extraction_id) if creates else None
        return await self._db.execute(SQL["mark_in_doubt"], due.id, due.claim, created_as, again) == 1

    async def mark_refused(self, due: CheckRunDue) -> None:
        """Record that GitHub did not create it."""
        await self._db.execute(SQL["mark_refused"], due.id, due.claim)

    async def strays(self, due: CheckRunDue, repository_id: int, sha: str, found: Mapping[int, str]) -> list[int]:
        """Of a commit's check runs on GitHub, with their `external_id`, those that nobody here will end; the newest first."""
        rows = await self._db.rows(SQL["strays"], list(found), list(found.values()), repository_id, sha, due.id)
        return [row["github_id"] for row in rows]

    async def mark_created(self, due: CheckRunDue, github_id: int) -> bool:
        """Record GitHub's id; False if the claim is lost."""
        return await self._db.execute(SQL["mark_created"], due.id, due.claim, github_id) == 1

    async def mark_sent(
        self,
        due: CheckRunDue,
        pause: timedelta,
        annotations: Sequence[str] = (),
        *,
        concluded: bool = False,
        again: timedelta | None = None,
        looked: bool = False,
    ) -> SentState | None:
        """Record that GitHub shows the claimed revision, with annotations of these digests; None if the claim is lost.

        While the extraction goes on, the next revision is sent after `pause`. `again`: this one is sent once more, so long after it was
        doubled; `looked`: that was done, and strays were looked for.
        """
        values = due.revision, pause, list(annotations), concluded, again, looked
        row = await self._db.row(SQL["mark_sent"], due.id, due.claim, *values)
        return None if row is None else SentState(row["first"], row["age_s"])

    async def postpone(self, due: CheckRunDue, delay: timedelta, *, counts: bool = True) -> None:
        """Retry after `delay`; `counts`: this was an attempt."""
        await self._db.execute(SQL["postpone"], due.id, due.claim, delay, counts)

    async def abandon(self, due: CheckRunDue, why: str) -> None:
        """Give up sending it."""
        await self._db.execute(SQL["abandon"], due.id, due.claim, why)

    async def hold_installation(self, installation_id: int, delay: timedelta, *, only_new: bool = False) -> None:
        """Delay everything of an installation, or only what GitHub does not have yet."""
        await self._db.execute(SQL["hold_installation"], installation_id, delay, only_new)

    async def seconds_until_due(self) -> float | None:
        """None: nothing is waiting."""
        seconds = await self._db.value(SQL["seconds_until_due"])
        return None if seconds is None else float(seconds)


def _due(row: asyncpg.Record) -> CheckRunDue:
    return CheckRunDue(
        id=row["id"],
        claim=row["claims"],
        extraction_id=str(row["extraction_id"]),
        created_as=str(row["created_as"]),
        github_id=row["github_id"],
        revision=row["revision"],
        in_doubt=row["in_doubt"],
        attempts=row["attempts"],
        completed=row["completed"],
        obsolete=row["rank"] == SUPERSEDED,
        annotations=None if row["annotations"] is None else frozenset(row["annotations"]),
        doubled_s=row["doubled_s"],
        forgotten=row["forgotten"],
        delivery_id=row["delivery_id"],
    )
