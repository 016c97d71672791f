"""What an extraction tells on its way, and what it is told: its stages and their times, what is learned, and whether it is still ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app import handlers, metrics
from app.jobs import Extraction, Facts, Stage, StageTime
from app.records import KnownInput
from app.storage import Store


class ClaimLostError(Exception):
    """Somebody else has the extraction now, or nobody: what we know of it no longer counts."""


class Ledger:
    """Keeps the times of one extraction's stages, and stands between it and the store (`refresh.Ledger`)."""

    def __init__(self, store: Store, worker: str, extraction: Extraction) -> None:
        self._store = store
        self._worker = worker
        self._extraction = extraction
        self._times: list[StageTime] = []
        self.facts = Facts()
        self.log: str | None = None
        """None: dbt did not run."""

    async def enter(self, stage: Stage) -> None:
        """End the stage that runs and begin another. Raises ClaimLostError."""
        self._times = [*self.ended(), StageTime(stage, datetime.now(UTC))]
        if not await self._store.extractions.enter_stage(self._extraction.id, self._worker, stage, self._times, self.facts):
            raise ClaimLostError

    async def locate(self, projects: Sequence[str]) -> str | None:
        """Follow the projects that a followed branch holds, and return where the extraction's own one is."""
        extraction = self._extraction
        async with self._store.transaction() as tx:
            await handlers.follow(tx, extraction.repository, extraction.branch, extraction.sha, projects)
            current = await tx.extractions.get(extraction.id)
        return current.project_dir if current else extraction.project_dir

    async def known(self, input_hash: bytes) -> KnownInput | None:
        """Return a commit with the same input; none when somebody asked for this extraction."""
        if self._extraction.forced:
            return None
        return await self._store.lineages.of_input(self._extraction.connection_id, input_hash)

    def learn(self, **facts: Any) -> None:
        """Keep what is known."""
        self.facts = replace(self.facts, **facts)

    def hear(self, log: str) -> None:
        """Keep what dbt logged."""
        self.log = log

    def count(self, status: str, conclusion: str = "") -> None:
        """Add this run of the extraction to the metrics."""
        metrics.EXTRACTIONS.labels(status, conclusion).inc()
        times = self.ended()
        for stage in times:
            metrics.STAGE_SECONDS.labels(stage.stage).observe(stage.seconds or 0.0)
        metrics.EXTRACTION_SECONDS.labels(status).observe(sum(stage.seconds or 0.0 for stage in times))

    def ended(self) -> list[StageTime]:
        """Return the times with the last stage ended now."""
        now = datetime.now(UTC)
        return [stage if stage.ended_at else replace(stage, ended_at=now) for stage in self._times]
