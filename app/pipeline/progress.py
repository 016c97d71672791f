"""What a running extraction records: its stages with their times, facts and log. Checks that the claim is still ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.core import log, metrics, traces
from app.core.errors import UnavailableError
from app.core.models.annotations import Annotation
from app.core.models.extractions import STAGES, Extraction, Facts, Stage, StageTime
from app.core.models.origins import Origin
from app.pipeline import connections
from app.store import Store
from app.store.lineages import KnownInput

logger = log.get(__name__)


class ClaimLostError(Exception):
    """The extraction was cancelled, or another worker has it: discard what we have."""


class Progress:
    """Records one extraction in memory and in the store (implements `refresh.Progress`)."""

    def __init__(self, store: Store, claim: str, extraction: Extraction) -> None:
        self._store = store
        self.claim = claim
        """Everything is stored under this claim, or not at all."""
        self._extraction = extraction
        self.result: dict[str, Any] = extraction.result
        """Of an extraction whose lineage is stored, by this or an earlier attempt; otherwise empty."""
        self._times: list[StageTime] = list(extraction.stages) if self.is_settled else []
        self.facts = extraction.facts if self.is_settled else Facts()
        self.log: str | None = None
        """None: dbt did not run."""
        self.annotations: Sequence[Annotation] = ()
        """Annotations to add if the extraction fails."""
        self._reached = {stage: asyncio.Event() for stage in STAGES}

    async def reached(self, stage: Stage) -> None:
        """Wait until a stage begins."""
        await self._reached[stage].wait()

    @property
    def is_settled(self) -> bool:
        """True if the lineage is stored with its columns, or with the reason why there are none: what remains is the comparison."""
        return "impact" in self.result

    async def enter(self, stage: Stage, tx: Store | None = None, result: dict[str, Any] | None = None) -> None:
        """End the current stage and begin the next one. Raises ClaimLostError.

        `result`: of the extraction, if `tx` stores its lineage.
        """
        times = [*self.ended(), StageTime(stage, datetime.now(UTC))]
        extractions = (tx or self._store).extractions
        if not await extractions.enter_stage(self._extraction.id, self.claim, stage, times, self.facts, result=result):
            raise ClaimLostError
        self._times, self.result = times, result or self.result
        self._reached[stage].set()

    async def settle(self, tx: Store, result: dict[str, Any]) -> None:
        """Record the result of a lineage that is stored with its columns. Raises ClaimLostError."""
        stage, times = self._times[-1].stage, self._times
        if not await tx.extractions.enter_stage(self._extraction.id, self.claim, stage, times, self.facts, result=result):
            raise ClaimLostError
        self.result = result

    async def choose_project_dir(self, projects: Sequence[str]) -> str | None:
        """Update the repository's connections to these projects; the directory of the extraction's own one. Raises ClaimLostError."""
        extraction = self._extraction
        if extraction.background:  # of an older commit
            return extraction.project_dir
        async with self._store.transaction() as tx:
            delivery_id = extraction.delivery_id
            caused = tx.caused_by(Origin(delivery_id, None, extraction.traceparent)) if delivery_id else tx
            await connections.sync_with_projects(caused, extraction.repository, extraction.branch, extraction.sha, projects)
            current = await tx.extractions.get(extraction.id)
            if not await tx.extractions.holds(extraction.id, self.claim):
                raise ClaimLostError
        return current.project_dir if current else extraction.project_dir

    async def find_known_input(self, input_hash: bytes) -> KnownInput | None:
        """A commit with the same input hash, as far as its branch is trusted; None if this extraction was requested explicitly."""
        if self._extraction.forced:
            return None
        return await self._store.lineages.find_by_input(self._extraction.connection_id, input_hash, self._extraction.trust.trusted)

    def record(self, **facts: Any) -> None:
        """Record facts; they are stored with the next stage or the end."""
        self.facts = replace(self.facts, **facts)

    def record_log(self, log: str) -> None:
        """Set dbt's log."""
        self.log = log

    async def show_log(self, log: str) -> None:
        """Store the log so far for readers. What cannot be stored is stored later, or with the end."""
        try:
            async with self._store.transaction() as tx:
                if await tx.extractions.holds(self._extraction.id, self.claim):
                    await tx.logs.save(self._extraction.id, self._extraction.attempt_number, log)
        except UnavailableError as error:
            logger.info("cannot show the log yet", reason=str(error))

    def annotate(self, annotations: Sequence[Annotation]) -> None:
        """Keep what is to be said besides, should it fail."""
        self.annotations = annotations

    def count(self, status: str, conclusion: str = "") -> None:
        """Add this attempt to the metrics."""
        metrics.EXTRACTIONS.labels(status, conclusion).inc()
        times = self.ended()
        for stage in times:
            metrics.STAGE_SECONDS.labels(stage.stage).observe(stage.seconds or 0.0)
            traces.record(stage.stage, stage.started_at, stage.ended_at or stage.started_at)
        metrics.EXTRACTION_SECONDS.labels(status).observe(sum(stage.seconds or 0.0 for stage in times))

    def ended(self) -> list[StageTime]:
        """The times, with the last stage ended now."""
        now = datetime.now(UTC)
        return [stage if stage.ended_at else replace(stage, ended_at=now) for stage in self._times]
