"""What a commit does, compared with its base: computed when its lineage and columns are stored, and again when a better base is there.

It is kept in the extraction's result, where the check run finds it. What goes wrong with it is said there, and never fails an extraction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from app.core import log
from app.core.errors import DatabaseUnavailableError, FreshetError
from app.core.models.extractions import ENDED, Extraction
from app.core.retry import retry_delay
from app.core.wakeup import Wakeup
from app.lineage.graph import Graph
from app.lineage.impact.elsewhere import with_elsewhere
from app.lineage.impact.model import Impact
from app.pipeline import base_rules, bases, leases, loop, quality, storing
from app.pipeline.base_rules import ChosenBase, FoundBase
from app.pipeline.bases import BaseFinder, Finding
from app.pipeline.progress import Progress
from app.project.impact_policy import EffectivePolicy, ImpactPolicy
from app.reports import impact as report
from app.reports import stale_sources
from app.reports.impact_places import Places
from app.store import Store
from app.store.bases import WaitingImpact
from app.store.lineages import LineageHead

MAX_CODE_BYTES = 1 << 20
"""Of the definition of a node in which lines are looked for."""
ATTEMPTS = 2
"""Of reading two lineages, while one of them is being replaced."""

logger = log.get(__name__)


class _Definition(msgspec.Struct):
    raw_code: str | None = None


class Impacts:
    """Ends extractions with what their commits do, and corrects that later."""

    def __init__(self, store: Store, finder: BaseFinder) -> None:
        self._store = store
        self._finder = finder

    @asynccontextmanager
    async def beginning(self, extraction: Extraction, progress: Progress) -> AsyncIterator[Finding]:
        """Begin to look for the base of an extraction, and to load both sides as soon as they are there."""
        async with self._finder.finding(extraction) as finding:
            loading = asyncio.create_task(self._load(extraction, progress, finding), name=f"loading for {extraction.id}")
            try:
                yield finding
            finally:
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)

    async def _load(self, extraction: Extraction, progress: Progress, finding: Finding) -> None:
        """Load the base while dbt runs, and the new lineage while its columns are traced: `end` then finds them in memory."""
        if extraction.background:
            return
        try:
            await progress.reached("parsing")
            # The followed branch is about to be compared with what the connection has now.
            sha = None if extraction.followed else (await finding()).base.sha
            if extraction.followed or sha is not None:
                await self._load_one(await self._store.lineages.head(extraction.connection_id, sha))
            await progress.reached("columns")
            await self._load_one(await self._store.lineages.head(extraction.connection_id, extraction.sha))
        except Exception:  # nobody waits for this
            logger.info("not loaded before the comparison", exc_info=True)

    async def _load_one(self, head: LineageHead | None) -> None:
        if head is not None and head.columns_state == "ready":
            await self._store.lineage_cache.columns(head)
        elif head is not None:
            await self._store.lineage_cache.get(head)

    async def end(self, extraction: Extraction, progress: Progress, finding: Finding) -> None:
        """End an extraction whose lineage and columns are stored. Raises ClaimLostError, and UnavailableError if a retry may help."""
        if extraction.background:
            chosen = ChosenBase(reason="It was extracted because other commits are compared with it.")
        else:
            chosen = await bases.choose(self._store, extraction, await finding())
        impact = await self._compute(extraction, chosen, progress.result)
        measured = None if extraction.background else await quality.measure(self._store, extraction, chosen.base)
        async with self._store.transaction() as tx:
            await _await_base(tx, extraction, chosen)
            await tx.bases.set(extraction.id, progress.claim, chosen.base)
            await quality.save(tx, measured)
            await storing.end(tx, extraction, progress, {**progress.result, "impact": impact, **quality.of_result(measured)})

    async def run(self, wakeup: Wakeup) -> None:
        """Compute impacts again that are due, until cancelled. Any number of tasks can run this at the same time."""
        step = loop.leased(
            lambda: self._store.bases.claim_wait(leases.IMPACT_LEASE), self.again, None, lambda due: {log.EXTRACTION: due.extraction_id}
        )
        await loop.forever("impacts", step, wakeup, next_due_s=self._store.bases.seconds_until_due)

    async def again(self, waiting: WaitingImpact) -> None:
        """Compute an impact again, or wait on."""
        extraction = await self._store.extractions.get(waiting.extraction_id)
        if extraction is None or (extraction.status in ENDED and extraction.status != "succeeded"):
            await self._store.bases.end_wait(waiting)
        elif extraction.status != "succeeded":
            await self._store.bases.postpone_wait(waiting, leases.ROOM_AGAIN)
        elif waiting.sha is None and extraction.followed and extraction.base is not None:
            await self._store.bases.end_wait(waiting)  # no pull request says what it is compared with
        elif waiting.sha is None:
            await self._find_again(extraction, waiting)
        else:
            await self._correct(extraction, waiting, waiting.sha)

    async def _correct(self, extraction: Extraction, waiting: WaitingImpact, sha: str) -> None:
        """Compare with the right commit, once its lineage is there, or say why it never will be."""
        trust = await self._store.extractions.trust(extraction.id)
        commit = await self._store.bases.commit(extraction.connection_id, sha, trust.trusted)
        right = base_rules.right_one(extraction.base, "previous_head" if extraction.followed else "merge_base")
        if right is None or right.sha != sha:  # another one was found since
            await self._store.bases.end_wait(waiting)
            return
        if commit.active:
            await self._store.bases.postpone_wait(waiting, leases.WAIT_AGAIN)
            return
        standing_in = extraction.base.sha if extraction.base is not None else None
        chosen = base_rules.choose(FoundBase(right), commit, standing_in, tried=True)
        if chosen.awaited_sha is None:
            await self._replace(extraction, waiting, chosen)
        else:  # it was superseded, or there was no room for it before
            queued = await self._store.bases.queue(extraction.connection_id, right.branch or extraction.branch, sha, leases.BASES_QUEUED)
            await self._store.bases.postpone_wait(waiting, leases.WAIT_AGAIN if queued else leases.ROOM_AGAIN)

    async def _find_again(self, extraction: Extraction, waiting: WaitingImpact) -> None:
        found = await self._finder.find(extraction)
        if found.again and waiting.attempts + 1 < leases.FIND_ATTEMPTS:
            await self._store.bases.postpone_wait(waiting, retry_delay(waiting.attempts + 3, None), counts=True)
            return
        await self._replace(extraction, waiting, await bases.choose(self._store, extraction, found))

    async def _replace(self, extraction: Extraction, waiting: WaitingImpact, chosen: ChosenBase) -> None:
        impact = await self._compute(extraction, chosen, extraction.result)
        measured = await quality.measure(self._store, extraction, chosen.base)
        result = {**extraction.result, "impact": impact, **quality.of_result(measured)}
        changed = result != extraction.result
        async with self._store.transaction() as tx:
            await tx.bases.replace_result(extraction, result, chosen.base, show=changed)
            await tx.bases.end_wait(waiting)
            await _await_base(tx, extraction, chosen)
        logger.info("impact computed again", state=impact["state"], changed=changed)

    async def _compute(self, extraction: Extraction, chosen: ChosenBase, result: dict[str, Any]) -> dict[str, Any]:
        """What is stored of the impact. Raises DatabaseUnavailableError."""
        own = EffectivePolicy(report.own_policy(result) or ImpactPolicy())
        if chosen.base.sha is None:
            return _without_comparison(chosen, own)
        try:
            async with asyncio.timeout(leases.COMPARING_S):
                return await self._compare(extraction, chosen, result, own.own)
        except DatabaseUnavailableError:
            raise
        except TimeoutError:
            reason = f"Comparing it with `{chosen.base.sha[:7]}` took longer than {leases.COMPARING_S:g} s."
        except FreshetError as error:
            reason = error.user_text
        except Exception as error:  # a bug of ours must not fail the extraction
            logger.exception("comparing crashed")
            reason = f"Freshet stopped with an internal error ({type(error).__name__})."
        return report.failed(reason, chosen.base, own)

    async def _compare(self, extraction: Extraction, chosen: ChosenBase, result: dict[str, Any], own: ImpactPolicy) -> dict[str, Any]:
        lineages, cache = self._store.lineages, self._store.lineage_cache
        for _ in range(ATTEMPTS):
            base = await lineages.head(extraction.connection_id, chosen.base.sha)
            head = await lineages.head(extraction.connection_id, extraction.sha)
            if base is None or head is None:
                break
            policy = EffectivePolicy(own, report.own_policy(await self._store.bases.impact_of_lineage(base.id)))
            if policy.is_off:
                return report.off(policy)
            if await self._store.bases.is_same(base, head):
                return report.stored(Impact(), chosen.base, Places(Graph([], [])), policy, reason=chosen.reason)
            impact = await self._impact(extraction, base, head)
            places = None if impact is None else await self._places(impact, base, head, result)
            if impact is not None and places is not None:
                failed = await self._store.node_results.stale_sources(extraction.connection_id)
                read = await cache.compute(partial(stale_sources.read_by, impact.changes, places.head, failed))
                found = await cache.compute(partial(report.stored, impact, chosen.base, places, policy, reason=chosen.reason))
                return {**found, **stale_sources.stored(read, failed)}
        return report.failed("One of the lineages was replaced while they were compared.", chosen.base, EffectivePolicy(own))

    async def _impact(self, extraction: Extraction, base: LineageHead, head: LineageHead) -> Impact | None:
        """With what breaks in other connections, named only if everybody may know it who can read this repository."""
        found = await self._store.lineage_cache.impact(base, head)
        if found is None:
            return None
        elsewhere = await self._store.readers.elsewhere(extraction.connection_id, base, head, found.changes)
        return with_elsewhere(found, elsewhere, elsewhere.readable_with(extraction.repository))

    async def _places(self, impact: Impact, base: LineageHead, head: LineageHead, result: dict[str, Any]) -> Places | None:
        """What the report says of nodes; None if a lineage was replaced meanwhile."""
        graphs = [await self._store.lineage_cache.get(one) for one in (head, base)]
        if graphs[0] is None or graphs[1] is None:
            return None
        named = report.code_needed(impact)
        codes = await self._code(head, named), await self._code(base, named)
        return Places(graphs[0], graphs[1], result.get("project_dir") or "", result.get("project_name"), *codes)

    async def _code(self, head: LineageHead, unique_ids: tuple[str, ...]) -> dict[str, str]:
        if not unique_ids:
            return {}
        definitions = await self._store.lineages.definitions(head, unique_ids, MAX_CODE_BYTES)
        return await self._store.lineage_cache.compute(partial(_raw_codes, definitions))


def _raw_codes(definitions: dict[str, bytes]) -> dict[str, str]:
    found = {unique_id: msgspec.json.decode(definition, type=_Definition).raw_code for unique_id, definition in definitions.items()}
    return {unique_id: code for unique_id, code in found.items() if code}


def _without_comparison(chosen: ChosenBase, policy: EffectivePolicy) -> dict[str, Any]:
    if chosen.failed:
        return report.failed(chosen.reason, chosen.base, policy)
    return report.waiting(chosen.base, policy) if chosen.awaited_sha else report.without_base(chosen.reason, policy)


async def _await_base(tx: Store, extraction: Extraction, chosen: ChosenBase) -> None:
    """Have the right commit extracted, or looked for again, and the impact computed again after that."""
    if (sha := chosen.awaited_sha) is not None:
        await tx.bases.queue(extraction.connection_id, chosen.base.branch or extraction.branch, sha, leases.BASES_QUEUED)
        await tx.bases.wait(extraction, sha)
    elif chosen.again:
        await tx.bases.wait(extraction, None, retry_delay(2, None))
