"""Extractions: the queue and its history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from app.jobs import Extraction, Facts, Newest, Problem, Stage, StageTime, Status
from app.records import Found
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("extractions")
STEP = 1000
"""Extractions of a history that one search looks at."""


class Extractions:
    """Extractions by our id. `worker` is the name of the process that has claimed one: without its claim it can change nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def enqueue(self, connection_id: str, branch: str, sha: str, trigger: str, *, forced: bool = False, newest: bool = True) -> str:
        """Queue a commit; return the id, that of the active one if there is one already.

        `newest`: it is known to be newer than what the branch had, and takes the place of what has not begun.
        """
        key = UUID(connection_id), branch, sha
        if newest:
            await self._db.execute(SQL["supersede"], *key)
        found = await self._db.value(SQL["enqueue"], *key, trigger, forced, newest) or await self._db.value(SQL["active_id"], *key)
        return str(found)

    async def supersede(self, connection_id: str, branch: str, head: str) -> None:
        """End what has not begun and is not of the branch's head."""
        await self._db.execute(SQL["supersede"], UUID(connection_id), branch, head)

    async def newest(self, connection_id: str, branch: str) -> Newest | None:
        """Return the newest extraction of a branch that was not superseded."""
        row = await self._db.row(SQL["newest_of_branch"], UUID(connection_id), branch)
        return None if row is None else Newest(row["sha"], row["status"], row["conclusion"])

    async def cancel_connection(self, connection_id: str) -> None:
        """Cancel what is queued for a connection."""
        await self._db.execute(SQL["cancel_connection"], UUID(connection_id))

    async def stop_connection(self, connection_id: str) -> None:
        """Cancel what is queued for a connection, and what runs."""
        await self._db.execute(SQL["stop_connection"], UUID(connection_id))

    async def claim(self, worker: str, lease: timedelta) -> Extraction | None:
        """Take the next extraction, None when there is none to take."""
        async with self._db.transaction() as tx:
            await tx.execute(SQL["lock_claims"])
            claimed = await tx.value(SQL["claim"], worker, lease)
            return await Extractions(tx).get(str(claimed)) if claimed else None

    async def renew(self, worker: str, lease: timedelta) -> set[str]:
        """Renew the leases of a worker and return the ids that are still its own."""
        return {str(row["id"]) for row in await self._db.rows(SQL["renew"], worker, lease)}

    async def requeue_expired(self) -> int:
        """Queue again what dead workers left."""
        return await self._db.execute(SQL["requeue_expired"])

    async def hand_back(self, extraction_id: str, worker: str) -> None:
        """Queue an extraction again as if it had not been claimed."""
        await self._db.execute(SQL["hand_back"], UUID(extraction_id), worker)

    async def retry(
        self, extraction_id: str, worker: str, delay: timedelta, *, problem: Problem | None = None, facts: Facts | None = None
    ) -> int | None:
        """Queue an extraction again, for later. `problem`: why. Returns as `finish` does."""
        values = delay, rows.to_json(problem), rows.to_json(facts or Facts())
        return await self._try(SQL["retry"], extraction_id, worker, *values)

    async def enter_stage(
        self, extraction_id: str, worker: str, stage: Stage, stages: Sequence[StageTime], facts: Facts | None = None
    ) -> bool:
        """Note that a stage began, and what is known by now; False when the claim is lost."""
        values = rows.to_json(stages), rows.to_json(facts or Facts())
        return await self._db.execute(SQL["enter_stage"], UUID(extraction_id), worker, stage, *values) == 1

    async def finish(  # noqa: PLR0913 - what is kept of an end, each by its name
        self,
        extraction_id: str,
        worker: str,
        status: Status,
        stages: Sequence[StageTime],
        *,
        problem: Problem | None = None,
        result: dict[str, object] | None = None,
        facts: Facts | None = None,
    ) -> int | None:
        """End an extraction; return the number of the try that this was, None when the claim is lost."""
        values = rows.to_json(stages), rows.to_json(problem), rows.to_json(result or {}), rows.to_json(facts or Facts())
        return await self._try(SQL["finish"], extraction_id, worker, status, *values)

    async def _try(self, statement: str, extraction_id: str, worker: str, *values: object) -> int | None:
        row = await self._db.row(statement, UUID(extraction_id), worker, *values)
        return None if row is None else row["try"] or 1

    async def cancel(self, extraction_id: str) -> bool:
        """Cancel what is queued or runs; False when there is no such extraction, or when it has ended."""
        return await self._db.execute(SQL["cancel"], UUID(extraction_id)) == 1

    async def cancel_queued(self, installation_id: int, repository_ids: Sequence[int] | None = None) -> None:
        """Cancel what is queued for an installation, or for some repositories of it."""
        await self._db.execute(SQL["cancel_installation"], installation_id, None if repository_ids is None else list(repository_ids))

    async def get(self, extraction_id: str) -> Extraction | None:
        """Return an extraction that can be seen."""
        row = await self._db.row(SQL["by_id"], UUID(extraction_id))
        return None if row is None else rows.extraction(row)

    async def active(self, *, after: int | None, seen_by: Sequence[int] | None = None, limit: int) -> list[Extraction]:
        """Return queued and running extractions, oldest first; `after` is the number of the last one of the page before.

        `seen_by`: only of these repositories (ids), and of public ones; None: of all.
        """
        return [rows.extraction(row) for row in await self._db.rows(SQL["active"], after, limit, seen_by)]

    async def of_connection(self, connection_id: str, *, before: int | None = None, limit: int) -> list[Extraction]:
        """Return the history of a connection, newest first; `before` is the number of the last one of the page before."""
        return [rows.extraction(row) for row in await self._db.rows(SQL["of_connection"], UUID(connection_id), before, limit)]

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
    ) -> Found:
        """Return the extractions of a connection that have what is asked for, newest first, as far as one step goes.

        A step looks at so many extractions, so it may find fewer than there are: `Found.last` is where the next one begins.
        """
        key = UUID(connection_id)
        asked = key, before, statuses, branch, step
        row = await (self._db.row(SQL["find_of_commit"], *asked, sha) if sha else self._db.row(SQL["find"], *asked))
        numbers = (row["found"] or []) if row else []
        last = row["last"] if row and row["seen"] == step else None
        if len(numbers) > limit:
            numbers, last = numbers[:limit], numbers[limit - 1]
        found = await self._db.rows(SQL["numbered"], key, numbers) if numbers else []
        return Found([rows.extraction(one) for one in found], last)
