"""The check run outbox: updates GitHub until its check runs match our extractions. It sends states, not events, so losses do no harm.

A claim is fenced on both sides: the database ignores changes under a claim that was lost, and nothing is sent to GitHub once the lease is
about to end. So a process that slept cannot overwrite what another one has sent since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.core import log, metrics
from app.core.errors import FreshetError, GoneError, NotYetError, SuspendedError, UnavailableError
from app.core.models.extractions import ENDED, Extraction
from app.core.retry import retry_delay
from app.core.wakeup import Wakeup
from app.pipeline import leases, loop
from app.pipeline.ports import GitHub
from app.reports import check_run
from app.store import Store
from app.store.check_runs import CheckRunDue, Turns

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class LinkTargets:
    """Where the links in check runs lead."""

    backend_url: str
    """Of our pages."""
    server_url: Callable[[], str] = lambda: check_run.GITHUB
    """Of GitHub; `/setup` can change it."""


class _ClaimLostError(Exception):
    """Another process has the check run."""


async def run(store: Store, github: GitHub, wakeup: Wakeup, targets: LinkTargets, turns: Turns | None = None) -> None:
    """Send what is due, until cancelled. Any number of tasks can run this at the same time; those of one process share `turns`."""
    turns = turns or Turns()
    clock = asyncio.get_running_loop().time

    async def claim() -> tuple[CheckRunDue, float] | None:
        until_s = clock() + leases.CHECK_RUN_SENDING_S
        due = await store.check_runs.claim(leases.CHECK_RUN_LEASE, turns)
        return None if due is None else (due, until_s)

    step = loop.leased(
        claim,
        lambda claimed: publish(store, github, *claimed, targets),
        lambda claimed: store.check_runs.release(claimed[0], leases.CHECK_RUN_RELEASE),
        lambda claimed: {log.EXTRACTION: claimed[0].extraction_id},
    )
    await loop.forever("outbox", step, wakeup, next_due_s=store.check_runs.seconds_until_due, away_s=leases.OUTBOX_AWAY_S)


async def publish(store: Store, github: GitHub, due: CheckRunDue, until_s: float, targets: LinkTargets) -> None:
    """Update one check run until `until_s` (of the event loop's clock), or schedule the next attempt."""
    extraction = await store.extractions.get(due.extraction_id)
    if extraction is None:
        await _abandon(store, due, "the repository or the installation is gone")
        return
    try:
        async with asyncio.timeout_at(until_s):
            await _send(store, github, due, extraction, targets)
        metrics.OUTBOX.labels("sent").inc()
    except (TimeoutError, _ClaimLostError):
        logger.warning("check run not sent, another process may have it")
        metrics.OUTBOX.labels("postponed").inc()
        await store.check_runs.postpone(due, leases.CHECK_RUN_RELEASE)
    except SuspendedError:
        await _abandon(store, due, "suspended")
    except GoneError as error:
        logger.info("check run abandoned", reason=str(error))
        await _abandon(store, due, error.reason)
    except NotYetError as error:
        await _wait(store, due, extraction, error)
    except FreshetError as error:
        await _retry(store, due, extraction, error)


async def _wait(store: Store, due: CheckRunDue, extraction: Extraction, error: NotYetError) -> None:
    """GitHub will take the request in a moment, as the error says: this was no attempt."""
    delay = min(retry_delay(0, error.retry_after_s), leases.LONGEST_DELAY)
    metrics.OUTBOX.labels("postponed").inc()
    await store.check_runs.postpone(due, delay, counts=False)
    if not due.obsolete:
        await store.check_runs.hold_installation(extraction.repository.installation_id, delay, only_new=error.only_new)


async def _retry(store: Store, due: CheckRunDue, extraction: Extraction, error: FreshetError) -> None:
    if due.attempts + 1 >= leases.CHECK_RUN_ATTEMPTS:
        logger.error("check run abandoned", reason=str(error))
        await _abandon(store, due, str(error))
        return
    asked = error.retry_after_s if isinstance(error, UnavailableError) else None
    delay = min(retry_delay(due.attempts, asked), leases.LONGEST_DELAY)
    logger.warning("check run not sent, it will be retried", reason=str(error), delay_s=delay.total_seconds())
    metrics.OUTBOX.labels("postponed").inc()
    await store.check_runs.postpone(due, delay)
    if asked:
        await store.check_runs.hold_installation(extraction.repository.installation_id, delay)


async def _abandon(store: Store, due: CheckRunDue, why: str) -> None:
    metrics.OUTBOX.labels("abandoned").inc()
    await store.check_runs.abandon(due, why)


async def _send(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, targets: LinkTargets) -> None:
    if due.completed and extraction.status not in ENDED:
        await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE)  # GitHub does not reopen a check run
        return
    body = check_run.check_run(extraction, f"{targets.backend_url}/extractions/{extraction.id}", targets.server_url())
    github_id, annotations = due.github_id, check_run.annotation_digests(body)
    if github_id is None and due.in_doubt:
        github_id = await github.find_check_run(extraction.repository, extraction.sha, due.created_as)
        if github_id is not None:
            _still(await store.check_runs.mark_created(due, github_id))
    if github_id is None:
        _still(await store.check_runs.mark_in_doubt(due, creates=True))
        github_id = await github.create_check_run(extraction.repository, body, obsolete=due.obsolete)
        _still(await store.check_runs.mark_created(due, github_id))
    else:
        new = check_run.without_annotations(body, due.annotations or ())  # GitHub appends what it is sent again
        if check_run.has_annotations(new):
            doubtful = due.in_doubt or (due.completed and due.annotations is None)
            if doubtful and await github.count_annotations(extraction.repository, github_id) > len(due.annotations or ()):
                new = check_run.without_annotations(body, annotations)
            _still(await store.check_runs.mark_in_doubt(due))
        await github.update_check_run(extraction.repository, github_id, check_run.without_identity(new))
    await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE, annotations)


def _still(claimed: bool) -> None:  # noqa: FBT001 - the answer of a statement
    if not claimed:
        raise _ClaimLostError
