"""Stores what an extraction made, under its claim: the lineage in one transaction, its columns in a second one. `impacts` then ends it.

Readers have the lineage as soon as it is stored. What goes wrong with the columns never fails the extraction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Any

from app.core import log
from app.core.errors import ColumnsError, UnavailableError
from app.core.models.comparisons import Base
from app.core.models.extractions import ANYONE, Extraction, Usage
from app.lineage.column_document import StorableColumns
from app.pipeline import bases, manifests
from app.pipeline.outages import with_retries
from app.pipeline.ports import ColumnsDelivery, ColumnsDocument, Decoders
from app.pipeline.progress import ClaimLostError, Progress
from app.pipeline.refresh import CarriedLineage, NewLineage
from app.project.impact_policy import EffectivePolicy, ImpactPolicy
from app.reports import column_lineage, impact, results
from app.store import Store
from app.store.lineages import SavedLineage

logger = log.get(__name__)


async def store_everything(
    store: Store, extraction: Extraction, made: NewLineage | CarriedLineage, progress: Progress, decoders: Decoders
) -> None:
    """Store the lineage and its columns. Raises ClaimLostError, and UnavailableError if a retry may help."""
    if isinstance(made, CarriedLineage) or made.parsed.columns is None:
        async with store.transaction() as tx:
            result = await _store_lineage(tx, extraction, made, progress)
            await progress.settle(tx, _not_compared(result, made))
            await store_log(tx, extraction, extraction.attempt_number, progress)
        return
    async with store.transaction() as tx:
        result = await _store_lineage(tx, extraction, made, progress)
        await progress.enter("columns", tx, result)
        await store_log(tx, extraction, extraction.attempt_number, progress)
    await manifests.keep(store, extraction, made.parsed.spool)  # meanwhile, the container traces the columns
    found = await _columns(made, made.parsed.columns, decoders, progress)
    try:
        await progress.enter("storing")
        await _store_columns(store, extraction, made, found, progress)
    finally:
        if not isinstance(found, ColumnsError):
            found.close()


async def end(tx: Store, extraction: Extraction, progress: Progress, result: dict[str, Any]) -> None:
    """End the extraction as succeeded. Raises ClaimLostError."""
    number = await tx.extractions.finish(extraction.id, progress.claim, "succeeded", progress.ended(), result=result, facts=progress.facts)
    await store_log(tx, extraction, number, progress)


async def end_incomplete(store: Store, extraction: Extraction, progress: Progress, reason: str) -> None:
    """End an extraction whose lineage is stored, perhaps by an earlier attempt, as succeeded. Raises ClaimLostError."""
    policy = EffectivePolicy(impact.own_policy(progress.result) or ImpactPolicy())
    result = {**progress.result, "impact": impact.failed(reason, extraction.base or Base("none"), policy)}
    async with store.transaction() as tx:
        if not progress.is_settled:
            await tx.columns.fail(extraction, reason, None)
            result["columns"] = column_lineage.failed(reason)
        await end(tx, extraction, progress, result)


async def store_log(tx: Store, extraction: Extraction, number: int | None, progress: Progress) -> None:
    """Store the log of attempt `number`. Raises ClaimLostError if the claim was lost, so that nothing of the transaction is stored."""
    if number is None:
        raise ClaimLostError
    if progress.log is not None:
        await tx.logs.save(extraction.id, number, progress.log)


async def _store_lineage(tx: Store, extraction: Extraction, made: NewLineage | CarriedLineage, progress: Progress) -> dict[str, Any]:
    """Store the lineage and switch the connection to it; the result of the extraction."""
    await tx.connections.prepare_project(extraction.connection_id)
    saved, result = await _save(tx, extraction, made)
    await bases.record_previous_head(tx, extraction, saved, progress.claim)
    if saved.switched:  # what a side branch calls the project is not what the connection calls it
        await tx.connections.set_project(extraction.connection_id, made.layout.project_dir, result["project_name"])
    # An earlier attempt may have stored the lineage: what changed is what changed then.
    return {**result, "change": extraction.result["change"]} if "change" in extraction.result else result


async def _save(tx: Store, extraction: Extraction, made: NewLineage | CarriedLineage) -> tuple[SavedLineage, dict[str, Any]]:
    if isinstance(made, CarriedLineage):
        carried = await tx.lineages.carry_forward(extraction, made.earlier.lineage_id)
        if not extraction.of_fork:
            await tx.manifests.carry(extraction, made.earlier.lineage_id)
        return carried, results.carried_forward(made.earlier.result, made.earlier.sha, carried.change)
    trust, follow = _trust(extraction, made.parsed.states_of), made.parsed.columns is not None
    saved = await tx.lineages.save(extraction, made.lineage, made.input_hash, trust, columns_follow=follow, quality_settings=made.quality)
    return saved, made.result(saved.change)


def _trust(extraction: Extraction, states_of: Collection[str]) -> str:
    """Who trusts a new lineage. What dbt made of a commit with the followed branch's state, it would have made on that branch too.

    What strangers wrote is of nobody else, however it was made.
    """
    trust = extraction.trust
    if extraction.of_fork:
        return trust.own
    if not states_of:
        return ANYONE
    return trust.followed if {*states_of} == {trust.followed} else trust.own


async def _columns(made: NewLineage, delivery: ColumnsDelivery, decoders: Decoders, progress: Progress) -> StorableColumns | ColumnsError:
    """Wait for the columns and decode them. Raises UnavailableError if the service is stopped."""
    try:
        document = await delivery.wait()
        progress.record(usage=_total(made.parsed.usage, document.usage))
        return await _decoded(made, document, delivery, decoders)
    except ColumnsError as error:
        redacted = await asyncio.to_thread(made.redacted, error)
        logger.info("no columns", reason=str(redacted), temporary=error.temporary)
        return redacted
    except UnavailableError:
        raise
    except Exception as error:  # a bug of ours: the lineage is stored
        logger.exception("columns crashed")
        return _crashed(made, error)


async def _decoded(made: NewLineage, document: ColumnsDocument, delivery: ColumnsDelivery, decoders: Decoders) -> StorableColumns:
    """Decode a document, and refuse it if it is not one. Raises ColumnsError."""
    try:
        return await decoders.columns(document.spool, made.lineage, made.job.label, made.parsed.image, made.secrets())
    except ColumnsError as error:
        if not error.temporary:
            await delivery.refuse()
            # It may be made of an earlier one, which another run does not start with.
            error.temporary = bool(made.parsed.states_of)
        raise
    finally:
        document.spool.close()


async def _store_columns(
    store: Store, extraction: Extraction, made: NewLineage, found: StorableColumns | ColumnsError, progress: Progress
) -> None:
    """Store the columns, or why there are none."""

    async def write() -> None:
        async with store.transaction() as tx:
            if isinstance(found, ColumnsError):
                await tx.columns.fail(extraction, found.user_text, None if found.temporary else made.input_hash)
            else:
                await tx.columns.save(extraction, found, made.input_hash)
            await progress.settle(tx, _not_compared(_result(progress, found), made))

    try:
        if not await with_retries(write):
            await write()
    except (ClaimLostError, UnavailableError):
        raise
    except Exception as error:
        if isinstance(found, ColumnsError):
            raise
        logger.exception("columns not stored")
        await _store_columns(store, extraction, made, _crashed(made, error), progress)


def _result(progress: Progress, found: StorableColumns | ColumnsError) -> dict[str, Any]:
    columns = column_lineage.failed(found.user_text) if isinstance(found, ColumnsError) else column_lineage.ready(found)
    usage = progress.facts.usage
    return {**progress.result, "columns": columns, "usage": asdict(usage) if usage else {}}


def _not_compared(result: dict[str, Any], made: NewLineage | CarriedLineage) -> dict[str, Any]:
    """The result until the commit is compared. It keeps the commit's own policy, also for commits that are compared with it."""
    own = made.layout.settings.for_project(made.layout.project_dir).impact or ImpactPolicy()
    return {**result, "impact": impact.failed("It was not compared.", Base("none"), EffectivePolicy(own))}


def _total(dbt: Usage, columns: Usage) -> Usage:
    """What the container used: its time is that of dbt alone, because stages have times of their own."""
    cpu = [usage.cpu_seconds for usage in (dbt, columns) if usage.cpu_seconds is not None]
    peak = [usage.peak_memory_bytes for usage in (dbt, columns) if usage.peak_memory_bytes is not None]
    return replace(dbt, cpu_seconds=sum(cpu) if cpu else None, peak_memory_bytes=max(peak, default=None))


def _crashed(made: NewLineage, error: Exception) -> ColumnsError:
    reason = f"Freshet stopped with an internal error ({type(error).__name__})"
    step = "Re-run the check. If it fails again, ask the operator to look at Freshet's log."
    return ColumnsError(f"tracing the columns of {made.job.label}", reason, step, temporary=True)
