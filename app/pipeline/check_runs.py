"""The check run outbox: updates GitHub until its check runs match our extractions. It sends states, not events, so losses do no harm.

A claim is fenced on both sides: the database ignores changes under a claim that was lost, and nothing is sent to GitHub once the lease is
about to end. So a process that slept cannot overwrite what another one has sent since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.core import log, metrics, traces
from app.core.errors import FreshetError, GitHubUnavailableError, GoneError, NotYetError, RejectedError, SuspendedError, UnavailableError
from app.core.models.extractions import ENDED, Extraction
from app.core.retry import retry_delay
from app.core.wakeup import Wakeup
from app.pipeline import leases, loop
from app.pipeline.ports import GitHub
from app.reports import check_run
from app.store import Store
from app.store.check_runs import UNSENT, CheckRunDue, SentState, Turns

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
        due = await store.check_runs.claim(leases.CHECK_RUN_LEASE, turns, late=leases.CHECK_RUN_LATE)
        return None if due is None else (due, until_s)

    step = loop.leased(
        claim,
        lambda claimed: publish(store, github, *claimed, targets),
        lambda claimed: store.check_runs.release(claimed[0], leases.CHECK_RUN_RELEASE),
        lambda claimed: log.ids(**{log.EXTRACTION: claimed[0].extraction_id, log.DELIVERY: claimed[0].delivery_id}),
    )
    await loop.forever("outbox", step, wakeup, next_due_s=store.check_runs.seconds_until_due, away_s=leases.OUTBOX_AWAY_S)


async def publish(store: Store, github: GitHub, due: CheckRunDue, until_s: float, targets: LinkTargets) -> None:
    """Update one check run until `until_s` (of the event loop's clock), or schedule the next attempt."""
    try:
        extraction = await store.extractions.get(due.extraction_id)
        if extraction is None:
            await _abandon(store, due, "the repository or the installation is gone")
            return
        await _publish(store, github, due, extraction, until_s, targets)
    except FreshetError:
        raise
    except Exception as error:  # a bug of ours, or a row that nobody can read, must not stop other check runs
        logger.exception("sending a check run crashed")
        metrics.OUTBOX.labels("crashed").inc()
        await _again(store, due, f"Freshet had an internal error ({type(error).__name__})")


async def _publish(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, until_s: float, targets: LinkTargets) -> None:
    try:
        with traces.span("check run", extraction.traceparent, extraction_id=extraction.id, status=extraction.status):
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
    asked = error.retry_after_s if isinstance(error, UnavailableError) else None
    delay = await _again(store, due, str(error), asked)
    if asked and delay:
        await store.check_runs.hold_installation(extraction.repository.installation_id, delay)


async def _again(store: Store, due: CheckRunDue, reason: str, asked_s: float | None = None) -> timedelta | None:
    """Schedule the next attempt, after the returned time; None: this was the last one."""
    if due.attempts + 1 >= leases.CHECK_RUN_ATTEMPTS:
        logger.error("check run abandoned", reason=reason)
        await _abandon(store, due, f"{UNSENT}{reason}")
        return None
    delay = min(retry_delay(due.attempts, asked_s), leases.LONGEST_DELAY)
    logger.warning("check run not sent, it will be retried", reason=reason, delay_s=delay.total_seconds())
    metrics.OUTBOX.labels("postponed").inc()
    await store.check_runs.postpone(due, delay)
    return delay


async def _abandon(store: Store, due: CheckRunDue, why: str) -> None:
    metrics.OUTBOX.labels("abandoned").inc()
    await store.check_runs.abandon(due, why)


async def _send(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, targets: LinkTargets) -> None:
    if due.completed and extraction.status not in ENDED:
        await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE)  # GitHub does not reopen a check run
        return
    body = _body(extraction, f"{targets.backend_url}/extractions/{extraction.id}", targets.server_url())
    annotations = check_run.annotation_digests(body)
    created = due.github_id is None
    github_id = due.github_id or await _found(store, github, due, extraction, body)
    if github_id is None:
        github_id = await _create(store, github, due, extraction, body)
    else:
        new = check_run.without_annotations(body, due.annotations or ())  # GitHub appends what it is sent again
        if check_run.has_annotations(new):
            doubtful = due.in_doubt or (due.completed and due.annotations is None)
            if doubtful and await github.count_annotations(extraction.repository, github_id) > len(due.annotations or ()):
                new = check_run.without_annotations(body, annotations)
            _still(await store.check_runs.mark_in_doubt(due))
        await github.update_check_run(extraction.repository, github_id, check_run.without_identity(new))
    sent = await _sent(store, github, due, extraction, body, annotations)
    logger.info("check run sent", check_run_id=github_id, **{name: body[name] for name in ("status", "conclusion") if name in body})
    if sent is not None and sent.age_s is not None:
        if created and not due.obsolete:
            metrics.DELIVERY_TO_CHECK_RUN.observe(sent.age_s)
        if sent.concluded:
            metrics.DELIVERY_TO_CONCLUSION.labels(body["conclusion"]).observe(sent.age_s)


async def _found(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, body: Mapping[str, Any]) -> int | None:
    """The check run that GitHub may have without our knowing: of a request that had no answer, or of before a backup was restored."""
    github_id, more = None, False
    if due.in_doubt:
        github_id = await github.find_check_run(extraction.repository, extraction.sha, due.created_as)
    if github_id is None and due.forgotten and (strays := await _strays(store, github, due, extraction, body)):
        github_id, more = strays[0], len(strays) > 1
        logger.info("check run taken over", check_run_id=github_id)
    if github_id is not None:
        if more:
            _still(await store.check_runs.mark_in_doubt(due, again=True))
        _still(await store.check_runs.mark_created(due, github_id))
    return github_id


async def _sent(
    store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, body: Mapping[str, Any], annotations: Sequence[str]
) -> SentState | None:
    """Record what was sent. A while after a conclusion that may have been doubled, look for strays."""
    concluded = "conclusion" in body
    looked = concluded and due.doubled_s is not None and due.doubled_s >= leases.CHECK_RUN_STRAYS.total_seconds()
    if looked:
        await _end_strays(store, github, due, extraction, body)
    again = leases.CHECK_RUN_STRAYS if concluded and not looked else None
    return await store.check_runs.mark_sent(due, leases.CHECK_RUN_PAUSE, annotations, concluded=concluded, again=again, looked=looked)


async def _create(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, body: Mapping[str, Any]) -> int:
    """Create the check run. If an earlier request to do so had no answer, it may still arrive and create another."""
    _still(await store.check_runs.mark_in_doubt(due, creates=True, again=due.in_doubt))
    try:
        github_id = await github.create_check_run(extraction.repository, body, obsolete=due.obsolete)
    except (RejectedError, GitHubUnavailableError) as error:
        refused = isinstance(error, RejectedError) or error.retry_after_s is not None
        if refused and not due.in_doubt:
            await store.check_runs.mark_refused(due)
        raise
    _still(await store.check_runs.mark_created(due, github_id))
    return github_id


async def _strays(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, body: Mapping[str, Any]) -> list[int]:
    """Our check runs of this commit and name that are open on GitHub and that nobody here will end."""
    found = await github.open_check_runs(extraction.repository, extraction.sha, body["name"])
    return await store.check_runs.strays(due, extraction.repository.id, extraction.sha, found) if found else []


async def _end_strays(store: Store, github: GitHub, due: CheckRunDue, extraction: Extraction, body: Mapping[str, Any]) -> None:
    """End them as the check run ended: GitHub takes the newest one of a name for the result."""
    for github_id in await _strays(store, github, due, extraction, body):
        await github.update_check_run(extraction.repository, github_id, check_run.without_identity(body))
        logger.info("surplus check run ended", check_run_id=github_id)


def _body(extraction: Extraction, url: str, server_url: str) -> dict[str, Any]:
    """The check run; if it cannot be made of what is stored, one that says so."""
    try:
        return check_run.check_run(extraction, url, server_url)
    except Exception:  # the others still have to be sent
        logger.exception("a check run cannot be made of its extraction")
        return check_run.damaged(extraction, url, server_url)


def _still(claimed: bool) -> None:  # noqa: FBT001 - the answer of a statement
    if not claimed:
        raise _ClaimLostError
