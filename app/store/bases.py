"""The commits that extractions are compared with, and the impacts that wait for one of them to be extracted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from app.core.models.comparisons import Base
from app.core.models.extractions import Extraction, Status
from app.store import rows
from app.store.lineages import LineageHead
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("bases")


@dataclass(frozen=True, slots=True)
class BaseCommit:
    """A commit that others are to be compared with."""

    stored: bool
    """Whether its lineage is stored, and its columns are settled."""
    active: bool
    """Whether an extraction of it is queued or running."""
    status: Status | None = None
    """How the last other extraction of it ended; None: there is none."""
    title: str | None = None
    """Why that failed."""
    conclusion: str | None = None


@dataclass(frozen=True, slots=True)
class WaitingImpact:
    """An impact that is due to be computed again, under a claim."""

    extraction_id: str
    sha: str | None
    """The commit whose lineage it waits for; None: what to compare with has to be found."""
    attempts: int
    due_at: datetime


class Bases:
    """Bases by extraction, and waiting impacts.

    `trusted` are the trusts of the extraction that is compared (see `BranchTrust`): what the parse state of a side branch had a part in is
    a base for that branch alone.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def set(self, extraction_id: str, claim: str, base: Base) -> bool:
        """Record what a running extraction is compared with; False if the claim is lost."""
        return await self._db.execute(SQL["set"], UUID(extraction_id), claim, rows.to_json(base)) == 1

    async def of_commit(self, connection_id: str, branch: str, sha: str) -> Base | None:
        """Return what the last extraction of a commit on a branch was compared with."""
        return rows.base(await self._db.value(SQL["of_commit"], UUID(connection_id), branch, sha))

    async def nearest(self, connection_id: str, shas: Sequence[str], trusted: Collection[str], branch: str | None = None) -> str | None:
        """Return the first commit whose lineage is stored, as one of `branch` if that is given."""
        found: str | None = await self._db.value(SQL["nearest"], UUID(connection_id), list(shas), list(trusted), branch)
        return found

    async def commit(self, connection_id: str, sha: str, trusted: Collection[str]) -> BaseCommit:
        """Return what is known of a commit."""
        row = await self._db.row(SQL["commit"], UUID(connection_id), sha, list(trusted))
        return BaseCommit(**dict(row.items())) if row else BaseCommit(stored=False, active=False)

    async def is_same(self, base: LineageHead, head: LineageHead) -> bool:
        """True if two lineages have the same nodes with the same columns, as those that were carried forward."""
        return bool(await self._db.value(SQL["is_same"], base.id, base.extracted_at, head.id, head.extracted_at))

    async def queue(self, connection_id: str, branch: str, sha: str, most: int) -> bool:
        """Queue a commit in the background; False if it is queued or running, or `most` of its installation wait there already."""
        return await self._db.value(SQL["queue"], UUID(connection_id), branch, sha, most) is not None

    async def impact_of_lineage(self, lineage_id: int) -> dict[str, Any]:
        """Return `{"impact": …}`, what the extraction of a lineage did; empty if that is not known."""
        found = await self._db.value(SQL["impact_of_lineage"], lineage_id)
        return {} if found is None else {"impact": orjson.loads(found)}

    async def wait(self, extraction: Extraction, sha: str | None, delay: timedelta = timedelta()) -> None:
        """Compute the impact of an extraction again: after `delay`, or when an extraction of `sha` has ended.

        `sha` None: after it was looked again what to compare with.
        """
        await self._db.execute(SQL["wait"], UUID(extraction.id), UUID(extraction.connection_id), sha, delay)

    async def find_again(self, repository_id: int, branch: str, sha: str) -> None:
        """Look again what the extractions of a commit of a side branch are compared with: its pull request has another base branch."""
        await self._db.execute(SQL["find_again"], repository_id, branch, sha)

    async def claim_wait(self, lease: timedelta) -> WaitingImpact | None:
        """Claim the next impact that is due."""
        row = await self._db.row(SQL["claim_wait"], lease)
        return None if row is None else WaitingImpact(str(row["extraction_id"]), row["sha"], row["attempts"], row["due_at"])

    async def postpone_wait(self, waiting: WaitingImpact, delay: timedelta, *, counts: bool = False) -> None:
        """Look again after `delay`, or when the extraction of the commit ends, also if it did so since the claim.

        `counts`: this was an attempt.
        """
        await self._db.execute(SQL["postpone_wait"], UUID(waiting.extraction_id), waiting.due_at, delay, counts)

    async def end_wait(self, waiting: WaitingImpact) -> None:
        """Forget that an impact waits, unless it is due anew since the claim."""
        await self._db.execute(SQL["end_wait"], UUID(waiting.extraction_id), waiting.due_at)

    async def replace_result(self, extraction: Extraction, result: dict[str, Any], base: Base, *, show: bool) -> None:
        """Replace the result of an ended extraction; `show`: its check run, too. Call it in a transaction."""
        key = UUID(extraction.id)
        changed = await self._db.execute(SQL["replace_result"], key, rows.to_json(result), rows.to_json(base))
        if changed and show:
            await self._db.execute(SQL["show_again"], key)
            await self._db.execute(SQL["notify"], extraction.id)

    async def seconds_until_due(self) -> float | None:
        """None: nothing is waiting."""
        seconds = await self._db.value(SQL["seconds_until_due"])
        return None if seconds is None else float(seconds)
