"""The outbox: makes GitHub's check runs what our extractions are. It sends states, not events, so it converges whatever was lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app import log, metrics
from app.errors import FreshetError, GoneError, SuspendedError, UnavailableError
from app.jobs import Extraction, retry_delay
from app.ports import Bell, GitHub
from app.records import CheckRunDue
from app.storage import Store
from app.wording import report

IDLE_S = 15.0
MAX_ATTEMPTS = 12
"""Tries of one state, over about a day: then GitHub is told no more of it."""
LONGEST_DELAY = timedelta(hours=4)

logger = log.get(__name__)


async def run(store: Store, github: GitHub, bell: Bell, backend_url: str) -> None:
    """Send what is due, for ever. Any number of these may run beside each other."""
    while True:
        try:
            due = await store.check_runs.claim()
            if due is None:
                seconds = await store.check_runs.next_due_s()
                await bell.wait(IDLE_S if seconds is None else min(max(seconds, 0.01), IDLE_S))
                continue
            with log.bound(extraction_id=due.extraction_id):
                try:
                    await publish(store, github, due, backend_url)
                except asyncio.CancelledError:
                    await asyncio.shield(_release(store, due))
                    raise
        except UnavailableError as error:
            logger.warning("cannot read the outbox", reason=str(error))
            await bell.wait(IDLE_S / 10)


async def _release(store: Store, due: CheckRunDue) -> None:
    try:
        await store.check_runs.release(due.extraction_id)
    except UnavailableError as error:
        logger.warning("check run not handed back, its lease will run out", reason=str(error))


async def publish(store: Store, github: GitHub, due: CheckRunDue, backend_url: str) -> None:
    """Bring one check run up to date, or note when to try again."""
    extraction = await store.extractions.get(due.extraction_id)
    if extraction is None:
        await _abandon(store, due, "the repository or the installation is gone")
        return
    try:
        await _send(store, github, due, extraction, backend_url)
        metrics.OUTBOX.labels("sent").inc()
    except SuspendedError:
        await _abandon(store, due, "suspended")
    except GoneError as error:
        logger.info("check run abandoned", reason=str(error))
        await _abandon(store, due, error.reason)
    except FreshetError as error:
        if due.attempts + 1 >= MAX_ATTEMPTS:
            logger.error("check run given up", reason=str(error))
            await _abandon(store, due, str(error))
            return
        asked = error.retry_after_s if isinstance(error, UnavailableError) else None
        delay = min(retry_delay(due.attempts, asked), LONGEST_DELAY)
        logger.warning("check run not sent, it is tried again", reason=str(error), delay_s=delay.total_seconds())
        metrics.OUTBOX.labels("postponed").inc()
        await store.check_runs.postpone(due.extraction_id, delay)
        if asked:
            await store.check_runs.hold(extraction.repository.installation_id, delay)


async def _abandon(store: Store, due: CheckRunDue, why: str) -> None:
    metrics.OUTBOX.labels("abandoned").inc()
    await store.check_runs.abandon(due.extraction_id, why)


async def _send(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, backend_url: str) -> None:
    body = report.check_run(extraction, f"{backend_url}/extractions/{extraction.id}")
    github_id = due.github_id
    if github_id is None and due.in_doubt:
        github_id = await github.find_check_run(extraction.repository, extraction.sha, extraction.id)
        if github_id is not None:
            await store.check_runs.created(extraction.id, github_id)
    if github_id is None:
        await store.check_runs.doubt(extraction.id)
        github_id = await github.create_check_run(extraction.repository, body)
        await store.check_runs.created(extraction.id, github_id)
    else:
        if report.annotated(body):
            if due.in_doubt and await github.annotations_of(extraction.repository, github_id):
                body = report.without_annotations(body)  # GitHub appends: once is enough
            await store.check_runs.doubt(extraction.id)
        await github.update_check_run(extraction.repository, github_id, report.without_identity(body))
    await store.check_runs.sent(extraction.id, due.revision)
