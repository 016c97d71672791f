"""What a commit does to the quality of its project, when its extraction ends. What goes wrong with that is logged, and fails nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from app.core import log
from app.core.errors import DatabaseUnavailableError, FreshetError
from app.core.models.comparisons import Base
from app.core.models.extractions import Extraction
from app.lineage.quality import differences
from app.lineage.quality.counts import score
from app.lineage.quality.findings import Findings
from app.pipeline import leases
from app.store import Store
from app.store.lineages import LineageHead
from app.store.quality import StoredQuality

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class MeasuredQuality:
    """The quality of a commit."""

    head: LineageHead
    findings: Findings
    change: dict[str, Any]
    """As it is kept with the result of the extraction: see `reports.quality_line`."""


async def measure(store: Store, extraction: Extraction, base: Base) -> MeasuredQuality | None:
    """Look at a commit whose lineage and columns are stored, and compare it. Raises DatabaseUnavailableError."""
    try:
        async with asyncio.timeout(leases.COMPARING_S):
            return await _measure(store, extraction, base)
    except DatabaseUnavailableError:
        raise
    except (FreshetError, TimeoutError) as error:
        logger.info("quality not measured", reason=str(error) or "it took too long")
    except Exception:  # a bug of ours must not fail the extraction
        logger.exception("measuring quality crashed")
    return None


async def save(tx: Store, measured: MeasuredQuality | None) -> None:
    """Store what was found beside the lineage."""
    if measured is not None:
        await tx.quality.save_findings(measured.head, measured.findings)


def of_result(measured: MeasuredQuality | None) -> dict[str, Any]:
    """The key of the extraction's result; nothing if it could not be measured."""
    return {} if measured is None else {"quality": measured.change}


async def _measure(store: Store, extraction: Extraction, base: Base) -> MeasuredQuality | None:
    head = await store.lineages.head(extraction.connection_id, extraction.sha)
    kept = None if head is None else await store.quality.get(head)
    if head is None or kept is None or kept.counts is None:
        return None
    findings = kept.findings or await store.lineage_cache.findings(head, kept.settings)
    if findings is None:
        return None
    change: dict[str, Any] = {"score": score(kept.counts, kept.settings), "shown": kept.settings.check_runs}
    before = None if base.sha is None else await store.lineages.head(extraction.connection_id, base.sha)
    if before is not None:
        change |= await _compared(store, before, head, kept, findings)
    return MeasuredQuality(head, findings, change)


async def _compared(store: Store, base: LineageHead, head: LineageHead, kept: StoredQuality, findings: Findings) -> dict[str, Any]:
    """The difference; nothing if a lineage was replaced meanwhile."""
    before = await store.quality.get(base)
    changes = await store.lineage_cache.quality_changes(base, head, kept.settings)
    graph = await store.lineage_cache.get(head)
    if before is None or changes is None or graph is None:
        return {}
    dimensions = await store.lineage_cache.compute(partial(differences.by_dimension, changes, graph))
    return {
        "base": base.sha,
        "base_score": None if before.counts is None else score(before.counts, kept.settings),
        "dimensions": {name: msgspec.to_builtins(one) for name, one in dimensions.items()},
        "findings": differences.by_rule(before.findings, findings),
    }
