"""Thousands of signed deliveries, fifty at a time and some of them twice, while extractions run."""

from __future__ import annotations

from tests.bench import intake
from tests.load.part import Outcome

COUNT = 5_000


async def run(count: int = COUNT) -> Outcome:
    """Deliver the first push of `count` branches."""
    found, outcome = await intake.load(count), Outcome()
    outcome.row(f"deliveries, {intake.CONCURRENCY} at a time, all answered with 202", len(found.latencies))
    outcome.row("pushes that are queued, of all", f"{found.queued:,} of {count:,}")
    outcome.row("extractions that ended meanwhile", found.extracted)
    outcome.row("time of the answer", found.times())
    outcome.check(found.queued == found.branches == count, f"{found.queued} queued, {found.branches} branches, of {count}")
    outcome.check('"level": "error"' not in found.log, "the log has an error")
    return outcome
